"""The device grant: asked by a program, approved by the person who typed its code, delivered once."""

import math
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from authsvc import access, accounts, audit, holds, sessions
from authsvc.audit import EventType
from authsvc.browser_actions import service
from authsvc.browser_actions.phrases import QUALITIES, THINGS
from authsvc.core import db
from authsvc.policy.hold import HoldCause
from tests.conftest import Clock
from tests.oidc.site import DEVICE_GRANT, HERE, Site, register, set_verified, sign_in
from tests.people import BASE_URL, FIREFOX, Outbox, Person, Visitor
from tests.slices import at_once

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]
READ = "openid profile packages:read"
WRITE = "openid packages:read packages:publish"
CODE_SHAPE = re.compile(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}")


@pytest.fixture
def cli(app: Flask, clock: Clock) -> Site:
    """A command-line program, which cannot keep a secret."""
    return register(app, now=clock.now, secret=False, client_name="pkg", redirect_uris=[], grant_types=[DEVICE_GRANT])


def begin(cli: Site, scope: str = READ, *, address: str = "127.0.0.1") -> dict[str, Any]:
    """Ask for codes, from this address."""
    form = {"client_id": cli.id, "scope": scope}
    http = cli.app.test_client()
    answer = http.post(
        "/oauth2/device_authorization",
        data=form,
        base_url=BASE_URL,
        environ_overrides={"REMOTE_ADDR": address},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json or {}


def poll(cli: Site, asked: dict[str, Any]) -> Any:
    return cli.post("/oauth2/token", grant_type=DEVICE_GRANT, device_code=asked["device_code"])


def outcome(answer: Any) -> str:
    """The error of an answer, or "tokens"."""
    return str(answer.json.get("error", "tokens"))


def enter(visitor: Visitor, code: str) -> Any:
    return visitor.post("/device", user_code=code)


def decide(visitor: Visitor, code: str, decision: str = "approve") -> Any:
    return visitor.post("/device/decide", user_code=code, decision=decision)


def approved(visitor: Visitor, cli: Site, scope: str = READ, **more: str) -> dict[str, Any]:
    """A request that this visitor typed in and approved."""
    asked = begin(cli, scope, **more)
    assert enter(visitor, asked["user_code"]).status_code == 200
    assert "Approved" in decide(visitor, asked["user_code"]).text
    return asked


# What the program gets


@pytest.mark.attack("O26")
def test_the_codes_are_long_and_short_lived(cli: Site) -> None:
    asked = begin(cli)
    assert CODE_SHAPE.fullmatch(asked["user_code"])
    assert math.log2(len(service.ALPHABET)) * service.CODE_LENGTH >= 34
    assert len(asked["device_code"]) >= 43
    assert asked["verification_uri"] == f"{BASE_URL}/device"
    assert asked["verification_uri_complete"] == f"{BASE_URL}/device?user_code={asked['user_code']}"
    assert (asked["expires_in"], asked["interval"]) == (600, 5)
    assert len(asked["phrase"].split()) == 2


def test_phrases_are_many() -> None:
    assert len(set(QUALITIES)) == len(set(THINGS)) == 64


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": "openid", "client_id": "nobody"}, "invalid_client"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "unheard-of"}, "invalid_scope"),
        ({"scope": ["openid", "email"]}, "invalid_request"),
    ],
)
def test_a_wrong_request_gets_the_standards_error(cli: Site, form: dict[str, Any], error: str) -> None:
    assert outcome(cli.post("/oauth2/device_authorization", **form)) == error


def test_a_client_without_the_device_grant_is_refused(app: Flask, clock: Clock) -> None:
    site = register(app, now=clock.now, grant_types=["authorization_code"])
    assert outcome(site.post("/oauth2/device_authorization", scope="openid")) == "unauthorized_client"
    asked = site.post("/oauth2/token", grant_type=DEVICE_GRANT, device_code="x")
    assert outcome(asked) == "unauthorized_client"


def test_an_approved_request_gives_its_tokens_once(cli: Site, client: Visitor, alice: Person, clock: Clock) -> None:
    asked = begin(cli)
    assert outcome(poll(cli, asked)) == "authorization_pending"
    assert enter(client, asked["user_code"]).status_code == 200
    clock.advance(seconds=5)
    assert outcome(poll(cli, asked)) == "authorization_pending"
    assert "Approved" in decide(client, asked["user_code"]).text
    clock.advance(seconds=5)
    got = poll(cli, asked)
    assert got.headers["Cache-Control"] == "no-store"
    assert got.json["scope"] == READ
    assert got.json["id_token"]
    clock.advance(seconds=5)
    assert outcome(poll(cli, asked)) == "invalid_grant"


