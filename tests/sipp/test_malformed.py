"""Bad input on the SIP port: the right status or silence, and the next valid request is served."""

import pytest

from harness.wire import Wire


def options_are_answered(wire):
    wire.send(wire.request("OPTIONS", f"sip:{wire.server.domain}", "probe", wire.server.domain))
    while (message := wire.receive()) is not None:
        if "CSeq: 1 OPTIONS" in message and message.startswith("SIP/2.0 200"):
            return True
    return False


def good(wire):
    return wire.request("OPTIONS", f"sip:{wire.server.domain}", "probe", wire.server.domain, cseq=7)


def without(name):
    return lambda wire: "\n".join(line for line in good(wire).split("\n") if not line.startswith(name + ":"))


def changed(old, new):
    return lambda wire: good(wire).replace(old, new, 1)


CASES = {
    "s01_an_empty_datagram_is_ignored": (lambda w: b"", None),
    "s02_a_double_crlf_is_no_request": (lambda w: b"\r\n\r\n", "any"),
    "s03_random_bytes_are_ignored": (lambda w: bytes(range(256)), None),
    "s04_a_request_line_without_version": (changed(" SIP/2.0\n", "\n"), (400, None)),
    "s05_sip_7_0": (changed(" SIP/2.0\n", " SIP/7.0\n"), 505),
    "s06_no_via": (without("Via"), (400, None)),
    "s07_no_call_id": (without("Call-ID"), 400),
    "s08_no_cseq": (without("CSeq"), 400),
    "s09_no_from": (without("From"), 400),
    "s10_no_to": (without("To"), 400),
    "s11_no_max_forwards_is_served": (without("Max-Forwards"), 200),
    "s12_an_invite_that_has_come_too_far":
        (lambda w: good(w).replace("OPTIONS", "INVITE").replace("Max-Forwards: 70", "Max-Forwards: 0"), 483),
    "s13_cseq_method_differs": (changed("CSeq: 7 OPTIONS", "CSeq: 7 INVITE"), 400),
    "s14_cseq_above_2_31": (changed("CSeq: 7 ", "CSeq: 36893488147419103232 "), 400),
    "s15_negative_content_length": (changed("Content-Length: 0", "Content-Length: -1"), 400),
    "s16_content_length_beyond_the_datagram": (changed("Content-Length: 0", "Content-Length: 9999"), 400),
    "s17_bytes_after_the_body_are_ignored": (lambda w: good(w) + "surplus", 200),
    "s18_two_content_lengths": (changed("Content-Length: 0", "Content-Length: 0\nContent-Length: 5"), 400),
    "s19_unknown_method": (lambda w: good(w).replace("OPTIONS", "NEWMETHOD"), (405, 501)),
    "s20_unknown_uri_scheme": (lambda w: good(w).replace("OPTIONS sip:", "OPTIONS nobodyknows:", 1), 416),
    "s21_angle_brackets_in_the_request_line":
        (lambda w: good(w).replace(f"OPTIONS sip:{w.server.domain}", f"OPTIONS <sip:{w.server.domain}>", 1), 400),
    "s22_white_space_in_the_uri":
        (lambda w: good(w).replace(f"OPTIONS sip:{w.server.domain}", f"OPTIONS sip:{w.server.domain}; lr", 1), 400),
    "s23_unbalanced_quote": (changed("From: <", "From: \"x <"), 400),
    "s25_a_nul_byte_in_a_header": (lambda w: good(w).replace("\n", "\r\n").replace("From: <", "From: \"a\0b\" <").encode(), 400),
    "s26_a_control_character_in_a_header_name":
        (lambda w: good(w).replace("\n", "\r\n").replace("Max-Forwards", "X-A\x01B: 1\r\nMax-Forwards").encode(), (400, 200)),
    "s27_bare_line_feeds": (lambda w: good(w).encode(), (200, 400)),
    "s28_folded_lines_are_served": (changed("Max-Forwards: 70", "Max-Forwards:\n  70"), 200),
    "s29_compact_forms_are_served":
        (lambda w: good(w).replace("Via:", "v:").replace("From:", "f:").replace("To:", "t:").replace("Call-ID:", "i:"), 200),
    "s30_blanks_before_the_colon": (changed("Call-ID:", "CALL-id  :"), 200),
    "s31_latin_1_in_a_display_name":
        (lambda w: good(w).replace("\n", "\r\n").encode().replace(b"From: <", b"From: \"J\xf6rg\" <"), (200, 400)),
    "s32_unknown_require": (changed("Max-Forwards", "Require: nothingSupportsThis\nMax-Forwards"), 420),
    "s33_unknown_proxy_require": (changed("Max-Forwards", "Proxy-Require: nothingSupportsThis\nMax-Forwards"), 420),
    "s34_unknown_authorization_scheme":
        (lambda w: good(w).replace("OPTIONS", "REGISTER").replace("Max-Forwards", "Authorization: NoOneKnows x=y\nMax-Forwards"),
         401),
    "s35_three_hundred_via":
        (lambda w: good(w).replace("Max-Forwards", "Via: SIP/2.0/UDP 10.1.2.3;branch=z9hG4bKx\n" * 300 + "Max-Forwards", 1),
         (200, 400, 513)),
    "s37_a_header_of_30_kb": (changed("Max-Forwards", "X-Long: " + "x" * 30000 + "\nMax-Forwards"), (200, 400, 513)),
    "s36_a_thousand_headers":
        (lambda w: good(w).replace("Max-Forwards", "".join(f"X-{i}: {i}\n" for i in range(1000)) + "Max-Forwards", 1),
         (200, 400, 513)),
    "s38_a_uri_of_20_kb":
        (lambda w: good(w).replace(f"OPTIONS sip:{w.server.domain}", f"OPTIONS sip:{'a' * 20000}@{w.server.domain}", 1),
         (200, 400, 404, 414, 513)),
    "s44_a_response_with_an_overlarge_status":
        (lambda w: "SIP/2.0 4294967301 better not break the receiver\n" + good(w).split("\n", 1)[1], None),
    "s45_a_via_with_port_99999":
        (lambda w: good(w).replace(f"127.0.0.1:{w.port};branch", "127.0.0.1:99999;branch", 1), (400, None)),
    "s39_a_to_tag_without_a_dialog":
        (lambda w: w.request("INVITE", f"sip:{w.server.domain}", "probe", w.server.domain, to="<sip:a@b>;tag=nothing"), 481),
    "s40_a_bye_for_no_dialog":
        (lambda w: w.request("BYE", f"sip:{w.server.domain}", "probe", w.server.domain, to="<sip:a@b>;tag=nothing"), 481),
    "s41_a_cancel_for_no_transaction": (lambda w: good(w).replace("OPTIONS", "CANCEL"), 481),
    "s42_a_stray_ack_is_ignored": (lambda w: good(w).replace("OPTIONS", "ACK"), None),
    "s43_a_stray_response_is_ignored":
        (lambda w: "SIP/2.0 200 OK\n" + good(w).split("\n", 1)[1], None),
}


@pytest.mark.parametrize("name", CASES)
def test_malformed(shared_server, name):
    make, expected = CASES[name]
    with Wire(shared_server) as wire:
        wire.send(make(wire))
        if expected is None:
            assert wire.receive(0.5) is None
        elif expected != "any":
            allowed = expected if isinstance(expected, tuple) else (expected,)
            assert wire.status(1.0) in allowed
    with Wire(shared_server) as wire:
        assert options_are_answered(wire)
