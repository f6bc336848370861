"""Nobody covered comes in below what a mandate asks for, by any way in; and no way in is left out of this.

What gives somebody rights is looked for in the code, and so are the views and commands that lead there. Each of them
is gone through by a door of `all_doors`, or stands below with the reason why it lets nobody in.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from itertools import cycle, product

import pytest
from flask import Flask, request, request_started

from authsvc import domains, mandates
from authsvc.cases import reading
from authsvc.policy import recovery as recovery_policy
from authsvc.policy.mandate import Strength
from tests import doors
from tests.conftest import Clock
from tests.mandates import all_doors
from tests.mandates.entering import HELD, RISKY, Attempt, Door, World, play
from tests.oidc.conftest import key_pairs, signing_keys
from tests.oidc.site import DEVICE_GRANT, register
from tests.people import Outbox
from tests.recovery.conftest import outside
from tests.recovery.corp import Outside
from tests.slices import request_to

__all__ = ["key_pairs", "outside", "signing_keys"]

SECOND = timedelta(seconds=1)
AFTER = 99  # more stops than a door has
ROWS = {  # whose rows are rights, or what a first or second factor is compared with
    "authsvc.sessions.Session",
    "authsvc.tokens.Grant",
    "authsvc.tokens.Token",
    "authsvc.tokens.ClientToken",
    "authsvc.oidc.models.AuthorizationCode",
    "authsvc.passwords.models.Password",
    "authsvc.accounts.models.Authenticator",
}
GIVES = {  # what makes such a row, or a secret for one; and what approves or opens without making any
    "authsvc.sessions.issue",
    "authsvc.sessions.rotate",
    "authsvc.device_bound.views.bind",
    "authsvc.device_bound.views.refresh",
    "authsvc.tokens.open_grant",
    "authsvc.tokens._mint",
    "authsvc.tokens._INSERT",
    "authsvc.tokens.issue_to_program",
    "authsvc.oidc.token.issue_code",
    "authsvc.oidc.token._INSERT",
    "authsvc.browser_actions.service.approve",
    "authsvc.passwords.service.set_hash",
    "authsvc.accounts.register.add_authenticator",
    "authsvc.login.passes.open_link",
    "authsvc.freezes.end",
}
GIVES_NO_RIGHTS = {  # other secrets, and what they are for
    "authsvc.access.stepup.step_up": "names an action that waits for its proof",
    "authsvc.account_pages.registration.submit_registration": "names a registration; there is no account yet",
    "authsvc.accounts.service.create": "the public name of a new account",
    "authsvc.browser_actions.service.begin": "a device code, worth nothing until somebody approves",
    "authsvc.cases.service.open_case": "names a case",
    "authsvc.core.web.csrf_token": "keeps other sites from sending forms",
    "authsvc.devices.remember": "names a browser",
    "authsvc.dispute_links.issue": "freezes",
    "authsvc.dispute_links.new_event": "names what a link disputes",
    "authsvc.login.passes.give": "tries of one's own",
    "authsvc.login.passes.offer": "a link to those",
    "authsvc.login.service.begin_for": "names a sign-in under way",
    "authsvc.login.unfinished.note_elsewhere": "nobody has it",
    "authsvc.oidc.clients.put": "a client's own secret",
    "authsvc.oidc.clients.rotate_secret": "the same",
    "authsvc.oidc.requests.put_down": "names a request that waits for a sign-in",
    "authsvc.proof_places.places.new_token": "published by its owner",
    "authsvc.recovery.service._mail_link": "leads to `recovery.submit_reset`",
    "authsvc.recovery.unfreezing.begin": "leads to `recovery.submit_unfreeze`",
}
LETS_NOBODY_IN = {
    "device_bound.bind": "binds the session that its cookie names, which stays what it was",
    "device_bound.refresh": "renews the second cookie of such a session, for its key alone",
    "authsvc.cli.accounts_create": "makes an account with a password; its owner comes by the sign-in page",
}
DOORS: dict[Door, set[str]] = {
    all_doors.mailed_code: {"login.submit_password", "login.submit_email_code", "login.go_on"},
    all_doors.app: {"login.submit_totp", "login.postpone_enrolment"},
    all_doors.recovery_code: {"login.submit_recovery_code"},
    all_doors.security_key: {"login.submit_key"},
    all_doors.passkey: {"login.submit_passkey"},
    all_doors.new_password: {"login.submit_new_password"},
    all_doors.enrols_app: {"login.choose_enrolment", "login.prove_totp", "login.confirm_codes"},
    all_doors.enrols_key: {"login.prove_key"},
    all_doors.registration: {"account_pages.submit_confirmation"},
    all_doors.reset: {"recovery.submit_reset"},
    all_doors.delayed_reset: {"recovery.complete_reset"},
    all_doors.pass_link: {"login.take_pass"},
    all_doors.end_of_freeze: {"recovery.submit_unfreeze"},
    all_doors.recovered: {"cases.complete"},
    all_doors.site: {"oidc.authorize", "oidc.decide_consent", "oidc.token"},
    all_doors.consented_before: {"oidc.authorize"},
    all_doors.program: {"browser_actions.decide_device", "oidc.token"},
    all_doors.enrols_later: {
        "account_pages.enrol_totp",
        "account_pages.enrol_key",
        "account_pages.recovery_codes_kept",
    },
    all_doors.session_is_renamed: {"access.submit_step_up"},
}


@pytest.fixture
def world(app: Flask, clock: Clock, outbox: Outbox, outside: Outside) -> World:
    """The running app with a site and a program; the domain of everybody's address is healthy."""
    with app.app_context():
        domains.check_now("corp.org", now=clock.now)
    tool = register(app, now=clock.now, secret=False, redirect_uris=[], grant_types=[DEVICE_GRANT, "refresh_token"])
    return World(app, clock, outbox, register(app, now=clock.now), tool)


