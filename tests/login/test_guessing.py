"""Guessing over HTTP: whose tries are used up, what every way in shares, who is told, and who still gets in."""

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from authsvc import accounts, audit, budgets, email_codes, login, stuffing
from authsvc.audit import EventType
from authsvc.core import db, rate_limits
from authsvc.core.config import Settings
from authsvc.policy.stuffing import Thresholds
from tests import rivals
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor
from tests.slices import at_once, request_to

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]
LINK = re.compile(r"http://localhost:8000(/login/pass/\S+)")
NEW = "seven quiet otters paint the harbour"
LIMITS = Thresholds()


def guess(visitor: Visitor, name: str = "alice", password: str = "wrong wrong wrong", ip: str = "") -> TestResponse:
    """One guess, from a network of one's own where `ip` is given."""
    if ip:
        visitor.http.environ_base["REMOTE_ADDR"] = ip
    return visitor.post("/login", username=name, password=password)


def use_up(visitor: Visitor, name: str = "alice") -> None:
    """Use up the strangers' tries."""
    for _ in range(11):
        assert guess(visitor, name).status_code == 401


def subjects(outbox: Outbox, person: Person) -> list[str]:
    """What the person was mailed."""
    return [message["Subject"] for message in outbox.to(person.email)]


def pass_links(outbox: Outbox, person: Person) -> list[str]:
    """Paths of the mailed links, oldest first."""
    found = (LINK.search(message.get_content()) for message in outbox.to(person.email))
    return [match[1] for match in found if match]


def events(app: Flask, person: Person) -> list[EventType]:
    """What the account's log says, newest first."""
    with app.app_context(), db.transaction():
        return [e.type for e in audit.events(person.id)]


def tell_unfinished(app: Flask, clock: Clock) -> int:
    """What the worker does each minute."""
    with app.app_context():
        return login.tell_unfinished(now=clock.now)


# --- one budget, whatever the spelling and whichever the way in


@pytest.mark.attack("L02")
@pytest.mark.parametrize(
    "spellings",
    [
        ("alice", " ALICE ", "alice@example.test", "Alice@EXAMPLE.test.", " aLiCe"),
        ("nobody", " NOBODY", "noBody ", "nobody\t", "Nobody"),
        (
            "nobody@straße.test",
            "NOBODY@STRASSE.test",
            "nobody@xn--strae-oqa.test",
            "nobody@straße.test",
            "nobody@STRAßE.test.",
        ),
        ("аlice", "ａlice", "alıce", "al\u200bice", "a l i c e"),  # no account can have these: one budget for all
    ],
)
def test_no_spelling_opens_a_second_budget(
    app: Flask, client: Visitor, make_account: MakeAccount, spellings: tuple[str, ...]
) -> None:
    make_account()
    for number in range(10):
        guess(client, spellings[number % len(spellings)])
    with request_to(app):
        found = [accounts.find(name) for name in spellings]
        whom = {
            budgets.subject_of(account.id if account else None, n) for account, n in zip(found, spellings, strict=True)
        }
        spent = {budgets.streak("password", subject, None) for subject in whom}
    if "straße" not in spellings[0]:  # IDNA 2008: ß and ss are two domains, and stay two
        assert len(whom) == 1
        assert spent == {10}
    else:
        assert len(whom) == 2


