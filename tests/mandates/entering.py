"""Somebody who is covered, holds too little, and tries to come in: what they do at each door.

A door is a generator. Each of its stops is a moment at which the mandate's day may come; so is before it, and after.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from authsvc import accounts, holds, mandates, sessions, tokens, webauthn
from authsvc.core.assurance import AUTHENTICATORS, PHISHING_RESISTANT, Acr, Factor, amr_values
from authsvc.core.web import Client
from authsvc.policy.hold import HoldCause
from authsvc.policy.mandate import Strength
from tests.authenticator import Authenticator
from tests.conftest import Clock
from tests.oidc.site import Site, query_of, sign_in
from tests.people import BASE_URL, Outbox, Person, Visitor, make_person
from tests.slices import request_to

PASSWORD, APP, CODE = Factor.PASSWORD, Factor.TOTP, Factor.RECOVERY_CODE
LONG_AGO = timedelta(days=100)
RISKY = "/account/password"  # a page that leads to a change
PUBLISH = "packages:publish"
SCOPE = f"openid offline_access packages:read {PUBLISH}"
SHOWS = {  # what a session says was shown, by what a mandate asks for
    Strength.ANY_SECOND_FACTOR: {"otp", "swk", "hwk"},
    Strength.PHISHING_RESISTANT: {"swk", "hwk"},
    Strength.TWO_PHISHING_RESISTANT: {"swk", "hwk"},
}
COUNTS = {
    Strength.ANY_SECOND_FACTOR: (AUTHENTICATORS, 1),
    Strength.PHISHING_RESISTANT: (PHISHING_RESISTANT, 1),
    Strength.TWO_PHISHING_RESISTANT: (PHISHING_RESISTANT, 2),
}


@dataclass(frozen=True)
class Held:
    """What somebody has enrolled. Codes may be left over from an authenticator that is gone."""

    app: bool = False
    keys: int = 0
    codes: bool = True


HELD = {
    "nothing": Held(codes=False),
    "leftover codes": Held(),
    "app": Held(app=True),
    "key": Held(keys=1),
    "key and app": Held(app=True, keys=1),
    "two keys": Held(keys=2),
}


def meets(strength: Strength, enrolled: list[Factor]) -> bool:
    """Our own count of what a strength asks for."""
    kinds, number = COUNTS[strength]
    return sum(kind in kinds for kind in enrolled) >= number


class OneBrowser(Visitor):
    """A browser that asks for its form token once, at an address of its own."""

    address = "127.0.0.1"
    _token: tuple[str, str] = ("", "")

    def csrf(self) -> str:
        cookie = self.http.get_cookie("authsvc-csrf", domain="localhost")
        if cookie is None or cookie.value != self._token[0]:
            token = super().csrf()
            cookie = self.http.get_cookie("authsvc-csrf", domain="localhost")
            self._token = (cookie.value if cookie else "", token)
        return self._token[1]

    def move_to(self, address: str) -> None:
        """Have another address from now on: limits of networks are not what is tried here."""
        self.address = self.http.environ_base["REMOTE_ADDR"] = address


@dataclass
class World:
    """The running app, and what everybody shares in it."""

    app: Flask
    clock: Clock
    outbox: Outbox
    site: Site
    tool: Site  # a command-line program
    people: int = 0
    visited: set[str] = field(default_factory=set)


class Attempt:
    """One covered person, one browser, one door."""

    visitor: OneBrowser

    def __init__(self, world: World, strength: Strength, held: Held, *, strongest: bool = False) -> None:
        """`strongest`: show the key where there is one, also where an app would do."""
        world.people += 1
        for mail in world.outbox.folder.glob("*.eml"):  # of those before; reading them again takes most of the time
            mail.unlink()
        self.app, self.clock = world.app, world.clock
        self.world, self.strength, self.held = world, strength, held
        self.by_app = held.app and not (strongest and held.keys)
        self.name = f"p{world.people}"
        self.person: Person = make_person(
            self.app,
            self.name,
            now=self.clock.now,
            email=f"{self.name}@corp.org",
            totp_app=held.app,
            key=held.keys > 0,
            codes=held.codes,
        )
        for _ in range(1, held.keys):
            self.another_key()
        self.use_new_browser()
        self.password = self.person.password
        self.shown: set[Factor] = set()
        self.day: datetime | None = None
        self.tokens: list[str] = []

    def another_key(self, *, age: timedelta = LONG_AGO) -> Authenticator:
        """Enrol one so long ago; from now on they use it."""
        made = Authenticator(origin=BASE_URL)
        with request_to(self.app):
            options, challenge = webauthn.begin_registration(self.person.id)
            webauthn.finish_registration(
                self.person.id,
                made.register(options),
                challenge,
                label="Red key",
                browser_known_for=timedelta(0),
                now=self.clock.now - age,
            )
        self.person.key = made
        return made

    def use_new_browser(self) -> None:
        """One that was not here before, at this person's address."""
        number = self.world.people
        self.visitor = OneBrowser(self.app, self.world.outbox)
        self.visitor.move_to(f"10.1.{number // 250}.{number % 250}")

    def is_covered_from(self, day: datetime) -> None:
        """Give the mandate."""
        self.day = day
        with request_to(self.app):
            mandates.require(
                self.person.id, from_=day, reason="So", set_by="test", strength=self.strength, now=self.clock.now
            )

    def the_day_comes(self) -> None:
        """From this very second the mandate is in force; a second ago it was not."""
        self.is_covered_from(self.clock.now + timedelta(seconds=1))
        self.clock.advance(seconds=1)

    # What they show

    def post(self, path: str, **fields: Any) -> TestResponse:
        """Send a form in this person's browser."""
        return self.visitor.post(path, **fields)

    def first(self) -> None:
        """The password."""
        self.post("/login", username=self.name, password=self.password)
        self.shown = {PASSWORD}

    def mailed_code(self) -> str:
        """The newest code in the mailbox, or one that was never sent."""
        try:
            return self.world.outbox.code(self.person.email)
        except AssertionError:
            return "00000000"

    def app_code(self) -> str:
        """What the app shows, never the same twice."""
        self.clock.advance(seconds=30)
        return self.person.totp(self.clock.now)

    def second(self) -> None:
        """What comes next with what they have, the weakest first."""
        if self.held.app:
            self.post("/login/totp", code=self.app_code())
            self.shown.add(APP)
        elif self.person.key is not None:
            self.key("/login/key/options", "/login/key")
        else:
            self.post("/login/code", code=self.mailed_code())

    def key(self, options: str, submit: str, *, user_verified: bool = False, **fields: str) -> TestResponse | None:
        """Use the key; None where it is not asked for."""
        asked = self.post(options)
        if asked.status_code != 200 or self.person.key is None:
            return None
        self.person.key.user_verified = user_verified
        self.shown.add(Factor.PASSKEY if user_verified else Factor.SECURITY_KEY)
        return self.post(submit, credential=self.person.key.answer(asked.text), **fields)

    def press_on(self) -> None:
        """Every button that might lead past what is asked."""
        self.post("/login/enrol/postpone")
        self.post("/login/continue")

    def step_up(self, page: str) -> TestResponse:
        """Confirm an action with the weakest that might do."""
        if self.by_app:
            done = self.post(page, way="totp", code=self.app_code())
            if done.status_code == 303:
                return done
        if self.person.key is not None:
            asked = self.post(f"{page}/key")
            if asked.status_code != 200:
                return asked
            self.person.key.user_verified = True
            return self.post(page, way="key", credential=self.person.key.answer(asked.text))
        return self.post(page, way="password", password=self.password, code=self.mailed_code())

    def has_session(self) -> None:
        """A session from before the day, as by the weakest that they have, in a browser known for long."""
        self.shown = {PASSWORD} | ({APP} if self.by_app else {Factor.SECURITY_KEY} if self.held.keys else set())
        acr = Acr.AAL2 if self.by_app else Acr.PHR if self.held.keys else Acr.AAL1
        before = timedelta(seconds=1) if self.day is not None else timedelta(0)
        where = Client(ip=self.visitor.address, network=self.visitor.address, browser="Firefox on Linux")
        sign_in(
            self.visitor,
            self.person,
            now=self.clock.now - before,
            acr=acr,
            amr=" ".join(amr_values(self.shown, hardware=False)),
            first_seen=self.clock.now - LONG_AGO,
            where=where,
        )

    # What came of it

    def keep(self, traded: TestResponse) -> str | None:
        """Note the tokens of an answer; its refresh token."""
        answer = traded.json or {}
        self.tokens += [answer[name] for name in ("access_token", "refresh_token") if name in answer]
        return answer.get("refresh_token")

    def complaints(self) -> list[str]:
        """What came out of it that must not; empty where all is well."""
        with request_to(self.app):
            enrolled = accounts.enrolled(self.person.id, now=self.clock.now)
            live = sessions.of_account(self.person.id, now=self.clock.now)
            hold = holds.current(self.person.id, now=self.clock.now)
        kinds = [one.kind for one in enrolled]
        senior = [one.kind for one in enrolled if one.senior]
        found = []
        for session in live:
            by_code = CODE in self.shown and session.acr is Acr.AAL1 and hold is not None
            by_code &= hold is not None and hold.cause is HoldCause.RECOVERY_CODE
            proved = bool(session.amr & SHOWS[self.strength])
            begun_since = self.day is not None and session.created_at >= self.day
            if begun_since and not (meets(self.strength, kinds) and (proved or by_code)):
                found.append(f"a session by {sorted(session.amr)}")
        counts = COUNTS[self.strength][0]
        may = meets(self.strength, senior) and bool(self.shown & counts) and CODE not in self.shown and hold is None
        if (self.visitor.get(RISKY).status_code == 200) != (may and bool(live)):
            found.append("rights" if not may else "no rights, although all was shown")
        with request_to(self.app):
            worth = [tokens.find(token, now=self.clock.now) for token in self.tokens]
        if any(token is not None and PUBLISH in token.scopes for token in worth) and not may:
            found.append("a token that publishes")
        silent = query_of(self.visitor.get(self.world.site.url(scope="openid", prompt="none")).location)
        if "code" in silent and not may:
            found.append("a code without a word")
        return found


Door = Callable[[Attempt], Iterator[None]]


def play(attempt: Attempt, door: Door, moment: int) -> int:
    """Go through a door while the day comes at its nth stop; 0: before, and past the last: after. How many it has."""
    if moment == 0:
        attempt.the_day_comes()
    stop = 0
    for stop, _ in enumerate(door(attempt), 1):
        if stop == moment:
            attempt.the_day_comes()
    if attempt.day is None:
        attempt.the_day_comes()
    return stop
