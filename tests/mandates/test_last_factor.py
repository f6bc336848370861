"""What a mandate in force asks for is taken away by no door; leftover recovery codes stand in for none of it."""

import ast
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import permutations, product

import pyotp
import pytest
from flask import Flask

from authsvc import account_pages, accounts, mandates, recovery_codes
from authsvc.core.assurance import Factor
from authsvc.policy.mandate import Strength
from tests import doors
from tests.authenticator import Authenticator
from tests.conftest import Clock
from tests.mandates.all_doors import SECRET, keep_codes
from tests.mandates.entering import HELD, Attempt, World, meets, play
from tests.mandates.test_all_doors import mentions, world
from tests.oidc.conftest import key_pairs, signing_keys
from tests.people import BASE_URL
from tests.recovery.conftest import outside
from tests.slices import request_to

__all__ = ["key_pairs", "outside", "signing_keys", "world"]

ENDS = {
    "authsvc.accounts.register.revoke_authenticator",
    "authsvc.accounts.disputed.settle",
    "authsvc.accounts.service.erase",  # with the account
}
TRIED_HERE = {
    "access.submit_step_up",  # a removal
    "account_pages.enrol_key",  # the end of a replacement, as the two below
    "account_pages.enrol_totp",
    "account_pages.recovery_codes_kept",
    "authsvc.cli.worker_command",  # a removal that waited
}
ENDS_BY_DESIGN = {
    "cases.complete": "everything older is void after a recovery; the next sign-in enrols anew (`all_doors.recovered`)",
    "recovery.submit_unfreeze": "what came since a dispute is void; so is the sign-in (`all_doors.end_of_freeze`)",
}


def test_every_way_to_end_an_authenticator_is_tried_or_ends_it_by_design(app: Flask) -> None:
    found = doors.ways_in(app, mentions(), ENDS)
    assert set(found) == TRIED_HERE | set(ENDS_BY_DESIGN)  # none of the console, one of the command line


def test_nothing_else_revokes_or_deletes_an_authenticator() -> None:
    found = set()
    for name, text in doors.sources().items():
        for function in ast.parse(text).body:
            for part in ast.walk(function):
                match part:
                    case ast.keyword(arg="revoked_at") if name.startswith("authsvc.accounts."):
                        found.add(f"{name}.{getattr(function, 'name', '')}")
                    case ast.Call(func=ast.Name(id="delete"), args=[ast.Name(id="Authenticator"), *_]):
                        found.add(f"{name}.{getattr(function, 'name', '')}")
    assert found == ENDS


def enrolled(a: Attempt) -> list[Factor]:
    """One for each authenticator."""
    with request_to(a.app):
        return [one.kind for one in accounts.enrolled(a.person.id, now=a.clock.now)]


def ids(a: Attempt) -> list[int]:
    """Of each authenticator, oldest first."""
    with request_to(a.app):
        return [one.id for one in accounts.enrolled(a.person.id, now=a.clock.now)]


def removes(a: Attempt, order: list[int]) -> Iterator[None]:
    """Ask for the removal of each and prove it; the day may come in between."""
    a.has_session()
    for number in order:
        page = a.post(f"/account/authenticators/{number}/remove").location
        yield
        if page:
            a.step_up(page)


@pytest.mark.parametrize("strength", Strength)
@pytest.mark.parametrize("what", ["app", "key", "key and app", "two keys"])
def test_no_removal_in_whatever_order_takes_what_is_asked_for(world: World, strength: Strength, what: str) -> None:
    held = HELD[what]
    for order, moment in product(permutations(range(held.app + held.keys)), (0, 1)):
        a = Attempt(world, strength, held, strongest=True)
        own, before = ids(a), enrolled(a)
        play(a, partial(removes, order=[own[place] for place in order]), moment)
        assert meets(strength, enrolled(a)) or not meets(strength, before), (order, moment)
        with request_to(world.app):
            assert recovery_codes.left(a.person.id) > 0  # and they count for nothing


def test_what_is_more_than_asked_for_can_go(world: World) -> None:
    a = Attempt(world, Strength.PHISHING_RESISTANT, HELD["two keys"], strongest=True)
    play(a, partial(removes, order=ids(a)[1:]), 0)
    assert len(enrolled(a)) == 1


