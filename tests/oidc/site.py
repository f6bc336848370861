"""A site (or a command-line program) that signs people in through us, as tests drive it."""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from flask import Flask
from sqlalchemy import update
from werkzeug.test import TestResponse

from authsvc import accounts, devices, sessions
from authsvc.accounts.models import Address
from authsvc.core import db
from authsvc.core.assurance import Acr
from authsvc.core.web import Client
from authsvc.oidc import clients
from tests.people import BASE_URL, Person, Visitor

REDIRECT = "https://rp.example/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ALL_SCOPES = "openid profile email offline_access packages:read packages:publish"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
HERE = Client(ip="127.0.0.1", network="127.0.0.1", browser="Firefox on Linux")


def query_of(location: str) -> dict[str, str]:
    """The parameters of a redirect."""
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query, keep_blank_values=True).items()}


@dataclass
class Site:
    """One registered client and what it sends."""

    app: Flask
    id: str
    secret: str | None
    metadata: dict[str, Any] = field(default_factory=dict)

    def asked(self, **changes: str | None) -> dict[str, str]:
        """An authorization request; a parameter set to None is left out."""
        healthy: dict[str, str | None] = {
            "client_id": self.id,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": "openid profile email",
            "state": "state-1",
            "nonce": "nonce-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in {**healthy, **changes}.items() if value is not None}

    def url(self, **changes: str | None) -> str:
        """The same as an address."""
        return "/oauth2/authorize?" + urlencode(self.asked(**changes))

    def post(self, path: str, *, auth: bool = True, headers: dict[str, str] | None = None, **form: Any) -> TestResponse:
        """Call one of our endpoints, authenticated as registered."""
        sent = dict(headers or {})
        if auth and self.secret is not None:
            pair = f"{self.id}:{self.secret}".encode()
            sent["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        elif auth:
            form = {"client_id": self.id, **form}
        data = {name: value for name, value in form.items() if value is not None}
        return self.app.test_client().post(path, data=data, headers=sent, base_url=BASE_URL)

    def exchange(self, code: str, **changes: Any) -> TestResponse:
        """Trade a code."""
        healthy = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
        }
        return self.post("/oauth2/token", **{**healthy, **changes})

    def refresh(self, token: str, **changes: Any) -> TestResponse:
        """Trade a refresh token."""
        return self.post("/oauth2/token", **{"grant_type": "refresh_token", "refresh_token": token, **changes})

    def introspect(self, token: str) -> Any:
        """What the introspection endpoint says."""
        return self.post("/oauth2/introspect", token=token).json

    def answer(self, visitor: Visitor, **changes: str | None) -> dict[str, str]:
        """Where a signed-in visitor's request ends, after consenting where asked: the parameters that come back."""
        location = visitor.get(self.url(**changes)).location
        if not location.startswith(REDIRECT):
            location = consent(visitor, location).location
        assert location.startswith(REDIRECT), location
        return query_of(location)

    def tokens(self, visitor: Visitor, **changes: str | None) -> dict[str, Any]:
        """What a signed-in visitor's request is traded for."""
        traded = self.exchange(self.answer(visitor, **changes)["code"])
        assert traded.status_code == 200, traded.text
        return traded.json or {}


def handle_of(page: str) -> str:
    """The request that a consent page is about."""
    found = re.search(r'name="request" value="([^"]+)"', page)
    assert found, page
    return found[1]


def consent(visitor: Visitor, location: str, decision: str = "approve") -> TestResponse:
    """Open a consent page and decide."""
    return visitor.post("/oauth2/consent", request=handle_of(visitor.get(location).text), decision=decision)


def register(app: Flask, *, now: datetime, secret: bool = True, **metadata: Any) -> Site:
    """A client; confidential unless told otherwise."""
    described = {
        "client_name": "Example site",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token", DEVICE_GRANT],
        "scope": ALL_SCOPES,
        "token_endpoint_auth_method": "client_secret_basic" if secret else "none",
        **metadata,
    }
    with app.app_context(), db.transaction():
        client_id, made = clients.put(None, clients.read_metadata(described), secret=None, now=now)
    return Site(app, client_id, made, described)


def sign_in(
    visitor: Visitor,
    person: Person,
    *,
    now: datetime,
    acr: Acr = Acr.AAL1,
    amr: str = "pwd",
    auth_time: datetime | None = None,
    first_seen: datetime | None = None,
    where: Client = HERE,
) -> None:
    """Give a visitor a session of this strength, as the sign-in door would have; the door has tests of its own."""
    with visitor.app.app_context(), db.transaction():
        epoch = accounts.get(person.id).epoch
        browser = devices.remember("", person.id, epoch=epoch, client=where, now=first_seen or now)
        _, session = sessions.issue(
            person.id,
            epoch=epoch,
            acr=acr,
            amr=frozenset(amr.split()),
            auth_time=auth_time or now,
            browser_id=browser.id,
            client=where,
            now=now,
        )
    visitor.http.set_cookie("authsvc-session", session, domain="localhost")
    visitor.http.set_cookie("authsvc-browser", browser.token, domain="localhost")


def set_verified(app: Flask, person: Person, at: datetime | None) -> None:
    """As if the person's address had been proved then, or never."""
    with app.app_context(), db.transaction() as session:
        session.execute(update(Address).where(Address.account_id == person.id).values(verified_at=at))
