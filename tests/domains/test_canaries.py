"""Known names tell a fault of our own resolvers from one of a domain's."""

from typing import Any

from authsvc.policy.login import Mailbox
from tests import servers
from tests.domains.test_domains import ALIVE, World, registration, world

__all__ = ["world"]  # the fixture

CANARIES = [["iana.org", "A", "203.0.113.80"], ["dnssec-failed.org", "A", "203.0.113.81"]]
BOGUS = {"name": "dnssec-failed.org", "type": "*", "do": "bogus"}
NOTHING_RESOLVES = {"name": "org", "type": "*", "subtree": True, "do": "nxdomain"}
EVERYTHING_FAILS = {"name": "org", "type": "*", "subtree": True, "do": "servfail"}


def resolvers(world: World, *faults: dict[str, Any]) -> None:
    """From now on DNS misbehaves so."""
    world.dns.zone = servers.Zone(world.dns.zone.records, faults)


def resolver_works(world: World) -> None:
    """The canaries are answered as they should be, and asked, because a domain looks odd."""
    world.says([*ALIVE[:1], ["corp.org", "MX", "0 ."], *CANARIES], registration())
    resolvers(world, BOGUS)
    assert world.look().judgement.reason == "NULL_MX"
    world.says([*ALIVE, *CANARIES], registration())
    resolvers(world, BOGUS)
    assert world.look().judgement.reason == "OK"


def test_a_resolver_that_knows_nothing_any_more_is_no_evidence_against_a_domain(world: World) -> None:
    alice = world.person("alice")
    resolver_works(world)
    world.web.answers.clear()  # the registry says 404, as for a name that is free
    resolvers(world, NOTHING_RESOLVES)
    found = world.look(minutes=2)
    assert (found.judgement.verdict.value, found.judgement.reason) == ("unknown", "OWN_RESOLVERS_FAIL")
    assert world.judged(alice) == ("unknown", "OWN_RESOLVERS_FAIL")
    assert world.worth(alice) is Mailbox.GOOD


def test_without_the_fault_of_ours_the_same_answers_are_a_lapse(world: World) -> None:
    alice = world.person("alice")
    resolver_works(world)
    world.says(CANARIES, None)
    resolvers(world, BOGUS)
    assert world.look(minutes=2).judgement.reason == "NOT_REGISTERED"
    assert world.worth(alice) is Mailbox.LOST


def test_what_a_registry_says_stands_whatever_our_resolvers_do(world: World) -> None:
    world.person("alice")
    resolver_works(world)
    world.says([*ALIVE, *CANARIES], registration(status="redemption period"))
    resolvers(world, NOTHING_RESOLVES)
    assert world.look(minutes=2).judgement.reason == "REDEMPTION_PERIOD"


def test_a_canary_that_was_never_right_counts_for_nothing(world: World) -> None:
    world.person("alice")
    world.says(ALIVE, registration())
    assert world.look().judgement.reason == "OK"
    world.says([], None)  # nobody knows the canaries here, either
    assert world.look(minutes=2).judgement.reason == "NOT_REGISTERED"


def test_a_canary_counts_for_three_days_after_it_was_right(world: World) -> None:
    world.person("alice")
    resolver_works(world)
    world.says([], None)
    assert world.look(days=3, seconds=-1).judgement.reason == "OWN_RESOLVERS_FAIL"
    assert world.look(minutes=2).judgement.reason == "NOT_REGISTERED"


def test_canaries_are_asked_again_after_a_minute_and_not_before(world: World) -> None:
    world.person("alice")
    resolver_works(world)
    world.says([], None)
    assert world.look(seconds=59).judgement.reason == "NOT_REGISTERED"
    assert world.look(seconds=1).judgement.reason == "OWN_RESOLVERS_FAIL"


def test_a_fault_of_ours_neither_counts_as_a_failure_nor_ends_a_run_of_them(world: World) -> None:
    world.person("alice")
    resolver_works(world)
    dead = [["corp.org", "MX", "0 ."], ["corp.org", "NS", "ns1.host.net."], *CANARIES]
    for days in (0.0, 1.0):
        world.says(dead, registration())
        resolvers(world, BOGUS)
        assert world.look(days=days).judgement.verdict.value == "suspect"
    resolvers(world, EVERYTHING_FAILS)
    assert world.look(hours=12).judgement.reason == "OWN_RESOLVERS_FAIL"
    resolvers(world, BOGUS)
    found = world.look(hours=12)
    assert (found.judgement.verdict.value, found.judgement.reason) == ("lapsed", "NULL_MX")


def test_a_domain_whose_name_servers_fail_is_doubted_and_one_nobody_can_ask_about_is_not(world: World) -> None:
    alice = world.person("alice")
    assert world.worth(alice) is Mailbox.GOOD  # not looked at yet
    world.says(ALIVE, {"http": 503})
    assert world.look().judgement.reason == "RDAP_STALE"
    assert world.worth(alice) is Mailbox.GOOD  # no registry answers about anybody
    resolvers(world, {"name": "corp.org", "type": "*", "do": "servfail"})
    assert world.look(minutes=2).judgement.reason == "DNS_SERVFAIL"
    assert world.worth(alice) is Mailbox.DOUBTFUL
