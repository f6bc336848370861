"""The stolen cookie: malware copies all cookies of a browser whose session is bound to a key in the device.

In a real Chromium, over https, with keys in software. Its cookies cannot be made older than they are, so a short cookie
that has run out is taken away from it, as Chromium would do itself, and the server's clock is moved.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

from authsvc import accounts, sessions
from authsvc.app import create_app
from authsvc.core import crypto, db
from authsvc.core.config import Settings
from tests import certificates, servers
from tests.certificates import Trust
from tests.conftest import Clock
from tests.journeys.conftest import Site, Visit
from tests.people import PASSWORD, Outbox

SHORT = "__Host-authsvc-bound"
FEATURES = "EnableBoundSessionCredentialsSoftwareKeysForManualTesting,DeviceBoundSessions:RefreshQuota/false"


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    """A certificate that the browser trusts; with an error ignored instead, it would bind nothing."""
    return certificates.make(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def binding_chromium(playwright: Playwright, trust: Trust) -> Iterator[Browser]:
    """Chromium that binds sessions to keys in software."""
    browser = playwright.chromium.launch(
        executable_path="/usr/bin/chromium",
        args=["--no-sandbox", f"--enable-features={FEATURES}"],
        env={**os.environ, "HOME": str(trust.home)},
    )
    yield browser
    browser.close()


@pytest.fixture
def secure_site(tmp_path: Path, sqlite_template: Path, clock: Clock, trust: Trust) -> Iterator[Site]:
    """The application over https, with a clock that a test moves."""
    copy = shutil.copy(sqlite_template, tmp_path / "authsvc.sqlite3")
    apps: list[Flask] = []

    def make(origin: str) -> Flask:
        settings = Settings(
            base_url=origin,
            instance_path=str(tmp_path),
            database_url=f"sqlite:///{copy}",
            hibp_base_url="off",
            argon2_memory_kib=8,
            argon2_time_cost=1,
            workers=1,
        )
        crypto.load_keys(settings.sealing_keys, create=True)
        apps.append(create_app(settings, clock=clock))
        return apps[0]

    with servers.live(make, certificate=(trust.certificate, trust.key)) as origin:
        yield Site(origin, apps[0], Outbox(apps[0], clock, tmp_path / "outbox"))
    apps[0].extensions["authsvc.engine"].dispose()


class BoundBrowser:
    """A browser, and what Chromium's DevTools say about its device-bound sessions."""

    def __init__(self, page: Page, clock: Clock) -> None:
        self.page, self.clock, self.events = page, clock, list[dict[str, Any]]()
        devtools = page.context.new_cdp_session(page)
        devtools.on("Network.deviceBoundSessionEventOccurred", lambda event: self.events.append(event))
        devtools.send("Network.enable")
        devtools.send("Network.enableDeviceBoundSessions", {"enable": True})

    def wait_for(self, kind: str, **details: str) -> None:
        """Wait for a new event of the kind that succeeded, and forget those up to it."""
        for _ in range(200):
            for index, event in enumerate(self.events):
                told = event.get(f"{kind}EventDetails")
                if told is not None and all(told.get(name) == value for name, value in details.items()):
                    assert event["succeeded"], event
                    del self.events[: index + 1]
                    return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"no {kind} among {self.events}")

    def let_time_pass(self) -> None:
        """Ten minutes: the short cookie ends on both sides."""
        self.clock.advance(minutes=10)
        self.page.context.clear_cookies(name=SHORT)


@pytest.fixture
def context(binding_chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh profile."""
    fresh = binding_chromium.new_context(locale="en-GB")
    yield fresh
    fresh.close()


@pytest.fixture
def browser(context: BrowserContext, clock: Clock) -> BoundBrowser:
    """A browser with one page."""
    return BoundBrowser(context.new_page(), clock)


@pytest.fixture
def owner(secure_site: Site, browser: BoundBrowser) -> Visit:
    """Alice, registered and bound."""
    visit = Visit(secure_site, browser.page)
    visit.register()
    browser.wait_for("creation", fetchResult="Success")
    return visit


@pytest.fixture
def steal(secure_site: Site, browser: BoundBrowser, trust: Trust) -> Callable[[], Callable[[], int]]:
    """Copies all cookies there are now; what it gives says with which status the security page answers the thief."""

    def copy() -> Callable[[], int]:
        thief = requests.Session()
        thief.headers["User-Agent"] = browser.page.evaluate("navigator.userAgent")
        cookies = {str(c["name"]): str(c["value"]) for c in browser.page.context.cookies()}

        def open_account() -> int:
            url = f"{secure_site.origin}/account"
            return thief.get(url, cookies=cookies, verify=str(trust.authority), allow_redirects=False).status_code

        return open_account

    return copy


@pytest.mark.attack("S01")
def test_a_stolen_cookie_dies_within_minutes_while_its_owner_goes_on(
    owner: Visit, browser: BoundBrowser, steal: Callable[[], Callable[[], int]]
) -> None:
    owner.open("/account")
    expect(browser.page.get_by_text("Bound to this device")).to_be_visible()
    thief = steal()
    assert thief() == 200  # for the minutes that the copy has left
    browser.let_time_pass()
    assert thief() == 303
    owner.open("/account")
    owner.expect("/account")
    browser.wait_for("refresh", refreshResult="Refreshed")
    assert thief() == 303
    thief_again = steal()
    browser.let_time_pass()
    browser.page.get_by_role("button", name="Forget").first.click()  # a form, too, waits for the key
    owner.expect("/login")
    browser.wait_for("refresh", refreshResult="Refreshed")
    assert thief_again() == 303


def test_whoever_comes_from_another_site_is_still_signed_in(
    owner: Visit, browser: BoundBrowser, secure_site: Site
) -> None:
    browser.let_time_pass()
    elsewhere = secure_site.origin.replace("localhost", "127.0.0.1")
    browser.page.goto(f"{elsewhere}/login")  # refused there, but a site of its own to the browser
    browser.page.evaluate(f"location = '{secure_site.origin}/account'")
    owner.expect("/account")
    browser.wait_for("refresh", refreshResult="Refreshed")


def test_a_session_that_ended_elsewhere_leads_calmly_to_the_sign_in_page_and_can_begin_again(
    owner: Visit, browser: BoundBrowser, secure_site: Site, clock: Clock
) -> None:
    with secure_site.app.app_context(), db.transaction():
        account = accounts.find("alice")
        assert account
        sessions.end_all(account.id, now=clock.now)
    browser.let_time_pass()
    owner.open("/account")
    owner.expect("/login?next=/account")
    browser.wait_for("termination", deletionReason="ServerRequested")
    owner.fill(username="alice", password=PASSWORD)
    owner.press("Sign in")
    owner.type_mailed_code("alice@example.test")
    owner.expect("/account")
    browser.wait_for("creation", fetchResult="Success")
    browser.let_time_pass()
    owner.open("/account")
    owner.expect("/account")


def test_after_signing_in_twice_the_session_before_is_dropped_on_the_way(
    owner: Visit, browser: BoundBrowser, clock: Clock
) -> None:
    owner.sign_out()
    owner.fill(username="alice", password=PASSWORD)
    owner.press("Sign in")
    owner.type_mailed_code("alice@example.test")
    owner.expect("/account")
    browser.wait_for("creation", fetchResult="Success")
    browser.let_time_pass()
    owner.open("/account")
    owner.expect("/account")
    browser.wait_for("refresh", refreshResult="Refreshed")
