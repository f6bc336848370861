"""Who may open the console: a table of every view of the URL map and every kind of caller (POLICY 13)."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from authsvc import accounts, holds
from authsvc.core.assurance import Action
from authsvc.policy.hold import HoldCause
from authsvc.policy.permission import TABLE
from tests.conftest import Clock
from tests.people import Person, Visitor
from tests.slices import request_to
from tests.staff.conftest import Colleague

CHANGING = re.compile(r'nonce-?="?[\w-]+"?|value="[^"]+"|nonce="[^"]+"')
NewClient = Callable[[], Visitor]
MakeAccount = Callable[..., Person]
MarkStaff = Callable[[Person], Person]
LOOKS = {"/staff/mandates/phases/change"}  # shows what a change would do, by POST since a rule is long


def views(app: Flask) -> Iterator[tuple[str, str, Action | str | None]]:
    """Method, path and mark of every view of the console, by path and by blueprint."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/staff") or rule.endpoint.startswith("staff."):
            path = re.sub(r"<[^>]+>", "1", rule.rule)
            mark = getattr(app.view_functions[rule.endpoint], "access", None)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, path, mark


def answers(app: Flask, visitor: Visitor) -> dict[tuple[str, str], TestResponse]:
    """What this browser gets from each view."""
    return {
        (method, path): visitor.get(path) if method == "GET" else visitor.post(path, decision="refuse", seen="0")
        for method, path, _ in views(app)
    }


@pytest.mark.attack("A02")
def test_every_view_of_the_console_carries_a_rule_for_staff_and_every_form_one_with_a_step_up(app: Flask) -> None:
    found = list(views(app))
    assert len(found) >= 4
    for method, path, mark in found:
        assert isinstance(mark, Action), path
        assert TABLE[mark].staff, path
        assert TABLE[mark].step_up is (method != "GET" and path not in LOOKS), path


@pytest.mark.attack("A02")
def test_nobody_is_led_to_sign_in(app: Flask, client: Visitor) -> None:
    for (_, path), answer in answers(app, client).items():
        assert answer.status_code == 303, path
        assert answer.location.startswith("/login?next="), path


@pytest.mark.attack("A02")
def test_an_account_that_is_not_staff_finds_nothing_however_strongly_it_signed_in(
    app: Flask, client: Visitor, make_account: MakeAccount
) -> None:
    client.sign_in(make_account("bob", key=True))
    nothing = CHANGING.sub("", client.get("/nothing-is-here").text)
    for (method, path), answer in answers(app, client).items():
        assert answer.status_code == 404, path
        if method == "GET":
            assert CHANGING.sub("", answer.text) == nothing, path


@pytest.mark.attack("A13")
@pytest.mark.parametrize(
    "wishes", [{}, {"totp_app": True}, {"key": True, "junior": True}], ids=["no key", "app", "junior key"]
)
def test_staff_without_a_senior_key_are_led_to_a_sign_in_with_one(
    wishes: dict[str, bool],
    app: Flask,
    client: Visitor,
    make_account: MakeAccount,
    mark_staff: MarkStaff,
    clock: Clock,
) -> None:
    client.sign_in(mark_staff(make_account("sam", **wishes)), now=clock.now)
    assert client.signed_in()
    for (method, path), answer in answers(app, client).items():
        assert answer.status_code == 403, path
        assert "The staff console takes a key" in answer.text, path
        assert f'href="/login?next={path if method == "GET" else "/account"}"' in answer.text, path


@pytest.mark.attack("A13")
def test_a_proof_of_the_key_opens_the_console_for_24_hours(sam: Colleague, clock: Clock) -> None:
    for hours in (11, 11):
        clock.advance(hours=hours)
        assert sam.visitor.get("/staff").status_code == 200
    clock.advance(hours=2, seconds=-1)
    assert sam.visitor.get("/staff").status_code == 200
    clock.advance(seconds=1)
    assert sam.visitor.get("/staff").status_code == 403
    sam.visitor.sign_in(sam.person)
    assert sam.visitor.get("/staff").status_code == 200


def test_staff_in_a_hold_wait(app: Flask, sam: Colleague, clock: Clock) -> None:
    with request_to(app):
        holds.begin(sam.person.id, HoldCause.ADDRESS_CHANGE, client=None, now=clock.now)
    for (_, path), answer in answers(app, sam.visitor).items():
        assert answer.status_code == 403, path
        assert "this waits until" in answer.text, path


@pytest.mark.attack("A13")
def test_a_token_of_staff_opens_nothing(app: Flask, client: Visitor) -> None:
    for method, path, _ in views(app):
        headers = {"Authorization": "Bearer anything", "Accept": "application/json"}
        sent = {"headers": headers}
        answer = client.get(path, **sent) if method == "GET" else client.post(path, **sent)
        assert answer.status_code == 401, path


def test_staff_with_a_senior_key_come_in_and_see_the_way_there_on_their_account(app: Flask, sam: Colleague) -> None:
    assert 'href="/staff"' in sam.visitor.get("/account").text
    assert sam.visitor.get("/staff").status_code == 200
    assert sam.visitor.get("/staff/recovery").status_code == 200


def test_others_do_not_see_the_way_there(client: Visitor, alice: Person) -> None:
    client.sign_in(alice)
    assert "/staff" not in client.get("/account").text


def test_a_mark_that_is_taken_closes_the_console_at_the_next_request(app: Flask, sam: Colleague) -> None:
    with request_to(app):
        accounts.set_staff(sam.person.id, is_staff=False)
    assert sam.visitor.get("/staff").status_code == 404


@pytest.mark.attack("A13")
def test_where_makers_roots_are_configured_a_key_without_attestation_does_not_do(app: Flask, sam: Colleague) -> None:
    app.extensions["authsvc.settings"] = replace(app.extensions["authsvc.settings"], attestation_roots_file="roots.pem")
    page = sam.visitor.get("/staff")
    assert page.status_code == 403
    assert "a security key whose hardware was verified" in page.text


# Who counts as able to decide


def able(app: Flask, clock: Clock) -> set[str]:
    """Names of staff who could decide now."""
    with request_to(app):
        return {accounts.get(account_id).username for account_id in accounts.staff_with_keys(now=clock.now)}


def test_staff_with_a_senior_key_could_decide_and_others_could_not(
    app: Flask, make_account: MakeAccount, mark_staff: MarkStaff, clock: Clock
) -> None:
    make_account("bob", key=True)
    mark_staff(make_account("app", totp_app=True))
    mark_staff(make_account("none"))
    mark_staff(make_account("junior", key=True, junior=True))
    sam = mark_staff(make_account("sam", key=True))
    assert able(app, clock) == {"sam"}
    clock.advance(hours=72, seconds=-1)
    assert able(app, clock) == {"sam"}
    clock.advance(seconds=1)
    assert able(app, clock) == {"sam", "junior"}
    with request_to(app):
        accounts.set_disabled(sam.id, now=clock.now)
    assert able(app, clock) == {"junior"}


def test_freezing_one_of_two_does_not_leave_the_other_alone(
    app: Flask, make_account: MakeAccount, mark_staff: MarkStaff, clock: Clock
) -> None:
    for name in ("sam", "sue"):
        mark_staff(make_account(name, key=True))
    with request_to(app):
        frozen = accounts.find("sue")
        assert frozen
        accounts.set_frozen(frozen.id, now=clock.now)
    assert able(app, clock) == {"sam", "sue"}
