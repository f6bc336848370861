"""Takeovers as owner and intruder live through them, each in a Chromium of their own."""

import re

from playwright.sync_api import expect

from authsvc import recovery
from tests.conftest import Clock
from tests.journeys.conftest import NewVisit, Site, VirtualKey, Visit
from tests.people import PASSWORD, Person, make_person

NEW = "seven quiet otters paint the harbour"


def sign_in(visit: Visit, person: Person, clock: Clock) -> None:
    """Sign in with the password and whatever follows it: the app's code, or one by mail."""
    visit.open("/login")
    visit.fill(username=person.username, password=person.password)
    visit.press("Sign in")
    if person.seed:
        clock.advance(seconds=30)
        other = visit.page.get_by_text("Try another way")
        if other.count():  # a key comes first
            other.click()
        visit.page.locator("input[name=code]:visible").first.fill(person.totp(clock.now))
    else:
        visit.type_mailed_code(person.email)
    visit.expect("/account")


def prove_with_app(visit: Visit, person: Person, clock: Clock) -> None:
    """Answer a page that asks for the app's code before it does something."""
    clock.advance(seconds=30)
    field = visit.page.locator("input[name=code]:visible").first
    field.fill(person.totp(clock.now))
    field.press("Enter")


def link_in_mail(site: Site, address: str, path: str) -> str:
    """The newest link of this kind that was mailed to the address."""
    for message in reversed(site.outbox.to(address)):
        found = re.search(rf"{site.origin}({path}/\S+)", message.get_content())
        if found:
            return found[1]
    raise AssertionError(f"no {path} was mailed to {address}")


def enrol_key(visit: Visit, label: str) -> None:
    """Answer the page of a new key with a virtual one."""
    VirtualKey(visit.page)
    visit.fill(label=label)
    visit.press("Continue")


def ask_for_a_link_and_open_it(visit: Visit, site: Site, typed: str, address: str, clock: Clock) -> None:
    """Start at /recovery; the worker mails the link, and it is opened."""
    visit.open("/recovery")
    visit.fill(username=typed)
    visit.press("Send a link")
    with site.app.app_context():
        recovery.process_resets(now=clock.now)
    visit.open(link_in_mail(site, address, "/recovery/unfreeze"))
    visit.expect("/recovery/unfreeze")


