"""A recovery that an owner's address objects to goes to two people of the service, with keys, in a real Chromium."""

from urllib.parse import urlsplit

from playwright.sync_api import expect

from authsvc import accounts, cases
from authsvc.core import db
from tests.conftest import Clock
from tests.journeys.conftest import NewVisit, Site, VirtualKey, Visit
from tests.journeys.test_browser import keep_codes
from tests.journeys.test_takeover import link_in_mail
from tests.people import PASSWORD, make_person

NEW = "seven quiet otters paint the harbour"
NEW_ADDRESS = "alice@fresh.test"


def joins(visit: Visit, name: str) -> None:
    """Register, get a key on the same day and the mark at the command line, and come in by the key."""
    address = visit.register(name)
    VirtualKey(visit.page)
    visit.open("/account/enrol")
    visit.page.locator("button[name=way][value=key]").click()
    visit.page.wait_for_url("**/step-up/*")
    visit.fill(password=PASSWORD)
    visit.page.locator("input[name=code]").fill(visit.site.outbox.code(address))
    visit.press("Prove and do it")
    visit.fill(label="Key")
    visit.press("Continue")
    keep_codes(visit)
    with visit.site.app.app_context(), db.transaction():
        account = accounts.find(name)
        assert account
        accounts.set_staff(account.id, is_staff=True)
    visit.open("/staff")  # registered by a mailed code, which is not enough
    visit.page.get_by_role("link", name="Sign in with your key").click()
    visit.expect("/staff")


def applies(visit: Visit, email: str, clock: Clock) -> str:
    """Open a case for alice and show password and mailbox; gives the way back to it."""
    visit.open("/recovery/case")
    visit.fill(username="alice")
    visit.press("Begin")
    back = urlsplit(visit.page.get_by_text("/recovery/case/").inner_text().strip()).path
    visit.page.get_by_text("The password", exact=True).click()
    visit.fill(password=PASSWORD)
    visit.press("Show it")
    visit.page.get_by_text("An address of the account", exact=True).click()
    visit.fill(email=email)
    visit.press("Send a code")
    with visit.site.app.app_context():
        cases.process(now=clock.now)
    visit.page.locator("#code").fill(visit.site.outbox.code(email))
    visit.page.locator("#code").press("Enter")
    expect(visit.page.get_by_text("Enough is shown.")).to_be_visible()
    visit.look()
    return back


def fits(visit: Visit) -> bool:
    """Nothing has to be scrolled sideways."""
    return not visit.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def test_what_an_address_objects_to_two_people_decide_and_the_applicant_completes(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    applicant, reader, sam, sue = (new_visit() for _ in range(4))
    sue.page.set_viewport_size({"width": 320, "height": 640})
    sue.page.emulate_media(color_scheme="dark")
    alice = make_person(site_in_time.app, "alice", now=clock.now)
    back = applies(applicant, alice.email, clock)
    # Somebody who reads the mailbox objects, without signing in
    reader.open(link_in_mail(site_in_time, alice.email, "/recovery/object"))
    reader.press("Object")
    applicant.open(back)
    expect(applicant.page.get_by_text("People decide this one")).to_be_visible()
    # Two people of the service look, and approve with their keys; the second on a small phone
    clock.advance(minutes=10)
    for colleague, name in ((sam, "sam"), (sue, "sue")):
        joins(colleague, name)
        assert fits(colleague)
        colleague.page.get_by_role("link", name="Open the queue").click()
        colleague.expect("/staff/recovery")
        assert fits(colleague)
        colleague.page.get_by_role("link", name="Open the case of alice").click()
        expect(colleague.page.get_by_text("Somebody who reads a trusted address objected on").first).to_be_visible()
        colleague.look()
        assert fits(colleague)
        colleague.press("Approve")  # without a reason
        expect(colleague.page.get_by_text("Give a reason of 10 to 500 characters.").first).to_be_visible()
        colleague.page.get_by_label("Reason", exact=True).select_option("spoken")
        colleague.press("Approve")
        expect(colleague.page.get_by_text("Approve the recovery of alice")).to_be_visible()
        assert fits(colleague)
        colleague.press("Use your key and do it")
        expect(colleague.page.get_by_text("Your approval counts.")).to_be_visible()
        colleague.look()
        clock.advance(minutes=10)
    expect(sue.page.get_by_text("Waits until 27 November 2026")).to_be_visible()
    sam.open("/staff/recovery")
    expect(sam.page.get_by_text("Nobody waits for you")).to_be_visible()
    # The applicant proves a new address, waits, and sets a password that nobody else has seen
    applicant.open(back)
    applicant.fill(new_email=NEW_ADDRESS)
    applicant.press("Send a code")
    applicant.page.locator("#new-code").fill(site_in_time.outbox.code(NEW_ADDRESS))
    applicant.press("Confirm the new address")
    clock.advance(hours=72)
    with site_in_time.app.app_context():
        cases.tend(now=clock.now)
    applicant.open(back)
    applicant.fill(new_password=NEW)
    applicant.press("Recover the account")
    applicant.expect("/login")
    applicant.fill(username="alice", password=NEW)
    applicant.press("Sign in")
    applicant.type_mailed_code(NEW_ADDRESS)
    applicant.expect("/account")
    applicant.open("/account/log?show=staff")
    expect(applicant.page.get_by_text("A request to recover this account was approved").first).to_be_visible()
