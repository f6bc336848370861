"""Keys in a real Chromium: what password managers are told, and the switch for keys alone."""

from typing import Any

from playwright.sync_api import expect
from sqlalchemy import update

from authsvc import accounts, webauthn
from authsvc.accounts.models import Authenticator as AuthenticatorRow
from authsvc.app import utc_now
from authsvc.core import db
from tests.journeys.conftest import Site, VirtualKey, Visit
from tests.journeys.test_browser import enrol, keep_codes


def held(key: VirtualKey) -> list[str]:
    """The credentials the authenticator still has."""
    found: dict[str, Any] = key.session.send("WebAuthn.getCredentials", {"authenticatorId": key.id})
    return [credential["credentialId"] for credential in found["credentials"]]


def wait_until_gone(key: VirtualKey) -> None:
    """Until the authenticator has no credential any more; the browser passes the news on in its own time."""
    for _ in range(100):
        if not held(key):
            return
        key.page.wait_for_timeout(50)
    raise AssertionError("the browser kept the passkey")


def with_passkey(visit: Visit) -> VirtualKey:
    """Register, and enrol a passkey that counts at once."""
    visit.register()
    key = VirtualKey(visit.page)
    enrol(visit, "key")
    visit.fill(label="This laptop")
    visit.press("Continue")
    keep_codes(visit)
    return key


def forget_here(site: Site) -> None:
    """Remove every authenticator behind the pages."""
    with site.app.app_context(), db.transaction():
        account = accounts.find("alice")
        assert account
        for own in accounts.enrolled(account.id, now=utc_now()):
            webauthn.revoke(own.id)
            accounts.revoke_authenticator(account.id, own.id, now=utc_now())


def test_a_passkey_that_was_removed_here_vanishes_from_the_browser_when_it_is_tried(visit: Visit, site: Site) -> None:
    key = with_passkey(visit)
    assert len(held(key)) == 1
    key.touch(False)  # or the sign-in page's autofill would be answered at once
    visit.sign_out()
    forget_here(site)
    key.touch(True)
    visit.open("/login")
    expect(visit.page.get_by_text("That passkey could not be used")).to_be_visible()
    wait_until_gone(key)


def test_a_passkey_that_was_removed_vanishes_from_the_browser_at_the_security_page(visit: Visit, site: Site) -> None:
    key = with_passkey(visit)
    visit.open("/account")
    assert len(held(key)) == 1
    forget_here(site)
    visit.open("/account")
    expect(visit.page.get_by_text("No second step yet")).to_be_visible()
    wait_until_gone(key)


def test_only_keys_are_accepted_once_their_owner_says_so(visit: Visit, site: Site) -> None:
    visit.page.set_viewport_size({"width": 320, "height": 640})
    with_passkey(visit)
    with site.app.app_context(), db.transaction() as session:
        session.execute(update(AuthenticatorRow).values(senior_at=utc_now()))
    visit.open("/account")
    visit.press("Switch on only keys and passkeys")
    expect(visit.page.get_by_text("Accept only keys and passkeys")).to_be_visible()
    visit.press("Use your key and do it")
    visit.page.wait_for_url("**/account#ways")
    visit.look()
    expect(visit.page.get_by_text("Recovery codes still let you in").first).to_be_visible()
    expect(visit.page.get_by_role("button", name="Switch off")).to_be_visible()
    assert not visit.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    visit.open("/account/enrol")
    expect(visit.page.get_by_text("Switched off: your account accepts only keys and passkeys.")).to_be_visible()