def test_a_relayed_code_lets_a_passkey_in_that_the_owner_removes_with_the_older_app(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    bob = make_person(site_in_time.app, "bob", totp_app=True, now=clock.now)
    intruder, owner = new_visit(), new_visit()
    # The intruder relays password and code, twice: to sign in, and to add a passkey.
    sign_in(intruder, bob, clock)
    intruder.open("/account/enrol")
    intruder.page.locator("button[name=way][value=key]").click()
    prove_with_app(intruder, bob, clock)
    intruder.page.wait_for_url("**/account/enrol/now")
    enrol_key(intruder, "Laptop")
    intruder.expect("/account")
    # What was added is announced, and is of no use against what is older.
    assert "Second step changed for bob" in [m["Subject"] for m in site_in_time.outbox.to(bob.email)]
    intruder.page.get_by_role("button", name="Remove App").click()
    expect(intruder.page.get_by_label("Code from your app")).to_be_visible()
    assert intruder.page.get_by_role("button", name="Use your key and do it").count() == 0
    # The owner removes it at once.
    sign_in(owner, bob, clock)
    expect(owner.page.get_by_text("It signs you in now.")).to_be_visible()
    owner.page.get_by_role("button", name="Remove Laptop").click()
    prove_with_app(owner, bob, clock)
    owner.page.wait_for_url("**/account#ways")
    assert owner.page.get_by_text("Laptop", exact=True).count() == 0
    intruder.page.goto(site_in_time.origin + "/account")
    intruder.page.wait_for_url("**/login?next=/account")


def test_a_freeze_by_mail_keeps_the_intruder_out_until_the_owner_confirms_what_is_theirs(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    bob = make_person(site_in_time.app, "bob", totp_app=True, now=clock.now)
    intruder, owner = new_visit(), new_visit()
    sign_in(intruder, bob, clock)
    intruder.open("/account/addresses/add")
    intruder.fill(email="evil@example.test")
    intruder.press("Continue")
    prove_with_app(intruder, bob, clock)
    intruder.page.wait_for_url("**/prove")
    intruder.type_mailed_code("evil@example.test")
    intruder.page.wait_for_url("**/account#addresses")
    # The owner freezes by the link in the first mail, without signing in.
    first = next(m for m in site_in_time.outbox.to(bob.email) if m["Subject"] == "New browser signed in to bob")
    found = re.search(rf"{site_in_time.origin}(/not-me/\S+)", first.get_content())
    assert found
    owner.open(found[1])
    owner.press("Freeze bob")
    owner.expect("/frozen")
    # The intruder is out, and the right password and code lead nowhere.
    intruder.page.goto(site_in_time.origin + "/account")
    intruder.page.wait_for_url("**/login?next=/account")
    intruder.fill(username="bob", password=PASSWORD)
    intruder.press("Sign in")
    expect(intruder.page.get_by_role("heading", name="This account is frozen")).to_be_visible()
    intruder.press("Open my account again")
    expect(intruder.page.get_by_label("Code from your app")).to_be_visible()
    # The owner opens it with the app and confirms nothing.
    ask_for_a_link_and_open_it(owner, site_in_time, "bob", bob.email, clock)
    prove_with_app(owner, bob, clock)
    owner.page.get_by_text("evil@example.test").wait_for()
    owner.look()
    owner.fill(new_password=NEW)
    owner.press("Open my account")
    owner.expect("/login")
    bob.password = NEW
    sign_in(owner, bob, clock)
    expect(owner.page.get_by_text("The account was frozen and opened again.")).to_be_visible()
    expect(owner.page.locator("#addresses").get_by_text("evil@example.test")).to_have_count(0)


def test_the_first_of_three_addresses_still_objects(site_in_time: Site, new_visit: NewVisit, clock: Clock) -> None:
    alice = make_person(site_in_time.app, "alice", now=clock.now)
    intruder, owner = new_visit(), new_visit()
    sign_in(intruder, alice, clock)

    def prove() -> None:
        intruder.fill(password=PASSWORD)
        intruder.page.locator("#mailed").fill(site_in_time.outbox.code(main))
        intruder.page.locator("#mailed").press("Enter")

    main = alice.email
    for changed in ("second@example.test", "third@example.test"):
        intruder.open("/account/addresses/add")
        intruder.fill(email=changed)
        intruder.press("Continue")
        prove()
        intruder.page.wait_for_url("**/prove")
        intruder.type_mailed_code(changed)
        intruder.page.wait_for_url("**/account#addresses")
        clock.advance(hours=73)  # until it may be the main one; the owner was away
        sign_in(intruder, Person(alice.id, "alice", main), clock)
        intruder.page.get_by_role("button", name=f"Make main {changed}").click()
        prove()
        intruder.page.wait_for_url("**/account#addresses")
        clock.advance(hours=25)  # until the hold is over
        sign_in(intruder, Person(alice.id, "alice", changed), clock)
        intruder.page.get_by_role("button", name=f"Remove {main}").click()
        main = changed
        prove()
        intruder.page.wait_for_url("**/account#addresses")
        clock.advance(hours=25)
        sign_in(intruder, Person(alice.id, "alice", main), clock)
    owner.open(link_in_mail(site_in_time, alice.email, "/not-me"))
    owner.press("Freeze alice")
    owner.expect("/frozen")
    intruder.page.goto(site_in_time.origin + "/account")
    intruder.page.wait_for_url("**/login?next=/account")


def test_a_lost_key_is_replaced_by_the_app_and_a_recovery_code(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    bob = make_person(site_in_time.app, "bob", totp_app=True, key=True, now=clock.now)
    owner = new_visit()
    owner.open("/login")
    owner.fill(username="bob", password=PASSWORD)
    owner.press("Sign in")
    owner.page.get_by_text("Try another way").click()
    owner.page.locator("#totp").fill(bob.totp(clock.now))
    owner.expect("/account")
    owner.page.get_by_role("link", name=re.compile("Lost it.*Blue key")).click()
    owner.look()
    owner.page.locator("button[name=way][value=key]").click()
    owner.page.locator("#totp").wait_for()
    clock.advance(seconds=30)
    owner.page.locator("#recovery-totp").fill(bob.codes[0])
    owner.page.locator("#totp").fill(bob.totp(clock.now))
    owner.page.locator("#totp").press("Enter")
    owner.page.wait_for_url("**/account/enrol/now")
    enrol_key(owner, "New key")
    owner.expect("/account")
    expect(owner.page.get_by_text("A lost second step was replaced with a recovery code.")).to_be_visible()
    expect(owner.page.get_by_text("New key").first).to_be_visible()
    expect(owner.page.locator("#ways").get_by_text("Blue key")).to_have_count(0)
