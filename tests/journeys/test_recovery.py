"""Somebody who lost everything gets the account back by the word of co-owners, in a real Chromium (POLICY 10)."""

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from flask import Flask
from playwright.sync_api import Page, expect

from authsvc import accounts, cases
from authsvc.core import db
from authsvc.mandates import by_account
from authsvc.mandates.models import Ownership, Package
from tests.conftest import Clock
from tests.journeys.conftest import Site, Visit
from tests.people import PASSWORD, Person, make_person

NEW = "seven quiet otters paint the harbour"
NEW_ADDRESS = "alice@fresh.test"


def maintainers(app: Flask, now: datetime) -> list[Person]:
    """alice, bob and carol, who have shared left-pad for 100 days and have apps; alice's mail domain lapsed."""
    people = [make_person(app, name, now=now, totp_app=True) for name in ("alice", "bob", "carol")]
    with app.app_context(), db.transaction() as session:
        session.add(Package(ecosystem="npm", name="left-pad", weekly_downloads=10, high_impact=False))
        for person in people:
            row = Ownership(
                ecosystem="npm",
                package="left-pad",
                account=person.username,
                account_id=person.id,
                role="owner",
                accepted_at=now - timedelta(days=100),
            )
            session.add(row)
            session.flush()
            by_account.note([(person.id, row.id)])
        lost = accounts.addresses(people[0].id)[0]
        accounts.block_address(lost.id, reason="NOT_REGISTERED", now=now)
    return people


def vouch(visit: Visit, person: Person, path: str, clock: Clock) -> None:
    """Sign in, vouch with the app, sign out."""
    visit.open(f"/login?next={path}")
    visit.fill(username=person.username, password=PASSWORD)
    visit.press("Sign in")
    visit.page.locator("input[data-digits]:visible").first.fill(person.totp(clock.now))
    visit.expect(path)
    visit.press("Vouch for alice")
    clock.advance(seconds=30)  # a code is good once
    visit.page.locator("input[data-digits]:visible").first.fill(person.totp(clock.now))
    visit.press("Prove and do it")
    visit.expect(path)
    expect(visit.page.get_by_text("You have vouched.")).to_be_visible()
    visit.sign_out()


def test_co_owners_bring_somebody_back_whose_domain_lapsed(site_in_time: Site, page: Page, clock: Clock) -> None:
    # Given alice on a phone, who has neither password, mailbox nor app any more
    page.set_viewport_size({"width": 320, "height": 640})
    page.emulate_media(color_scheme="dark")
    visit = Visit(site_in_time, page)
    _, bob, carol = maintainers(site_in_time.app, clock.now)
    visit.open("/recovery")
    page.get_by_role("link", name="I lost more than my password").click()
    visit.expect("/recovery/case")
    visit.fill(username="alice")
    visit.press("Begin")
    back = page.get_by_text("/recovery/case/").inner_text().strip()
    page.get_by_text("People who maintain a package with you").click()
    path = urlsplit(page.get_by_text("/account/vouch/").inner_text().strip()).path
    # When two co-owners, to whom she spoke, vouch for her
    for fellow in (bob, carol):
        vouch(visit, fellow, path, clock)
    # Then she proves a new address, and waits for fourteen days
    visit.open(urlsplit(back).path)
    expect(page.get_by_text("Enough is shown.")).to_be_visible()
    visit.fill(new_email=NEW_ADDRESS)
    visit.press("Send a code")
    page.locator("#new-code").fill(site_in_time.outbox.code(NEW_ADDRESS))
    visit.press("Confirm the new address")
    clock.advance(days=14)
    with site_in_time.app.app_context():
        cases.tend(now=clock.now)
    visit.open(urlsplit(back).path)
    visit.fill(new_password=NEW)
    visit.press("Recover the account")
    visit.expect("/login")
    # And signs in by what is new
    visit.fill(username="alice", password=NEW)
    visit.press("Sign in")
    visit.type_mailed_code(NEW_ADDRESS)
    visit.expect("/account")
    expect(page.get_by_text("The account was recovered.").first).to_be_visible()
    told = [message["Subject"] for message in site_in_time.outbox.to(bob.email)]
    assert told.count("Account alice was recovered") == 1
