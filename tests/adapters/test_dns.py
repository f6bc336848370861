"""What the resolvers' answers turn into, against real DNS servers on loopback."""

from typing import Any

import pytest

from authsvc.adapters.dns import DnsClient
from authsvc.core.evidence import DnsEvidence, DnsFault, MailHost
from tests import servers

PLAIN = [
    ["corp.org", "NS", "ns1.host.net."],
    ["corp.org", "MX", "20 mx2.mail.net."],
    ["corp.org", "MX", "10 MX1.mail.net."],
    ["mx1.mail.net", "A", "203.0.113.1"],
    ["mx1.mail.net", "AAAA", "2001:db8::1"],
    ["mx2.mail.net", "A", "203.0.113.2"],
    ["ns1.host.net", "A", "203.0.113.53"],
]
HEALTHY = DnsEvidence(
    mail_hosts=(
        MailHost(name="mx1.mail.net", addresses=("203.0.113.1", "2001:db8::1")),
        MailHost(name="mx2.mail.net", addresses=("203.0.113.2",)),
    ),
    name_servers=("ns1.host.net",),
)


def look(
    dns: servers.Dns, domain: str, records: list[list[str]], *faults: dict[str, Any], resolvers: int = 2
) -> DnsEvidence:
    """Look a domain up in a zone with these faults, impatiently where they are silence."""
    dns.zone = servers.Zone(records, faults)
    setting = ",".join(dns.addresses[:resolvers])
    silent = any(fault["do"] == "timeout" for fault in faults)
    client = DnsClient(setting, try_seconds=0.3, look_up_seconds=1.2) if silent else DnsClient(setting)
    return client.look_up(domain)


@pytest.mark.parametrize("resolvers", [1, 2])
def test_mail_hosts_come_best_first_with_all_their_addresses(dns_server: servers.Dns, resolvers: int) -> None:
    assert look(dns_server, "corp.org", PLAIN, resolvers=resolvers) == HEALTHY


def test_name_servers_are_those_of_the_registered_name(dns_server: servers.Dns) -> None:
    below = [*PLAIN, ["lists.corp.org", "MX", "10 mx2.mail.net."]]
    assert look(dns_server, "lists.corp.org", below).name_servers == ("ns1.host.net",)


def test_domains_of_servers_that_do_not_exist_are_named_when_all_resolvers_say_so(dns_server: servers.Dns) -> None:
    records = [
        ["corp.org", "NS", "ns1.free.net."],
        ["corp.org", "NS", "ns.corp.org."],
        ["corp.org", "MX", "10 mx1.mail.net."],
        ["corp.org", "MX", "20 mx.alsofree.com."],
        ["corp.org", "MX", "30 gone.mail.net."],
        ["mx1.mail.net", "A", "203.0.113.1"],
    ]
    assert look(dns_server, "corp.org", records).missing == ("alsofree.com", "free.net")
    one = {"name": "free.net", "do": "servfail", "resolver": 2}
    assert look(dns_server, "corp.org", records, one).missing == ("alsofree.com",)


def test_a_null_target_means_no_mail_alone_and_nothing_beside_others(dns_server: servers.Dns) -> None:
    alone = look(dns_server, "none.org", [["none.org", "MX", "0 ."]])
    beside = look(dns_server, "corp.org", [*PLAIN, ["corp.org", "MX", "0 ."]])
    assert (alone.null_mx, alone.mail_hosts, alone.implicit_mx) == (True, (), False)
    assert beside == HEALTHY


def test_without_mx_the_address_of_the_domain_takes_the_mail(dns_server: servers.Dns) -> None:
    found = look(dns_server, "bare.org", [["bare.org", "AAAA", "2001:db8::7"]])
    assert found.implicit_mx
    assert found.mail_hosts == (MailHost(name="bare.org", addresses=("2001:db8::7",)),)


def test_a_name_without_data_exists_and_a_missing_one_does_not(dns_server: servers.Dns) -> None:
    assert look(dns_server, "empty.org", [["www.empty.org", "A", "203.0.113.3"]]) == DnsEvidence()
    assert look(dns_server, "gone.org", PLAIN) == DnsEvidence(exists=False)


def test_aliases_are_followed_and_exist_even_when_they_lead_nowhere(dns_server: servers.Dns) -> None:
    records = [
        ["alias.org", "CNAME", "corp.org."],
        ["lost.org", "CNAME", "gone.net."],
        ["round.org", "CNAME", "round.org."],
        *PLAIN,
    ]
    assert look(dns_server, "alias.org", records) == HEALTHY
    assert look(dns_server, "lost.org", records) == DnsEvidence()
    assert look(dns_server, "round.org", records).fault is DnsFault.SERVFAIL


