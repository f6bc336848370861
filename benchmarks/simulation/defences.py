"""Three doors: authsvc as it is, and the two usual ones beside it.

All three have as much room for hashing. authsvc is the real application with its real pages, cookies, budgets, limits,
detectors and hashing queues on SQLite; only the hash itself and the clocks are stand-ins: the app's (`create_app` takes
one), that of the limits by network (`core/counters.py`) and that of the hashing queue (`passwords/hashing.py`). What
runs in several processes in earnest counts in one memory here, as with Redis.
"""

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import pyotp
from flask import Flask
from flask.testing import FlaskClient
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]
from sqlalchemy import select

from authsvc.core import counters, crypto, db, rate_limits
from authsvc.core.config import Settings
from authsvc.mail import Message
from authsvc.passwords import hashing
from simulation.people import Person
from simulation.world import HashQueue, QueueFull, World

BASE_URL = "http://localhost:8000"
CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
PASS = re.compile(r"/login/pass/[\w-]+")
CODE = re.compile(r"^(\d{8})\r?$", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """What a visitor learns: the password is right, it is wrong, or to come back later."""

    kind: str  # "right", "wrong" or "later"
    retry_after: float = 0.0


@dataclass
class Visitor:
    """A browser: its cookies (for authsvc alone), and where it is now."""

    ip: str
    browser_token: str = ""
    http: FlaskClient | None = None
    csrf: str = ""


@dataclass(frozen=True)
class Second:
    """How the second step went: signed in or not, and what was asked beyond the mailed code or the app's code."""

    done: bool
    extra: str = ""


class Defence(Protocol):
    """A door with a password and a second step."""

    name: str

    def bot(self, ip: str) -> Visitor:
        """A program without any cookie of a known browser."""

    def password(self, visitor: Visitor, name: str, password: str) -> Answer:
        """Try a password."""

    def second_step(self, visitor: Visitor, person: Person) -> Second:
        """What an owner does next: reads the code that was mailed, or looks at the app."""

    def guess_code(self, visitor: Visitor, person: Person, code: str) -> bool:
        """What somebody does who has neither: guesses. True when that opened the account."""

    def help_in_mailbox(self, visitor: Visitor, person: Person) -> bool:
        """Whether the owner finds a mail that opens the door for this browser, and uses it."""


class _Baseline:
    """A usual site. A second step like ours may follow a right password; nobody guesses it here."""

    name = ""

    def __init__(self, world: World, queue: HashQueue, people: dict[str, Person]) -> None:
        self.world, self.queue = world, queue
        self.right = {name: person.password for name, person in people.items()}

    def _compare(self, name: str, password: str) -> bool:
        process = self.queue.enter()
        try:
            self.queue.hash(process, 0)
        finally:
            self.queue.leave(process)
        return self.right.get(name) == password

    def bot(self, ip: str) -> Visitor:
        return Visitor(ip)

    def second_step(self, visitor: Visitor, person: Person) -> Second:
        return Second(done=True)

    def guess_code(self, visitor: Visitor, person: Person, code: str) -> bool:
        return False

    def help_in_mailbox(self, visitor: Visitor, person: Person) -> bool:
        return False


class LockOut(_Baseline):
    """Five failures lock the account for fifteen minutes. A success, or fifteen quiet minutes, forget them."""

    name = "lock-out"
    FAILURES, SECONDS = 5, 900.0

    def __init__(self, world: World, queue: HashQueue, people: dict[str, Person]) -> None:
        super().__init__(world, queue, people)
        self.failures: dict[str, tuple[int, float]] = {}

    def password(self, visitor: Visitor, name: str, password: str) -> Answer:
        count, last = self.failures.get(name, (0, 0.0))
        if self.world.now - last >= self.SECONDS:
            count = 0
        if count >= self.FAILURES:
            return Answer("wrong")
        self.failures[name] = (count + 1, self.world.now)
        try:
            right = self._compare(name, password)
        except QueueFull:
            self.failures[name] = (count, last)
            return Answer("later", 2)
        if right:
            self.failures.pop(name, None)
        return Answer("right" if right else "wrong")


class PerNetwork(_Baseline):
    """So many tries a minute from each network, and nothing else. The figure and the networks are authsvc's."""

    name = "per IP"

    def __init__(self, world: World, queue: HashQueue, people: dict[str, Person]) -> None:
        super().__init__(world, queue, people)
        self.limit, self.seconds = rate_limits.LIMITS["login"]
        self.windows: dict[str, tuple[int, float]] = {}

    def password(self, visitor: Visitor, name: str, password: str) -> Answer:
        network = rate_limits.network_of(visitor.ip)
        count, ends = self.windows.get(network, (0, 0.0))
        if ends <= self.world.now:
            count, ends = 0, self.world.now + self.seconds
        self.windows[network] = (count + 1, ends)
        if count >= self.limit:
            return Answer("later", ends - self.world.now)
        try:
            return Answer("right" if self._compare(name, password) else "wrong")
        except QueueFull:
            return Answer("later", 2)


class StandInHash:
    """Instead of Argon2: compares text, and takes as long in simulated time."""

    def __init__(self, world: World, seconds: float) -> None:
        self._world, self._seconds = world, seconds

    def hash(self, password: str) -> str:
        """The "hash" of a password."""
        self._world.sleep(self._seconds)
        return f"stand-in${password}"

    def verify(self, hashed: str, password: str) -> bool:
        """Whether it is that password's."""
        self._world.sleep(self._seconds)
        return hashed == f"stand-in${password}"

    def check_needs_rehash(self, _hashed: str) -> bool:
        """Never."""
        return False


class Signal:
    """`threading.Event` in simulated time, for one that waits."""

    def __init__(self, world: World) -> None:
        self._world, self._set = world, False
        self._waiter: greenlet | None = None

    def set(self) -> None:
        """Wake whoever waits."""
        self._set = True
        self._wake()

    def wait(self, timeout: float) -> bool:
        """Until it is set, or so many seconds."""
        if not self._set:
            self._waiter = getcurrent()
            self._world.at(self._world.now + timeout, self._wake)
            self._world.park()
        return self._set

    def _wake(self) -> None:
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            self._world.at(self._world.now, lambda: waiter.switch())


class Processes:
    """The hashing queues of several web processes; a request comes to one by chance, as connections do."""

    def __init__(self, world: World, count: int) -> None:
        self._world = world
        self._queues = [
            hashing.Queue(
                slots=hashing.SLOTS,
                places=hashing.QUEUE,
                strangers_under_pressure=hashing.STRANGERS_UNDER_PRESSURE,
            )
            for _ in range(count)
        ]
        self._here = self._queues[0]

    def full_for_strangers(self) -> bool:
        """What the queue of the process that a request has come to would say."""
        self._here = self._world.rng.choice(self._queues)
        return self._here.full_for_strangers()

    def turn(self, *values: Any, **named: Any) -> AbstractContextManager[None]:
        """A turn there."""
        return self._here.turn(*values, **named)


def put_stand_ins(world: World, *, rate: float, processes: int) -> None:
    """Let the real queues wait in simulated time, and a comparison stand where Argon2 works."""
    hasher, waiter = StandInHash(world, processes / rate), hashing._Waiter
    replaced: dict[str, Any] = {
        "_Waiter": lambda turn, account: waiter(turn, account, called=cast(Any, Signal(world))),
        "_queue": Processes(world, processes),
        "hasher": lambda _settings: hasher,
        "_aside": lambda work, *values: work(*values),
        "_decoy": lambda _settings: "stand-in$\x00",
        "pause": world.sleep,
        "clock": lambda: world.now,
    }
    for name, what in replaced.items():
        assert hasattr(hashing, name), f"authsvc.passwords.hashing has no {name} any more"
        setattr(hashing, name, what)
    setattr(counters, "time", SimpleNamespace(time=world.time))  # noqa: B010 -- a module in the place of a module


@dataclass
class Authsvc:
    """The real application."""

    world: World
    folder: Path
    name: str = "authsvc"
    new_passwords: int = 0
    app: Flask = field(init=False)
    _bots: Visitor = field(default_factory=lambda: Visitor("10.99.0.1"))

    def __post_init__(self) -> None:
        from authsvc.app import create_app

        self.app = create_app(self.settings(self.folder), clock=self.world.clock)

    @staticmethod
    def settings(folder: Path) -> Settings:
        """Defaults, in a folder of its own, with no services outside."""
        return Settings(instance_path=str(folder), hibp_base_url="off", dns_resolvers="127.0.0.1:9", workers=1)

    def _send(self, visitor: Visitor, method: str, path: str, **fields: str) -> Any:
        if visitor.http is None:
            visitor.http = self.app.test_client()
            if visitor.browser_token:
                visitor.http.set_cookie("authsvc-browser", visitor.browser_token, domain="localhost")
        data = {"csrf_token": visitor.csrf, **fields} if method == "POST" else None
        place = {"REMOTE_ADDR": visitor.ip}
        return visitor.http.open(path, method=method, data=data, base_url=BASE_URL, environ_overrides=place)

    def _post(self, visitor: Visitor, path: str, **fields: str) -> Any:
        if not visitor.csrf:
            self._open(visitor)
        return self._send(visitor, "POST", path, **fields)

    def bot(self, ip: str) -> Visitor:
        """All bots share one CSRF cookie and its token; nothing stops them."""
        if not self._bots.csrf:
            self._open(self._bots)
        held = self._bots.http.get_cookie("authsvc-csrf") if self._bots.http else None
        assert held
        http = self.app.test_client()
        http.set_cookie("authsvc-csrf", held.value, domain="localhost")
        return Visitor(ip, http=http, csrf=self._bots.csrf)

    def _open(self, visitor: Visitor) -> None:
        found = CSRF.search(self._send(visitor, "GET", "/login").text)
        assert found
        visitor.csrf = found[1]

    def password(self, visitor: Visitor, name: str, password: str) -> Answer:
        """`POST /login`, after the page when this browser has not seen it yet."""
        response = self._post(visitor, "/login", username=name, password=password)
        if response.status_code == 303:
            return Answer("right")
        if response.status_code == 401:
            return Answer("wrong")
        assert response.status_code in {429, 503}, response.status
        return Answer("later", float(response.headers.get("Retry-After", 2)))

    def second_step(self, visitor: Visitor, person: Person) -> Second:
        """The app's code or the mailed one; then whatever else is asked, up to the account page."""
        extra: list[str] = []
        for _ in range(4):
            page = self._send(visitor, "GET", "/login/next").text
            if 'name="new_password"' in page:
                extra.append("new password")
                self.new_passwords += 1
                fresh = f"fresh words {self.new_passwords} that nobody chose"
                response = self._post(visitor, "/login/new-password", new_password=fresh)
                if response.status_code == 303:
                    person.password = fresh
            elif 'action="/login/totp"' in page:
                response = self._post(visitor, "/login/totp", code=pyotp.TOTP(person.seed).at(self.world.clock()))
            else:
                if person.seed:
                    extra.append("mailed code beside the app")
                response = self._type_mailed_code(visitor, person)
            if response.status_code != 303:
                return Second(done=False, extra=", ".join(extra))
            if urlsplit(response.headers["Location"]).path == "/account":
                known = visitor.http.get_cookie("authsvc-browser") if visitor.http else None
                visitor.browser_token = known.value if known else ""
                return Second(done=True, extra=", ".join(extra))
        return Second(done=False, extra=", ".join(extra))

    def _type_mailed_code(self, visitor: Visitor, person: Person) -> Any:
        """The newest mail first: it may belong to a stranger's sign-in, and then the one before it is tried."""
        response = None
        for code in self._mailed_codes(person):
            response = self._post(visitor, "/login/code", code=code)
            if response.status_code == 303:
                return response
        return response or self._post(visitor, "/login/code/resend")

    def guess_code(self, visitor: Visitor, person: Person, code: str) -> bool:
        """One guess at whichever code is asked for."""
        path = "/login/totp" if person.seed else "/login/code"
        response = self._post(visitor, path, code=code if not person.seed else code[:6])
        return bool(response.status_code == 303 and urlsplit(response.headers["Location"]).path == "/account")

    def help_in_mailbox(self, visitor: Visitor, person: Person) -> bool:
        """The mail about used-up tries of the last hour, if its link still works."""
        for text in self._mails(person, "tries_used_up", timedelta(hours=1)):
            found = PASS.search(text)
            if found is None:
                continue
            self._send(visitor, "GET", found[0])  # puts the link's secret into a cookie and leads on
            if self._post(visitor, "/login/pass").status_code == 303:
                return True
        return False

    def _mailed_codes(self, person: Person) -> list[str]:
        texts = self._mails(person, "login_code", timedelta(minutes=10))
        return [found[1] for text in texts if (found := CODE.search(text))]

    def _mails(self, person: Person, kind: str, age: timedelta) -> list[str]:
        """What is in the mailbox of that kind and not older, newest first."""
        query = select(Message.body).where(
            Message.account_id == person.id, Message.kind == kind, Message.created_at > self.world.clock() - age
        )
        with self.app.app_context():
            db.reading()
            bodies = db.session().scalars(query.order_by(Message.id.desc()).limit(4)).all()
            return [crypto.unseal(body, "mail").decode() for body in bodies if body]