def test_of_parallel_polls_one_gets_the_tokens(
    app: Flask, cli: Site, client: Visitor, alice: Person, clock: Clock
) -> None:
    asked = approved(client, cli)
    outcomes = [outcome(a) for a in at_once(app, *[lambda: poll(cli, asked)] * 4)]
    assert outcomes.count("tokens") == 1


def test_polling_too_fast_slows_down_from_then_on(cli: Site, clock: Clock) -> None:
    asked = begin(cli)
    for wait, expected in (
        (0, "authorization_pending"),
        (2, "slow_down"),  # ten seconds from now on
        (5, "slow_down"),  # fifteen
        (15, "authorization_pending"),
        (13, "slow_down"),
        (20, "authorization_pending"),
    ):
        clock.advance(seconds=wait)
        assert outcome(poll(cli, asked)) == expected


def test_a_request_ends_after_ten_minutes(cli: Site, client: Visitor, alice: Person, clock: Clock) -> None:
    asked = begin(cli)
    enter(client, asked["user_code"])
    clock.advance(seconds=599)
    assert outcome(poll(cli, asked)) == "authorization_pending"
    clock.advance(seconds=1)
    assert decide(client, asked["user_code"]).status_code == 410
    assert enter(client, asked["user_code"]).status_code == 422
    clock.advance(seconds=5)
    assert outcome(poll(cli, asked)) == "expired_token"


def test_a_denied_request_gives_nothing(app: Flask, cli: Site, client: Visitor, alice: Person, clock: Clock) -> None:
    asked = begin(cli)
    enter(client, asked["user_code"])
    assert "Denied" in decide(client, asked["user_code"], "deny").text
    assert outcome(poll(cli, asked)) == "access_denied"
    assert decide(client, asked["user_code"]).status_code == 410
    assert enter(client, asked["user_code"]).status_code == 422
    with app.app_context(), db.transaction():
        assert EventType.GRANT_DENIED in [e.type for e in audit.events(alice.id)]


def test_another_client_cannot_take_the_tokens(
    app: Flask, cli: Site, client: Visitor, alice: Person, clock: Clock, site: Site
) -> None:
    asked = approved(client, cli)
    assert outcome(poll(site, asked)) == "invalid_grant"
    assert outcome(poll(cli, asked)) == "tokens"


@pytest.mark.attack("O16")
@pytest.mark.attack("E18")
@pytest.mark.parametrize("cause", ["disabled", "frozen", "epoch", "unverified"])
def test_an_approval_dies_with_the_accounts_rights(
    app: Flask, cli: Site, client: Visitor, alice: Person, clock: Clock, cause: str
) -> None:
    asked = approved(client, cli)
    if cause == "unverified":
        set_verified(app, alice, None)
    else:
        with app.app_context(), db.transaction():
            if cause == "disabled":
                accounts.set_disabled(alice.id, now=clock.now)
            elif cause == "frozen":
                accounts.set_frozen(alice.id, now=clock.now)
            else:
                accounts.raise_epoch(alice.id)
    assert outcome(poll(cli, asked)) == "invalid_grant"


@pytest.mark.attack("O16")
@pytest.mark.parametrize("cause", ["reset", "signed_out"])
def test_an_approval_in_flight_across_a_reset_or_the_end_of_its_session_approves_nothing(
    app: Flask, cli: Site, client: Visitor, alice: Person, clock: Clock, cause: str
) -> None:
    asked = begin(cli)
    enter(client, asked["user_code"])
    cookies = {"Cookie": client.cookies(), "User-Agent": FIREFOX}
    with app.test_request_context(base_url=BASE_URL, headers=cookies), db.transaction():
        who = access.require_principal()  # as the hook found it, and then somebody else was first
        request = service.entered(who, now=clock.now, user_code=asked["user_code"])
        assert request is not None
        if cause == "reset":
            accounts.raise_epoch(alice.id)
        else:
            sessions.end_all(alice.id, now=clock.now)
        assert not service.approve(request, who, asker=HERE, now=clock.now)
    assert outcome(poll(cli, asked)) == "authorization_pending"


