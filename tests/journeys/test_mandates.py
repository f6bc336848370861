"""A mandate as those whom it covers live through it, in Chromium: announced, rehearsed, exempted, let go."""

from datetime import timedelta

from playwright.sync_api import expect

from authsvc.core.assurance import Action
from authsvc.core.templating import date_words
from tests.conftest import Clock
from tests.journeys.conftest import NewVisit, Site, VirtualKey, Visit
from tests.journeys.rollout import (
    PHONE,
    Rollout,
    Tool,
    banner,
    enrols_key,
    fits,
    is_asked,
    keeps_codes,
    sign_in,
    with_alice,
)
from tests.people import PASSWORD, Person, make_person

REASON = "The npm package left-pad, which you maintain, is downloaded 2,400,000 times a week."
DAY = timedelta(days=1)


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


def with_app(visit: Visit, person: Person, clock: Clock) -> None:
    """Sign in with the password and the app's code."""
    clock.advance(seconds=30)  # a code is good once
    visit.open("/login")
    visit.fill(username=person.username, password=PASSWORD)
    visit.press("Sign in")
    visit.page.locator("input#totp").fill(person.totp(clock.now))
    visit.expect("/account")


def test_an_announced_mandate_is_told_by_mail_and_on_every_page_until_a_key_meets_it(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    rollout, alice = with_alice(site_in_time, new_visit, clock)
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


def test_a_brown_out_asks_at_every_sign_in_until_it_is_done_and_each_time_not_today_lets_in(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    rollout, alice = with_alice(site_in_time, new_visit, clock)
    day = rollout.phase(enforced_in=60 * DAY, brown_outs=rollout.brown_out(begins_in=10 * DAY))
    rollout.load("alice")
    ((_, text),) = rollout.mails("alice@example.test")
    assert f"- {date_words(clock.now + 10 * DAY)} until {date_words(clock.now + 10 * DAY + timedelta(hours=3))}" in text
    rollout.wait(days=10)
    # It looks as it will on the day, and can be put off.
    sign_in(alice, next_path="/account/log")
    is_asked(alice)
    expect(alice.page.get_by_text(f"required from {date_words(day)}")).to_be_visible()
    alice.press("Not today")
    alice.expect("/account/log")
    expect(banner(alice)).to_contain_text("50 days left")
    alice.sign_out()
    # The next sign-in asks again. A passkey, and it goes on to where it was going.
    sign_in(alice, next_path="/account/log")
    is_asked(alice)
    key = VirtualKey(alice.page)
    enrols_key(alice, "This phone")
    keeps_codes(alice)
    alice.expect("/account/log")
    expect(banner(alice)).to_have_count(0)
    key.touch(False)  # or the sign-in page's autofill would be answered at once
    alice.sign_out()
    key.touch(True)
    alice.page.goto(alice.site.origin + "/login")
    alice.expect("/account")


def test_who_is_exempt_is_asked_for_nothing_until_the_very_end(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    rollout, alice = with_alice(site_in_time, new_visit, clock)
    rollout.phase(enforced_in=timedelta(0))
    rollout.load("alice")
    sign_in(alice)
    is_asked(alice)
    # The operator exempts her, from tomorrow on.
    clock.advance(minutes=10)
    until = clock.now + 40 * DAY
    rollout.run("mandates", "exempt", "alice", "--until", until.isoformat(), "--reason", "Travels without a key")
    subject, text = rollout.mails("alice@example.test")[-1]
    assert subject == "Your account alice is exempt for a while"
    assert f"until {date_words(until)}" in text
    assert "Why:   Travels without a key" in text
    sign_in(alice)
    is_asked(alice)
    rollout.wait(hours=24)
    sign_in(alice)
    alice.expect("/account")
    expect(banner(alice)).to_contain_text(f"You are exempt until {date_words(until)}")
    expect(banner(alice)).to_contain_text("39 days left")
    assert fits(alice)
    alice.open("/account/password")
    expect(alice.page.get_by_role("heading", name="Change your password")).to_be_visible()
    # She hears of the end 30, 7 and 1 days before, and at the end.
    before = len(rollout.mails("alice@example.test"))
    for days in (9, 23, 6):
        rollout.wait(days=days)
    told = [subject for subject, _ in rollout.mails("alice@example.test")[before:]]
    assert told == [f"A second step is required for alice {when}" for when in ("in 30 days", "in 7 days", "tomorrow")]
    rollout.wait(hours=21)
    sign_in(alice)
    alice.expect("/account")
    expect(banner(alice)).to_contain_text("3 hours left")
    rollout.wait(hours=3)
    assert rollout.mails("alice@example.test")[-1][0] == "A second step is now required for alice"
    alice.open("/account")
    expect(banner(alice)).to_contain_text(f"required since {date_words(until)}")
    alice.page.goto(alice.site.origin + "/account/password")
    expect(alice.page.get_by_role("heading", name="A second step comes first")).to_be_visible()
    alice.look()
    sign_in(alice)
    is_asked(alice)


def test_who_falls_below_hears_after_90_days_that_nothing_is_asked_and_keeps_what_is_there(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    rollout = Rollout(site_in_time, clock)
    site, visit = site_in_time, new_visit(**PHONE)
    bob = make_person(site.app, "bob", totp_app=True, now=clock.now)
    rollout.phase(enforced_in=timedelta(0))
    rollout.phase("keys", enforced_in=200 * DAY, strength='"phishing_resistant"')
    rollout.load("bob")
    # The app meets the one that is in force; the other is to come.
    with_app(visit, bob, clock)
    expect(banner(visit)).to_contain_text("A key or passkey is required from")
    # Fewer downloads, below the line where it ends: for 89 days all stays as it was.
    rollout.load("bob", weekly_downloads=799_999)
    before = rollout.mails(bob.email)
    rollout.wait(days=89)
    assert rollout.mails(bob.email) == before
    visit.page.goto(site.origin + "/login")
    with_app(visit, bob, clock)
    expect(banner(visit)).to_contain_text("A key or passkey is required from")
    # After 90 a mail says that nothing is asked any more, once, and the banner is gone.
    rollout.wait(days=1)
    rollout.wait(days=1)
    ((subject, text),) = rollout.mails(bob.email)[len(before) :]
    assert subject == "A second step is no longer required for bob"
    assert "The last one cannot be removed" in text
    with_app(visit, bob, clock)
    expect(banner(visit)).to_have_count(0)
    # The app is still asked for, and stays.
    visit.page.get_by_role("button", name="Remove App").click()
    expect(visit.page.get_by_role("heading", name="This one has to stay")).to_be_visible()
    visit.look()
    assert fits(visit)
