"""Attacks on registration, addresses and the sign-in door that cross several slices (E, L, T)."""

from collections.abc import Callable

import pytest
from flask import Flask

from authsvc import accounts, passwords, sessions
from authsvc.accounts.names import InvalidAddress, normalise_address
from authsvc.core import db
from tests.conftest import NOON, Clock
from tests.oidc.site import Site
from tests.people import PASSWORD, Outbox, Person, Visitor

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]
NEW = "seven quiet otters paint the harbour"
THEIRS = {"username": "alice", "email": "alice@example.test", "password": "the password of an intruder"}


def addresses(app: Flask, person: Person) -> dict[str, bool]:
    """The account's addresses, and whether each was proved."""
    with app.app_context(), db.transaction():
        return {a.email: a.verified_at is not None for a in accounts.addresses(person.id)}


def adds(visitor: Visitor, person: Person, outbox: Outbox, email: str, **more: str) -> str:
    """Add an address with the step-up; gives the page that asks for its code."""
    page = visitor.post("/account/addresses/add", email=email, **more).location
    return str(visitor.post(page, way="password", password=PASSWORD, code=outbox.code(person.email), **more).location)


# Registration


@pytest.mark.attack("E01")
def test_e01_who_registers_with_somebody_elses_address_has_no_session_when_the_owner_comes(
    client: Visitor, new_client: NewClient, outbox: Outbox
) -> None:
    intruder = new_client()
    intruder.post("/register", **THEIRS)
    for path in ("/account", "/account/log", "/device", "/account/enrol"):
        assert intruder.get(path).status_code == 303
    client.post("/register", **{**THEIRS, "password": PASSWORD})
    client.post("/register/confirm", code=outbox.code("alice@example.test"))
    assert client.signed_in()
    assert not intruder.signed_in()
    assert intruder.post("/login", username="alice", password=THEIRS["password"]).status_code == 401
    assert intruder.post("/register/confirm", code=outbox.code("alice@example.test")).status_code != 303


@pytest.mark.attack("E02")
def test_e02_nothing_can_be_attached_before_the_address_is_proved(
    app: Flask, client: Visitor, new_client: NewClient, outbox: Outbox, site: Site
) -> None:
    intruder = new_client()
    intruder.post("/register", **THEIRS)
    assert intruder.post("/account/enrol", way="totp").location.startswith("/login")
    assert intruder.post("/account/addresses/add", email="evil@evil.test").location.startswith("/login")
    assert intruder.get(site.url()).location.startswith("/login")
    client.post("/register", **{**THEIRS, "password": PASSWORD})
    client.post("/register/confirm", code=outbox.code("alice@example.test"))
    with app.app_context(), db.transaction():
        account = accounts.find("alice")
        assert account
        assert [a.email for a in accounts.addresses(account.id)] == ["alice@example.test"]
        assert accounts.enrolled(account.id, now=NOON) == []
        assert len(sessions.of_account(account.id, now=NOON)) == 1


# Addresses


