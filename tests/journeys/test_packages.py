"""Packages as whoever maintains them lives through it, in Chromium: invited, told, accepted or declined."""

from datetime import timedelta

from playwright.sync_api import expect

from authsvc import mandates
from tests.conftest import Clock
from tests.journeys.conftest import NewVisit, Site
from tests.journeys.rollout import PHONE, Rollout, fits, sign_in
from tests.people import PASSWORD, make_person

LONG = "x" * 214  # as long as names get, and nowhere to break it
OWNERS = "ecosystem,package,account,role,accepted_at\n"


def test_an_invitation_is_mailed_and_accepted_a_mandate_follows_and_another_is_declined(
    site_in_time: Site, new_visit: NewVisit, clock: Clock
) -> None:
    # Given a registry that invites alice to three packages, one of them much used
    rollout, alice = Rollout(site_in_time, clock), new_visit(**PHONE)
    page, outbox = alice.page, site_in_time.outbox
    make_person(site_in_time.app, "alice", now=clock.now)
    rollout.phase(enforced_in=timedelta(days=60))
    packages, owners = rollout.folder / "packages.csv", rollout.folder / "owners.csv"
    packages.write_text(f"ecosystem,name,weekly_downloads\nnpm,left-pad,2400000\nnpm,{LONG},12\nnpm,tiny-pad,9\n")
    owners.write_text(OWNERS + "".join(f"npm,{name},alice,owner,\n" for name in ("left-pad", LONG, "tiny-pad")))
    rollout.run("impact", "import", str(packages), str(owners))
    rollout.run("mandates", "apply")
    with site_in_time.app.app_context():
        mandates.tell_invited(now=clock.now)
    # Then one mail tells her, without a name, and nothing is asked of her yet
    ((subject, text),) = [(m["Subject"], m.get_content()) for m in outbox.to("alice@example.test")]
    assert subject == "Invited to maintain packages: alice"
    assert "3 packages" in text
    assert "left-pad" not in text
    assert rollout.mails("alice@example.test") == []
    # When she follows it, reads, and accepts the one
    sign_in(alice, next_path="/account/packages")
    alice.expect("/account/packages")
    assert fits(alice)
    expect(page.get_by_text("No second step is required of you.")).to_be_visible()
    invitations = page.locator("#invitations .rows > li")
    expect(invitations).to_have_count(3)
    expect(invitations.first).to_contain_text("left-pad")
    expect(invitations.first).to_contain_text("a second step may be required of you")
    invitations.filter(has_text=LONG).get_by_role("button", name="Accept").click()
    page.wait_for_url("**/step-up/*")
    assert fits(alice)
    page.get_by_role("link", name="Leave it as it is").click()
    alice.expect("/account/packages")
    invitations.first.get_by_role("button", name="Accept").click()
    page.wait_for_url("**/step-up/*")
    alice.look()
    assert fits(alice)
    expect(page.get_by_text("Accept to maintain the npm package left-pad")).to_be_visible()
    alice.fill(password=PASSWORD, code=outbox.code("alice@example.test"))
    alice.press("Prove and do it")
    alice.expect("/account/packages")
    # Then it is hers, is new, and the mandate is announced on the page and by mail
    expect(page.locator("#packages .rows > li")).to_contain_text("left-pad")
    expect(page.get_by_text("You have a say in it from")).to_be_visible()
    expect(page.locator(".alert").first).to_contain_text("A second step is required from")
    expect(page.locator("#asked")).to_have_count(0)
    assert fits(alice)
    assert [subject for subject, _ in rollout.mails("alice@example.test")] == ["A second step is required for alice"]
    # When she declines another, it is told no more, and the third still waits
    invitations.filter(has_text=LONG).get_by_role("button", name="Decline").click()
    alice.expect("/account/packages")
    expect(page.locator("#declined .rows > li")).to_contain_text(LONG)
    expect(invitations).to_have_count(1)
    assert fits(alice)
    told = len(outbox.messages)
    clock.advance(days=2)
    rollout.run("impact", "import", str(packages), str(owners))
    with site_in_time.app.app_context():
        mandates.tell_invited(now=clock.now)
    assert len(outbox.messages) == told
    sign_in(alice, next_path="/account/packages")
    alice.expect("/account/packages")
    expect(invitations).to_have_count(1)
    expect(page.locator("#declined .rows > li")).to_have_count(1)
