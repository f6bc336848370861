"""A mandate from its very day on, in Chromium: every way in leads through enrolment, and what was enrolled stays."""

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from authsvc import recovery
from authsvc.core.templating import date_words
from tests.conftest import Clock
from tests.journeys.conftest import NewVisit, Site, VirtualKey, Visit
from tests.journeys.rollout import PHONE, Rollout, banner, enrols_key, fits, is_asked, keeps_codes, sign_in, with_alice
from tests.journeys.test_takeover import link_in_mail
from tests.people import PASSWORD, make_person
from tests.recovery.corp import NEW

DAY = timedelta(days=1)


def press_at(page: Page, selector: str) -> None:
    """Go there with the tabulator and press Enter."""
    for _ in range(30):
        if page.locator(f"{selector}:focus").count():
            page.keyboard.press("Enter")
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not lead to {selector}")


def type_at(page: Page, selector: str, text: str) -> None:
    """Go there with the tabulator and type."""
    for _ in range(30):
        if page.locator(f"{selector}:focus").count():
            page.keyboard.type(text)
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not lead to {selector}")


def is_shut_out(visit: Visit, path: str = "/account") -> None:
    """The page asks for a sign-in."""
    visit.page.goto(visit.site.origin + path)
    visit.page.wait_for_url(f"**/login?next={path}")