@pytest.mark.attack("T21")
@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_nobody_covered_comes_in_below_the_required_strength(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each strength and each thing held: in force already, and from one of the stops on, in turn; or after all."""
    if door is all_doors.recovered:
        monkeypatch.setattr(reading.Open, "strength", recovery_policy.Strength.OWN)
        monkeypatch.setattr(reading.Open, "decision", lambda case, now: recovery_policy.Complete())
    visited: set[str | None] = set()
    found: list[str] = []

    def note(sender: Flask, **more: object) -> None:
        visited.add(request.endpoint)

    def try_at(moment: int, strength: Strength, what: str) -> int:
        attempt = Attempt(world, strength, HELD[what])
        stops = play(attempt, door, moment)
        found.extend(f"{strength}, {what}, at stop {moment}: {words}" for words in attempt.complaints())
        return stops

    with request_started.connected_to(note):
        most = {what: try_at(AFTER, strength, what) for strength, what in zip(cycle(Strength), HELD, strict=False)}
        for turn, (strength, what) in enumerate(product(Strength, HELD)):
            most[what] = max(most[what], try_at(0, strength, what))
            if most[what]:  # else there is no such way in for them
                try_at(1 + turn % most[what], strength, what)
    assert found == []
    assert DOORS[door] <= visited


# Every way in


@cache
def mentions() -> doors.Mentions:
    """The whole package, read once."""
    return doors.Mentions(doors.sources())


def test_every_way_in_is_gone_through_or_lets_nobody_in(app: Flask) -> None:
    found = doors.ways_in(app, mentions(), GIVES)
    assert set(found) == set().union(*DOORS.values(), LETS_NOBODY_IN)
    begins_sessions = {endpoint for endpoint, given in found.items() if "authsvc.sessions.issue" in given}
    assert {endpoint for endpoint in begins_sessions if not endpoint.startswith("login.")} == {
        "account_pages.submit_confirmation"
    }


def test_whatever_makes_a_secret_or_a_row_of_rights_is_known_here() -> None:
    assert mentions().makers(ROWS) <= GIVES | set(GIVES_NO_RIGHTS)
    assert set(mentions().of) >= GIVES | set(GIVES_NO_RIGHTS)


NEW_DOORS = """
from authsvc import access, login, sessions, tokens as t
from authsvc.core.assurance import Action
from authsvc.passwords import set_hash

WAYS = {"a": t.rotate}

def _go():
    return login.finish("")

def calls(): return sessions.issue(1)
def by_another(): return _go()
def in_a_table(): return WAYS["a"]("")
def handed_over(): return list(map(set_hash, [1]))
def nothing(): return login.purge()

@access.carries_out(Action.VOUCH)
def after_a_step_up(who): return t.open_grant(1)
"""


def test_a_new_way_in_is_found_however_it_leads_there(app: Flask) -> None:
    for name in ("calls", "by_another", "in_a_table", "handed_over", "nothing"):

        def view() -> str:
            return ""

        view.__module__, view.__qualname__ = "authsvc.oidc.shortcut", name
        app.view_functions[f"new.{name}"] = view
    found = doors.ways_in(app, doors.Mentions({**doors.sources(), "authsvc.oidc.shortcut": NEW_DOORS}), GIVES)
    new = set(found) - set().union(*DOORS.values(), LETS_NOBODY_IN)
    assert new == {"new.calls", "new.by_another", "new.in_a_table", "new.handed_over"}
    assert "authsvc.tokens.open_grant" in found["access.submit_step_up"]


# To the second


@pytest.fixture
def comes_in(world: World) -> Callable[[Attempt], bool]:
    """Somebody with a password and a mailbox signs in anew; whether they come in, with all rights."""

    def tried(attempt: Attempt) -> bool:
        attempt.use_new_browser()
        for _ in all_doors.mailed_code(attempt):
            pass
        return attempt.visitor.signed_in() and attempt.visitor.get(RISKY).status_code == 200

    return tried


@pytest.mark.attack("T21")
@pytest.mark.parametrize("strength", Strength)
def test_the_last_second_before_the_day_is_free_and_the_first_of_it_is_not(
    world: World, clock: Clock, comes_in: Callable[[Attempt], bool], strength: Strength
) -> None:
    attempt = Attempt(world, strength, HELD["nothing"])
    attempt.is_covered_from(clock.now + SECOND)
    assert comes_in(attempt)
    from_before = attempt.visitor
    clock.advance(seconds=1)
    assert from_before.get(RISKY).status_code == 403
    assert not comes_in(attempt)
    clock.advance(seconds=1)
    assert not comes_in(attempt)


@pytest.mark.parametrize("strength", Strength)
def test_an_exemption_frees_from_its_first_second_to_its_last(
    world: World, clock: Clock, comes_in: Callable[[Attempt], bool], strength: Strength
) -> None:
    attempt = Attempt(world, strength, HELD["nothing"])
    attempt.is_covered_from(clock.now)
    begins, until = clock.now + 60 * SECOND, clock.now + timedelta(hours=1)
    with request_to(world.app):
        mandates.exempt(attempt.person.id, reason="So", until=until, set_by="test", starts_at=begins, now=clock.now)

    def at(moment: datetime) -> bool:
        clock.now = moment
        return comes_in(attempt)

    assert not at(begins - SECOND)
    assert at(begins)
    assert at(until - SECOND)
    from_before = attempt.visitor
    clock.now = until
    assert from_before.get(RISKY).status_code == 403
    assert not at(until)
    assert not at(until + SECOND)
