"""A mail domain that lapses, changes hands or may have: as owner and buyer live through it, in Chromium."""

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from authsvc import accounts, domains, recovery
from authsvc.core import db
from tests import servers
from tests.conftest import Clock
from tests.journeys.conftest import NewVisit, Site, VirtualKey, Visit
from tests.journeys.test_browser import keep_codes
from tests.journeys.test_takeover import link_in_mail
from tests.people import PASSWORD, make_person
from tests.recovery.corp import ALIVE, NEW, Outside, registered

PHONE: dict[str, Any] = {"color_scheme": "dark", "viewport": {"width": 320, "height": 640}}
MOVED = [["corp.org", "NS", "ns1.elsewhere.com."], ["ns1.elsewhere.com", "A", "203.0.113.54"], *ALIVE[1:]]


@pytest.fixture
def outside(site_in_time: Site, dns_server: servers.Dns, web_server: servers.Web) -> Outside:
    """A healthy corp.org."""
    return Outside(site_in_time.app, dns_server, web_server)


def ask(visit: Visit, typed: str, clock: Clock) -> str:
    """Ask for a link and let the worker decide; what the page says."""
    visit.open("/recovery")
    visit.fill(username=typed)
    visit.press("Send a link")
    visit.expect("/recovery/sent")
    with visit.site.app.app_context():
        recovery.process_resets(now=clock.now)
    return visit.page.locator("main").inner_text()


def look(site: Site, clock: Clock) -> None:
    """The sweep comes along, and the worker tells whom it concerns."""
    with site.app.app_context():
        domains.check_now("corp.org", now=clock.now)
        domains.tell_of_doubts(now=clock.now)


def subjects(site: Site, address: str) -> list[str]:
    """What was mailed to the address, oldest first."""
    return [message["Subject"] for message in site.outbox.to(address)]


@pytest.mark.attack("D01")
def test_a_lapsed_domain_gets_nothing_and_its_owner_heals_the_account_with_a_passkey(
    site_in_time: Site, new_visit: NewVisit, outside: Outside, clock: Clock
) -> None:
    site, owner, buyer = site_in_time, new_visit(**PHONE), new_visit(**PHONE)
    owner.open("/register")
    owner.fill(username="alice", email="alice@corp.org", password=PASSWORD)
    owner.press("Create account")
    owner.type_mailed_code("alice@corp.org")
    owner.expect("/account")
    key = VirtualKey(owner.page)
    owner.open("/account/enrol")
    owner.page.locator("button[name=way][value=key]").click()
    owner.page.wait_for_url("**/step-up/*")
    owner.fill(password=PASSWORD)
    owner.page.locator("input[name=code]").fill(site.outbox.code("alice@corp.org"))
    owner.press("Prove and do it")
    owner.fill(label="This laptop")
    owner.press("Continue")
    keep_codes(owner)
    key.touch(False)  # or the sign-in page's autofill would be answered at once
    owner.sign_out()
    before = subjects(site, "alice@corp.org")
    # The domain lapses; whoever asks sees what everybody sees, and nothing is mailed.
    clock.advance(days=40)
    outside.says([], None)
    assert ask(buyer, "alice@corp.org", clock) == ask(buyer, "nobody@corp.org", clock)
    # Somebody registers it. It works again, and still gets nothing.
    clock.advance(days=1)
    outside.says(ALIVE, registered((clock.now - timedelta(hours=1)).isoformat()))
    ask(buyer, "alice", clock)
    assert subjects(site, "alice@corp.org") == before
    # The owner signs in with the passkey, sees the block, and adds an address elsewhere.
    owner.page.goto(site.origin + "/login")
    key.touch(True)
    owner.expect("/account")
    expect(owner.page.get_by_text("Password resets to it are blocked")).to_be_visible()
    owner.open("/account/addresses/add")
    owner.fill(email="alice@spare.test")
    owner.press("Continue")
    owner.press("Use your key and do it")
    owner.page.wait_for_url("**/prove")
    owner.type_mailed_code("alice@spare.test")
    owner.page.wait_for_url("**/account#addresses")
    clock.advance(days=3)
    owner.page.goto(site.origin + "/login")
    owner.expect("/account")
    owner.page.get_by_role("button", name="Make main alice@spare.test").click()
    owner.press("Use your key and do it")
    owner.page.wait_for_url("**/account#addresses")
    # From now on links go there, and the old address is worth nothing.
    clock.advance(days=1)
    ask(owner, "alice", clock)
    assert subjects(site, "alice@corp.org") == before
    assert subjects(site, "alice@spare.test")[-1] == "Set a new password for alice"


@pytest.mark.attack("D01")
def test_whoever_registers_a_lapsed_domain_gets_neither_code_nor_link_with_the_right_password(
    site_in_time: Site, new_visit: NewVisit, outside: Outside, clock: Clock
) -> None:
    site, buyer = site_in_time, new_visit(**PHONE)
    make_person(site.app, "bob", email="bob@corp.org", now=clock.now)
    look(site, clock)
    clock.advance(days=40)
    outside.says(ALIVE, registered((clock.now - timedelta(days=2)).isoformat()))
    ask(buyer, "bob@corp.org", clock)
    # The right password leads no further, and no code is mailed.
    buyer.open("/login")
    buyer.fill(username="bob", password=PASSWORD)
    buyer.press("Sign in")
    expect(buyer.page.get_by_role("heading", name="Ways back into your account")).to_be_visible()
    assert subjects(site, "bob@corp.org") == []
    buyer.page.goto(site.origin + "/account")
    buyer.page.wait_for_url("**/login?next=/account")


@pytest.mark.attack("D01")
def test_a_password_typed_where_the_domain_may_have_changed_hands_waits_and_the_owner_stops_it(
    site_in_time: Site, new_visit: NewVisit, outside: Outside, clock: Clock
) -> None:
    site, owner, buyer = site_in_time, new_visit(**PHONE), new_visit(**PHONE)
    carol = make_person(site.app, "carol", email="carol@corp.org", age=timedelta(days=1), now=clock.now)
    with site.app.app_context(), db.transaction():
        number = accounts.add_address(carol.id, "carol@spare.test", is_primary=False, verified_at=None, now=clock.now)
        domains.record_verification(number, "spare.test", verified_at=clock.now - timedelta(hours=20), now=clock.now)
    look(site, clock)
    # The name servers move. Whoever reads the mailbox gets a link, and the password waits.
    outside.says(MOVED, registered())
    clock.advance(minutes=11)
    ask(buyer, "carol", clock)
    link = link_in_mail(site, "carol@corp.org", "/recovery/reset")
    buyer.open(link)
    buyer.fill(new_password=NEW)
    buyer.press("Save new password")
    expect(buyer.page.get_by_role("heading", name="Your new password waits")).to_be_visible()
    # The owner hears of it at the other address, and freezes.
    assert subjects(site, "carol@spare.test")[-1] == "A new password for carol waits"
    owner.open(link_in_mail(site, "carol@spare.test", "/not-me"))
    owner.press("Freeze carol")
    owner.expect("/frozen")
    clock.advance(days=4)
    buyer.page.goto(site.origin + link)
    expect(buyer.page.get_by_role("heading", name="This link no longer works")).to_be_visible()
    buyer.open("/login")
    buyer.fill(username="carol", password=NEW)
    buyer.press("Sign in")
    buyer.expect("/login")
