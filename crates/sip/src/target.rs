//! Where a request goes: RFC 3263 §4, with the order of RFC 2782 and RFC 3403. Questions to the DNS come out, answers go in.
//!
//! ```text
//! let mut lookup = Lookup::new(&uri, None, &[Transport::Udp, Transport::Tcp])?;
//! while let Some(question) = lookup.question() { lookup.answer(ask(question), &mut rng); }
//! let targets = lookup.into_targets();        // best first; on failure the next is tried (RFC 3263 §4.3)
//! ```

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use rand_core::RngCore;

use crate::{Scheme, Text, Transport, Uri};

/// Records of one answer that are looked at; more are left aside.
const MOST_RECORDS: usize = 32;
/// Targets of one lookup; more are left aside.
const MOST_TARGETS: usize = 16;
/// Questions of one lookup: 1 NAPTR, then SRV, then addresses.
const MOST_QUESTIONS: usize = 32;

/// One place to try.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// What is to be asked of the DNS; names have no dot at their end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// The NAPTR records of a domain (RFC 3403 §4).
    Naptr(Text),
    /// The SRV records of a service (RFC 2782).
    Srv(Text),
    /// The A and AAAA records of a host.
    Addresses(Text),
}

/// What the DNS says; an empty list when it has nothing, or does not answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To [`Question::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Question::Srv`].
    Srv(Vec<Srv>),
    /// To [`Question::Addresses`], in the order in which they are tried.
    Addresses(Vec<IpAddr>),
}