@pytest.mark.attack("L01")
def test_sign_in_step_up_and_the_change_form_share_a_browsers_password_budget(
    client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    client.sign_in(alice)
    page = client.post("/account/enrol", way="totp").location
    code = outbox.code(alice.email)
    for _ in range(4):
        assert guess(client).status_code == 401
        assert client.post("/account/password", password="wrong wrong wrong", new_password=NEW).status_code == 422
    for _ in range(2):
        assert client.post(page, way="password", password="wrong wrong wrong", code=code).status_code == 401
    assert client.post(page, way="password", password=PASSWORD, code=code).status_code == 429
    assert client.post("/account/password", password=PASSWORD, new_password=NEW).status_code == 429
    assert guess(client, password=PASSWORD).status_code == 401


@pytest.mark.attack("L01")
def test_codes_typed_for_devices_have_one_budget_for_all_browsers_of_an_account(
    client: Visitor, new_client: NewClient, make_account: MakeAccount
) -> None:
    alice, other = make_account(), new_client()
    client.sign_in(alice)
    other.sign_in(alice)
    statuses = [(client, other)[number % 2].post("/device", user_code="BCDF-GHJK").status_code for number in range(6)]
    assert statuses[-1] == 429
    assert 429 not in statuses[:5]


# --- outsiders cannot lock owners out


def test_a_known_browser_signs_in_while_strangers_use_up_theirs_and_changes_networks(
    client: Visitor, new_client: NewClient, make_account: MakeAccount
) -> None:
    alice = make_account()
    client.sign_in(alice)
    use_up(new_client())
    for ip in ("198.51.100.7", "2001:db8::1", "203.0.113.200"):
        assert guess(client, password=PASSWORD, ip=ip).status_code == 303, ip
    assert guess(new_client(), password=PASSWORD).status_code == 401


def test_when_strangers_used_up_theirs_a_mailed_link_gives_its_browser_an_hour_of_its_own(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    alice, bot = make_account(), new_client()
    use_up(bot)
    assert guess(client, password=PASSWORD).status_code == 401
    (path,) = pass_links(outbox, alice)
    page = client.get(path, follow_redirects=True)
    assert "Sign in from this browser" in page.text
    assert guess(client, password=PASSWORD).status_code == 401  # opening alone does nothing (attack R19)
    assert client.post("/login/pass").location == "/login"
    assert guess(client, password=PASSWORD).status_code == 303
    assert guess(bot, password=PASSWORD).status_code == 401
    assert {EventType.TRIES_USED_UP, EventType.TRIES_RENEWED} <= set(events(app, alice))
    clock.advance(minutes=59, seconds=59)
    use_up(bot)
    assert guess(client, password=PASSWORD).status_code == 303
    clock.advance(seconds=1)
    assert guess(client, password=PASSWORD).status_code == 401


def test_the_link_works_once_for_an_hour_for_its_account_and_epoch(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    alice = make_account()
    make_account("bob")
    for _ in range(3):
        use_up(client)
        clock.advance(minutes=16 if pass_links(outbox, alice) else 0)
    first, second, third = pass_links(outbox, alice)
    clock.advance(minutes=11)  # the first was mailed 59 minutes ago
    for path, seconds, status in ((first, 59, 303), (first, 0, 410), (second, 16 * 60 + 1, 410)):
        clock.advance(seconds=seconds)
        visitor = new_client()
        visitor.get(path)
        assert visitor.post("/login/pass").status_code == status
    with app.app_context(), db.transaction():
        accounts.raise_epoch(alice.id)
    last = new_client()
    assert last.get(third, follow_redirects=True).status_code == 410
    assert last.post("/login/pass").status_code == 410
    assert last.get("/login/pass/no-such-token", follow_redirects=True).status_code == 410


@pytest.mark.attack("R23")
def test_at_most_one_such_mail_goes_out_in_a_quarter_of_an_hour(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    alice = make_account()
    use_up(client)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: guess(Visitor(app, outbox)), range(8)))
    assert len(pass_links(outbox, alice)) == 1
    clock.advance(minutes=14, seconds=59)
    use_up(client)
    assert len(pass_links(outbox, alice)) == 1
    clock.advance(seconds=1)
    guess(client)
    assert len(pass_links(outbox, alice)) == 2


def test_two_browsers_that_open_one_link_at_once_get_one_pass(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    from flask import make_response

    from authsvc.login import passes

    alice = make_account()
    use_up(client)
    token = pass_links(outbox, alice)[0].rpartition("/")[2]

    def open_it() -> bool:
        try:
            passes.open_link(token, make_response(""), now=clock.now)
        except passes.PassGone:
            return False
        return True

    assert sorted(at_once(app, *[open_it] * 4)) == [False, False, False, True]


def test_second_factors_and_mailed_codes_have_the_way_by_mail_as_well(
    client: Visitor, new_client: NewClient, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    bob, bot = make_account("bob", totp_app=True), new_client()
    for _ in range(6):
        guess(bot, "bob", PASSWORD)
        bot.post("/login/totp", code="000000")
    client.get(pass_links(outbox, bob)[0])
    client.post("/login/pass")
    assert client.sign_in(bob, now=clock.now).location == "/account"
    alice, owner = make_account(), new_client()
    for _ in range(6):
        guess(bot, "alice", PASSWORD)
    owner.get(pass_links(outbox, alice)[0])
    owner.post("/login/pass")
    assert owner.sign_in(alice).location == "/account"


def test_no_link_goes_to_an_address_that_is_not_trusted(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    alice = make_account()
    with app.app_context(), db.transaction():
        accounts.set_trust("example.test", verdict="lapsed", generation=1, now=clock.now)
    use_up(client)
    assert pass_links(outbox, alice) == []


# --- the owner hears


@pytest.mark.attack("T03")
def test_three_wrong_codes_in_a_row_are_told_once_an_hour_and_the_password_is_asked_for_again(
    client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    bob = make_account("bob", totp_app=True)
    guess(client, "bob", PASSWORD)
    for told in (0, 0, 1, 1, 1):
        client.post("/login/totp", code="000000")
        assert subjects(outbox, bob).count("Wrong codes for bob") == told
    assert client.post("/login/totp", code=bob.totp(clock.now)).status_code == 429
    clock.advance(minutes=6)
    assert client.post("/login/totp", code=bob.totp(clock.now)).status_code == 401  # the sign-in has ended
    clock.advance(minutes=54)
    guess(client, "bob", PASSWORD)
    client.post("/login/totp", code="000000")
    assert subjects(outbox, bob).count("Wrong codes for bob") == 2


def test_a_right_password_that_goes_no_further_is_told_and_after_three_must_be_replaced(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    bob, subject = make_account("bob", totp_app=True), "Somebody knows the password of bob"
    guess(new_client(), "bob", PASSWORD, ip="203.0.113.9")
    clock.advance(minutes=14, seconds=59)
    assert (tell_unfinished(app, clock), subjects(outbox, bob).count(subject)) == (0, 0)
    clock.advance(seconds=1)
    assert (tell_unfinished(app, clock), subjects(outbox, bob).count(subject)) == (1, 1)
    assert (tell_unfinished(app, clock), subjects(outbox, bob).count(subject)) == (0, 1)  # once each
    left = new_client()
    guess(left, "bob", PASSWORD, ip="203.0.113.9")
    left.post("/login/cancel")
    tell_unfinished(app, clock)
    guess(client, "bob", PASSWORD)
    client.post("/login/totp", code=bob.totp(clock.now))
    assert client.signed_in()  # two are not three
    guess(new_client(), "bob", PASSWORD, ip="203.0.113.9")
    clock.advance(minutes=15)
    tell_unfinished(app, clock)
    assert subjects(outbox, bob).count(subject) == 3
    assert events(app, bob).count(EventType.LOGIN_UNFINISHED) == 3
    owner = new_client()
    guess(owner, "bob", PASSWORD)
    owner.post("/login/totp", code=bob.totp(clock.now))
    assert "went no further" in owner.get("/login/next").text
    assert owner.post("/login/new-password", new_password=NEW).location == "/account"


@pytest.mark.attack("R23")
def test_whoever_knows_the_password_cannot_fill_the_mailbox(
    app: Flask, new_client: NewClient, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    bob, subject = make_account("bob", totp_app=True), "Somebody knows the password of bob"
    for _ in range(8):
        guess(new_client(), "bob", PASSWORD, ip="203.0.113.9")
        clock.advance(minutes=15)
        tell_unfinished(app, clock)
    assert subjects(outbox, bob).count(subject) == 3
    clock.advance(hours=24)
    guess(new_client(), "bob", PASSWORD, ip="203.0.113.9")
    clock.advance(minutes=15)
    tell_unfinished(app, clock)
    assert subjects(outbox, bob).count(subject) == 4


def test_an_owner_who_starts_over_or_is_known_alarms_nobody(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    alice = make_account()
    guess(client, password=PASSWORD)  # the mail comes late
    client.sign_in(alice)
    guess(client, password=PASSWORD)  # known by now, and left
    clock.advance(minutes=20)
    tell_unfinished(app, clock)
    assert EventType.LOGIN_UNFINISHED not in events(app, alice)
    assert not [s for s in subjects(outbox, alice) if s.startswith("Somebody knows")]


def test_two_workers_tell_of_a_sign_in_once(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True)
    guess(client, "bob", PASSWORD)
    clock.advance(minutes=15)
    assert sum(at_once(app, *[lambda: login.tell_unfinished(now=clock.now)] * 3)) == 1
    assert events(app, bob).count(EventType.LOGIN_UNFINISHED) == 1


# --- stuffing and spraying


@pytest.mark.attack("L19")
def test_a_network_that_stuffs_is_slowed_and_a_known_browser_there_is_not(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount
) -> None:
    alice, bot = make_account(), new_client()
    client.sign_in(alice)
    statuses = [guess(bot, f"somebody{n}", f"leaked pass {n}").status_code for n in range(LIMITS.pairs + 8)]
    assert statuses[: LIMITS.pairs] == [401] * LIMITS.pairs
    assert set(statuses[LIMITS.pairs :]) == {401, 429}
    slowed = guess(bot, "somebody999", "leaked pass 999")
    assert (slowed.status_code, slowed.headers["Retry-After"]) == (429, "60")
    assert guess(new_client(), password=PASSWORD).status_code == 429  # a stranger who shares the network
    assert guess(client, password=PASSWORD).status_code == 303
    assert guess(new_client(), password=PASSWORD, ip="198.51.100.77").status_code == 303


def test_one_person_typing_one_wrong_password_all_day_is_not_slowed(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    make_account()
    for _ in range(60):
        assert guess(client).status_code == 401
        clock.advance(seconds=20)
    with request_to(app):
        assert not stuffing.current().look("127.0.0.1", now=clock.now).tripped


@pytest.mark.attack("L19")
def test_a_right_password_that_is_sprayed_is_replaced_before_the_sign_in_completes(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    for number in range(LIMITS.accounts):
        guess(new_client(), f"maintainer{number}", PASSWORD, ip=f"10.0.{number}.1")
    guess(client, password=PASSWORD)
    client.post("/login/code", code=outbox.code(alice.email))
    assert not client.signed_in()
    assert "tried on many accounts" in client.get("/login/next").text
    assert client.post("/login/new-password", new_password=NEW).location == "/account"
    assert EventType.PASSWORD_FOUND_SPRAYED in events(app, alice)


@pytest.mark.attack("L04")
def test_the_64s_of_one_48_share_a_wider_limit(client: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rate_limits.LIMITS, "login", (2, 60))
    statuses = [guess(client, ip=f"2001:db8:7:{number // 3:x}::{number}").status_code for number in range(15)]
    assert statuses[:6] == [401, 401, 429] * 2  # two for each /64
    assert statuses[-3:] == [429] * 3  # eight for the /48, counted by whoever got that far
    assert guess(client, ip="2001:db8:8::1").status_code == 401


# --- mailed codes


@pytest.mark.attack("T05")
def test_of_codes_issued_at_once_only_the_newest_works(app: Flask, make_account: MakeAccount, clock: Clock) -> None:
    alice = make_account()

    def issue() -> str:
        return email_codes.issue("login:7", alice.email, now=clock.now)

    codes = at_once(app, *[issue] * 4)

    def works(code: str) -> bool:
        with request_to(app):
            return email_codes.spend("login:7", code, now=clock.now) is not None

    assert sum(works(code) for code in codes) == 1


@pytest.mark.attack("L09")
def test_a_right_password_of_a_disabled_account_is_not_even_compared(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from authsvc.passwords import hashing

    mallory = make_account("mallory")
    with app.app_context(), db.transaction():
        accounts.set_disabled(mallory.id, now=clock.now)
    compared: list[str | None] = []

    def matches(hashed: str | None, typed: str) -> bool:
        compared.append(hashed)
        return False

    monkeypatch.setattr(hashing, "matches", matches)
    assert guess(client, "mallory", PASSWORD).status_code == 401
    assert compared == [None]


# --- races: the budget is exact over threads and processes


@pytest.mark.slow
@pytest.mark.attack("L06")
def test_two_processes_with_threads_never_compare_more_guesses_than_the_budget_allows(
    app: Flask, settings: Settings, make_account: MakeAccount, clock: Clock
) -> None:
    make_account()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        done = [processes.submit(rivals.guess, settings, "alice", clock.now) for _ in range(2)]
        counted = sum((one.result(timeout=120) for one in done), Counter[str]())
    assert counted == {"compared": 10, "refused": 2 * rivals.GUESSES - 10}


@pytest.mark.attack("L06")
@pytest.mark.parametrize(("purpose", "allowed"), [("second_factor", 5), ("mailed_code", 5), ("tries_mail", 1)])
def test_charges_at_the_same_instant_are_all_counted(app: Flask, clock: Clock, purpose: str, allowed: int) -> None:
    def charge() -> bool:
        return budgets.charge(purpose, "account:1", None, now=clock.now).allowed

    assert sum(at_once(app, *[charge] * 12)) == allowed
