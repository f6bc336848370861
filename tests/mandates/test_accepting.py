"""Invitations: told once, accepted or declined, and what imports and pushes make of an answer (POLICY 12)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from authsvc import accounts, audit, freezes, mandates
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.mandates import accepting, importing, snapshots
from authsvc.mandates.accepting import in_mails
from authsvc.mandates.models import Invitation, Ownership
from authsvc.mandates.snapshots import LEASE
from authsvc.policy.freeze import FreezeCause
from tests.conftest import NOON, Clock
from tests.mandates.test_import import imported
from tests.people import Outbox, Person
from tests.slices import at_once, request_to

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
MakeAccount = Callable[..., Person]
OWNERS = "ecosystem,package,account,role,accepted_at\n"
PACKAGES = "ecosystem,name,weekly_downloads,rank\nnpm,left-pad,2400000,1\nnpm,no-pad,900,\n"


def snapshot(app: Flask, tmp_path: Path, *lines: str) -> None:
    """Import a whole snapshot of npm's maintainers, and two packages."""
    for name, text in (("p.csv", PACKAGES), ("o.csv", OWNERS + "".join(f"npm,{line}\n" for line in lines))):
        (tmp_path / name).write_text(text)
    imported(app, tmp_path / "p.csv", tmp_path / "o.csv", "--even-if-many-go")


def push(app: Flask, *owners: str, package: str = "left-pad", now: datetime = NOON) -> mandates.Pushed:
    """Push a package's maintainers, written "account role accepted_at"."""
    lines = []
    for owner in owners:
        account, role, accepted_at = (*owner.split(), "", "")[:3]
        sent = {"ecosystem": "npm", "package": package, "account": account, "role": role, "accepted_at": accepted_at}
        lines.append(mandates.ownership(sent, now=now, of_record=lambda _: False))
    with request_to(app):
        return mandates.put_maintainers("npm", package, lines)


def view(app: Flask, person: Person) -> mandates.Packages:
    """What the account's page is made from."""
    with request_to(app):
        return mandates.packages_and_invitations(person.id)


def names(packages: tuple[mandates.Maintained, ...]) -> list[str]:
    return [package.name for package in packages]


def invitation(app: Flask, person: Person, name: str = "left-pad") -> mandates.Maintained:
    found = view(app, person)
    return next(package for package in (*found.invited, *found.declined) if package.name == name)


def accepting_call(app: Flask, person: Person, name: str = "left-pad", *, now: datetime = NOON) -> Callable[[], bool]:
    """What accepts the invitation as it stands now."""
    found = invitation(app, person, name)
    return partial(mandates.accept, person.id, found.id, role=found.role, client=None, now=now)


def accept(app: Flask, person: Person, name: str = "left-pad", *, now: datetime = NOON) -> bool:
    call = accepting_call(app, person, name, now=now)
    with request_to(app):
        return call()


def decline(app: Flask, person: Person, name: str = "left-pad", *, now: datetime = NOON) -> bool:
    found = invitation(app, person, name)
    with request_to(app):
        return mandates.decline(person.id, found.id, client=None, now=now)


def since(app: Flask, person: Person, name: str = "left-pad") -> datetime | None:
    """Since when the account counts as maintaining the package; None where it does not."""
    return next((package.accepted_at for package in view(app, person).maintained if package.name == name), None)


def tell(app: Flask, now: datetime = NOON) -> int:
    """What the worker does every hour."""
    with app.app_context():
        return mandates.tell_invited(now=now)


def types(app: Flask, person: Person) -> list[EventType]:
    with request_to(app):
        return [event.type for event in audit.events(person.id)]


# Accepting