@pytest.mark.attack("E18")
def test_an_account_without_a_proved_address_approves_nothing(
    app: Flask, cli: Site, client: Visitor, alice: Person, clock: Clock
) -> None:
    asked = begin(cli)
    enter(client, asked["user_code"])
    set_verified(app, alice, None)
    assert decide(client, asked["user_code"]).status_code == 410
    assert outcome(poll(cli, asked)) == "authorization_pending"


# In the browser


def test_somebody_unknown_signs_in_first_and_keeps_the_code(cli: Site, client: Visitor) -> None:
    asked = begin(cli)
    location = client.get(f"/device?user_code={asked['user_code']}").location
    assert location == f"/login?next=/device?user_code%3D{asked['user_code']}"


@pytest.mark.attack("O25")
def test_a_link_fills_in_the_code_and_approves_nothing(cli: Site, client: Visitor, alice: Person, clock: Clock) -> None:
    asked = begin(cli)
    page = client.get(f"/device?user_code={asked['user_code']}").text
    assert f'value="{asked["user_code"]}"' in page
    assert "Did somebody send you this code or this link?" in page
    assert client.get(f"/device/decide?user_code={asked['user_code']}&decision=approve").status_code == 405
    assert decide(client, asked["user_code"]).status_code == 410  # not entered yet
    assert outcome(poll(cli, asked)) == "authorization_pending"


@pytest.mark.attack("O25")
def test_the_approval_page_says_who_asks_from_where_since_when_and_for_what(
    cli: Site, client: Visitor, alice: Person, clock: Clock
) -> None:
    asked = begin(cli, address="198.51.100.7")
    clock.advance(minutes=3)
    page = enter(client, asked["user_code"]).text
    for words in (
        "<strong>pkg</strong>",
        "Not verified",
        "<strong>alice</strong>",
        "198.51.100.7",
        "3 minutes ago",
        "Read your packages even when they are not public",
        asked["phrase"],
        "comes from another place than this browser",
        "If somebody sent you this link, deny it.",
    ):
        assert words in page, words
    here = enter(client, begin(cli)["user_code"]).text
    assert "comes from another place" not in here
    assert "If somebody sent you this link, deny it." in here


@pytest.mark.attack("C07")
def test_a_clients_name_cannot_run_script_on_the_approval_page(
    app: Flask, clock: Clock, client: Visitor, alice: Person
) -> None:
    metadata = {"client_name": "<script>alert(1)</script>", "redirect_uris": [], "grant_types": [DEVICE_GRANT]}
    cli = register(app, now=clock.now, secret=False, **metadata)
    page = enter(client, begin(cli)["user_code"]).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("typed", ["{0}", " {0} ", "{1}", "{2}", "{3}"])
def test_a_code_may_be_typed_as_people_do(cli: Site, client: Visitor, alice: Person, typed: str) -> None:
    code = begin(cli)["user_code"]
    variants = (code, code.lower(), code.replace("-", ""), " ".join(code.replace("-", "")))
    assert enter(client, typed.format(*variants)).status_code == 200


@pytest.mark.attack("O24")
def test_only_the_session_that_typed_the_code_decides_and_once(
    cli: Site, client: Visitor, alice: Person, new_client: NewClient, make_account: MakeAccount, clock: Clock
) -> None:
    asked = begin(cli)
    code = asked["user_code"]
    assert enter(client, code).status_code == 200
    # Neither somebody else who learns the code, nor another browser of the same person that did not type it
    mallory, phone = new_client(), new_client()
    sign_in(mallory, make_account("mallory"), now=clock.now)
    sign_in(phone, alice, now=clock.now)
    assert enter(mallory, code).status_code == 422
    for other in (mallory, phone):
        for decision in ("approve", "deny"):
            assert decide(other, code, decision).status_code == 410
    # nor without the form of the page
    forged = client.http.post("/device/decide", data={"user_code": code, "decision": "approve"}, base_url=BASE_URL)
    assert forged.status_code == 403
    assert outcome(poll(cli, asked)) == "authorization_pending"
    assert "Approved" in decide(client, code).text
    for decision in ("approve", "deny"):
        assert decide(client, code, decision).status_code == 410


@pytest.mark.attack("O26")
def test_wrong_codes_all_get_the_same_answer(cli: Site, client: Visitor, alice: Person, clock: Clock) -> None:
    taken, over = begin(cli)["user_code"], begin(cli)["user_code"]
    enter(client, taken)
    decide(client, taken, "deny")
    guesses = ("BBBB-BBBB", "x", taken, over)
    clock.advance(minutes=10)
    answers = [enter(client, guess) for guess in guesses]
    assert {a.status_code for a in answers} == {422}
    assert all("That code is not right, or not valid any more." in a.text for a in answers)