/// A NAPTR record with the flag `s`; others mean nothing to SIP (RFC 3263 §4.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Naptr {
    /// Lower ones first.
    pub order: u16,
    /// Lower ones first, among those of the same order.
    pub preference: u16,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`, …
    pub service: Text,
    /// The name of the SRV records.
    pub replacement: Text,
}

/// An SRV record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Srv {
    /// Lower ones first.
    pub priority: u16,
    /// The share among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; empty says that the service is not to be had (RFC 2782, `Target`).
    pub host: Text,
}

/// Why a URI leads nowhere before anything is asked.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoTarget {
    /// Neither sip nor sips.
    #[error("neither a sip nor a sips URI")]
    Scheme,
    /// A transport that is unknown, or that nobody here speaks, or that a sips URI may not have.
    #[error("a transport that cannot be used")]
    Transport,
}

/// One lookup.
#[derive(Debug)]
pub struct Lookup {
    host: Text,
    secure: bool,
    supported: Vec<Transport>,
    step: Step,
    targets: Vec<Target>,
    asked: usize,
}

#[derive(Debug)]
enum Step {
    Naptr,
    /// Services that are still to be asked for, and the hosts that others had.
    Srv {
        waiting: VecDeque<(Transport, Text)>,
        found: VecDeque<(Transport, Text, u16)>,
        /// A service was said not to be had.
        refused: bool,
    },
    Addresses(VecDeque<(Transport, Text, u16)>),
    Done,
}

impl Lookup {
    /// Begins: `wanted` is the transport of whoever asks, where the URI names none; `supported` are those that may be
    /// used, the best first.
    pub fn new(
        uri: &Uri,
        wanted: Option<Transport>,
        supported: &[Transport],
    ) -> Result<Self, NoTarget> {
        let secure = match uri.scheme {
            Scheme::Sip => false,
            Scheme::Sips => true,
            Scheme::Tel | Scheme::Other(_) => return Err(NoTarget::Scheme),
        };
        let named = match uri.param("transport") {
            Some(name) => Some(transport(name).ok_or(NoTarget::Transport)?),
            None => wanted,
        };
        let supported: Vec<Transport> = supported
            .iter()
            .copied()
            .filter(|one| !secure || *one == Transport::Tls)
            .collect();
        // RFC 3263 §4.1: sips over TCP is TLS; nothing is secure over UDP.
        let named = match (secure, named) {
            (true, Some(Transport::Tcp)) => Some(Transport::Tls),
            (_, named) => named,
        };
        if supported.is_empty() || named.is_some_and(|named| !supported.contains(&named)) {
            return Err(NoTarget::Transport);
        }
        // RFC 3263 §4: maddr, where there is one, is the target.
        let host = match uri.param("maddr") {
            Some(maddr) if !maddr.is_empty() => Text::from(maddr),
            _ => Text::from(&*uri.host_lower()),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let numeric = bare.parse::<IpAddr>().ok();
        let mut lookup = Self {
            host: Text::from(bare),
            secure,
            supported,
            step: Step::Done,
            targets: Vec::new(),
            asked: 0,
        };
        let default = lookup.default_transport();
        lookup.step = match (numeric, uri.port, named) {
            (Some(address), port, named) => {
                let transport = named.or(default).ok_or(NoTarget::Transport)?;
                lookup.targets.push(Target {
                    transport,
                    address: SocketAddr::new(address, port.unwrap_or(default_port(transport))),
                });
                Step::Done
            }
            // RFC 3263 §4.1, §4.2: a port says that the host is meant, and no service.
            (None, Some(port), named) => {
                let transport = named.or(default).ok_or(NoTarget::Transport)?;
                Step::Addresses(VecDeque::from([(transport, lookup.host.clone(), port)]))
            }
            (None, None, Some(transport)) => lookup.services(&[transport]),
            (None, None, None) => Step::Naptr,
        };
        Ok(lookup)
    }

    /// Gives what is to be asked next; nothing when the targets are known.
    pub fn question(&self) -> Option<Question> {
        if self.asked >= MOST_QUESTIONS || self.targets.len() >= MOST_TARGETS {
            return None;
        }
        match &self.step {
            Step::Naptr => Some(Question::Naptr(self.host.clone())),
            Step::Srv { waiting, .. } => {
                let (_, name) = waiting.front()?;
                Some(Question::Srv(name.clone()))
            }
            Step::Addresses(hosts) => {
                let (_, host, _) = hosts.front()?;
                Some(Question::Addresses(host.clone()))
            }
            Step::Done => None,
        }
    }

    /// Takes the answer to the last question. One of another kind counts as empty.
    pub fn answer(&mut self, answer: Answer, rng: &mut impl RngCore) {
        self.asked += 1;
        self.step = match std::mem::replace(&mut self.step, Step::Done) {
            Step::Naptr => self.naptr(answer),
            Step::Srv {
                mut waiting,
                mut found,
                mut refused,
            } => {
                if let (Some((transport, _)), Answer::Srv(records)) = (waiting.pop_front(), answer)
                {
                    refused |= records.iter().any(|record| record.host.is_empty());
                    for record in in_order(records, rng) {
                        found.push_back((transport, record.host, record.port));
                    }
                }
                if waiting.is_empty() {
                    self.hosts(found, refused)
                } else {
                    Step::Srv {
                        waiting,
                        found,
                        refused,
                    }
                }
            }
            Step::Addresses(mut hosts) => {
                if let (Some((transport, _, port)), Answer::Addresses(addresses)) =
                    (hosts.pop_front(), answer)
                {
                    self.add(transport, port, addresses);
                }
                if hosts.is_empty() {
                    Step::Done
                } else {
                    Step::Addresses(hosts)
                }
            }
            Step::Done => Step::Done,
        };
    }

    /// Gives the targets, the best first.
    pub fn into_targets(self) -> Vec<Target> {
        self.targets
    }

    /// RFC 3263 §4.1: services that are supported, in the order of their records.
    fn naptr(&self, answer: Answer) -> Step {
        let Answer::Naptr(mut records) = answer else {
            return self.services(&self.supported);
        };
        records.truncate(MOST_RECORDS);
        records.sort_by_key(|record| (record.order, record.preference));
        let usable: VecDeque<_> = records
            .into_iter()
            .filter_map(|record| {
                let transport = self.transport_of_service(&record.service)?;
                let name = record.replacement.trim_end_matches('.');
                (!name.is_empty()).then(|| (transport, Text::from(name)))
            })
            .collect();
        if usable.is_empty() {
            return self.services(&self.supported);
        }
        Step::Srv {
            waiting: usable,
            found: VecDeque::new(),
            refused: false,
        }
    }

    fn transport_of_service(&self, service: &str) -> Option<Transport> {
        let transport = match service.to_ascii_uppercase().as_str() {
            "SIP+D2U" if !self.secure => Transport::Udp,
            "SIP+D2T" if !self.secure => Transport::Tcp,
            "SIPS+D2T" => Transport::Tls,
            _ => return None,
        };
        self.supported.contains(&transport).then_some(transport)
    }

    /// RFC 3263 §4.1: without NAPTR each transport's own service is asked for.
    fn services(&self, transports: &[Transport]) -> Step {
        let waiting = transports.iter().filter_map(|transport| {
            let service = match transport {
                Transport::Udp => "_sip._udp",
                Transport::Tcp => "_sip._tcp",
                Transport::Tls => "_sips._tcp",
                // RFC 7118 §4.2 leaves WebSockets out.
                Transport::Ws | Transport::Wss => return None,
            };
            Some((*transport, Text::from(format!("{service}.{}", self.host))))
        });
        Step::Srv {
            waiting: waiting.collect(),
            found: VecDeque::new(),
            refused: false,
        }
    }

    /// RFC 3263 §4.2: without SRV the host itself is asked for, at the default port.
    fn hosts(&self, found: VecDeque<(Transport, Text, u16)>, refused: bool) -> Step {
        if !found.is_empty() {
            return Step::Addresses(found);
        }
        let only = match self.supported.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        match only.or(self.default_transport()) {
            // RFC 2782: a service that is said not to be had is not looked for elsewhere.
            Some(transport) if !refused => {
                let port = default_port(transport);
                Step::Addresses(VecDeque::from([(transport, self.host.clone(), port)]))
            }
            _ => Step::Done,
        }
    }

    fn add(&mut self, transport: Transport, port: u16, addresses: Vec<IpAddr>) {
        for address in addresses.into_iter().take(MOST_RECORDS) {
            let target = Target {
                transport,
                address: SocketAddr::new(address, port),
            };
            if self.targets.len() < MOST_TARGETS && !self.targets.contains(&target) {
                self.targets.push(target);
            }
        }
    }

    /// RFC 3263 §4.1: UDP for sip, TLS for sips; the best of what is left where that cannot be used.
    fn default_transport(&self) -> Option<Transport> {
        let usual = if self.secure {
            Transport::Tls
        } else {
            Transport::Udp
        };
        if self.supported.contains(&usual) {
            Some(usual)
        } else {
            self.supported.first().copied()
        }
    }
}

/// RFC 3261 §19.1.2.
const fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => 5060,
        Transport::Tls => 5061,
        Transport::Ws => 80,
        Transport::Wss => 443,
    }
}

fn transport(name: &str) -> Option<Transport> {
    match name.to_ascii_lowercase().as_str() {
        "udp" => Some(Transport::Udp),
        "tcp" => Some(Transport::Tcp),
        "tls" => Some(Transport::Tls),
        _ => None,
    }
}

/// RFC 2782: by priority; among equals each place is drawn by weight from those that are left, with weight 0 first in line.
fn in_order(mut records: Vec<Srv>, rng: &mut impl RngCore) -> Vec<Srv> {
    records.retain(|record| !record.host.is_empty() && record.port != 0);
    records.truncate(MOST_RECORDS);
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| record.priority) {
        let equals = records
            .iter()
            .take_while(|record| record.priority == priority);
        let sum: u64 = equals.clone().map(|record| u64::from(record.weight)).sum();
        let drawn = rng.next_u64() % (sum + 1);
        let mut running = 0;
        let place = equals
            .take_while(|record| {
                running += u64::from(record.weight);
                running < drawn
            })
            .count();
        if place >= records.len() {
            break;
        }
        ordered.push(records.remove(place));
    }
    ordered
}

/// The address to send datagrams to for a Contact: the port that it says when it names the host that its request came
/// from, else where the request came from, which is what leads through a NAT (RFC 3581 §4, RFC 5626 §5.3).
pub fn datagram_target(contact: &Uri, source: SocketAddr) -> SocketAddr {
    let host = contact.host.trim_start_matches('[').trim_end_matches(']');
    let plain = contact
        .param("transport")
        .is_none_or(|transport| transport.eq_ignore_ascii_case("udp"));
    match host.parse::<IpAddr>() {
        Ok(address) if plain && address.to_canonical() == source.ip().to_canonical() => {
            SocketAddr::new(source.ip(), contact.port.unwrap_or(5060))
        }
        _ => source,
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

    /// A zone: what each question is answered with.
    fn zone(question: &Question) -> Answer {
        let srv = |priority, weight, port, host: &str| Srv {
            priority,
            weight,
            port,
            host: host.into(),
        };
        let naptr = |order, preference, service: &str, replacement: &str| Naptr {
            order,
            preference,
            service: service.into(),
            replacement: replacement.into(),
        };
        match question {
            Question::Naptr(name) => Answer::Naptr(match &**name {
                // RFC 3263 §4.1, the example.
                "full.example" => vec![
                    naptr(100, 50, "SIP+D2U", "_sip._udp.full.example."),
                    naptr(90, 50, "SIP+D2T", "_sip._tcp.full.example."),
                    naptr(50, 50, "SIPS+D2T", "_sips._tcp.full.example."),
                    naptr(10, 50, "SIP+D2S", "_sip._sctp.full.example."),
                ],
                "odd.example" => vec![naptr(1, 1, "E2U+email", "_mail.odd.example")],
                _ => Vec::new(),
            }),
            Question::Srv(name) => Answer::Srv(match &**name {
                "_sip._udp.full.example" => vec![srv(1, 1, 5070, "a.example")],
                "_sip._tcp.full.example" => {
                    vec![srv(2, 0, 5080, "b.example"), srv(1, 0, 5080, "a.example")]
                }
                "_sips._tcp.full.example" => vec![srv(0, 0, 5081, "a.example")],
                "_sip._udp.srv.example" | "_sip._udp.odd.example" => {
                    vec![srv(0, 0, 5090, "b.example")]
                }
                "_sip._tcp.srv.example" => vec![srv(0, 0, 5091, "b.example")],
                "_sip._udp.closed.example" => vec![srv(0, 0, 0, "")],
                _ => Vec::new(),
            }),
            Question::Addresses(name) => Answer::Addresses(match &**name {
                "a.example" => vec![ip("192.0.2.1"), ip("2001:db8::1")],
                "b.example" | "plain.example" | "closed.example" => vec![ip("192.0.2.2")],
                _ => Vec::new(),
            }),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    /// Every question and then every target, as text.
    fn ladder(uri: &str, wanted: Option<Transport>, supported: &[Transport]) -> Vec<String> {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let uri = Uri::parse(&uri.into()).expect(uri);
        let mut lookup = match Lookup::new(&uri, wanted, supported) {
            Ok(lookup) => lookup,
            Err(error) => return vec![error.to_string()],
        };
        let mut lines = Vec::new();
        while let Some(question) = lookup.question() {
            lines.push(match &question {
                Question::Naptr(name) => format!("NAPTR {name}"),
                Question::Srv(name) => format!("SRV {name}"),
                Question::Addresses(name) => format!("A {name}"),
            });
            lookup.answer(zone(&question), &mut rng);
        }
        let targets = lookup.into_targets();
        lines.extend(
            targets
                .iter()
                .map(|target| format!("{} {}", target.transport, target.address)),
        );
        lines
    }

    #[test]
    fn an_address_needs_no_question() {
        for (uri, target) in [
            ("sip:192.0.2.7", "UDP 192.0.2.7:5060"),
            ("sip:u@192.0.2.7:5070", "UDP 192.0.2.7:5070"),
            ("sip:192.0.2.7;transport=tcp", "TCP 192.0.2.7:5060"),
            ("sip:192.0.2.7;transport=tls", "TLS 192.0.2.7:5061"),
            ("sips:192.0.2.7", "TLS 192.0.2.7:5061"),
            ("sips:192.0.2.7;transport=tcp", "TLS 192.0.2.7:5061"),
            ("sip:[2001:db8::7]", "UDP [2001:db8::7]:5060"),
            ("sip:full.example;maddr=192.0.2.9", "UDP 192.0.2.9:5060"),
        ] {
            assert_eq!(ladder(uri, None, &ALL), [target], "{uri}");
        }
        let wanted = Some(Transport::Tcp);
        assert_eq!(
            ladder("sip:192.0.2.7", wanted, &ALL),
            ["TCP 192.0.2.7:5060"]
        );
    }

    #[test]
    fn a_port_or_a_transport_cuts_the_questions_short() {
        assert_eq!(
            ladder("sip:a.example:5062", None, &ALL),
            [
                "A a.example",
                "UDP 192.0.2.1:5062",
                "UDP [2001:db8::1]:5062"
            ]
        );
        assert_eq!(
            ladder("sip:full.example;transport=udp", None, &ALL),
            [
                "SRV _sip._udp.full.example",
                "A a.example",
                "UDP 192.0.2.1:5070",
                "UDP [2001:db8::1]:5070"
            ]
        );
    }

    #[test]
    fn naptr_records_give_the_transports_in_their_order() {
        assert_eq!(
            ladder("sip:full.example", None, &[Transport::Udp, Transport::Tcp]),
            [
                "NAPTR full.example",
                "SRV _sip._tcp.full.example",
                "SRV _sip._udp.full.example",
                "A a.example",
                "A b.example",
                "A a.example",
                "TCP 192.0.2.1:5080",
                "TCP [2001:db8::1]:5080",
                "TCP 192.0.2.2:5080",
                "UDP 192.0.2.1:5070",
                "UDP [2001:db8::1]:5070"
            ]
        );
        assert_eq!(
            ladder("sips:full.example", None, &ALL),
            [
                "NAPTR full.example",
                "SRV _sips._tcp.full.example",
                "A a.example",
                "TLS 192.0.2.1:5081",
                "TLS [2001:db8::1]:5081"
            ]
        );
    }

    #[test]
    fn without_naptr_each_transport_has_its_service_and_without_that_the_host() {
        assert_eq!(
            ladder("sip:srv.example", None, &[Transport::Udp, Transport::Tcp]),
            [
                "NAPTR srv.example",
                "SRV _sip._udp.srv.example",
                "SRV _sip._tcp.srv.example",
                "A b.example",
                "A b.example",
                "UDP 192.0.2.2:5090",
                "TCP 192.0.2.2:5091"
            ]
        );
        assert_eq!(
            ladder("sip:plain.example", None, &[Transport::Udp]),
            [
                "NAPTR plain.example",
                "SRV _sip._udp.plain.example",
                "A plain.example",
                "UDP 192.0.2.2:5060"
            ]
        );
        // Records of other services say nothing.
        assert_eq!(
            ladder("sip:odd.example", None, &[Transport::Udp]),
            [
                "NAPTR odd.example",
                "SRV _sip._udp.odd.example",
                "A b.example",
                "UDP 192.0.2.2:5090"
            ]
        );
        // RFC 2782: a dot for a host.
        assert_eq!(
            ladder("sip:closed.example", None, &[Transport::Udp]),
            ["NAPTR closed.example", "SRV _sip._udp.closed.example"]
        );
    }

    #[test]
    fn what_cannot_be_reached_is_said_at_once() {
        for (uri, why) in [
            ("tel:1555", "neither a sip nor a sips URI"),
            (
                "sip:a.example;transport=sctp",
                "a transport that cannot be used",
            ),
            (
                "sip:a.example;transport=tls",
                "a transport that cannot be used",
            ),
            ("sips:a.example", "a transport that cannot be used"),
        ] {
            assert_eq!(
                ladder(uri, None, &[Transport::Udp, Transport::Tcp]),
                [why],
                "{uri}"
            );
        }
        assert_eq!(
            ladder("sips:a.example;transport=udp", None, &ALL),
            ["a transport that cannot be used"]
        );
    }

    /// RFC 2782: weights are shares; priorities come first; weight 0 has a small chance beside others.
    #[test]
    fn records_are_drawn_by_weight_within_their_priority() {
        let record = |priority, weight, host: &str| Srv {
            priority,
            weight,
            port: 5060,
            host: host.into(),
        };
        let records = vec![
            record(2, 9, "late"),
            record(1, 0, "none"),
            record(1, 30, "third"),
            record(1, 70, "most"),
        ];
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        let mut first = std::collections::BTreeMap::new();
        for _ in 0..10_000 {
            let ordered = in_order(records.clone(), &mut rng);
            let hosts: Vec<&str> = ordered.iter().map(|record| &*record.host).collect();
            assert_eq!((hosts.len(), hosts.last().copied()), (4, Some("late")));
            *first
                .entry(hosts.first().map(|host| host.to_string()))
                .or_insert(0) += 1;
        }
        let share = |host: &str| {
            first
                .get(&Some(host.to_owned()))
                .copied()
                .unwrap_or_default()
        };
        assert!((6_700..7_200).contains(&share("most")), "{first:?}");
        assert!((2_700..3_200).contains(&share("third")), "{first:?}");
        assert!((1..300).contains(&share("none")), "{first:?}");
    }

    #[test]
    fn a_flood_of_records_is_bounded() {
        let uri = Uri::parse(&"sip:full.example;transport=udp".into()).expect("a URI");
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut lookup = Lookup::new(&uri, None, &ALL).expect("a lookup");
        let many = (1..=200).map(|port| Srv {
            priority: 0,
            weight: 1,
            port,
            host: "a.example".into(),
        });
        lookup.answer(Answer::Srv(many.collect()), &mut rng);
        let mut questions = 0;
        while let Some(question) = lookup.question() {
            questions += 1;
            lookup.answer(zone(&question), &mut rng);
        }
        assert!(questions <= MOST_QUESTIONS);
        assert_eq!(lookup.into_targets().len(), MOST_TARGETS);
    }
}