@pytest.mark.parametrize("answered", [False, True])
def test_an_invitation_brings_a_mandate_only_once_it_is_accepted(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox, answered: bool
) -> None:
    # Given somebody whom a registry, or a rival through it, had invited
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    # When they accept, or do not
    if answered:
        assert accept(app, alice)
    else:
        with app.app_context():
            mandates.apply(now=NOON)
    # Then duties follow at once, or none
    with request_to(app):
        assert (mandates.upcoming(alice.id, now=NOON) is not None) is answered
        assert mandates.owns_packages(alice.id, now=NOON) is answered
    subjects = [str(message["Subject"]) for message in outbox.to(alice.email)]
    announced = ["A package was accepted for alice", "A second step is required for alice"]
    assert sorted(subjects) == (announced if answered else [])


def test_acceptance_counts_from_its_moment_and_is_junior_for_three_days(
    app: Flask, make_account: MakeAccount, tmp_path: Path
) -> None:
    alice, bob = make_account("alice"), make_account("bob")
    snapshot(app, tmp_path, "left-pad,alice,owner,", "left-pad,bob,owner,2026-01-01")
    accept(app, alice)
    assert since(app, alice) == NOON
    for later, senior in ((3 * DAY - SECOND, False), (3 * DAY, True)):
        with request_to(app):
            assert (alice.id in mandates.co_owners(bob.id, now=NOON + later).fellows) is senior


def test_an_invitation_is_accepted_once_however_many_do_it_at_once(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox
) -> None:
    alice = make_account()
    snapshot(app, tmp_path, "no-pad,alice,owner,")
    call = accepting_call(app, alice, "no-pad")
    assert sorted(at_once(app, call, call, call)) == [False, False, True]
    assert [str(message["Subject"]) for message in outbox.to(alice.email)] == ["A package was accepted for alice"]
    assert types(app, alice).count(EventType.PACKAGE_ACCEPTED) == 1


def test_one_invitation_is_found_by_its_owner_alone_and_not_once_it_is_accepted(
    app: Flask, make_account: MakeAccount, tmp_path: Path
) -> None:
    alice, eve = make_account("alice"), make_account("eve")
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    found = invitation(app, alice)
    with request_to(app):
        assert mandates.invitation(alice.id, found.id) == found
        assert mandates.invitation(eve.id, found.id) is None
    accept(app, alice)
    with request_to(app):
        assert mandates.invitation(alice.id, found.id) is None


def test_nobody_answers_for_another_and_only_to_what_was_shown(
    app: Flask, make_account: MakeAccount, tmp_path: Path
) -> None:
    alice, eve = make_account("alice"), make_account("eve")
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    found = invitation(app, alice)
    with request_to(app):
        assert not mandates.accept(eve.id, found.id, role="owner", client=None, now=NOON)
        assert not mandates.decline(eve.id, found.id, client=None, now=NOON)
        assert not mandates.accept(alice.id, found.id, role="maintainer", client=None, now=NOON)
        assert not mandates.accept(alice.id, found.id + 1, role="owner", client=None, now=NOON)
    assert names(view(app, alice).invited) == ["left-pad"]


# What the registry says afterwards


@pytest.mark.parametrize("role", ["owner", "maintainer"])
def test_a_snapshot_that_repeats_the_invitation_undoes_no_acceptance(
    app: Flask, make_account: MakeAccount, tmp_path: Path, role: str
) -> None:
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    accept(app, alice)
    snapshot(app, tmp_path, f"left-pad,alice,{role},")
    assert since(app, alice) == NOON
    assert [package.role for package in view(app, alice).maintained] == [role]


def test_who_is_not_named_any_more_maintains_nothing_and_is_invited_anew_later(
    app: Flask, make_account: MakeAccount, tmp_path: Path
) -> None:
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    accept(app, alice)
    snapshot(app, tmp_path, "left-pad,bob,owner,")
    assert view(app, alice) == mandates.Packages(maintained=(), invited=(), declined=())
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    assert names(view(app, alice).invited) == ["left-pad"]