def younger_removes(a: Attempt) -> Iterator[None]:
    """The older key, asked for by the younger: it waits for three days."""
    older = ids(a)[0]
    a.has_session()
    page = a.post(f"/account/authenticators/{older}/remove").location
    assert a.step_up(page).status_code == 303
    assert older in ids(a)
    yield
    a.clock.advance(hours=72)
    yield
    with a.app.app_context():
        account_pages.carry_out_removals(now=a.clock.now)


@pytest.mark.parametrize("strength", Strength)
@pytest.mark.parametrize("moment", [1, 2])
def test_a_removal_that_waited_does_not_take_what_is_asked_for_meanwhile(
    world: World, strength: Strength, moment: int
) -> None:
    a = Attempt(world, strength, HELD["key"], strongest=True)
    a.another_key(age=timedelta(days=10))
    play(a, younger_removes, moment)
    assert len(ids(a)) == strength.number


def replaces(a: Attempt, lost: int, way: str) -> Iterator[None]:
    """A lost one, by what they choose, with password and recovery code."""
    a.has_session()
    page = a.post(f"/account/authenticators/{lost}/lost", way=way).location
    yield
    if not page:
        return
    a.post(page, way="password", password=a.password, recovery_code=a.person.codes[0])
    yield
    if way == "totp":
        secret = SECRET.search(a.visitor.get("/account/enrol/now").text)
        if secret is None:
            return
        a.clock.advance(seconds=30)
        a.post("/account/enrol/totp", code=pyotp.TOTP(secret[1].replace(" ", "")).at(a.clock.now))
    else:
        asked = a.post("/account/enrol/key/options")
        if asked.status_code != 200:
            return
        a.post("/account/enrol/key", credential=Authenticator(origin=BASE_URL).register(asked.text), label="New")
    keep_codes(a, "/account/enrol/codes", a.visitor.get("/account/enrol/now").text)


@pytest.mark.parametrize("strength", Strength)
@pytest.mark.parametrize("what", ["app", "key", "key and app", "two keys"])
def test_nothing_that_counts_less_comes_in_place_of_what_is_lost(world: World, strength: Strength, what: str) -> None:
    for way, moment, which in product(("key", "totp"), (0, 1, 2), (0, -1)):
        a = Attempt(world, strength, HELD[what], strongest=True)
        before, lost = enrolled(a), ids(a)[which]
        play(a, partial(replaces, lost=lost, way=way), moment)
        after = enrolled(a)
        assert meets(strength, after) or not meets(strength, before), (way, moment, before, after)


@pytest.mark.parametrize("way", ["key", "totp"])
def test_what_is_lost_is_replaced_by_what_counts_as_much(world: World, way: str) -> None:
    a = Attempt(world, Strength.ANY_SECOND_FACTOR, HELD["key"], strongest=True)
    lost = ids(a)[0]
    play(a, partial(replaces, lost=lost, way=way), 0)
    assert lost not in ids(a)
    assert len(ids(a)) == 1


def test_one_of_too_few_keys_is_replaced_by_a_key_and_by_nothing_else(world: World) -> None:
    for way, gone in (("key", True), ("totp", False)):
        a = Attempt(world, Strength.TWO_PHISHING_RESISTANT, HELD["key"], strongest=True)
        lost = ids(a)[0]
        play(a, partial(replaces, lost=lost, way=way), 0)
        assert (lost not in ids(a)) is gone


def test_while_exempt_one_of_any_kind_stays(world: World, clock: Clock) -> None:
    a = Attempt(world, Strength.TWO_PHISHING_RESISTANT, HELD["key and app"], strongest=True)
    a.is_covered_from(clock.now)
    clock.advance(seconds=1)
    until = clock.now + timedelta(days=30)
    with request_to(world.app):
        mandates.exempt(a.person.id, reason="So", until=until, set_by="test", starts_at=clock.now, now=clock.now)
    for _ in removes(a, ids(a)):
        pass
    assert len(enrolled(a)) == 1
