"""A running site, a person with a browser at it, and the mail they get."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Error, Page

from authsvc.app import create_app, utc_now
from authsvc.core import crypto
from authsvc.core.config import Settings
from tests import servers
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox


class RealClock:
    """The time it is."""

    @property
    def now(self) -> Any:
        """Now."""
        return utc_now()


@dataclass
class Site:
    """The whole application, served on loopback."""

    origin: str
    app: Flask
    outbox: Outbox


@contextmanager
def served(tmp_path: Path, sqlite_template: Path, clock: Callable[[], datetime], mail_clock: Any) -> Iterator[Site]:
    """The application with a database of its own, served by threads of this process, at the clock's time."""
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

    with servers.live(make) as origin:
        yield Site(origin, apps[0], Outbox(apps[0], mail_clock, tmp_path / "outbox"))
    apps[0].extensions["authsvc.engine"].dispose()


@pytest.fixture
def site(tmp_path: Path, sqlite_template: Path) -> Iterator[Site]:
    """The application at the time it is."""
    with served(tmp_path, sqlite_template, utc_now, RealClock()) as found:
        yield found


@pytest.fixture
def site_in_time(tmp_path: Path, sqlite_template: Path, clock: Clock) -> Iterator[Site]:
    """The application at a time that the test moves."""
    with served(tmp_path, sqlite_template, clock, clock) as found:
        yield found


LOADED = "document.readyState === 'complete' || new Promise(done => addEventListener('load', () => done()))"


class VirtualKey:
    """An authenticator of Chromium's own, through the DevTools protocol."""

    def __init__(self, page: Page, *, user_verified: bool = True, transport: str = "internal") -> None:
        self.page, self.session = page, page.context.new_cdp_session(page)
        self.session.send("WebAuthn.enable", {"enableUI": False})
        options = {
            "protocol": "ctap2",
            "transport": transport,
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": user_verified,
            "automaticPresenceSimulation": True,
        }
        self.id = self.session.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]

    def verify_user(self, verified: bool) -> None:
        """Whether its PIN or fingerprint is right from now on."""
        self.session.send("WebAuthn.setUserVerified", {"authenticatorId": self.id, "isUserVerified": verified})

    def touch(self, touched: bool) -> None:
        """Whether somebody touches it as soon as it is asked, from now on."""
        told = {"authenticatorId": self.id, "enabled": touched}
        self.session.send("WebAuthn.setAutomaticPresenceSimulation", told)

    def remove(self) -> None:
        """Unplug it."""
        self.session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self.id})


class Visit:
    """A person at the site: what they click and type. Every page they meet is checked for accessibility."""

    def __init__(self, site: Site, page: Page) -> None:
        self.site, self.page, self.axe = site, page, Axe()
        self.checked: set[str] = set()

    def look(self) -> None:
        """Check this page with axe, once for each kind of page."""
        try:
            self.page.evaluate(LOADED)
            kind = self.page.title()
            if kind in self.checked:
                return
            found = self.axe.run(self.page)
        except Error as left:  # a key answered, or a code sent itself, and the page is gone
            if "context was destroyed" not in left.message and "axe is not defined" not in left.message:
                raise
            self.look()
            return
        self.checked.add(kind)
        assert found.violations_count == 0, f"{self.page.url}: {found.generate_report()}"

    def open(self, path: str) -> None:
        """Open a page."""
        self.page.goto(self.site.origin + path)
        self.look()

    def fill(self, **fields: str) -> None:
        """Type into the visible fields of these names."""
        for name, value in fields.items():
            self.page.locator(f"input[name={name}]:visible").first.fill(value)

    def press(self, text: str) -> None:
        """Press the button with this text."""
        self.page.get_by_role("button", name=text, exact=True).first.click()
        self.page.wait_for_load_state()
        self.look()

    def expect(self, path: str) -> None:
        """Wait until the browser is at this path."""
        self.page.wait_for_url(f"{self.site.origin}{path}")
        self.look()

    def type_mailed_code(self, address: str) -> None:
        """Paste the newest code mailed to the address; the page sends itself."""
        self.page.locator("input[data-digits]:visible").first.fill(self.site.outbox.code(address))

    def register(self, username: str = "alice") -> str:
        """Register and confirm the address; leaves the browser at the security page."""
        address = f"{username}@example.test"
        self.open("/register")
        self.fill(username=username, email=address, password=PASSWORD)
        self.press("Create account")
        self.type_mailed_code(address)
        self.expect("/account")
        return address

    def sign_out(self) -> None:
        """Sign out."""
        self.press("Sign out")
        self.expect("/login")


@pytest.fixture
def visit(site: Site, page: Page) -> Visit:
    """Somebody at the site for the first time."""
    return Visit(site, page)


NewVisit = Callable[..., Visit]


@pytest.fixture
def new_visit(chromium: Browser, site_in_time: Site) -> Iterator[NewVisit]:
    """Makes people, each in a browser profile of their own, with these options of Playwright's."""
    contexts = []

    def make(**options: Any) -> Visit:
        contexts.append(chromium.new_context(locale="en-GB", **options))
        return Visit(site_in_time, contexts[-1].new_page())

    yield make
    for context in contexts:
        context.close()