@pytest.mark.attack("E03")
def test_e03_an_address_an_intruder_was_adding_cannot_be_confirmed_once_the_owner_took_over(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice, intruder = make_account(), new_client()
    client.sign_in(alice)
    intruder.sign_in(alice)
    page = adds(intruder, alice, outbox, "evil@evil.test")
    code = outbox.code("evil@evil.test")
    change = client.post("/account/password", password=PASSWORD, new_password=NEW).location
    assert client.post(change, way="password", password=PASSWORD, code=outbox.code(alice.email)).status_code == 303
    assert intruder.post(page, code=code).location.startswith("/login")
    assert addresses(app, alice) == {alice.email: True, "evil@evil.test": False}


@pytest.mark.attack("E05")
def test_e05_a_sent_flag_verifies_no_address(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    client.sign_in(alice)
    flags = {"verified": "1", "verified_at": "2020-01-01", "is_primary": "1", "trusted": "true", "generation": "9"}
    page = adds(client, alice, outbox, "b@example.test", **flags)
    assert client.post(page, code="00000000", **flags).status_code == 401
    assert addresses(app, alice) == {alice.email: True, "b@example.test": False}


@pytest.mark.attack("E06")
def test_e06_a_code_proves_the_one_address_it_was_mailed_to(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    client.sign_in(alice)
    adds(client, alice, outbox, "mine@example.test")
    code = outbox.code("mine@example.test")
    page = adds(client, alice, outbox, "victim@example.test")
    assert client.post(page, code=code).status_code == 401
    assert addresses(app, alice)["victim@example.test"] is False


@pytest.mark.attack("E16")
@pytest.mark.parametrize(
    "address",
    ["a@evil.test@example.test", "a@evil.test,b@example.test", "a@", "@example.test", "a@ex ample.test", "a@-x.test"],
)
def test_e16_an_address_has_one_domain(client: Visitor, address: str) -> None:
    assert client.post("/register", **{**THEIRS, "email": address}).status_code == 422
    with pytest.raises(InvalidAddress):
        normalise_address(address)


@pytest.mark.attack("E16")
def test_e16_domains_are_compared_whole_and_as_a_labels() -> None:
    assert normalise_address("a@STRASSE.test") != normalise_address("a@straße.test")
    assert normalise_address("a@Example.TEST") == "a@example.test"
    assert normalise_address("a@bücher.test").endswith("@xn--bcher-kva.test")
    assert normalise_address("a@evilexample.test") != normalise_address("a@example.test")


@pytest.mark.attack("E20")
@pytest.mark.parametrize("field", ["username", "email"])
@pytest.mark.parametrize("injected", ["\r\nBcc: evil@evil.test", "\nBcc: evil@evil.test", "\rX: y", "\x00"])
def test_e20_line_ends_in_a_field_become_no_header(client: Visitor, outbox: Outbox, field: str, injected: str) -> None:
    answer = client.post("/register", **{**THEIRS, field: THEIRS[field] + injected + "x"})
    assert answer.status_code in {400, 422}
    assert outbox.messages == []


# The sign-in door


@pytest.mark.attack("L10")
@pytest.mark.parametrize("state", ["frozen", "disabled"])
def test_l10_the_state_of_an_account_is_told_to_nobody_without_its_password(
    app: Flask, client: Visitor, make_account: MakeAccount, state: str
) -> None:
    alice = make_account()
    with app.app_context(), db.transaction():
        (accounts.set_frozen if state == "frozen" else accounts.set_disabled)(alice.id, now=NOON)
    wrong = client.post("/login", username="alice", password="wrong wrong wrong")
    nobody = client.post("/login", username="nobody", password="wrong wrong wrong")

    def words(page: str) -> str:
        return page.partition('role="alert"')[2].partition("</div>")[0]

    assert (wrong.status_code, words(wrong.text)) == (nobody.status_code, words(nobody.text)) != (401, "")
    right = client.post("/login", username="alice", password=PASSWORD)
    assert right.status_code == (303 if state == "frozen" else 401)
    assert not client.signed_in()


@pytest.mark.attack("L13")
def test_l13_a_huge_password_is_refused_before_it_costs_anything(
    client: Visitor, make_account: MakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_account()

    def hashed(*_: object, **__: object) -> None:
        raise AssertionError("it was hashed")

    monkeypatch.setattr(passwords, "verify", hashed)
    monkeypatch.setattr(passwords, "hash_new", hashed)
    assert client.post("/login", username="alice", password="x" * 5000).status_code == 400
    assert client.post("/login", username="alice", password="x" * 70_000).status_code == 413
    assert client.post("/register", **{**THEIRS, "username": "bob", "password": "x" * 4000}).status_code == 422


@pytest.mark.attack("L14")
@pytest.mark.attack("L15")
def test_l14_every_character_of_name_and_password_counts(client: Visitor, make_account: MakeAccount) -> None:
    long = "a long phrase that goes on for more than seventy-two bytes, which is where bcrypt would have stopped ﬁ"
    name = "a" * 39
    make_account(name, password=long)
    for wrong in (long[:72], long[:-1], long + "x", long.replace("ﬁ", "fi"), f"{long} ", long.upper()):
        assert client.post("/login", username=name, password=wrong).status_code == 401, wrong
    for other in (name[:38], name + "a"):
        assert client.post("/login", username=other, password=long).status_code in {400, 401}
    assert client.post("/login", username=name, password=long).status_code == 303


@pytest.mark.attack("L15")
def test_l15_a_nul_byte_is_refused_not_cut_at(client: Visitor, make_account: MakeAccount) -> None:
    make_account()
    assert client.post("/login", username="alice", password=f"{PASSWORD}\x00x").status_code == 400
    assert client.post("/login", username="alice\x00x", password=PASSWORD).status_code == 400


@pytest.mark.attack("T08")
def test_t08_every_way_in_asks_for_the_second_factor(client: Visitor, make_account: MakeAccount, site: Site) -> None:
    # Given the right password of somebody with an app, and nothing else
    make_account("bob", totp_app=True)
    client.post("/login", username="bob", password=PASSWORD)
    for path in ("/account", "/account/log.json", "/device", site.url(), site.url(prompt="none")):
        location = client.get(path).location
        assert location.startswith("/login") or "error=login_required" in location, path
    # Then no other door takes the password alone
    for path in ("/account", "/oauth2/userinfo"):
        answer = client.http.get(path, base_url="http://localhost:8000", auth=("bob", PASSWORD))
        assert answer.status_code in {303, 401}
    granted = site.post("/oauth2/token", grant_type="password", username="bob", password=PASSWORD)
    assert (granted.json or {})["error"] == "unsupported_grant_type"
    assert client.post("/login/code", code="00000000").status_code in {401, 410}
    assert not client.signed_in()


@pytest.mark.attack("T22")
def test_t22_a_mailed_code_is_neither_a_first_nor_a_second_factor(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    client.post("/login", username="alice", password=PASSWORD)
    code = outbox.code(alice.email)
    stranger = new_client()
    stranger.get("/login")
    assert stranger.post("/login/code", code=code).status_code == 401
    assert client.post("/login/code", code=code).status_code == 303
    with app.app_context(), db.transaction():
        (session,) = sessions.of_account(alice.id, now=NOON)
    assert session.amr == {"pwd"}


@pytest.mark.attack("T20")
def test_t20_nothing_in_a_mail_approves_a_sign_in_by_being_opened(
    client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox
) -> None:
    # Given an intruder who has the password, and a victim who opens every link of the mail that follows
    alice, intruder = make_account(), new_client()
    client.sign_in(alice)
    intruder.post("/login", username="alice", password=PASSWORD)
    text = outbox.to(alice.email)[-1].get_content()
    for word in text.split():
        if word.startswith("http://localhost:8000/"):
            client.get(word.removeprefix("http://localhost:8000"))
    assert not intruder.signed_in()
    # Then the code works only where it is typed by the person who started
    assert new_client().post("/login/code", code=outbox.code(alice.email)).status_code == 401


@pytest.mark.attack("R21")
def test_r21_what_is_too_old_is_refused_although_nothing_was_cleaned_up(
    client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock, link: Callable[[Person], str]
) -> None:
    # Given no worker that removes anything
    alice = make_account()
    path = link(alice)
    client.post("/login", username="alice", password=PASSWORD)
    code = outbox.code(alice.email)
    clock.advance(hours=1)
    assert client.post("/login/code", code=code).status_code == 401
    client.get(path)
    assert client.get("/recovery/reset").status_code == 410
