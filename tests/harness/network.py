"""`Internet`: network namespaces of a test's own: one with the server, and homes that reach it through their NATs (RFC 4787)."""

import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000  # sched.h

# RFC 5737: addresses that nobody has.
SERVER = "192.0.2.1"
PROVIDERS = ("198.51.100", "203.0.113")

NAT = {
    # Keeps the port where it can; takes packets from whom it has sent to only (RFC 4787 §5).
    "port_restricted": "masquerade",
    # Another port for every destination (RFC 4787 §4.1: address- and port-dependent mapping).
    "symmetric": "masquerade fully-random",
}

RULES = """
table ip nat {{
  chain out {{
    type nat hook postrouting priority srcnat
    oifname outside {nat}
  }}
}}
table ip guard {{
  chain in {{
    type filter hook forward priority filter; policy drop
    iifname inside accept
    ct state established,related accept
  }}
}}
"""


class Namespace:
    """A network of its own, which lives as long as a process of ours."""

    def __init__(self):
        hold = "ip link set lo up && echo up && read forever"
        # The end of this process closes its input, and so ends the namespace too.
        self.process = subprocess.Popen(["unshare", "--net", "sh", "-c", hold], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "up\n", "no network namespace can be made"

    def command(self, *arguments):
        """The command line that runs `arguments` in here."""
        return ["nsenter", "--target", str(self.process.pid), "--net", "--", *map(str, arguments)]

    def run(self, line, **how):
        subprocess.run(self.command(*line.split()), check=True, **how)

    @contextlib.contextmanager
    def inside(self):
        """What this thread opens, and the threads and processes that it starts, are in here."""
        with open("/proc/thread-self/ns/net") as before, open(f"/proc/{self.process.pid}/ns/net") as here:
            _enter(here)
            try:
                yield self
            finally:
                _enter(before)

    def link(self, name, address, other, other_name, other_address):
        """A cable between this namespace and another one."""
        self.run(f"ip link add name {name} type veth peer name {other_name} netns {other.process.pid}")
        for namespace, end, at in ((self, name, address), (other, other_name, other_address)):
            namespace.run(f"ip address add {at}/24 dev {end}")
            namespace.run(f"ip link set {end} up")

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def _enter(namespace):
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Home:
    """A phone's network, 192.168.1.0/24 like everybody's, behind a router that translates addresses."""

    address = "192.168.1.10"

    def __init__(self, internet, provider, kind):
        self.provider, self.outside = provider, f"{provider}.2"
        self.router, self.network = Namespace(), Namespace()
        internet.link(f"to-{provider}", f"{provider}.1", self.router, "outside", self.outside)
        self.router.link("inside", "192.168.1.1", self.network, "phone", self.address)
        self.router.run(f"ip route add default via {provider}.1")
        self.network.run("ip route add default via 192.168.1.1")
        self.router.run("sysctl -q net.ipv4.ip_forward=1")
        rules = RULES.format(nat=NAT[kind])
        self.router.run("nft -f -", input=rules, text=True)

    def change_address(self):
        """The provider gives another address: every mapping that the router had is gone."""
        before, self.outside = self.outside, f"{self.provider}.3"
        self.router.run(f"ip address add {self.outside}/24 dev outside")
        self.router.run(f"ip address del {before}/24 dev outside")
        self.router.run(f"ip address replace {self.outside}/24 dev outside")
        self.router.run(f"ip route replace default via {self.provider}.1")

    def forget_after(self, seconds):
        """The router forgets a mapping of datagrams that was not used for so long."""
        for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
            self.router.run(f"sysctl -q net.netfilter.{name}={seconds}")

    def end(self):
        self.network.end()
        self.router.end()


class Internet(Namespace):
    """Where the server is, and a home around it for each kind of NAT."""

    def __init__(self, *kinds):
        super().__init__()
        self.homes = []
        try:
            self.run(f"ip address add {SERVER}/32 dev lo")
            for provider, kind in zip(PROVIDERS, kinds):
                self.homes.append(Home(self, provider, kind))
        except BaseException:
            self.end()
            raise

    def lose(self, percent):
        """Loses so many of the datagrams between processes in here."""
        rules = (f"table ip loss {{ chain in {{ type filter hook input priority filter; "
                 f"meta l4proto udp numgen random mod 100 < {percent} drop; }} ; }}")
        self.run("nft -f -", input=rules, text=True)

    def end(self):
        for home in self.homes:
            home.end()
        super().end()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