@pytest.mark.parametrize(
    ("do", "fault"),
    [
        ("servfail", DnsFault.SERVFAIL),
        ("refused", DnsFault.SERVFAIL),
        ("formerr", DnsFault.SERVFAIL),
        ("notimp", DnsFault.SERVFAIL),
        ("bogus", DnsFault.BOGUS),
        ("timeout", DnsFault.TIMEOUT),
    ],
)
def test_a_fault_is_evidence_with_its_kind(dns_server: servers.Dns, do: str, fault: DnsFault) -> None:
    assert look(dns_server, "corp.org", PLAIN, {"name": "corp.org", "do": do}) == DnsEvidence(fault=fault)


@pytest.mark.parametrize("do", ["servfail", "timeout"])
def test_a_question_is_asked_once_more_after_a_fault(dns_server: servers.Dns, do: str) -> None:
    once = {"name": "corp.org", "type": "MX", "do": do, "times": 1}
    assert look(dns_server, "corp.org", PLAIN, once, resolvers=1) == HEALTHY


def test_a_truncated_answer_is_fetched_over_tcp(dns_server: servers.Dns) -> None:
    many = [["big.org", "MX", f"10 mx{n}.a-long-name-of-a-mail-host.net."] for n in range(60)]
    hosts = [[f"mx{n}.a-long-name-of-a-mail-host.net", "A", "203.0.113.5"] for n in range(60)]
    fault = {"name": "big.org", "type": "MX", "do": "truncate"}
    assert len(look(dns_server, "big.org", many + hosts, fault).mail_hosts) == 20  # and no more


def test_types_that_contradict_one_another_are_inconsistent(dns_server: servers.Dns) -> None:
    for kind, domain in (("MX", "corp.org"), ("NS", "corp.org"), ("AAAA", "bare.org")):
        records = [*PLAIN, ["bare.org", "A", "203.0.113.4"]]
        denied = {"name": domain, "type": kind, "do": "nxdomain"}
        assert look(dns_server, domain, records, denied).fault is DnsFault.INCONSISTENT


def test_the_second_resolver_can_answer_for_the_first_but_not_contradict_it(dns_server: servers.Dns) -> None:
    one = {"name": "corp.org", "resolver": 1}
    assert look(dns_server, "corp.org", PLAIN, one | {"do": "servfail"}) == HEALTHY
    assert look(dns_server, "corp.org", PLAIN, one | {"do": "nxdomain"}).fault is DnsFault.DISAGREE


def test_one_resolver_alone_cannot_say_that_a_domain_is_dead(dns_server: servers.Dns) -> None:
    mute = {"name": "gone.org", "do": "timeout", "resolver": 2}
    assert look(dns_server, "gone.org", PLAIN, mute).fault is DnsFault.TIMEOUT
    assert look(dns_server, "gone.org", PLAIN) == DnsEvidence(exists=False)


def test_a_mail_host_that_cannot_be_asked_hides_nothing_while_another_answers(
    dns_server: servers.Dns,
) -> None:
    first = {"name": "mx1.mail.net", "do": "servfail"}
    second = {"name": "mx2.mail.net", "do": "servfail"}
    partly = look(dns_server, "corp.org", PLAIN, first)
    assert [host.addresses for host in partly.mail_hosts] == [(), ("203.0.113.2",)]
    assert look(dns_server, "corp.org", PLAIN, first, second).fault is DnsFault.SERVFAIL


def test_a_look_up_ends_in_time_whatever_the_servers_do(dns_server: servers.Dns) -> None:
    slow = [{"name": name, "do": "timeout"} for name in ("corp.org", "mx1.mail.net", "mx2.mail.net")]
    assert look(dns_server, "corp.org", PLAIN, *slow[1:]).fault is DnsFault.TIMEOUT
    assert len([q for q in dns_server.zone.asked if q[0].startswith("mx")]) <= 12


def test_a_closed_port_is_silence_and_no_error() -> None:
    nobody = f"127.0.0.1:{servers.free_port()}"
    found = DnsClient(nobody, try_seconds=0.1, look_up_seconds=0.2).look_up("corp.org")
    assert found.fault in {DnsFault.TIMEOUT, DnsFault.SERVFAIL}


def test_names_in_the_resolver_setting_are_refused() -> None:
    for wrong in ("resolver.example:53", "127.0.0.1:x", "127.0.0.1:53/path", "-"):
        with pytest.raises(ValueError, match=r"."):
            DnsClient(wrong)
    DnsClient("127.0.0.1, [::1]:5353")
