"""Sessions and known browsers: listed, ended, stepped down, never taken from what somebody planted."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from authsvc import accounts, audit, devices, sessions
from authsvc.adapters.geoip import GeoIpFile
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import Acr
from authsvc.core.web import Client
from tests import geoip
from tests.conftest import Clock
from tests.people import BASE_URL, FIREFOX, Outbox, Person, Visitor

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
OSLO, BERGEN, LULEA = "192.0.2.1", "192.0.2.77", "198.51.100.9"


@pytest.fixture
def places(app: Flask, tmp_path: Path) -> None:
    """The app has a GeoIP file."""
    networks = {
        "192.0.2.0/26": geoip.place("NO", "Norway", "Oslo"),
        "192.0.2.64/26": geoip.place("NO", "Norway", "Bergen"),
        "198.51.100.0/24": geoip.place("SE", "Sweden", "Luleå"),
    }
    app.extensions["authsvc.places"] = GeoIpFile(str(geoip.write(tmp_path / "places.mmdb", networks))).look_up


def at(visitor: Visitor, ip: str) -> Visitor:
    """The visitor, at this address from now on."""
    visitor.http.environ_base["REMOTE_ADDR"] = ip
    return visitor


def events(app: Flask, account_id: int, kind: EventType) -> list[dict[str, object]]:
    with app.app_context(), db.transaction():
        return [e.detail for e in audit.events(account_id) if e.type is kind]


def browser_cookie(visitor: Visitor) -> str:
    cookie = visitor.http.get_cookie("authsvc-browser", domain="localhost")
    assert cookie
    return cookie.value


# --- the list


def test_the_twenty_first_session_ends_the_least_used_one(app: Flask, make_account: MakeAccount, clock: Clock) -> None:
    alice = make_account()
    here = Client(ip=OSLO, network=OSLO, browser="Firefox on Linux")

    def begin() -> int:
        clock.advance(seconds=1)
        with app.app_context(), db.transaction():
            return sessions.issue(
                alice.id,
                epoch=accounts.get(alice.id).epoch,
                acr=Acr.AAL1,
                amr=frozenset({"pwd"}),
                auth_time=clock.now,
                browser_id=None,
                client=here,
                now=clock.now,
            )[0]

    first, second, *_ = [begin() for _ in range(20)]
    with app.app_context(), db.transaction():
        assert len(sessions.of_account(alice.id, now=clock.now)) == 20
        sessions.touch(first, now=clock.now)
    newest = begin()
    with app.app_context(), db.transaction():
        left = {s.id for s in sessions.of_account(alice.id, now=clock.now)}
    assert len(left) == 20
    assert {first, newest} <= left
    assert second not in left


def test_signing_out_everywhere_here_too_ends_all(
    client: Visitor, new_client: NewClient, make_account: MakeAccount
) -> None:
    alice, other = make_account(), new_client()
    client.sign_in(alice)
    other.sign_in(alice)
    assert client.post("/account/sessions/end-all").location == "/login"
    assert not client.signed_in()
    assert not other.signed_in()


def test_forgetting_a_browser_ends_the_sessions_in_it_and_no_other(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount
) -> None:
    alice, other = make_account(), new_client()
    other.sign_in(alice)
    client.sign_in(alice)
    with app.app_context(), db.transaction():
        theirs = devices.find(browser_cookie(other), alice.id)
        own = devices.find(browser_cookie(client), alice.id)
    assert theirs
    assert own
    client.post(f"/account/browsers/{theirs.id}/forget")
    assert not other.signed_in()
    assert client.signed_in()
    assert client.post(f"/account/browsers/{own.id}/forget").location == "/login"
    assert not client.signed_in()


def test_a_browser_of_another_account_cannot_be_forgotten(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount
) -> None:
    bob, other = make_account("bob"), new_client()
    other.sign_in(bob)
    client.sign_in(make_account())
    with app.app_context(), db.transaction():
        found = devices.find(browser_cookie(other), bob.id)
    assert found
    assert client.post(f"/account/browsers/{found.id}/forget").status_code == 404
    assert other.signed_in()


def test_a_known_browser_dies_with_the_epoch(app: Flask, client: Visitor, make_account: MakeAccount) -> None:
    alice = make_account()
    client.sign_in(alice)
    with app.app_context(), db.transaction():
        assert devices.find(browser_cookie(client), alice.id)
        accounts.raise_epoch(alice.id)
        assert devices.find(browser_cookie(client), alice.id) is None


# --- browser cookies


@pytest.mark.attack("T14")
@pytest.mark.parametrize("planted", ["x" * 43, "x", "0" * 500])
def test_a_planted_browser_cookie_is_replaced(
    app: Flask, client: Visitor, make_account: MakeAccount, planted: str
) -> None:
    alice = make_account()
    client.http.set_cookie("authsvc-browser", planted, domain="localhost")
    client.sign_in(alice)
    assert len(browser_cookie(client)) == 43
    assert browser_cookie(client) != planted
    with app.app_context(), db.transaction():
        assert devices.find(planted, alice.id) is None


@pytest.mark.attack("S01")
@pytest.mark.attack("T14")
def test_the_browser_cookie_of_somebody_elses_browser_is_replaced_too(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount
) -> None:
    alice, mallory, theirs = make_account(), make_account("mallory"), new_client()
    theirs.sign_in(mallory)
    planted = browser_cookie(theirs)
    client.http.set_cookie("authsvc-browser", planted, domain="localhost")
    client.sign_in(alice)
    with app.app_context(), db.transaction():
        assert devices.find(planted, alice.id) is None
        assert devices.find(browser_cookie(client), alice.id)


def test_one_browser_is_known_to_each_account_that_signed_in_there(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice, bob = make_account(), make_account("bob")
    client.sign_in(alice)
    since = clock.now
    clock.advance(hours=1)
    client.sign_in(bob)
    clock.advance(hours=1)
    client.sign_in(alice)
    with app.app_context(), db.transaction():
        both = [devices.find(browser_cookie(client), person.id) for person in (alice, bob)]
    assert [b and b.first_seen_at for b in both] == [since, since + timedelta(hours=1)]
    assert len(events(app, alice.id, EventType.BROWSER_ADDED)) == 1


def test_a_browser_the_account_knows_keeps_its_cookie(client: Visitor, make_account: MakeAccount) -> None:
    alice = make_account()
    client.sign_in(alice)
    before = browser_cookie(client)
    client.sign_in(alice)
    assert browser_cookie(client) == before


# --- seen elsewhere


@pytest.mark.usefixtures("places")
def test_a_session_seen_in_a_new_country_asks_to_sign_in_again(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    at(client, OSLO).sign_in(alice)
    assert "Oslo, Norway" in client.get("/account").text
    answer = at(client, LULEA).get("/account")
    assert answer.location == "/login?next=/account"
    assert "seen in another country" in client.get("/login").text
    assert not at(client, OSLO).signed_in()  # its own country does not heal it: only proof does
    assert events(app, alice.id, EventType.SESSION_STEPPED_DOWN) == [{"why": "new country"}]
    (told,) = [m for m in outbox.to(alice.email) if m["Subject"] == "Session of alice stopped"]
    assert "Luleå, Sweden" in told.get_content()


@pytest.mark.usefixtures("places")
def test_whoever_goes_back_and_forth_is_asked_once_a_country(
    app: Flask, client: Visitor, make_account: MakeAccount
) -> None:
    alice = make_account()
    at(client, OSLO).sign_in(alice)
    assert not at(client, LULEA).signed_in()
    client.sign_in(alice)
    for ip in (LULEA, OSLO, LULEA):
        assert at(client, ip).signed_in()
    assert len(events(app, alice.id, EventType.SESSION_STEPPED_DOWN)) == 1


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("ip", [BERGEN, "203.0.113.1", "2001:db8::1"])
def test_another_address_in_the_country_or_an_unknown_one_changes_nothing(
    client: Visitor, make_account: MakeAccount, ip: str
) -> None:
    at(client, OSLO).sign_in(make_account())
    assert at(client, ip).signed_in()


def test_without_a_geoip_file_no_address_changes_anything(client: Visitor, make_account: MakeAccount) -> None:
    at(client, OSLO).sign_in(make_account())
    assert OSLO in client.get("/account").text
    assert at(client, LULEA).signed_in()


def test_a_session_seen_in_another_kind_of_browser_counts_aal1_and_opens_nothing(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account(totp_app=True)
    client.sign_in(alice, now=clock.now)
    with app.app_context(), db.transaction():
        assert [s.acr for s in sessions.of_account(alice.id, now=clock.now)] == [Acr.AAL2]
    assert client.get("/account", headers={"User-Agent": CHROME}).status_code == 303
    with app.app_context(), db.transaction():
        (session,) = sessions.of_account(alice.id, now=clock.now)
    assert (session.acr, session.stepped_down) == (Acr.AAL1, "other_browser")
    assert client.post("/account/sessions/end-others").location == "/login?next=/account"
    clock.advance(minutes=1)
    assert client.sign_in(alice, now=clock.now).location == "/account"
    assert client.signed_in()


@pytest.mark.parametrize("changed", ["rv:150.0) Gecko/20100101 Firefox/150.0", "Windows NT 10.0) Firefox/140.0"])
def test_an_update_or_another_system_is_the_same_kind_of_browser(
    client: Visitor, make_account: MakeAccount, changed: str
) -> None:
    client.sign_in(make_account())
    assert client.get("/account", headers={"User-Agent": f"Mozilla/5.0 ({changed}"}).status_code == 200


# --- requests of other sites


@pytest.mark.attack("C02")
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_every_form_refuses_other_sites_and_sibling_subdomains(
    app: Flask, client: Visitor, make_account: MakeAccount, site: str
) -> None:
    client.sign_in(make_account())
    token, tried = client.csrf(), 0
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}:
            if getattr(view, "machine", False):
                continue
            path = rule.build(dict.fromkeys(rule.arguments, 1))
            assert path is not None
            headers = {"User-Agent": FIREFOX, "Sec-Fetch-Site": site}
            sent = client.http.open(
                path[1], method=method, data={"csrf_token": token}, headers=headers, base_url=BASE_URL
            )
            assert sent.status_code == 403, rule
            tried += 1
    assert tried > 40
    assert client.signed_in()


def test_an_old_browser_without_fetch_metadata_needs_the_token_alone(
    client: Visitor, make_account: MakeAccount
) -> None:
    client.sign_in(make_account())
    assert client.post("/account/sessions/end-others", csrf_token="").status_code == 403
    assert client.post("/account/sessions/end-others").status_code == 303