@pytest.mark.attack("O26")
def test_guesses_are_charged_to_the_account_whatever_browser_they_come_from(
    cli: Site, client: Visitor, alice: Person, new_client: NewClient, clock: Clock
) -> None:
    other = new_client()
    sign_in(other, alice, now=clock.now)
    # Codes of one's own are typed between the guesses, which must not win back any
    for visitor, code, status in (
        (client, "BBBB-BBBB", 422),
        (other, "BBBB-BBBC", 422),
        (client, begin(cli)["user_code"], 200),
        (other, begin(cli)["user_code"], 200),
        (client, "BBBB-BBBD", 422),
        (other, begin(cli)["user_code"], 429),
        (client, begin(cli)["user_code"], 429),
    ):
        answer = enter(visitor, code)
        assert answer.status_code == status
    assert int(answer.headers["Retry-After"]) > 0
    clock.advance(minutes=5)
    assert enter(client, begin(cli)["user_code"]).status_code == 200


@pytest.mark.attack("O26")
def test_guesses_are_counted_for_the_whole_site(
    app: Flask, cli: Site, client: Visitor, alice: Person, clock: Clock
) -> None:
    from authsvc import budgets
    from authsvc.policy.budget import BUDGETS

    ((count, window),) = BUDGETS["user_code_site"].windows
    assert count / window.total_seconds() * service.LIFE.total_seconds() / 20**8 < 1e-6
    with app.app_context():
        while budgets.charge("user_code_site", "site", None, now=clock.now).allowed:
            pass
    assert enter(client, begin(cli)["user_code"]).status_code == 429


@pytest.mark.attack("O25")
def test_the_owner_is_told_of_an_approval(
    app: Flask, cli: Site, client: Visitor, alice: Person, outbox: Outbox
) -> None:
    approved(client, cli, address="198.51.100.7")
    (message,) = outbox.to(alice.email)
    assert message["Subject"] == "A program was given access to alice"
    text = message.get_content()
    assert "pkg was given access to your account alice" in text
    assert "198.51.100.7" in text
    assert "Read your packages" in text
    with app.app_context(), db.transaction():
        assert EventType.GRANT_APPROVED in [e.type for e in audit.events(alice.id)]


# Writing


@pytest.fixture
def settled(client: Visitor, make_account: MakeAccount, clock: Clock) -> Person:
    """Somebody whose browser has been known for long."""
    person = make_account("carol")
    sign_in(client, person, now=clock.now, first_seen=clock.now - timedelta(days=30))
    return person


def step_up(visitor: Visitor, person: Person, cli: Site, asked: dict[str, Any]) -> Any:
    """Approve a request that writes, with the proof it takes."""
    enter(visitor, asked["user_code"])
    location = decide(visitor, asked["user_code"]).location
    assert location.startswith("/step-up/")
    return visitor.post(location, way="password", password=person.password, code=visitor.outbox.code(person.email))


@pytest.mark.attack("O25")
def test_what_writes_takes_a_proof_of_this_very_request(
    cli: Site, client: Visitor, settled: Person, clock: Clock
) -> None:
    asked = begin(cli, WRITE)
    enter(client, asked["user_code"])
    location = decide(client, asked["user_code"]).location
    page = client.get(location).text
    for words in ("Give pkg access to your account", "Publish new versions", asked["phrase"]):
        assert words in page
    assert client.post(location, way="password", password="wrong " * 4, code="00000000").status_code == 401
    assert outcome(poll(cli, asked)) == "authorization_pending"
    done = client.post(location, way="password", password=settled.password, code=client.outbox.code(settled.email))
    assert "Approved" in done.text
    clock.advance(seconds=5)
    assert poll(cli, asked).json["scope"] == WRITE


def test_a_request_that_ended_during_the_proof_is_not_approved(
    cli: Site, client: Visitor, settled: Person, clock: Clock
) -> None:
    asked = begin(cli, WRITE)
    enter(client, asked["user_code"])
    location = decide(client, asked["user_code"]).location
    code = client.outbox.code(settled.email)
    decide(client, asked["user_code"], "deny")
    assert client.post(location, way="password", password=settled.password, code=code).status_code == 410
    assert outcome(poll(cli, asked)) == "access_denied"


