"""Who gets a mandate, what they are told, and what a sign-in meets."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from authsvc import accounts, audit, domains, mandates, totp
from authsvc.audit import EventType
from authsvc.core.assurance import Factor
from authsvc.mandates import given, importing, phases, service, telling
from authsvc.policy.mandate import Mandate
from tests.conftest import NOON
from tests.people import Outbox, Person
from tests.slices import at_once, request_to

SECOND = timedelta(seconds=1)
BEGINS = datetime(2026, 12, 24, tzinfo=UTC)
MakeAccount = Callable[..., Person]
PACKAGES = """ecosystem,name,weekly_downloads,rank
npm,left-pad,2400000,1
npm,right-pad,1000000,300
npm,both-pad,1000000,3000
npm,no-pad,999999,2
"""


def know(app: Flask, tmp_path: Path, *owners: str, packages: str = PACKAGES, now: datetime = NOON) -> None:
    """Import packages and their maintainers, written "package account"."""
    lines = "".join(f"npm,{owner.replace(' ', ',')}\n" for owner in owners)
    with app.app_context():
        for text in (packages, f"ecosystem,package,account\n{lines}"):
            path = tmp_path / "import.csv"
            path.write_text(text)
            importing.store(path, now=now, progress=lambda position: None)


def set_phases(app: Flask, text: str) -> None:
    """Write mandates.toml."""
    (app.extensions["authsvc.settings"].instance / "mandates.toml").write_text(text)


def apply(app: Flask, *, now: datetime = NOON, as_of: datetime | None = None) -> int:
    """What the worker does every hour."""
    with app.app_context():
        return mandates.apply(now=now, as_of=as_of)


def upcoming(app: Flask, person: Person, *, now: datetime = NOON) -> Mandate | None:
    with request_to(app):
        return mandates.upcoming(person.id, now=now)


def in_force(app: Flask, person: Person, *, now: datetime) -> bool:
    with request_to(app):
        return mandates.in_force(person.id, now=now) is not None


def events(app: Flask, person: Person) -> list[dict[str, Any]]:
    """What the log says of mandates, newest first."""
    with request_to(app):
        return [e.detail for e in audit.events(person.id) if e.type is EventType.MANDATE_BEGUN]


def test_who_maintains_a_package_of_high_impact_gets_the_mandate_of_its_phase(
    app: Flask, make_account: MakeAccount, tmp_path: Path
) -> None:
    names = ("first", "second", "third", "below", "nobody")
    people = {name: make_account(name) for name in names}
    know(app, tmp_path, "left-pad first", "right-pad second", "both-pad third", "no-pad below")
    assert apply(app) == 3
    found = {name: upcoming(app, person) for name, person in people.items()}
    assert {name: mandate.phase for name, mandate in found.items() if mandate} == {
        "first": "top-100",
        "second": "top-500",
        "third": "high-impact",
    }
    assert found["first"] is not None
    assert found["first"].reason == (
        "The npm package left-pad, which you maintain, is downloaded 2,400,000 times a week."
    )


def test_the_earliest_phase_of_all_packages_counts(app: Flask, make_account: MakeAccount, tmp_path: Path) -> None:
    alice = make_account("alice")
    know(app, tmp_path, "both-pad alice", "left-pad alice", "right-pad alice")
    apply(app)
    mandate = upcoming(app, alice)
    assert mandate is not None
    assert (mandate.phase, mandate.enforced_from) == ("top-100", datetime(2022, 2, 1, tzinfo=UTC))


def test_applying_again_gives_and_mails_nothing(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox
) -> None:
    alice = make_account("alice")
    know(app, tmp_path, "left-pad alice")
    assert (apply(app), apply(app), apply(app, now=NOON + timedelta(days=1))) == (1, 0, 0)
    assert len(outbox.to(alice.email)) == 1
    assert len(events(app, alice)) == 1


def test_rivals_who_apply_at_once_tell_the_owner_once(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox
) -> None:
    alice = make_account("alice")
    mandate = Mandate(phase="top-100", reason="left-pad.", enforced_from=BEGINS)
    give = partial(given.give, alice.id, mandate, source="top-100", set_by="import", now=NOON)
    assert sorted(at_once(app, give, give, give)) == [False, False, True]
    tell = partial(telling.tell, alice.id, now=NOON)
    assert sorted(at_once(app, tell, tell, tell)) == [False, False, True]
    assert len(outbox.to(alice.email)) == 1


def test_the_announcement_names_the_package_the_day_and_what_to_do(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox
) -> None:
    alice = make_account("alice")
    set_phases(app, "[top-100]\nenforced_from = 2026-12-24\ngrace_days = 7\n")
    know(app, tmp_path, "left-pad alice")
    apply(app)
    (mail,) = outbox.to(alice.email)
    text = mail.get_content()
    assert mail["Subject"] == "A second step is required for alice"
    assert "From 24 December 2026, 00:00 UTC on, signing in to your account alice takes a second step." in text
    assert "left-pad, which you maintain, is downloaded 2,400,000 times a week." in text
    assert "http://localhost:8000/login" in text
    assert "security key, a passkey or an authenticator app" in text


def test_who_has_a_second_factor_is_told_that_sign_ins_stay_as_they_are(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox
) -> None:
    alice = make_account("alice", totp_app=True)
    know(app, tmp_path, "left-pad alice")
    apply(app)
    text = outbox.to(alice.email)[-1].get_content()
    assert "From now on, signing in to your account alice takes a second step." in text
    assert "You have a second step already, so your sign-ins stay as they are." in text
    assert "What to do" not in text


def test_a_mandate_begins_at_its_second(app: Flask, make_account: MakeAccount, tmp_path: Path) -> None:
    alice = make_account("alice")
    set_phases(app, "[top-100]\nenforced_from = 2026-12-24\ngrace_days = 7\n")
    know(app, tmp_path, "left-pad alice")
    apply(app)
    assert [in_force(app, alice, now=BEGINS + late) for late in (-SECOND, 0 * SECOND, SECOND)] == [False, True, True]
    assert upcoming(app, alice, now=BEGINS - SECOND) is not None


def test_a_phase_gives_nothing_before_it_is_announced(app: Flask, make_account: MakeAccount, tmp_path: Path) -> None:
    make_account("alice")
    set_phases(app, "[top-100]\nannounced = 2026-12-01\nenforced_from = 2026-12-24\ngrace_days = 7\n")
    know(app, tmp_path, "left-pad alice")
    announced = datetime(2026, 12, 1, tzinfo=UTC)
    assert apply(app, now=announced - SECOND) == 0
    assert apply(app, now=announced) == 1


def test_a_phase_can_be_announced_ahead_of_its_day(app: Flask, make_account: MakeAccount, tmp_path: Path) -> None:
    make_account("alice")
    set_phases(app, "[top-100]\nannounced = 2026-12-01\nenforced_from = 2026-12-24\ngrace_days = 7\n")
    know(app, tmp_path, "left-pad alice", now=NOON)
    assert apply(app, as_of=datetime(2026, 12, 1, tzinfo=UTC)) == 1


def test_losing_impact_or_a_later_day_takes_nothing_away(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox
) -> None:
    alice = make_account("alice")
    set_phases(app, "[top-100]\nenforced_from = 2026-12-24\ngrace_days = 7\n")
    know(app, tmp_path, "left-pad alice")
    apply(app)
    given = upcoming(app, alice)
    know(app, tmp_path, packages="ecosystem,name,weekly_downloads\nnpm,left-pad,3\n")
    assert apply(app) == 0
    know(app, tmp_path)
    set_phases(app, "[top-100]\nenforced_from = 2027-12-24\n")
    assert apply(app) == 0
    assert upcoming(app, alice) == given is not None
    assert len(outbox.to(alice.email)) == 1


def test_an_earlier_day_is_taken_and_told(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox
) -> None:
    alice = make_account("alice")
    set_phases(
        app, "[top-100]\nenforced_from = 2026-12-24\ngrace_days = 7\n[high-impact]\nenforced_from = 2027-03-01\n"
    )
    know(app, tmp_path, "both-pad alice")
    apply(app)
    know(app, tmp_path, "left-pad alice")
    assert apply(app) == 1
    mandate = upcoming(app, alice)
    assert mandate is not None
    assert (mandate.phase, mandate.enforced_from) == ("top-100", BEGINS)
    assert ["1 March 2027" in m.get_content() for m in outbox.to(alice.email)] == [True, False]
    assert [e["phase"] for e in events(app, alice)] == ["top-100", "high-impact"]


def test_an_invitation_counts_once_it_is_accepted(app: Flask, make_account: MakeAccount, tmp_path: Path) -> None:
    alice = make_account("alice")
    know(app, tmp_path)
    path = tmp_path / "maintainers.csv"
    for accepted, number in (("", 0), ("2026-11-25", 0), ("2026-11-24", 1)):
        path.write_text(f"ecosystem,package,account,accepted_at\nnpm,left-pad,alice,{accepted}\n")
        with app.app_context():
            importing.store(path, now=NOON, progress=lambda position: None)
        assert apply(app) == number
        with request_to(app):
            assert mandates.owns_packages(alice.id, now=NOON) is bool(number)


def test_a_maintainer_who_registers_later_is_covered_at_once(app: Flask, tmp_path: Path, outbox: Outbox) -> None:
    know(app, tmp_path, "left-pad alice", "right-pad bob")
    apply(app)
    with request_to(app):
        account_id = accounts.create(username="alice", now=NOON)
        accounts.add_address(account_id, "alice@example.test", is_primary=True, verified_at=None, now=NOON)
        domains.first_proof(account_id, "alice@example.test", now=NOON)
        assert not mandates.owns_packages(account_id, now=NOON)
        mandates.link_account(account_id, "alice", now=NOON)
        assert mandates.owns_packages(account_id, now=NOON)
        found = mandates.in_force(account_id, now=NOON)
    assert found is not None
    assert found.phase == "top-100"
    assert len(outbox.to("alice@example.test")) == 1


def test_a_stranger_s_name_links_nothing(app: Flask, make_account: MakeAccount, tmp_path: Path) -> None:
    eve = make_account("eve")
    know(app, tmp_path, "left-pad alice")
    with request_to(app):
        mandates.link_account(eve.id, "eve", now=NOON)
        assert not mandates.owns_packages(eve.id, now=NOON)
        assert not mandates.has_mandate(eve.id)


def test_owning_little_used_packages_is_owning_without_a_mandate(
    app: Flask, make_account: MakeAccount, tmp_path: Path
) -> None:
    alice = make_account("alice")
    know(app, tmp_path, "unheard-of alice")
    apply(app)
    with request_to(app):
        assert mandates.owns_packages(alice.id, now=NOON)
        assert not mandates.has_mandate(alice.id)


def require(app: Flask, person: Person, from_: datetime, reason: str = "Asked for by the security team") -> bool:
    with request_to(app):
        return mandates.require(person.id, from_=from_, reason=reason, set_by="operator", now=NOON)


def test_one_account_can_be_covered_by_hand(app: Flask, make_account: MakeAccount, outbox: Outbox) -> None:
    alice, bob = make_account("alice"), make_account("bob")
    assert require(app, alice, BEGINS)
    assert upcoming(app, alice) == Mandate(
        phase="by-hand", reason="Asked for by the security team.", enforced_from=BEGINS
    )
    assert upcoming(app, bob) is None
    assert events(app, alice)[0]["by"] == "operator"
    assert "Asked for by the security team." in outbox.to(alice.email)[-1].get_content()


def test_a_day_given_by_hand_moves_forward_only(app: Flask, make_account: MakeAccount, outbox: Outbox) -> None:
    alice = make_account("alice")
    assert require(app, alice, BEGINS)
    assert not require(app, alice, BEGINS)
    assert not require(app, alice, BEGINS + SECOND)
    assert require(app, alice, BEGINS - SECOND)
    mandate = upcoming(app, alice)
    assert mandate is not None
    assert mandate.enforced_from == BEGINS - SECOND
    assert len(outbox.to(alice.email)) == 2


def test_of_a_mandate_by_hand_and_a_computed_one_the_earlier_holds(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox
) -> None:
    alice = make_account("alice")
    know(app, tmp_path, "left-pad alice")
    apply(app)
    assert require(app, alice, BEGINS)
    mandate = upcoming(app, alice)
    assert mandate is not None
    assert mandate.phase == "top-100"
    assert len(outbox.to(alice.email)) == 1, "the later day is no news"
    assert len(events(app, alice)) == 2


def test_the_last_factor_is_kept_only_while_a_mandate_is_in_force(app: Flask, make_account: MakeAccount) -> None:
    alice, bob = make_account("alice"), make_account("bob")
    require(app, alice, BEGINS)
    nothing, app_only = list[Factor](), [Factor.TOTP]
    with request_to(app):
        assert mandates.may_keep_only(alice.id, nothing, now=BEGINS - SECOND)
        assert not mandates.may_keep_only(alice.id, nothing, now=BEGINS)
        assert not mandates.may_keep_only(alice.id, [Factor.RECOVERY_CODE], now=BEGINS)
        assert mandates.may_keep_only(alice.id, app_only, now=BEGINS)
        assert mandates.may_keep_only(bob.id, nothing, now=BEGINS)


def test_many_accounts_are_told_in_several_transactions(
    app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(service, "BATCH", 2)
    with request_to(app):
        for n in range(5):
            accounts.create(username=f"person-{n}", now=NOON)
    know(app, tmp_path, *(f"left-pad person-{n}" for n in range(5)))
    assert apply(app) == 5


def test_phases_of_this_installation_replace_the_shipped_ones(app: Flask) -> None:
    with app.app_context():
        assert [p.name for p in phases.current()] == ["top-100", "top-500", "high-impact"]
        set_phases(app, "[top-500]\nannounced = 2026-12-01T06:00:00Z\nenforced_from = 2027-01-01T00:00:00+01:00\n")
        (only,) = phases.current()
    assert (only.name, only.cohort.top) == ("top-500", 500)
    assert only.announced == datetime(2026, 12, 1, 6, tzinfo=UTC)
    assert only.enforced_from == datetime(2026, 12, 31, 23, tzinfo=UTC)


def test_an_empty_file_of_phases_covers_nobody(app: Flask, make_account: MakeAccount, tmp_path: Path) -> None:
    make_account("alice")
    set_phases(app, "")
    know(app, tmp_path, "left-pad alice")
    assert apply(app) == 0


def test_linking_raises_no_mandate_for_others(app: Flask, make_account: MakeAccount, tmp_path: Path) -> None:
    bob = make_account("bob")
    know(app, tmp_path, "left-pad bob", "left-pad alice")
    with app.app_context():
        importing.match_accounts()
    alice = make_account("alice")
    with request_to(app):
        mandates.link_account(alice.id, "alice", now=NOON)
        assert mandates.has_mandate(alice.id)
        assert not mandates.has_mandate(bob.id)


def test_a_factor_enrolled_meanwhile_counts_in_the_mail(
    app: Flask, make_account: MakeAccount, tmp_path: Path, outbox: Outbox
) -> None:
    alice = make_account("alice")
    know(app, tmp_path, "left-pad alice")
    with request_to(app):
        totp.enrol(alice.id, totp.new_seed(), 0, label="App", browser_known_for=timedelta(0), now=NOON)
    apply(app)
    assert "your sign-ins stay as they are" in outbox.to(alice.email)[-1].get_content()
