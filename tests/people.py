"""People in tests: an account with what it has enrolled, a visitor with a browser, the mail they read."""

import email
import email.policy
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from threading import Barrier
from typing import Any

import pyotp
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from authsvc import accounts, domains, mail, passwords, recovery_codes, totp, webauthn
from authsvc.accounts.models import Account
from authsvc.accounts.models import Authenticator as AuthenticatorRow
from authsvc.core import db
from authsvc.core.assurance import Factor
from tests.authenticator import Authenticator

PASSWORD = "correct horse battery staple"
BASE_URL = "http://localhost:8000"
CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Outbox:
    """The mails sent so far, oldest first."""

    def __init__(self, app: Flask, clock: Any, folder: Path) -> None:
        self.app, self.clock, self.folder = app, clock, folder

    @property
    def messages(self) -> list[EmailMessage]:
        """All mails; what waits is delivered first, as the worker would."""
        with self.app.app_context():
            while mail.deliver(now=self.clock.now).sent:
                pass
        paths = sorted(self.folder.glob("*.eml"), key=lambda p: (p.stat().st_mtime_ns, p.name))
        return [email.message_from_bytes(p.read_bytes(), policy=email.policy.default) for p in paths]

    def to(self, address: str) -> list[EmailMessage]:
        """Mails to one address."""
        return [m for m in self.messages if m["To"] == address]

    def code(self, address: str) -> str:
        """The code in the newest mail to the address that holds one."""
        for message in reversed(self.to(address)):
            found = re.search(r"^(\d{8})\r?$", message.get_content(), re.MULTILINE)
            if found:
                return found[1]
        raise AssertionError(f"no code was mailed to {address}")


@dataclass
class Person:
    """An account and what its owner holds."""

    id: int
    username: str
    email: str
    password: str = PASSWORD
    seed: str = ""
    key: Authenticator | None = None
    codes: list[str] = field(default_factory=list)

    def totp(self, now: datetime) -> str:
        """What the app shows now."""
        return pyotp.TOTP(self.seed).at(now)


def make_person(
    app: Flask,
    username: str,
    *,
    now: datetime,
    email: str = "",
    totp_app: bool = False,
    key: bool = False,
    codes: bool | None = None,
    junior: bool = False,
    password: str | None = PASSWORD,
    age: timedelta = timedelta(days=100),
) -> Person:
    """Make an account through the slices' verbs. Its authenticators are senior unless `junior`."""
    person = Person(0, username, email or f"{username}@example.test", password or "")
    made = now - age
    with app.app_context():
        hashed = passwords.hash_new(password) if password else None
        with db.transaction() as session:
            person.id = accounts.create(username=username, now=made)
            accounts.add_address(person.id, person.email, is_primary=True, verified_at=None, now=made)
            domains.first_proof(person.id, person.email, now=made)
            if hashed:
                passwords.set_hash(person.id, hashed, now=made)
            if totp_app:
                person.seed = totp.new_seed()
                totp.enrol(person.id, person.seed, 0, label="App", browser_known_for=timedelta(0), now=made)
            if key:
                person.key = Authenticator(origin=app.extensions["authsvc.settings"].base_url)
                options, challenge = webauthn.begin_registration(person.id)
                webauthn.finish_registration(
                    person.id,
                    person.key.register(options),
                    challenge,
                    label="Blue key",
                    browser_known_for=timedelta(0),
                    now=made,
                )
            if codes or (codes is None and (totp_app or key)):
                person.codes = recovery_codes.generate()
                recovery_codes.store(person.id, person.codes, now=made)
            senior_at = now + timedelta(hours=72) if junior else made
            session.execute(
                update(AuthenticatorRow).where(AuthenticatorRow.account_id == person.id).values(senior_at=senior_at)
            )
            session.execute(
                update(Account).where(Account.id == person.id).values(last_sign_in_at=now - timedelta(days=1))
            )
    return person


class Visitor:
    """A browser without script: follows forms with their CSRF token, keeps cookies."""

    def __init__(self, app: Flask, outbox: Outbox) -> None:
        self.http: FlaskClient = app.test_client()
        self.http.environ_base["HTTP_USER_AGENT"] = FIREFOX  # or a session would step down between two requests
        self.outbox = outbox
        self.app = app
        self.origin: str = app.extensions["authsvc.settings"].base_url

    def get(self, path: str, **more: Any) -> TestResponse:
        """Open a page."""
        headers = {"User-Agent": FIREFOX, **more.pop("headers", {})}
        return self.http.get(path, base_url=self.origin, headers=headers, **more)

    def csrf(self) -> str:
        """A token for this browser's forms."""
        found = CSRF.search(self.get("/login").text)
        assert found
        return found[1]

    def post(self, path: str, **fields: Any) -> TestResponse:
        """Send a form as its page would."""
        headers = {"User-Agent": FIREFOX, **fields.pop("headers", {})}
        data = {"csrf_token": self.csrf(), **fields}
        return self.http.post(path, data=data, base_url=self.origin, headers=headers)

    def cookies(self) -> str:
        """All cookies, as the header a rival request would send."""
        jar = self.http._cookies or {}
        return "; ".join(f"{cookie.key}={cookie.value}" for cookie in jar.values())

    def post_at_once(self, path: str, *forms: dict[str, str]) -> list[int]:
        """Send the forms at one instant, from as many threads with this browser's cookies; the statuses, sorted."""
        token, cookies, together = self.csrf(), self.cookies(), Barrier(len(forms))

        def one(form: dict[str, str]) -> int:
            together.wait(timeout=10)
            sent = self.app.test_client(use_cookies=False).post(
                path,
                data={"csrf_token": token, **form},
                base_url=BASE_URL,
                headers={"Cookie": cookies, "User-Agent": FIREFOX},
            )
            return sent.status_code

        with ThreadPoolExecutor(len(forms)) as pool:
            return sorted(pool.map(one, forms))

    def signed_in(self) -> bool:
        """True when the security page opens."""
        return self.get("/account").status_code == 200

    def sign_in(self, person: Person, *, now: datetime | None = None, leads_to: str = "") -> TestResponse:
        """Sign in with password and whatever else is asked for: the app's code, the key, or a mailed code."""
        path = f"/login?next={leads_to}" if leads_to else "/login"
        self.post(path, username=person.username, password=person.password)
        if person.seed and now is not None:
            return self.post("/login/totp", code=person.totp(now))
        if person.key is not None:
            return self.use_key(person.key, "/login/key/options", "/login/key")
        return self.post("/login/code", code=self.outbox.code(person.email))

    def use_key(
        self, key: Authenticator, options: str, submit: str, *, user_verified: bool = False, **fields: Any
    ) -> TestResponse:
        """Run a WebAuthn assertion with a software authenticator."""
        asked = self.post(options)
        assert asked.status_code == 200, asked.text
        key.user_verified = user_verified
        return self.post(submit, credential=key.answer(asked.text), **fields)

    def use_key_to_enrol(self, key: Authenticator) -> TestResponse:
        """Register a software authenticator in the enrolment under way."""
        asked = self.post("/account/enrol/key/options")
        assert asked.status_code == 200, asked.text
        return self.post("/account/enrol/key", credential=key.register(asked.text), label="Key")


def kinds(app: Flask, account_id: int, now: datetime) -> set[Factor]:
    """What an account has enrolled."""
    with app.app_context(), db.transaction():
        return {a.kind for a in accounts.enrolled(account_id, now=now)}
