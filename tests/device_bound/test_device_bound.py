"""Sessions bound to a key in the device: a copied cookie dies within minutes, the device goes on."""

import base64
import hmac
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from flask import Flask
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from authsvc import accounts
from authsvc.core import db
from authsvc.core.config import Settings
from tests.conftest import Clock
from tests.device_bound.device import OFFER, Device
from tests.people import FIREFOX, Person, Visitor

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]
ORIGIN, HOST = "https://id.example.test", "id.example.test"
LONG, SHORT = "__Host-authsvc-session", "__Host-authsvc-bound"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The usual ones, over https."""
    return replace(settings, base_url=ORIGIN)


@pytest.fixture
def device(client: Visitor, make_account: MakeAccount) -> Device:
    """Alice's browser, signed in and bound."""
    bound = Device(client)
    assert bound.bind(client.sign_in(make_account())).status_code == 200
    return bound


def value(visitor: Visitor, name: str) -> str:
    cookie = visitor.http.get_cookie(name, domain=HOST)
    return cookie.value if cookie else ""


def part(value: dict[str, object]) -> str:
    """One part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def copy_of(visitor: Visitor, thief: Visitor, *names: str) -> Visitor:
    """The thief, with these cookies of the visitor."""
    for name in names:
        thief.http.set_cookie(name, value(visitor, name), domain=HOST, secure=True)
    return thief


# --- the offer


def test_a_browser_that_ignores_the_offer_keeps_a_plain_session(
    client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    offered = OFFER.fullmatch(client.sign_in(make_account()).headers["Secure-Session-Registration"])
    assert offered
    assert offered["algorithms"] == "ES256 RS256"
    clock.advance(hours=11)
    assert client.signed_in()
    assert "Bound to this device" not in client.get("/account").text


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_a_bound_session_is_shown_as_such(client: Visitor, make_account: MakeAccount, alg: str) -> None:
    answer = Device(client, alg).bind(client.sign_in(make_account()))
    assert answer.json
    assert answer.json["scope"]["origin"] == ORIGIN
    assert answer.json["credentials"][0]["name"] == SHORT
    assert "Max-Age=570; Path=/; SameSite=Lax" in (
        cookie := answer.headers["Set-Cookie"].replace("Secure; HttpOnly; ", "")
    )
    assert SHORT in cookie
    assert "Bound to this device" in client.get("/account").text


@pytest.mark.parametrize("path", ["/session/bind", "/session/refresh"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_cannot_make_a_browser_call_it(device: Device, path: str, site: str) -> None:
    assert device.send(path, Sec_Fetch_Site=site).status_code == 403


# --- what a copy is worth


@pytest.mark.attack("S01")
def test_the_long_cookie_alone_is_worth_nothing(device: Device, new_client: NewClient, clock: Clock) -> None:
    clock.advance(minutes=1)
    assert not copy_of(device.visitor, new_client(), LONG).signed_in()
    assert device.visitor.signed_in()


def test_requests_under_way_while_the_key_was_registered_still_count(
    device: Device, new_client: NewClient, clock: Clock
) -> None:
    clock.advance(seconds=59)
    assert copy_of(device.visitor, new_client(), LONG).signed_in()


def test_a_copy_of_both_cookies_dies_after_ten_minutes_and_the_device_goes_on(
    device: Device, new_client: NewClient, clock: Clock
) -> None:
    thief = copy_of(device.visitor, new_client(), LONG, SHORT)
    clock.advance(minutes=9, seconds=59)
    assert thief.signed_in()
    clock.advance(seconds=1)
    assert not thief.signed_in()
    assert not device.visitor.signed_in()
    assert device.refresh().status_code == 200
    assert device.visitor.signed_in()
    assert not thief.signed_in()


def test_a_refresh_leaves_the_cookie_before_the_rest_of_its_time_and_no_more(
    device: Device, new_client: NewClient, clock: Clock
) -> None:
    thief = copy_of(device.visitor, new_client(), LONG, SHORT)
    clock.advance(minutes=8)
    assert device.refresh().status_code == 200
    assert thief.signed_in()  # or requests under way would be signed out
    clock.advance(minutes=2)
    assert not thief.signed_in()
    assert device.visitor.signed_in()


def test_a_copy_cannot_refresh_without_the_key(device: Device, new_client: NewClient, clock: Clock) -> None:
    thief = Device(copy_of(device.visitor, new_client(), LONG, SHORT))
    thief.identifier = device.identifier
    clock.advance(minutes=10)
    assert thief.refresh().status_code == 403
    assert thief.answer(thief.sign(thief.challenge(), first=True)).status_code == 403  # its own key, brought along
    assert device.refresh().status_code == 200  # and its tries spoil nothing


def test_a_short_cookie_of_another_session_is_worth_nothing(
    device: Device, new_client: NewClient, make_account: MakeAccount, clock: Clock
) -> None:
    other = new_client()
    Device(other).bind(other.sign_in(make_account("mallory")))
    clock.advance(minutes=1)
    thief = copy_of(other, copy_of(device.visitor, new_client(), LONG), SHORT)
    assert not thief.signed_in()


# --- binding: once, by a challenge of this session, soon


def test_a_session_is_bound_once(client: Visitor, make_account: MakeAccount) -> None:
    signed_in = client.sign_in(make_account())
    assert Device(client).bind(signed_in).status_code == 200
    assert Device(client).bind(signed_in).status_code == 403


@pytest.mark.parametrize(("seconds", "status"), [(119, 200), (120, 403)])
def test_the_offer_lasts_two_minutes(
    client: Visitor, make_account: MakeAccount, clock: Clock, seconds: int, status: int
) -> None:
    signed_in = client.sign_in(make_account())
    clock.advance(seconds=seconds)
    assert Device(client).bind(signed_in).status_code == status
    assert client.signed_in()


def test_the_offer_of_another_session_binds_nothing(
    client: Visitor, new_client: NewClient, make_account: MakeAccount
) -> None:
    alice = make_account()
    theirs = new_client().sign_in(alice)
    client.sign_in(alice)
    assert Device(client).bind(theirs).status_code == 403


def test_a_challenge_to_refresh_does_not_bind(client: Visitor, device: Device) -> None:
    proof = device.sign(device.challenge(), first=True)
    assert device.send("/session/bind", Secure_Session_Response=proof).status_code == 403


def test_nobody_without_the_session_binds_it(client: Visitor, new_client: NewClient, make_account: MakeAccount) -> None:
    signed_in = client.sign_in(make_account())
    assert Device(new_client()).bind(signed_in).status_code == 403


# --- refreshing: each challenge once, by the registered key and algorithm


def test_a_challenge_is_answered_once(device: Device, clock: Clock) -> None:
    clock.advance(minutes=5)
    proof = device.sign(device.challenge())
    assert device.answer(proof).status_code == 200
    assert device.answer(proof).status_code == 403


def test_a_challenge_made_before_the_one_answered_is_dead(device: Device, clock: Clock) -> None:
    clock.advance(minutes=5)
    older = device.sign(device.challenge())
    clock.advance(seconds=1)
    assert device.refresh().status_code == 200
    assert device.answer(older).status_code == 403


@pytest.mark.parametrize(("seconds", "status"), [(119, 200), (120, 403)])
def test_a_challenge_lasts_two_minutes(device: Device, clock: Clock, seconds: int, status: int) -> None:
    clock.advance(minutes=5)
    proof = device.sign(device.challenge())
    clock.advance(seconds=seconds)
    assert device.answer(proof).status_code == status


def test_a_challenge_of_another_session_is_refused(
    device: Device, new_client: NewClient, make_account: MakeAccount, clock: Clock
) -> None:
    other = new_client()
    mallory = Device(other)
    mallory.bind(other.sign_in(make_account("mallory")))
    clock.advance(minutes=5)
    assert device.answer(device.sign(mallory.challenge())).status_code == 403


@pytest.mark.attack("J01")
@pytest.mark.attack("J02")
def test_a_proof_counts_by_the_registered_algorithm_alone(device: Device, clock: Clock) -> None:
    clock.advance(minutes=5)
    challenge = device.challenge()
    none = part({"alg": "none", "typ": "dbsc+jwt"}) + "." + part({"jti": challenge}) + "."
    signed = part({"alg": "HS256", "typ": "dbsc+jwt"}) + "." + part({"jti": challenge})
    mac = hmac.digest(device.key.as_pem(private=False), signed.encode(), "sha256")
    keyed = f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    rsa = jwt.encode(
        {"alg": "RS256", "typ": "dbsc+jwt"}, {"jti": challenge}, RSAKey.generate_key(2048), algorithms=["RS256"]
    )
    for forged in (none, keyed, rsa, device.sign(challenge, typ="JWT"), "", "a.b.c", "x" * 5000):
        assert device.answer(forged).status_code == 403, forged
    assert device.answer(device.sign(challenge)).status_code == 200


@pytest.mark.attack("J04")
def test_a_proof_with_an_unknown_critical_header_is_refused(device: Device, clock: Clock) -> None:
    clock.advance(minutes=5)
    signed = (
        part({"alg": "ES256", "typ": "dbsc+jwt", "crit": ["exp"], "exp": 1}) + "." + part({"jti": device.challenge()})
    )
    assert isinstance(device.key, ECKey)
    r, s = decode_dss_signature(device.key.private_key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))  # type: ignore[union-attr]
    signature = base64.urlsafe_b64encode(r.to_bytes(32) + s.to_bytes(32)).decode().rstrip("=")
    assert device.answer(f"{signed}.{signature}").status_code == 403


def test_weak_or_foreign_keys_do_not_bind(client: Visitor, make_account: MakeAccount) -> None:
    signed_in = client.sign_in(make_account())
    offered = OFFER.fullmatch(signed_in.headers["Secure-Session-Registration"])
    assert offered
    with pytest.warns(SecurityWarning):
        small = RSAKey.generate_key(1024)
    for alg, key in (("ES384", ECKey.generate_key("P-384")), ("RS256", small)):
        header = {"alg": alg, "typ": "dbsc+jwt", "jwk": key.as_dict(private=False)}
        forged = jwt.encode(header, {"jti": offered["challenge"]}, key, algorithms=[alg])
        answer = Device(client).send("/session/bind", Secure_Session_Response=forged)
        assert answer.status_code == 403, alg
    assert client.signed_in()


# --- ends


def test_a_session_that_ended_tells_the_browser_to_stop(device: Device, clock: Clock) -> None:
    device.visitor.post("/logout")
    answer = device.send("/session/refresh", Sec_Secure_Session_Id=device.identifier)
    assert answer.status_code == 200
    assert answer.json == {"session_identifier": device.identifier, "continue": False}
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("identifier", ["", "https://id.example.test/1.00000000000000000000000000000000", "1", "x/y"])
def test_a_session_that_never_was_looks_like_one_that_ended(device: Device, identifier: str) -> None:
    answer = device.send("/session/refresh", Sec_Secure_Session_Id=identifier)
    assert answer.json == {"session_identifier": identifier, "continue": False}


@pytest.mark.attack("S02")
def test_a_session_that_overlaps_an_epoch_rise_ends_dead(
    app: Flask, client: Visitor, device: Device, clock: Clock
) -> None:
    clock.advance(minutes=5)
    proof = device.sign(device.challenge())
    with app.app_context(), db.transaction():
        account = accounts.find("alice")
        assert account
        accounts.raise_epoch(account.id)
    answer = device.answer(proof)
    assert answer.json == {"session_identifier": device.identifier, "continue": False}
    assert not client.signed_in()


def test_the_browser_that_changed_the_password_stays_bound(
    client: Visitor, device: Device, new_client: NewClient, clock: Clock
) -> None:
    alice = Person(0, "alice", "alice@example.test")
    page = client.post(
        "/account/password", password=alice.password, new_password="something wholly different now"
    ).location
    code = client.outbox.code(alice.email)
    assert client.post(page, way="password", password=alice.password, code=code).status_code == 303
    assert client.signed_in()
    clock.advance(minutes=10)
    assert not client.signed_in()
    assert device.refresh().status_code == 200
    assert client.signed_in()


def test_signing_in_again_replaces_a_session_whose_short_cookie_is_gone(
    client: Visitor, device: Device, clock: Clock
) -> None:
    clock.advance(minutes=11)
    again = Device(client)
    assert again.bind(client.sign_in(Person(0, "alice", "alice@example.test"))).status_code == 200
    assert again.identifier != device.identifier
    assert client.signed_in()
    ended = device.send("/session/refresh", Sec_Secure_Session_Id=device.identifier)
    assert ended.json
    assert ended.json["continue"] is False


# --- races


@pytest.mark.attack("T06")
def test_of_parallel_refreshes_with_one_proof_exactly_one_wins(app: Flask, device: Device, clock: Clock) -> None:
    clock.advance(minutes=5)
    proof, together = device.sign(device.challenge()), Barrier(4)
    headers = {
        "User-Agent": FIREFOX,
        "Sec-Secure-Session-Id": device.identifier,
        "Secure-Session-Response": proof,
        "Cookie": device.visitor.cookies(),
    }

    def send(_: int) -> int:
        together.wait()
        sent = app.test_client(use_cookies=False).post("/session/refresh", base_url=ORIGIN, headers=headers)
        return sent.status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(send, range(4))) == [200, 403, 403, 403]


def test_of_parallel_registrations_exactly_one_wins(app: Flask, client: Visitor, make_account: MakeAccount) -> None:
    offered = OFFER.fullmatch(client.sign_in(make_account()).headers["Secure-Session-Registration"])
    assert offered
    cookies, together = client.cookies(), Barrier(4)
    challenge = offered["challenge"]

    def send(_: int) -> int:
        proof = Device(client).sign(challenge, first=True)
        headers = {"User-Agent": FIREFOX, "Secure-Session-Response": proof, "Cookie": cookies}
        together.wait()
        return app.test_client(use_cookies=False).post("/session/bind", base_url=ORIGIN, headers=headers).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(send, range(4))) == [200, 403, 403, 403]


def test_a_key_of_a_curve_that_nobody_knows_binds_nothing(client: Visitor, make_account: MakeAccount) -> None:
    signed_in = client.sign_in(make_account())
    offered = OFFER.fullmatch(signed_in.headers["Secure-Session-Registration"])
    assert offered
    jwk = {"kty": "EC", "crv": "P-1", "x": "AQAB", "y": "AQAB"}
    header: dict[str, object] = {"alg": "ES256", "typ": "dbsc+jwt", "jwk": jwk}
    proof = f"{part(header)}.{part({'jti': offered['challenge']})}.AQAB"
    assert Device(client).send(offered["path"], Secure_Session_Response=proof).status_code == 403
    assert client.signed_in()