@pytest.mark.attack("T21")
def test_from_the_day_on_every_way_in_leads_to_enrolment_and_no_way_around_it(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    rollout, alice = with_alice(site_in_time, new_visit, clock)
    site, page = alice.site, alice.page
    rollout.phase(enforced_in=DAY)
    rollout.load("alice")
    rollout.wait(hours=20)
    sign_in(alice)
    alice.expect("/account")
    # A session from before reads, and is led to enrolment by everything else.
    rollout.wait(hours=4)
    subject, text = rollout.mails("alice@example.test")[-1]
    assert subject == "A second step is now required for alice"
    assert "every sign-in leads you through it".lower() in text.lower()
    alice.open("/account")
    expect(banner(alice)).to_contain_text("Until that is set up you can read and sign out here, and nothing else.")
    page.goto(site.origin + "/account/password")
    expect(page.get_by_role("heading", name="A second step comes first")).to_be_visible()
    alice.look()
    page.get_by_role("link", name="Set it up").click()
    alice.expect("/account/enrol")
    alice.open("/account")
    alice.sign_out()
    # A sign-in takes a fresh mailed code, and then leads to enrolment. Neither addresses nor the back button lead past.
    codes = len(site.outbox.to("alice@example.test"))
    sign_in(alice, next_path="/account/log")
    assert len(site.outbox.to("alice@example.test")) == codes + 1
    is_asked(alice)
    expect(page.get_by_role("button", name="Not today")).to_have_count(0)
    is_shut_out(alice)
    page.go_back()
    page.go_back()
    is_shut_out(alice, "/account/enrol")
    alice.open("/login/next")
    is_asked(alice)
    # Nor does a new password by mail.
    alice.open("/recovery")
    alice.fill(username="alice")
    alice.press("Send a link")
    with site.app.app_context():
        recovery.process_resets(now=clock.now)
    alice.open(link_in_mail(site, "alice@example.test", "/recovery/reset"))
    alice.fill(new_password=NEW)
    alice.press("Save new password")
    alice.expect("/login")
    sign_in(alice, next_path="/account/log", password=NEW)
    is_asked(alice)
    is_shut_out(alice)


def test_enrolling_on_the_day_leads_on_and_what_meets_the_mandate_stays(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    rollout, alice = with_alice(site_in_time, new_visit, clock)
    page = alice.page
    rollout.phase(enforced_in=timedelta(0))
    rollout.load("alice")
    # From a browser that has been known for 40 days the first one counts at once, for everything.
    sign_in(alice, next_path="/account/log")
    is_asked(alice)
    expect(page.get_by_text("For publishing and changes it counts from")).to_have_count(0)
    key = VirtualKey(page)
    enrols_key(alice, "This phone")
    keeps_codes(alice)
    alice.expect("/account/log")
    alice.open("/account/password")
    expect(page.get_by_role("heading", name="Change your password")).to_be_visible()
    # It cannot be removed, and the page says why.
    alice.open("/account")
    page.get_by_role("button", name="Remove This phone").click()
    expect(
        page.get_by_text("Your packages require a second step, or once did, and this is the last one.")
    ).to_be_visible()
    alice.look()
    page.get_by_role("link", name="Add another").click()
    alice.expect("/account/enrol")
    # The registry asks for two: the next sign-in leads to the second, which another key is.
    key.touch(False)  # or the sign-in page's autofill would be answered at once
    rollout.run("mandates", "require", "alice", "--from", "now", "--two-keys", "--reason", "Signs our releases")
    subject, text = rollout.mails("alice@example.test")[-1]
    assert subject == "Two keys or passkeys are required for alice"
    assert "add a second security key or passkey" in text
    alice.open("/account")
    expect(banner(alice)).to_contain_text("Two keys or passkeys are required since")
    alice.sign_out()
    key.touch(True)
    page.goto(alice.site.origin + "/login?next=/account/log")
    is_asked(alice, "Add a second key")
    expect(page.get_by_role("button", name="Authenticator app")).to_have_count(0)
    is_shut_out(alice)
    key.touch(False)
    alice.open("/login/next")
    second = VirtualKey(page, transport="usb")
    enrols_key(alice, "Blue key")
    alice.expect("/account/log")
    # It signs her in at once, and counts for more after three days; every page says from when.
    when = date_words(clock.now + 3 * DAY)
    expect(page.locator("main .alert")).to_contain_text(f"For publishing and changes it counts from {when}")
    page.goto(alice.site.origin + "/account/password")
    expect(page.get_by_role("heading", name="Your second step is still new")).to_be_visible()
    alice.look()
    rollout.wait(hours=72)
    second.touch(False)
    key.touch(True)
    page.goto(alice.site.origin + "/login")
    alice.expect("/account")
    expect(page.locator("main .alert")).to_have_count(0)
    assert fits(alice)
    page.get_by_role("button", name="Remove This phone").click()
    expect(page.get_by_text("Without this one you would have less than your packages require.")).to_be_visible()


@pytest.mark.attack("T21")
def test_a_session_from_before_has_its_rights_after_enrolment_and_a_sign_in(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    rollout, alice = with_alice(site_in_time, new_visit, clock)
    site, page = alice.site, alice.page
    rollout.phase(enforced_in=timedelta(hours=1))
    rollout.load("alice")
    sign_in(alice)
    alice.expect("/account")
    rollout.wait(hours=1)
    alice.open("/account")
    page.get_by_role("link", name="Add a second step").first.click()
    key = VirtualKey(page)
    page.locator("button[name=way][value=key]").click()
    page.wait_for_url("**/step-up/*")
    alice.fill(password=PASSWORD)
    page.locator("input[name=code]").fill(site.outbox.code("alice@example.test"))
    alice.press("Prove and do it")
    alice.fill(label="This phone")
    alice.press("Continue")
    keeps_codes(alice)
    alice.expect("/account")
    expect(page.locator("main .alert")).to_contain_text("Sign in again with your second step.")
    page.goto(site.origin + "/account/password")
    expect(page.get_by_role("heading", name="Sign in with your second step")).to_be_visible()
    alice.look()
    key.touch(True)
    page.get_by_role("link", name="Sign in again").click()
    alice.expect("/account/password")
    expect(page.get_by_role("heading", name="Change your password")).to_be_visible()
    expect(page.locator("main > .alert")).to_have_count(0)


@pytest.mark.attack("T21")
def test_where_a_key_is_asked_for_neither_an_app_nor_a_recovery_code_leads_past_it(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    rollout = Rollout(site_in_time, clock)
    visit = new_visit(viewport={"width": 1280, "height": 800})
    page = visit.page
    bob = make_person(site_in_time.app, "bob", totp_app=True, now=clock.now)
    rollout.phase(enforced_in=timedelta(0), strength='"phishing_resistant"')
    rollout.load("bob")
    # A recovery code, and then the app, in a browser that is new to the account, and with the keyboard alone.
    for way, code in (("recovery", bob.codes[0]), ("totp", bob.totp(clock.now))):
        visit.open("/login")
        type_at(page, "input[name=username]", bob.username)
        type_at(page, "input[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Second step")).to_be_visible()
        if way == "recovery":
            press_at(page, "summary")
        type_at(page, f"input#{way}", code)
        if way == "recovery":  # the other sends itself
            page.keyboard.press("Enter")
        is_asked(visit, "Add a key")
        expect(page.get_by_text(f"it counts from {date_words(clock.now + 3 * DAY)}")).to_be_visible()
        expect(page.get_by_role("button", name="Authenticator app")).to_have_count(0)
        is_shut_out(visit)
        page.goto(visit.site.origin + "/login/next")
    key = VirtualKey(page)
    press_at(page, "button[name=way]")
    page.wait_for_url("**/login/enrol/key")
    type_at(page, "input[name=label]", "Blue key")
    page.keyboard.press("Enter")
    visit.expect("/account")
    # The key is new: it signs in, and the page says from when it counts for more.
    expect(page.locator("main > .alert")).to_contain_text(f"it counts from {date_words(clock.now + 3 * DAY)}")
    page.goto(visit.site.origin + "/account/password")
    expect(page.get_by_role("heading", name="Your second step is still new")).to_be_visible()
    rollout.wait(hours=72)
    key.touch(True)
    page.goto(visit.site.origin + "/login?next=/account/password")
    visit.expect("/account/password")
    expect(page.get_by_role("heading", name="Change your password")).to_be_visible()


def test_who_registers_the_name_of_a_maintainer_sets_it_up_on_the_way_in_and_it_counts_at_once(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    rollout, visit = Rollout(site_in_time, clock), new_visit(**PHONE)
    rollout.phase(enforced_in=timedelta(0))
    rollout.load("carol")
    visit.open("/register")
    visit.fill(username="carol", email="carol@example.test", password=PASSWORD)
    visit.press("Create account")
    visit.type_mailed_code("carol@example.test")
    is_asked(visit)
    assert rollout.mails("carol@example.test")[0][0] == "A second step is required for carol"
    is_shut_out(visit)
    visit.open("/login/next")
    VirtualKey(visit.page)
    enrols_key(visit, "This phone")
    keeps_codes(visit)
    visit.expect("/account")
    expect(visit.page.locator("main > .alert")).to_have_count(0)
    visit.open("/account/password")
    expect(visit.page.get_by_role("heading", name="Change your password")).to_be_visible()
