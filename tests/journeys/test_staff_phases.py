"""A phase that staff add, put off by two people, and read of again, in a real Chromium; the second on a small phone."""

from datetime import timedelta

from playwright.sync_api import expect

from authsvc import mandates
from authsvc.core.templating import date_words
from tests.conftest import Clock
from tests.journeys.conftest import NewVisit, Site
from tests.journeys.test_staff import fits, joins
from tests.people import make_person

PHASES = "/staff/mandates/phases"
WHY = "The release team asked for more time."


def test_a_phase_is_added_by_one_person_put_off_by_two_and_history_says_what_was_before(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    sam, sue = new_visit(), new_visit()
    sue.page.set_viewport_size({"width": 320, "height": 640})
    sue.page.emulate_media(color_scheme="dark")
    for colleague, name in ((sam, "sam"), (sue, "sue")):
        joins(colleague, name)
    for name in ("ann", "bea"):
        make_person(site_in_time.app, name, now=clock.now)
    midnight = clock.now.replace(hour=0)
    first, later = midnight + timedelta(days=90), midnight + timedelta(days=120)
    # Sam adds a phase: first what it does, then the key, and it holds
    sam.open("/staff/mandates")
    sam.page.get_by_role("link", name="Phases and their rules").click()
    sam.page.get_by_role("link", name="Add a phase").click()
    sam.expect(f"{PHASES}/change")
    sam.page.get_by_label("Name").fill("release-team")
    sam.page.get_by_label("Accounts").fill("ann\nbea")
    sam.page.get_by_label("In force from").fill(f"{first:%Y-%m-%d}")
    sam.press("See what changes")
    expect(sam.page.get_by_text("2 with the change")).to_be_visible()
    expect(sam.page.get_by_text("so your key alone confirms it")).to_be_visible()
    sam.page.get_by_label("Reason").fill("They sign our releases.")
    sam.press("Confirm")
    expect(sam.page.get_by_text("Add the phase release-team")).to_be_visible()
    sam.press("Use your key and do it")
    sam.expect(f"{PHASES}?done=changed")
    with site_in_time.app.app_context():
        mandates.apply(now=clock.now)
    # A later day asks for less, so it waits
    sam.open(f"{PHASES}/change?phase=release-team")
    sam.page.get_by_label("In force from").fill(f"{later:%Y-%m-%d}")
    sam.press("See what changes")
    expect(sam.page.get_by_text("It asks for less than before.")).to_be_visible()
    sam.page.get_by_label("Reason").fill(WHY)
    sam.press("Propose")
    sam.press("Use your key and do it")
    sam.expect(f"{PHASES}?done=proposed")
    # Sue finds it, reads what it does, and approves
    sue.open(PHASES)
    assert fits(sue)
    sue.page.get_by_role("link", name="Look").click()
    sue.expect(f"{PHASES}/1")
    expect(sue.page.get_by_text(f"{date_words(later)} (was: {date_words(first)})")).to_be_visible()
    expect(sue.page.get_by_text(WHY)).to_be_visible()
    assert fits(sue)
    sue.press("Approve")
    expect(sue.page.get_by_text("Approve the change of the phase release-team")).to_be_visible()
    assert fits(sue)
    sue.press("Use your key and do it")
    sue.expect(f"{PHASES}?done=changed")
    # The history has both, with who, why, and what it said before; those it was given to keep their day
    expect(sue.page.get_by_text("changed by sam, sue")).to_be_visible()
    expect(sue.page.get_by_text("added by sam")).to_be_visible()
    sue.page.locator("#history").locator("xpath=ancestor-or-self::section[1]").locator("summary").first.click()
    expect(sue.page.get_by_text(f"{date_words(later)} (was: {date_words(first)})")).to_be_visible()
    sue.look()
    assert fits(sue)
    # What the worker counted, who will be stopped, and the plan of the day
    for path, words in (
        ("/staff/mandates", "0 of 2 comply"),
        ("/staff/mandates/people", "nobody will be stopped in the next 30 days"),
        (f"/staff/mandates/plan?as-of={first:%Y-%m-%d}", "bea"),
    ):
        sue.open(path)
        expect(sue.page.get_by_text(words).first).to_be_visible()
        assert fits(sue), path
