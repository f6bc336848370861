"""Addresses whose owners saw the domain otherwise when they proved them: no links, vetoes or notices go there."""

from typing import Any

import pytest

from authsvc import accounts, sessions
from authsvc.core import db
from authsvc.core.assurance import Acr
from authsvc.core.evidence import Evidence
from authsvc.core.web import Client
from authsvc.domains import own_verdicts
from authsvc.policy import domain_verdict, mass_change
from authsvc.policy.domain_verdict import Baseline, History, Judgement
from authsvc.policy.login import Mailbox
from tests import servers
from tests.domains.test_domains import ALIVE, DAY, ELSEWHERE, World, registration, world
from tests.domains.test_mass_change import established
from tests.slices import NOON

__all__ = ["world"]  # the fixture

SILENT = {"http": 503}


def dateless(handle: str) -> dict[str, Any]:
    """A registry that names a handle and no dates."""
    return {"http": 200, "body": {"objectClassName": "domain", "handle": handle, "status": ["active"]}}


def paid_until(days: int) -> dict[str, Any]:
    """Registered long ago, and paid for so many days from the first one on."""
    answer = registration()
    answer["body"]["events"].append({"eventAction": "expiration", "eventDate": (NOON + days * DAY).isoformat()})
    return answer


def stored(world: World, account_id: int) -> tuple[str, bool]:
    """The address's verdict, and whether it is trusted."""
    address = world.address(account_id)
    return address.verdict, address.trusted


@pytest.mark.attack("D01")
@pytest.mark.parametrize(
    ("then", "records", "now", "reason"),
    [
        (dateless("D1"), ALIVE, dateless("D2"), "HANDLE_CHANGED"),
        (registration(), ELSEWHERE, SILENT, "NS_AND_MX_CHANGED"),
        (paid_until(2), ELSEWHERE, paid_until(367), "CHANGED_ACROSS_EXPIRY"),
        (
            registration(),
            [ALIVE[0], ["corp.org", "A", "203.0.113.9"], ALIVE[3]],
            registration(),
            "MX_DROPPED",
        ),
        (registration(), ELSEWHERE, registration(status="auto renew period"), "AUTO_RENEW_NS_CHANGED"),
    ],
)
def test_who_proved_an_address_before_the_domain_moved_is_told_nothing_there(
    world: World, then: dict[str, Any], records: list[list[str]], now: dict[str, Any], reason: str
) -> None:
    world.says(ALIVE, then)
    alice = world.person("alice")
    world.look()
    assert world.address(alice).trusted
    world.says(records, now)
    assert world.look(days=10).judgement.verdict.value == "healthy"
    assert world.judged(alice) == ("suspect", reason)
    assert stored(world, alice) == ("suspect", False)
    with world.app.app_context(), db.transaction():
        assert accounts.trusted_recipients(alice, now=world.now) == []
        assert accounts.with_a_say(alice, now=world.now) == []
    # A newcomer at the new servers is no worse off than the domain
    bob = world.person("bob")
    assert world.address(bob).trusted


def test_an_address_whose_domain_moved_back_is_trusted_again(world: World) -> None:
    alice = world.person("alice")
    world.look()
    world.says(ELSEWHERE, SILENT)
    world.look(days=1)
    assert not world.address(alice).trusted
    world.says(ALIVE, registration())
    world.look(days=1)
    assert stored(world, alice) == ("healthy", True)


@pytest.mark.attack("D01")
@pytest.mark.parametrize("silence", ["DNS", "registry"])
def test_a_look_that_cannot_tell_makes_no_address_better(world: World, silence: str) -> None:
    alice = world.person("alice")
    world.look()
    world.says(ELSEWHERE, SILENT)
    world.look(days=1)
    if silence == "DNS":
        world.dns.zone = servers.Zone([], [{"name": "corp.org", "do": "servfail"}])
    else:
        world.says(ELSEWHERE, None)  # no such name, which DNS contradicts
    assert world.look(days=1).judgement.verdict.value == "unknown"
    assert stored(world, alice) == ("suspect", False)


@pytest.mark.attack("D01")
def test_another_handle_and_other_servers_lose_the_address_and_end_what_rests_on_it(world: World) -> None:
    world.says(ALIVE, dateless("D1"))
    alice = world.person("alice")
    world.look()
    world.now += 2 * DAY
    world.says(ELSEWHERE, dateless("D2"))
    with world.app.app_context(), db.transaction():
        sessions.issue(
            alice,
            epoch=accounts.get(alice).epoch,
            acr=Acr.AAL1,
            amr=frozenset({"pwd"}),
            auth_time=world.now,
            browser_id=None,
            client=Client(ip="203.0.113.7", network="203.0.113.7", browser="Firefox"),
            now=world.now,
        )
    world.look(hours=1)
    address = world.address(alice)
    assert (address.verdict, address.doubted_at) == ("reregistered", world.now)
    assert world.worth(alice) is Mailbox.LOST
    with world.app.app_context(), db.transaction():
        assert sessions.of_account(alice, now=world.now) == []
        assert [a.email for a in accounts.tell_of_doubt(limit=9, now=world.now)] == ["alice@corp.org"]
    world.look(hours=1)
    with world.app.app_context(), db.transaction():
        assert accounts.tell_of_doubt(limit=9, now=world.now) == []


def test_another_handle_and_other_servers_are_held_back_where_too_many_change_hands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mass_change, "AT_LEAST", 0)
    world.says(ALIVE, dateless("D1"))
    alice = world.person("alice")
    world.look()
    established(world, "other.org")
    world.says(ELSEWHERE, dateless("D2"))
    assert world.look().held
    assert stored(world, alice) == ("suspect", False)
    assert world.address(alice).doubted_at is None


def test_a_date_that_passes_after_the_move_is_noticed_with_the_registry_s_next_answer(world: World) -> None:
    world.says(ALIVE, paid_until(20))
    alice = world.person("alice")
    world.look()
    world.says(ELSEWHERE, paid_until(385))
    world.look(days=5)
    assert world.address(alice).trusted
    world.look(days=20)
    assert world.judged(alice) == ("suspect", "CHANGED_ACROSS_EXPIRY")
    assert stored(world, alice) == ("suspect", False)


def test_addresses_are_judged_when_something_changed_and_not_at_every_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Baseline] = []

    def judge(evidence: Evidence, before: History, baseline: Baseline, **more: Any) -> Judgement:
        judged.append(baseline)
        return domain_verdict.judge(evidence, before, baseline, **more)

    monkeypatch.setattr(own_verdicts, "judge", judge)
    for name in ("alice", "bob"):
        world.person(name)
    world.look()
    world.look(days=2)
    world.look(days=2)
    assert judged == []
    world.dns.zone = servers.Zone([*ALIVE, ["corp.org", "NS", "ns2.host.net."]])
    world.look(days=1)
    assert len(judged) == 1  # both proved it when it was the same
