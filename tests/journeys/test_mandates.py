"""A mandate as the people whom it covers live through it, in Chromium: announced, rehearsed, exempted, let go."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, expect

from authsvc.core.assurance import Action
from authsvc.core.templating import date_words
from tests.conftest import Clock
from tests.journeys.conftest import NewVisit, Site, VirtualKey, Visit
from tests.journeys.rollout import PHONE, Rollout, Tool, fits, keeps_codes, sign_in
from tests.people import PASSWORD, make_person

REASON = "The npm package left-pad, which you maintain, is downloaded 2,400,000 times a week."
DAY = timedelta(days=1)


@pytest.fixture
def rollout(site_in_time: Site, clock: Clock) -> Rollout:
    """The operator's hand."""
    return Rollout(site_in_time, clock)


@pytest.fixture
def alice(site_in_time: Site, new_visit: NewVisit, clock: Clock) -> Visit:
    """Somebody without a second step, on a phone that has been known for 40 days."""
    make_person(site_in_time.app, "alice", now=clock.now)
    visit = new_visit(**PHONE)
    sign_in(visit)
    visit.expect("/account")
    clock.advance(days=40)
    return visit


def pages(site: Site) -> list[str]:
    """Every page of the account that opens without further ado."""
    views = site.app.view_functions
    return sorted(
        rule.rule
        for rule in site.app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
        and not rule.arguments
        and not rule.rule.startswith("/staff")
        and "." not in rule.rule
        if isinstance(getattr(views[rule.endpoint], "access", None), Action)
        if not getattr(views[rule.endpoint], "machine", False)
    )


def banner(visit: Visit) -> Locator:
    """What every page says about the mandate."""
    return visit.page.locator(".alert").filter(has_text=re.compile("required (since|from)"))


def test_an_announced_mandate_is_told_by_mail_and_on_every_page_until_a_key_meets_it(
    rollout: Rollout, alice: Visit, clock: Clock
) -> None:
    site, page = alice.site, alice.page
    tool = Tool(site, clock.now)
    sign_in(alice)
    alice.expect("/account")
    tool.connect(alice)
    assert "mandate" not in tool.worth()
    # The registry announces it. The mail says why, from when, what to do and what happens then.
    day = rollout.phase(enforced_in=60 * DAY)
    rollout.load("alice")
    ((subject, text),) = rollout.mails("alice@example.test")
    assert subject == "A second step is required for alice"
    for words in (
        f"From {date_words(day)} on",
        REASON,
        "\n1. ",
        "\n2. ",
        "\n3. ",
        "you can read and sign out, and nothing",
    ):
        assert words in text
    asked = {"strength": "any_second_factor", "enforced_from": int(day.timestamp()), "met": False}
    assert tool.worth()["mandate"] == asked
    # Every page says so, and counts down.
    walked = 0
    for path in pages(site):
        answer = page.goto(site.origin + path)
        if answer is not None and answer.status == 200:
            alice.look()
            expect(banner(alice), path).to_contain_text("60 days left")
            assert fits(alice), path
            walked += 1
    assert walked >= 10
    # It leads to enrolling a passkey, and is gone with it.
    alice.open("/account")
    expect(banner(alice)).to_contain_text(REASON)
    page.get_by_role("link", name="Add a second step").first.click()
    alice.expect("/account/enrol")
    VirtualKey(page)
    page.locator("button[name=way][value=key]").click()
    page.wait_for_url("**/step-up/*")
    alice.fill(password=PASSWORD)
    page.locator("input[name=code]").fill(site.outbox.code("alice@example.test"))
    alice.press("Prove and do it")
    alice.fill(label="This phone")
    alice.press("Continue")
    keeps_codes(alice)
    alice.expect("/account")
    expect(banner(alice)).to_have_count(0)
    assert tool.worth()["mandate"] == {**asked, "met": True}
    # Neither reminders nor the day bring anything, and the passkey signs in alone.
    for days in (30, 23, 6, 1):
        rollout.wait(days=days)
    assert len(rollout.mails("alice@example.test")) == 1
    page.goto(site.origin + "/login")
    alice.expect("/account")
    expect(banner(alice)).to_have_count(0)