def test_in_a_hold_reading_is_granted_and_writing_waits(
    app: Flask, cli: Site, client: Visitor, settled: Person, clock: Clock
) -> None:
    with app.app_context(), db.transaction():
        holds.begin(settled.id, HoldCause.OPERATOR, client=None, now=clock.now)
    asked = begin(cli, WRITE)
    enter(client, asked["user_code"])
    refused = decide(client, asked["user_code"])
    assert refused.status_code == 403
    assert "waits until" in refused.text
    assert outcome(poll(cli, approved(client, cli, READ))) == "tokens"


def test_what_was_approved_before_a_hold_publishes_only_after_it(
    app: Flask, clock: Clock, client: Visitor, settled: Person
) -> None:
    grants = [DEVICE_GRANT, "refresh_token"]
    cli = register(app, now=clock.now, secret=False, redirect_uris=[], grant_types=grants)
    registry = register(app, now=clock.now, resource_server=True)
    delivered, waiting = begin(cli, WRITE + " offline_access"), begin(cli, WRITE + " offline_access")
    for asked in (delivered, waiting):
        step_up(client, settled, cli, asked)
    before = poll(cli, delivered).json
    assert "packages:publish" in before["scope"]
    with app.app_context(), db.transaction():
        holds.begin(settled.id, HoldCause.OPERATOR, client=None, now=clock.now)
    got, again = poll(cli, waiting).json, cli.refresh(before["refresh_token"]).json or {}
    for token in (got, again):
        assert token["scope"] == "openid offline_access packages:read"
        assert registry.introspect(token["access_token"])["scope"] == token["scope"]
    assert "packages:publish" not in registry.introspect(before["access_token"])["scope"]
    with app.app_context(), db.transaction():
        holds.end_all(settled.id, now=clock.now)
    for token in (got, again, before):
        assert "packages:publish" in registry.introspect(token["access_token"])["scope"]


@pytest.mark.parametrize(
    ("address", "known_for", "waits"),
    [
        ("127.0.0.1", timedelta(days=30), None),
        ("127.0.0.1", timedelta(hours=24), None),
        ("127.0.0.1", timedelta(hours=23), timedelta(hours=1)),
        ("198.51.100.7", timedelta(days=30), timedelta(hours=24)),
        ("198.51.100.7", timedelta(hours=1), timedelta(hours=24)),
    ],
)
def test_from_a_new_place_or_browser_a_token_reads_only_for_a_day(
    app: Flask,
    cli: Site,
    client: Visitor,
    make_account: MakeAccount,
    clock: Clock,
    address: str,
    known_for: timedelta,
    waits: timedelta | None,
) -> None:
    person = make_account("carol")
    registry = register(app, now=clock.now, resource_server=True)
    sign_in(client, person, now=clock.now, first_seen=clock.now - known_for)
    asked = begin(cli, WRITE + " offline_access", address=address)
    shown = enter(client, asked["user_code"]).text
    assert ("Publish new versions of your packages (from" in shown) is (waits is not None)
    step_up(client, person, cli, asked)
    got = poll(cli, asked).json
    assert ("packages:publish" in got["scope"]) is (waits is None)
    assert "packages:read" in registry.introspect(got["access_token"])["scope"]
    if waits is not None:
        clock.advance(seconds=waits.total_seconds() - 1)
        fresh = register(app, now=clock.now, resource_server=True)
        if waits <= timedelta(hours=1):
            assert "packages:publish" not in fresh.introspect(got["access_token"])["scope"]
            clock.advance(seconds=1)
            again = begin(cli, WRITE)
            step_up(client, person, cli, again)
            assert "packages:publish" in poll(cli, again).json["scope"]


def test_a_token_that_had_to_wait_writes_when_its_day_is_over(
    app: Flask, clock: Clock, client: Visitor, settled: Person
) -> None:
    grants = [DEVICE_GRANT, "refresh_token"]
    cli = register(app, now=clock.now, secret=False, redirect_uris=[], grant_types=grants)
    asked = begin(cli, WRITE + " offline_access", address="198.51.100.7")
    step_up(client, settled, cli, asked)
    got = poll(cli, asked).json
    clock.advance(hours=24, seconds=-1)
    got = cli.refresh(got["refresh_token"]).json or {}
    assert "packages:publish" not in got["scope"]
    clock.advance(seconds=1)
    got = cli.refresh(got["refresh_token"]).json or {}
    assert "packages:publish" in got["scope"]
