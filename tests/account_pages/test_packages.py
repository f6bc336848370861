"""The packages page: what is maintained and why it matters, and invitations that only their owner answers."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from authsvc import holds, mandates
from authsvc.core import db
from authsvc.mandates import by_account, snapshots
from authsvc.mandates.models import Ownership
from authsvc.policy.hold import HoldCause
from tests.conftest import NOON, Clock
from tests.mandates.test_accepting import push
from tests.people import PASSWORD, Outbox, Person, Visitor
from tests.slices import request_to

MakeAccount = Callable[..., Person]
ANSWER = re.compile(r'action="(/account/packages/\d+/(?:accept|decline))"')
ACCEPTED = "2026-01-01"


def use(app: Flask, name: str, *, weekly_downloads: int) -> None:
    """Push a package's figures."""
    with request_to(app):
        mandates.put_package(mandates.package({"ecosystem": "npm", "name": name, "weekly_downloads": weekly_downloads}))


def answers(client: Visitor) -> list[str]:
    """Where the page's buttons lead: accept and decline of each invitation."""
    return ANSWER.findall(client.get("/account/packages").text)


@pytest.fixture
def alice(client: Visitor, make_account: MakeAccount, clock: Clock) -> Person:
    """Signed in, with an app that is senior."""
    alice = make_account("alice", totp_app=True)
    client.sign_in(alice, now=clock.now)
    clock.advance(seconds=30)
    return alice


def prove(client: Visitor, person: Person, clock: Clock, path: str) -> int:
    """Ask for something and give the step-up; the status of the answer."""
    asked = client.post(path)
    assert asked.status_code == 303, asked.text
    return client.post(asked.location, way="totp", code=person.totp(clock.now)).status_code


def test_who_maintains_nothing_reads_what_the_page_is_for(client: Visitor, alice: Person) -> None:
    page = client.get("/account/packages").text
    assert "No packages" in page
    assert "No second step is required of you." in page
    assert "/account/packages" in client.get("/account").text


def test_packages_stand_with_role_figures_and_reason_the_most_used_first(
    app: Flask, client: Visitor, alice: Person
) -> None:
    for name, downloads in (("tiny-pad", 1_200), ("left-pad", 2_400_000)):
        use(app, name, weekly_downloads=downloads)
        push(app, f"alice owner {ACCEPTED}", package=name)
    with app.app_context():
        mandates.apply(now=NOON)
    page = client.get("/account/packages").text
    assert page.index("left-pad") < page.index("tiny-pad")
    assert "Owner · 2.4 M weekly downloads · since" in page
    assert "1,200 weekly downloads" in page
    assert "A second step is required since" in page
    assert "The npm package left-pad, which you maintain, is downloaded 2,400,000 times a week." in page


def test_the_reason_stands_on_the_page_whether_the_mandate_is_met_or_what_is_enrolled_is_too_new(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True, junior=True)
    use(app, "left-pad", weekly_downloads=2_400_000)
    push(app, f"bob owner {ACCEPTED}")
    with app.app_context():
        mandates.apply(now=NOON)
    for days, met in ((0, False), (3, True)):
        clock.advance(days=days)
        client.sign_in(bob, now=clock.now)
        page = client.get("/account/packages").text
        assert page.count("The npm package left-pad, which you maintain, is downloaded") == 1
        assert ("</svg>Met</span>" in page) is met


def test_many_packages_come_in_pages(app: Flask, client: Visitor, alice: Person) -> None:
    with app.app_context(), db.transaction() as session:
        key = {"ecosystem": "npm", "account": "alice", "account_id": alice.id, "role": "owner", "accepted_at": NOON}
        named = [Ownership(package=f"p{number:03}", **key) for number in range(101)]
        session.add_all(named)
        session.flush()
        by_account.note((alice.id, row.id) for row in named)
    found = {}
    for typed in ("", "1", "2", "3", "4", "0", "-1", "x", "999999"):
        page = client.get(f"/account/packages?page={typed}").text
        found[typed] = re.findall(r">(p\d{3})<", page)
    assert [len(found[typed]) for typed in ("1", "2", "3")] == [50, 50, 1]
    assert found["1"] + found["2"] + found["3"] == [f"p{number:03}" for number in range(101)]
    assert found[""] == found["0"] == found["-1"] == found["x"] == found["1"]
    assert found["4"] == found["999999"] == found["3"]


