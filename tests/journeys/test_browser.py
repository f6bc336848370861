"""Whole stories in a real Chromium: register, enrol, sign in every way, and what must fail."""

import re
from datetime import timedelta

import pyotp
import pytest
from playwright.sync_api import expect

from authsvc.app import utc_now
from tests.journeys.conftest import VirtualKey, Visit
from tests.people import PASSWORD


def enrol(visit: Visit, way: str) -> None:
    """Choose a way on the security page and prove the step-up with password and mailed code."""
    visit.open("/account/enrol")
    visit.page.locator(f"button[name=way][value={way}]").click()
    visit.page.wait_for_url("**/step-up/*")
    visit.look()
    visit.fill(password=PASSWORD)
    visit.page.locator("input[name=code]").fill(visit.site.outbox.code("alice@example.test"))
    visit.press("Prove and do it")


def keep_codes(visit: Visit) -> list[str]:
    """Read the recovery codes and type one back."""
    expect(visit.page.get_by_role("heading", name="Keep your recovery codes")).to_be_visible()
    visit.look()
    codes = visit.page.locator("#codes code").all_inner_texts()
    assert len(codes) == 10
    visit.fill(code=codes[0])
    visit.press("I have saved them")
    visit.expect("/account")
    return codes


def test_register_and_sign_in_with_a_mailed_code(visit: Visit) -> None:
    address = visit.register()
    expect(visit.page.get_by_text("No second step yet")).to_be_visible()
    visit.sign_out()
    visit.fill(username="alice", password=PASSWORD)
    visit.press("Sign in")
    expect(visit.page.get_by_role("heading", name="Check your mail")).to_be_visible()
    visit.look()
    visit.type_mailed_code(address)
    visit.expect("/account")
    visit.page.get_by_role("link", name="See the whole log").click()
    visit.expect("/account/log")
    visit.page.get_by_label("Show", exact=True).select_option("sign-ins")
    visit.press("Show")
    expect(visit.page.get_by_text("Signed in with a password").first).to_be_visible()


def test_enrol_an_app_and_sign_in_with_it_or_a_recovery_code(visit: Visit) -> None:
    visit.register()
    enrol(visit, "totp")
    visit.page.get_by_text("Cannot scan it?").click()
    seed = visit.page.locator("#secret").inner_text().replace(" ", "")
    visit.look()
    app = pyotp.TOTP(seed)
    visit.page.locator("input[name=code]").fill(app.at(utc_now() - timedelta(seconds=30)))
    codes = keep_codes(visit)
    expect(visit.page.get_by_text("Authenticator app").first).to_be_visible()
    visit.sign_out()
    visit.fill(username="alice", password=PASSWORD)
    visit.press("Sign in")
    expect(visit.page.get_by_role("heading", name="Second step")).to_be_visible()
    visit.page.locator("input#totp").fill(app.now())
    visit.expect("/account")
    visit.sign_out()
    visit.fill(username="alice", password=PASSWORD)
    visit.press("Sign in")
    visit.page.get_by_text("Try another way").click()
    visit.look()
    visit.page.locator("input#recovery").fill(codes[1])
    visit.page.locator("form:has(#recovery) button").click()
    visit.expect("/account")
    expect(visit.page.get_by_text(re.compile("Some actions wait until"))).to_be_visible()


def test_enrol_a_passkey_and_sign_in_with_it_alone(visit: Visit) -> None:
    visit.register()
    VirtualKey(visit.page)
    enrol(visit, "key")
    visit.look()
    visit.fill(label="This laptop")
    visit.press("Continue")
    keep_codes(visit)
    expect(visit.page.get_by_text("This laptop").first).to_be_visible()
    visit.page.get_by_role("button", name="Sign out", exact=True).click()
    visit.page.wait_for_url("**/login")
    visit.page.wait_for_url("**/account")  # the sign-in page offers the passkey by autofill, and the key answers
    expect(visit.page.get_by_text("Signed in with a passkey").first).to_be_visible()


def test_password_and_security_key_sign_in(visit: Visit) -> None:
    visit.register()
    key = VirtualKey(visit.page, transport="usb")
    enrol(visit, "key")
    visit.fill(label="Blue key")
    visit.press("Continue")
    keep_codes(visit)
    key.verify_user(False)
    visit.sign_out()
    visit.fill(username="alice", password=PASSWORD)
    visit.press("Sign in")
    expect(visit.page.get_by_role("heading", name="Second step")).to_be_visible()
    visit.press("Use your security key")
    visit.expect("/account")
    expect(visit.page.get_by_text("Signed in with a password and a security key").first).to_be_visible()


def test_a_key_whose_user_is_not_verified_is_no_passkey(visit: Visit) -> None:
    visit.register()
    key = VirtualKey(visit.page, transport="usb")
    enrol(visit, "key")
    visit.fill(label="Blue key")
    visit.press("Continue")
    keep_codes(visit)
    visit.sign_out()
    key.verify_user(False)
    visit.open("/login")
    visit.page.get_by_role("button", name="Sign in with a passkey").click()
    expect(visit.page.locator("[data-message]").first).to_contain_text(
        re.compile("Nothing was received|could not be used")
    )
    assert visit.page.url.endswith("/login")


def test_a_key_of_nobody_is_refused(visit: Visit) -> None:
    visit.register()
    enrol(visit, "key")
    first = VirtualKey(visit.page, transport="usb")
    visit.fill(label="Blue key")
    visit.press("Continue")
    keep_codes(visit)
    first.remove()
    VirtualKey(visit.page, transport="usb")
    visit.sign_out()
    visit.fill(username="alice", password=PASSWORD)
    visit.press("Sign in")
    visit.page.get_by_role("button", name="Use your security key").click()
    expect(visit.page.locator("[data-message]").first).to_contain_text("Nothing was received")
    visit.open("/account")
    assert "/login" in visit.page.url


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/login",
        "/register",
        "/recovery",
        "/recovery/sent",
        "/recovery/help",
        "/mail/check",
        "/threats",
        "/nowhere",
    ],
)
def test_open_pages_are_accessible_and_fit_a_small_phone(visit: Visit, path: str) -> None:
    visit.page.set_viewport_size({"width": 320, "height": 640})
    visit.open(path)
    wider = visit.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wider
