"""Proof places in a browser: the pages fit a small phone and can be used by everybody."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from authsvc import accounts, proof_places
from authsvc.adapters.dns import DnsClient
from authsvc.app import utc_now
from tests.journeys.conftest import Visit
from tests.people import make_person
from tests.slices import request_to


class Texts(DnsClient):
    """DNS that has whatever was published."""

    published: frozenset[str] = frozenset()

    def txt(self, name: str) -> frozenset[str]:
        """All of it at every name."""
        return self.published


def linked(app: Any, dns: Texts, account_id: int, domain: str, *, now: datetime) -> None:
    """A place that was linked then."""
    with request_to(app):
        place_id = proof_places.name(account_id, proof_places.parse("dns", domain), now=now)
        assert place_id
        unproved = proof_places.unproved(account_id, place_id)
        assert unproved
        dns.published = frozenset({proof_places.line(unproved.token)})
        assert proof_places.check(account_id, place_id, now=now) is None
        assert proof_places.link(account_id, place_id, now=now)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_proof_places_fit_a_small_phone_and_say_what_is_missing(visit: Visit, scheme: Any) -> None:
    # Given an owner at a small phone, with a place to be confirmed, one that counts and a new one
    page, app, now, dns = visit.page, visit.site.app, utc_now(), Texts()
    app.extensions["authsvc.adapters"] = replace(app.extensions["authsvc.adapters"], dns=dns)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 320, "height": 640})
    alice = make_person(app, "alice", now=now)
    linked(app, dns, alice.id, "suspended.test", now=now - timedelta(days=60))
    with request_to(app):
        accounts.raise_epoch(alice.id, confirm_after=now - timedelta(days=50))
    linked(app, dns, alice.id, "counts.test", now=now - timedelta(days=40))
    linked(app, dns, alice.id, "a-rather-long-name-for-a-domain-of-somebody.new.test", now=now - timedelta(days=1))
    # When she signs in, looks at her places, names another and forgets to publish the line
    visit.open("/login")
    visit.fill(username=alice.username, password=alice.password)
    visit.press("Sign in")
    visit.type_mailed_code(alice.email)
    visit.expect("/account")
    for said in ("To be confirmed", "It counts from"):
        assert page.get_by_text(said).first.is_visible()
    assert fits(visit)
    page.get_by_role("link", name="Link another").click()
    visit.look()
    assert fits(visit)
    visit.fill(place="http://pages.test/about/me")
    visit.press("Continue")
    assert page.get_by_text("It has to begin with https://").first.is_visible()
    page.get_by_label("Kind").select_option("dns")
    visit.fill(place="pages.test")
    visit.press("Continue")
    assert fits(visit)
    visit.press("It is there, check")
    # Then the page says so
    assert page.get_by_text("The line is not there yet").is_visible()
    assert fits(visit)


def fits(visit: Visit) -> bool:
    """Nothing has to be scrolled sideways."""
    return not visit.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
