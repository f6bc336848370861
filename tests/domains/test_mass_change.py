"""Many domains that change hands at once are held back until staff let them count."""

import json
from datetime import timedelta

import pytest

from authsvc import domains
from authsvc.core import db
from authsvc.domains.commands import domains as command
from authsvc.mandates import by_account
from authsvc.mandates.models import Ownership
from authsvc.policy import mass_change
from authsvc.policy.login import Mailbox
from tests import servers
from tests.domains.test_domains import ALIVE, DAY, World, registration, world

__all__ = ["world"]  # the fixture


@pytest.fixture
def one_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes within a day are too many."""
    monkeypatch.setattr(mass_change, "AT_LEAST", 1)


def established(world: World, *names: str) -> list[int]:
    """Accounts that are 30 days old, each at a domain of its own."""
    found = [world.person(name.partition(".")[0], email=f"me@{name}") for name in names]
    world.now += 30 * DAY + timedelta(seconds=1)
    with world.app.app_context():
        domains.count_established(now=world.now)
    return found


def lapse(world: World, name: str) -> domains.Look:
    """The domain is free from now on."""
    world.says([], None)
    return world.look(name)


@pytest.mark.usefixtures("one_is_enough")
def test_the_change_that_is_one_too_many_waits_as_suspect(world: World) -> None:
    first, second = established(world, "one.org", "two.org")
    assert lapse(world, "one.org").judgement.verdict.value == "lapsed"
    held = lapse(world, "two.org")
    assert (held.judgement.verdict.value, held.judgement.reason) == ("suspect", "NOT_REGISTERED")
    assert (world.worth(first), world.worth(second)) == (Mailbox.LOST, Mailbox.DOUBTFUL)
    assert world.judged(second) == ("suspect", "NOT_REGISTERED")


@pytest.mark.usefixtures("one_is_enough")
def test_what_was_held_back_does_not_count_by_itself_later(world: World) -> None:
    _first, second = established(world, "one.org", "two.org")
    for name in ("one.org", "two.org"):
        lapse(world, name)
    world.now += 3 * DAY
    assert lapse(world, "two.org").judgement.verdict.value == "suspect"
    assert world.worth(second) is Mailbox.DOUBTFUL


@pytest.mark.usefixtures("one_is_enough")
def test_a_day_after_the_last_change_another_one_counts_at_once(world: World) -> None:
    _first, second = established(world, "one.org", "two.org")
    lapse(world, "one.org")
    world.now += DAY
    lapse(world, "two.org")
    assert world.worth(second) is Mailbox.LOST


@pytest.mark.usefixtures("one_is_enough")
@pytest.mark.parametrize(("later", "worth"), [(DAY, Mailbox.LOST), (DAY - timedelta(seconds=1), Mailbox.DOUBTFUL)])
def test_a_day_after_staff_raise_the_breaker_what_was_held_back_counts(
    world: World, later: timedelta, worth: Mailbox
) -> None:
    _first, second = established(world, "one.org", "two.org")
    for name in ("one.org", "two.org"):
        lapse(world, name)
    with world.app.app_context(), db.transaction():
        assert domains.raise_breaker(now=world.now) == world.now + DAY
    world.now += later
    lapse(world, "two.org")
    assert world.worth(second) is worth


@pytest.mark.usefixtures("one_is_enough")
def test_a_raised_breaker_is_lowered_again_by_hand_or_after_a_day(world: World) -> None:
    _first, second, third = established(world, "one.org", "two.org", "three.org")
    for name in ("one.org", "two.org"):
        lapse(world, name)
    with world.app.app_context(), db.transaction():
        domains.raise_breaker(now=world.now)
        domains.lower_breaker()
    world.now += DAY
    lapse(world, "two.org")
    assert world.worth(second) is Mailbox.DOUBTFUL
    with world.app.app_context(), db.transaction():
        domains.raise_breaker(now=world.now)
        assert list(domains.breaker(now=world.now).held) == ["two.org"]
    world.now += 2 * DAY
    lapse(world, "two.org")
    assert world.worth(second) is Mailbox.DOUBTFUL
    assert world.worth(third) is Mailbox.GOOD


@pytest.mark.usefixtures("one_is_enough")
def test_domains_of_young_accounts_neither_count_nor_wait(world: World) -> None:
    _first, second = established(world, "one.org", "two.org")
    young = world.person("young", email="me@young.org")
    lapse(world, "young.org")
    assert world.worth(young) is Mailbox.LOST
    lapse(world, "one.org")
    lapse(world, "two.org")
    assert world.worth(second) is Mailbox.DOUBTFUL


@pytest.mark.usefixtures("one_is_enough")
def test_a_registration_of_the_domain_anew_is_held_back_alike(world: World) -> None:
    _first, second = established(world, "one.org", "two.org")
    lapse(world, "one.org")
    world.says([["two.org", kind, value] for _, kind, value in ALIVE[:2]] + ALIVE[2:], None)
    world.web.add_rdap({"two.org": registration(world.now.isoformat())})
    held = world.look("two.org")
    assert (held.judgement.verdict.value, held.judgement.reason) == ("suspect", "REGISTERED_AFTER_VERIFICATION")
    assert world.worth(second) is Mailbox.DOUBTFUL
    assert world.address(second).generation == world.address(second).domain_generation


def expired_mail_host(world: World, *names: str, host: str = "dead.net") -> None:
    """From now on these have their mail at a domain that has expired."""
    alive = [["mx." + host, "A", "203.0.113.7"], ALIVE[3]]
    world.dns.zone = servers.Zone(
        [*alive, *([n, "NS", "ns1.host.net."] for n in names), *([n, "MX", f"10 mx.{host}."] for n in names)]
    )
    world.web.add_rdap({name: registration() for name in names})
    world.web.add_rdap({host: registration(status="redemption period")})


@pytest.mark.usefixtures("one_is_enough")
def test_names_under_a_private_suffix_neither_count_nor_wait(world: World) -> None:
    names = [f"m{number}.github.io" for number in range(3)]
    *theirs, victim, later = established(world, *names, "corp.org", "two.org")
    expired_mail_host(world, *names)
    for name in names:
        assert world.look(name).judgement.reason == "MX_HOST_DOMAIN_LAPSED"
    assert {world.worth(account_id) for account_id in theirs} == {Mailbox.LOST}
    lapse(world, "corp.org")
    assert world.worth(victim) is Mailbox.LOST
    lapse(world, "two.org")
    assert world.worth(later) is Mailbox.DOUBTFUL


@pytest.mark.usefixtures("one_is_enough")
def test_an_expired_domain_of_a_mail_host_counts_once_for_all_that_have_mail_there(world: World) -> None:
    one, two, three, four = established(world, "one.org", "two.org", "three.org", "four.org")
    expired_mail_host(world, "one.org", "two.org", "three.org")
    for name in ("one.org", "two.org", "three.org"):
        assert not world.look(name).held
    assert {world.worth(account_id) for account_id in (one, two, three)} == {Mailbox.LOST}
    lapse(world, "four.org")
    assert world.worth(four) is Mailbox.DOUBTFUL


@pytest.mark.usefixtures("one_is_enough")
def test_a_domain_whose_names_have_mail_at_many_expired_ones_counts_once(world: World) -> None:
    established(world, "a.one.org", "b.one.org")
    for name, host in (("a.one.org", "dead.net"), ("b.one.org", "gone.net")):
        expired_mail_host(world, name, host=host)
        world.web.add_rdap({"one.org": registration()})
        look = world.look(name)
        assert (look.judgement.reason, look.held) == ("MX_HOST_DOMAIN_LAPSED", False)


@pytest.mark.usefixtures("one_is_enough")
def test_a_mail_host_registered_anew_counts_once_too(world: World) -> None:
    names = ("one.org", "two.org", "three.org")
    zone = [*([n, "NS", "ns1.host.net."] for n in names), *([n, "MX", "10 mx.mail.net."] for n in names), *ALIVE[2:]]
    world.dns.zone = servers.Zone(zone)
    world.web.add_rdap({name: registration() for name in names} | {"mail.net": registration()})
    people = [world.person(name.partition(".")[0], email=f"me@{name}") for name in names]
    for name in names:
        world.look(name)
    world.now += 40 * DAY
    with world.app.app_context():
        domains.count_established(now=world.now)
    world.web.add_rdap({"mail.net": registration((world.now - 3 * DAY).isoformat())})
    assert [world.look(name).held for name in names] == [False] * 3
    assert {world.worth(account_id) for account_id in people} == {Mailbox.LOST}


def test_a_pinned_domain_never_changes_by_itself(world: World) -> None:
    (somebody,) = established(world, "gmail.com")
    assert lapse(world, "gmail.com").judgement.verdict.value == "suspect"
    assert world.worth(somebody) is Mailbox.DOUBTFUL


@pytest.mark.usefixtures("one_is_enough")
def test_a_domain_that_looks_healthy_again_waits_for_nobody(world: World) -> None:
    _first, second = established(world, "one.org", "two.org")
    for name in ("one.org", "two.org"):
        lapse(world, name)
    world.says([["two.org", kind, value] for _, kind, value in ALIVE[:2]] + ALIVE[2:], None)
    world.web.add_rdap({"two.org": registration()})
    assert world.look("two.org").judgement.verdict.value == "healthy"
    with world.app.app_context(), db.transaction():
        assert domains.breaker(now=world.now).held == {}
    assert world.worth(second) is Mailbox.GOOD


def test_owners_of_packages_count_from_the_first_day(world: World, one_is_enough: None) -> None:
    first, second = world.person("one", email="me@one.org"), world.person("two", email="me@two.org")
    with world.app.app_context(), db.transaction() as session:
        for number, account_id in enumerate((first, second)):
            row = Ownership(
                ecosystem="npm",
                package=f"p{number}",
                account=f"a{number}",
                account_id=account_id,
                role="owner",
                accepted_at=world.now,
            )
            session.add(row)
            session.flush()
            by_account.note([(account_id, row.id)])
    lapse(world, "one.org")
    lapse(world, "two.org")
    assert (world.worth(first), world.worth(second)) == (Mailbox.LOST, Mailbox.DOUBTFUL)


@pytest.mark.usefixtures("one_is_enough")
def test_the_command_shows_what_is_held_back_and_from_when_on_it_counts(world: World) -> None:
    established(world, "one.org", "two.org")
    for name in ("one.org", "two.org"):
        lapse(world, name)
    run = world.app.test_cli_runner().invoke
    shown = run(command, ["breaker"]).output
    assert "two.org  since" in shown
    assert "Held back: 1" in shown
    assert "Every change counts from" in run(command, ["breaker", "--raise"]).output
    assert "Every change" not in run(command, ["breaker", "--lower"]).output
    told = json.loads(run(command, ["breaker", "--json"]).output)
    assert (list(told["held"]), told["raised_from"]) == (["two.org"], None)