def test_an_invitation_is_accepted_by_the_step_up_and_what_was_accepted_is_shown(
    app: Flask, client: Visitor, alice: Person, clock: Clock, outbox: Outbox
) -> None:
    use(app, "left-pad", weekly_downloads=2_400_000)
    push(app, "alice owner")
    accept, _ = answers(client)
    proof = client.post(accept).location
    page = client.get(proof).text
    for words in (
        "Accept to maintain the npm package left-pad",
        "owner",
        "2.4 M weekly downloads",
        "second step may be",
    ):
        assert words in page
    assert client.post(proof, way="totp", code=alice.totp(clock.now)).location == "/account/packages"
    page = client.get("/account/packages").text
    assert "Invitations" not in page
    assert "You have a say in it from" in page
    assert "Met" in page
    assert "Accepted to maintain the npm package left-pad" in client.get("/account/log").text
    text = next(m for m in outbox.to(alice.email) if m["Subject"] == "A package was accepted for alice").get_content()
    assert "accepted to maintain the npm package left-pad" in text
    assert "/not-me/" in text


def test_without_the_step_up_nothing_is_accepted(app: Flask, client: Visitor, alice: Person, clock: Clock) -> None:
    push(app, "alice owner")
    accept, _ = answers(client)
    proof = client.post(accept).location
    assert client.post(proof, way="totp", code="000000").status_code == 401
    assert client.post(proof, way="password", password=PASSWORD).status_code == 401
    assert len(answers(client)) == 2


def test_a_role_that_changed_between_page_and_proof_is_not_accepted(
    app: Flask, client: Visitor, alice: Person, clock: Clock
) -> None:
    push(app, "alice helper")
    accept, _ = answers(client)
    proof = client.post(accept).location
    push(app, "alice owner")
    assert client.post(proof, way="totp", code=alice.totp(clock.now)).status_code == 410
    assert len(answers(client)) == 2


def test_in_a_hold_nothing_is_accepted_or_declined(app: Flask, client: Visitor, alice: Person, clock: Clock) -> None:
    push(app, "alice owner")
    paths = answers(client)
    with request_to(app):
        holds.begin(alice.id, HoldCause.RECOVERY_CODE, client=None, now=clock.now)
    assert [client.post(path).status_code for path in paths] == [403, 403]
    assert answers(client) == paths


@pytest.mark.parametrize("before_the_proof", [True, False])
def test_while_an_import_runs_the_page_asks_to_come_back_and_nothing_is_lost(
    app: Flask, client: Visitor, alice: Person, clock: Clock, before_the_proof: bool
) -> None:
    push(app, "alice owner")
    accept, _ = answers(client)
    proof = "" if before_the_proof else client.post(accept).location
    with app.app_context():
        lease = snapshots.begin("a file", clock)
    sent = {} if before_the_proof else {"way": "totp", "code": alice.totp(clock.now)}
    answer = client.post(proof or accept, **sent)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "300")
    assert "try again in a few minutes" in answer.text
    with app.app_context():
        lease.give_up()
    clock.advance(seconds=30)
    if before_the_proof:
        assert prove(client, alice, clock, accept) == 303
    else:  # what was proved in vain is not spent
        assert client.post(proof, way="totp", code=alice.totp(clock.now)).status_code == 303
    assert answers(client) == []