@pytest.mark.parametrize(("date", "counts"), [("2026-11-25", NOON), ("2026-11-01", NOON.replace(day=1, hour=0))])
def test_of_an_acceptance_here_and_one_at_the_registry_the_earlier_counts(
    app: Flask, make_account: MakeAccount, tmp_path: Path, date: str, counts: datetime
) -> None:
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    accept(app, alice)
    snapshot(app, tmp_path, f"left-pad,alice,owner,{date}")
    assert since(app, alice) == counts


def test_a_push_keeps_what_was_accepted_here_and_ends_it_when_it_names_somebody_else(
    app: Flask, make_account: MakeAccount
) -> None:
    alice = make_account()
    push(app, "alice owner")
    accept(app, alice)
    assert push(app, "alice owner") == mandates.Pushed()
    assert push(app, "alice maintainer") == mandates.Pushed(changed=1)
    assert since(app, alice) == NOON
    push(app, "bob owner")
    assert view(app, alice).maintained == ()


def test_a_push_and_an_acceptance_at_once_lose_nothing(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account()
    push(app, "alice owner")
    call = accepting_call(app, alice)
    sent = {"ecosystem": "npm", "package": "left-pad", "account": "alice", "role": "maintainer", "accepted_at": ""}
    line = mandates.ownership(sent, now=NOON, of_record=lambda _: False)
    answers: list[Callable[[], Any]] = [call, lambda: mandates.put_maintainers("npm", "left-pad", [line])]
    accepted, _ = at_once(app, *answers)
    assert (since(app, alice) == NOON) is accepted  # where the push was first, the role that was shown is gone
    assert [package.role for package in (*view(app, alice).maintained, *view(app, alice).invited)] == ["maintainer"]


def test_while_an_import_runs_nothing_is_accepted_and_a_killed_one_is_no_obstacle_for_long(
    app: Flask, make_account: MakeAccount, tmp_path: Path, clock: Clock
) -> None:
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    call = accepting_call(app, alice)
    with app.app_context():
        snapshots.begin("a file", clock)
    with pytest.raises(mandates.Running), request_to(app):
        call()
    assert names(view(app, alice).invited) == ["left-pad"]
    with app.app_context():
        mandates.tidy_imports(now=clock.now + LEASE)
    with request_to(app):
        assert call()


def test_an_acceptance_and_an_import_at_once_lose_nothing(
    app: Flask, make_account: MakeAccount, tmp_path: Path, clock: Clock
) -> None:
    # Given an import that replaces the very row, since the role is another
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    (tmp_path / "o.csv").write_text(OWNERS + "npm,left-pad,alice,maintainer,\n")
    gathered = importing.gather(
        [tmp_path / "o.csv"], now=NOON, of_record=lambda _: False, progress=lambda _: lambda _: None
    )
    refused = []

    def written(_: int) -> Callable[[int], None]:
        call = accepting_call(app, alice)
        try:
            with request_to(app):
                call()
        except mandates.Running:
            refused.append(True)
        return lambda _: None

    # When she accepts in its midst, and again when it is done
    with app.app_context():
        importing.load(gathered, changes=False, clock=clock, progress=written)
    gathered.close()
    assert refused == [True]
    assert accept(app, alice)
    # Then the acceptance stands in the row that counts
    assert [(package.role, package.accepted_at) for package in view(app, alice).maintained] == [("maintainer", NOON)]


# Declining


def test_what_was_declined_does_not_come_back_with_imports_and_pushes(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox
) -> None:
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    assert decline(app, alice)
    for line in ("left-pad,alice,maintainer,", "left-pad,bob,owner,", "left-pad,alice,owner,"):
        snapshot(app, tmp_path, line)
        tell(app, NOON + 3 * DAY)
    push(app, "alice maintainer")
    tell(app, NOON + 6 * DAY)
    found = view(app, alice)
    assert (names(found.maintained), names(found.invited), names(found.declined)) == ([], [], ["left-pad"])
    assert outbox.to(alice.email) == []
    with request_to(app):
        assert not mandates.owns_packages(alice.id, now=NOON)


def test_what_was_declined_may_be_accepted_later(app: Flask, make_account: MakeAccount, tmp_path: Path) -> None:
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    decline(app, alice)
    assert accept(app, alice, now=NOON + DAY)
    assert since(app, alice) == NOON + DAY
    assert view(app, alice).declined == ()
    (package,) = view(app, alice).maintained
    with request_to(app):
        assert not mandates.decline(alice.id, package.id, client=None, now=NOON + DAY)


def test_what_the_registry_says_was_accepted_counts_though_it_was_declined_here(
    app: Flask, make_account: MakeAccount, tmp_path: Path
) -> None:
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    decline(app, alice)
    snapshot(app, tmp_path, "left-pad,alice,owner,2026-11-20")
    assert names(view(app, alice).maintained) == ["left-pad"]
    assert view(app, alice).declined == ()


# Told


def test_an_invitation_is_mailed_once_and_names_nothing_that_a_registry_wrote(
    app: Flask, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice, bob = make_account("alice"), make_account("bob")
    push(app, "alice click-here", package="https://evil.test/win")
    assert (tell(app), tell(app), tell(app, NOON + 2 * DAY)) == (1, 0, 0)
    (message,) = outbox.to(alice.email)
    assert message["Subject"] == "Invited to maintain a package: alice"
    text = message.get_content()
    assert "http://localhost:8000/account/packages" in text
    assert "evil" not in text
    assert "click-here" not in text
    assert outbox.to(bob.email) == []


def test_however_many_invitations_there_are_an_account_gets_one_mail_a_day(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    # a registry that invites by the hundred
    snapshot(app, tmp_path, *(f"spam-{number},alice,owner," for number in range(300)))
    assert tell(app) == 1
    assert "300 packages" in outbox.to(alice.email)[-1].get_content()
    # and takes back and invites anew every hour
    for hour in range(1, 24):
        if hour % 6 == 0:
            snapshot(app, tmp_path, "left-pad,bob,owner,")
            tell(app, NOON + timedelta(hours=hour))
            snapshot(app, tmp_path, f"more-{hour},alice,owner,")
        assert tell(app, NOON + timedelta(hours=hour)) == 0
    assert tell(app, NOON + DAY - SECOND) == 0
    assert tell(app, NOON + DAY) == 1
    clock.advance(days=1)
    assert len(outbox.to(alice.email)) == 2


def test_two_workers_tell_once(app: Flask, make_account: MakeAccount, outbox: Outbox) -> None:
    alice = make_account()
    push(app, "alice owner")
    call = partial(accepting._tell, alice.id, now=NOON)
    assert sorted(at_once(app, call, call, call)) == [False, False, True]
    assert len(outbox.to(alice.email)) == 1


def test_who_is_frozen_or_disabled_is_told_when_they_are_back(app: Flask, make_account: MakeAccount) -> None:
    alice, bob = make_account("alice"), make_account("bob")
    push(app, "alice owner", "bob owner")
    with request_to(app):
        accounts.set_frozen(alice.id, now=NOON)
        accounts.set_disabled(bob.id, now=NOON)
    assert tell(app) == 0
    with request_to(app):
        accounts.set_frozen(alice.id, now=None)
        accounts.set_disabled(bob.id, now=None)
    assert tell(app) == 2


def test_the_worker_stops_telling_when_its_share_is_over_and_goes_on_the_next_time(
    app: Flask, make_account: MakeAccount
) -> None:
    make_account()
    push(app, "alice owner")
    with app.app_context():
        assert mandates.tell_invited(now=NOON, at_most=timedelta(0)) == 0
    assert tell(app) == 1


def test_whoever_is_flooded_reads_and_answers_as_many_as_a_page_takes(
    app: Flask, make_account: MakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "MOST", 2)
    alice = make_account()
    snapshot(app, tmp_path, *(f"{name},alice,owner," for name in "abcd"))
    answered = []
    while invited := names(view(app, alice).invited):
        assert len(invited) <= 2
        assert decline(app, alice, invited[0])
        answered.append(invited[0])
    assert sorted(answered) == list("abcd")


def test_a_name_that_registers_is_told_of_its_invitations(app: Flask, make_account: MakeAccount) -> None:
    push(app, "alice owner")
    assert tell(app) == 0
    alice = make_account()
    with request_to(app):
        mandates.link_account(alice.id, "alice", now=NOON)
    assert tell(app) == 1


def test_what_is_taken_back_is_forgotten_and_a_new_invitation_is_told(app: Flask, make_account: MakeAccount) -> None:
    make_account()
    push(app, "alice owner")
    tell(app)
    push(app, "bob owner")
    tell(app, NOON + DAY)
    with app.app_context(), db.transaction() as session:
        assert session.query(Invitation).count() == 0
    push(app, "alice owner")
    assert tell(app, NOON + DAY) == 1


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("left-pad", "the npm package left-pad"),
        ("@scope/left_pad", "the npm package @scope/left_pad"),
        ("evil.test", "a package of npm"),
        ("https://evil", "a package of npm"),
        ("pad\u2024test", "a package of npm"),
        ("a" * 61, "a package of npm"),
    ],
)
def test_mails_name_a_package_only_where_no_program_makes_a_link_of_it(package: str, words: str) -> None:
    assert in_mails("npm", package) == words


# Freezes


@pytest.mark.parametrize(("disputed", "stays"), [(timedelta(0), False), (SECOND, True)])
def test_what_was_accepted_since_a_disputed_moment_is_an_invitation_again_after_the_freeze(
    app: Flask, make_account: MakeAccount, tmp_path: Path, disputed: timedelta, stays: bool
) -> None:
    # Given a thief who accepted a package for alice, beside one that the registry says she accepted
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,", "no-pad,alice,owner,2026-01-01")
    accept(app, alice)
    with request_to(app):
        freezes.begin(alice.id, FreezeCause.OWNER, disputed_at=NOON + disputed, client=None, now=NOON + DAY)
    # While the account is frozen nothing gets easier: its duties stay
    assert since(app, alice) == NOON
    # When it is open again
    with request_to(app):
        freeze = freezes.current(alice.id)
        assert freeze is not None
        freezes.end(freeze, keep=(), by_authenticator=False, client=None, now=NOON + DAY)
    # Then she may accept it herself
    found = view(app, alice)
    assert names(found.maintained) == (["left-pad", "no-pad"] if stays else ["no-pad"])
    assert names(found.invited) == ([] if stays else ["left-pad"])
    assert (EventType.DISPUTED_ITEM_DROPPED in types(app, alice)) is not stays
    assert tell(app, NOON + 2 * DAY) == 0
    if not stays:
        assert accept(app, alice, now=NOON + 5 * DAY)


def test_a_disputed_acceptance_is_taken_back_in_the_rows_of_a_running_import_too(
    app: Flask, make_account: MakeAccount, tmp_path: Path
) -> None:
    alice = make_account()
    snapshot(app, tmp_path, "left-pad,alice,owner,")
    accept(app, alice)
    with app.app_context(), db.transaction() as session:
        (row,) = session.query(Ownership).all()
        values = {"ecosystem": "npm", "package": "left-pad", "account": "alice", "account_id": alice.id}
        session.add(Ownership(**values, role="lead", accepted_at=row.accepted_at, from_snapshot=row.from_snapshot + 9))
    with request_to(app):
        assert mandates.take_back(alice.id, since=NOON) == ["left-pad"]
    with app.app_context(), db.transaction() as session:
        assert [row.accepted_at for row in session.query(Ownership)] == [None, None]