def test_what_is_declined_stands_below_and_may_still_be_accepted(
    app: Flask, client: Visitor, alice: Person, clock: Clock
) -> None:
    push(app, "alice owner")
    accept, decline = answers(client)
    assert client.post(decline).location == "/account/packages"
    page = client.get("/account/packages").text
    assert "Invitations" not in page
    assert "Declined" in page
    assert "Declined to maintain the npm package left-pad" in client.get("/account/log").text
    assert answers(client) == [accept]
    assert prove(client, alice, clock, accept) == 303
    assert client.post(decline).status_code == 404


@pytest.mark.attack("K02")
def test_k02_nobody_answers_the_invitations_of_others(
    app: Flask, client: Visitor, new_client: Callable[[], Visitor], make_account: MakeAccount, clock: Clock
) -> None:
    # Given a thief with an account of their own, and a step-up that is theirs
    alice, eve = make_account("alice", totp_app=True), make_account("eve", totp_app=True)
    push(app, "alice owner", "eve owner")
    hers = new_client()
    hers.sign_in(alice, now=clock.now)
    client.sign_in(eve, now=clock.now)
    clock.advance(seconds=30)
    ours, theirs = answers(hers), answers(client)
    # When they name the invitation of another, or show another's step-up
    for path in ours:
        assert client.post(path).status_code == 404
    stolen = hers.post(ours[0]).location
    assert client.post(stolen, way="totp", code=eve.totp(clock.now)).status_code == 410
    # Then nothing is answered, and an invitation that there is not looks the same
    assert client.post("/account/packages/999999/accept").status_code == 404
    assert (answers(hers), answers(client)) == (ours, theirs)


def test_names_that_a_registry_wrote_stand_as_text(app: Flask, client: Visitor, alice: Person, clock: Clock) -> None:
    name = '"><script>alert(1)</script>{{7*7}}'
    push(app, "alice owner", package=name)
    page = client.get("/account/packages").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in page
    accept, _ = answers(client)
    shown = client.get(client.post(accept).location).text
    assert "Accept to maintain a package of npm" in shown
    assert "&lt;script&gt;alert(1)" in shown
    clock.advance(seconds=30)
    assert prove(client, alice, clock, accept) == 303
    assert "<script>alert" not in client.get("/account/log").text


def test_a_code_mailed_for_an_acceptance_carries_no_link_of_the_registry(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    bob = make_account("bob")
    client.sign_in(bob)
    push(app, "bob owner", package="https://evil.test/win")
    accept, _ = answers(client)
    proof = client.post(accept).location
    assert client.post(proof, way="password", password=PASSWORD, code=outbox.code(bob.email)).status_code == 303
    mails = [message.get_content() for message in outbox.to(bob.email)]
    assert len(mails) >= 3
    assert not any("evil" in text for text in mails)


def test_many_invitations_come_up_as_they_are_answered(app: Flask, client: Visitor, alice: Person) -> None:
    with app.app_context(), db.transaction() as session:
        key = {"ecosystem": "npm", "account": "alice", "account_id": alice.id, "role": "owner"}
        named = [Ownership(package=f"p{number:03}", **key) for number in range(53)]
        session.add_all(named)
        session.flush()
        by_account.note((alice.id, row.id) for row in named)
    assert len(answers(client)) == 100
    assert "3 more come up as you answer these." in client.get("/account/packages").text
    client.post(answers(client)[1])
    assert "2 more come up" in client.get("/account/packages").text


@pytest.mark.parametrize("late", [timedelta(hours=72) - timedelta(seconds=1), timedelta(hours=72)])
def test_the_page_says_for_72_hours_that_an_acceptance_is_new(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock, late: timedelta
) -> None:
    alice = make_account()
    push(app, f"alice owner {clock.now.isoformat()}")
    clock.now += late
    client.sign_in(alice)
    assert ("You have a say in it from" in client.get("/account/packages").text) is (late < timedelta(hours=72))
