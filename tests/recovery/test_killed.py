"""The worker is killed at any point of sweep, reset or mail: nothing is lost, and nothing reaches the wrong party.

What holds exactly: requests, verdicts, blocks, log lines and mails in the outbox come out as without any kill. Of mails
that were handed to the mail server just before a kill a second copy may leave: the same text and Message-ID to the same
recipient, by which mail programs know it.

One run takes a minute for each database. More of them, each killed at other moments:

    KILL_RUNS=20 .venv/bin/pytest tests/recovery/test_killed.py
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ColumnElement, func, select, update

from authsvc import accounts, audit, domains, mail, recovery
from authsvc.accounts.models import Account, Address
from authsvc.app import create_app
from authsvc.audit.models import Event
from authsvc.core import crypto, db
from authsvc.core.config import Settings
from authsvc.core.db import Row
from authsvc.core.web import Client
from authsvc.domains.models import Domain
from authsvc.mail import Message
from authsvc.recovery.models import ResetLink, ResetRequest
from tests import servers
from tests.recovery.corp import LINK, registered

ROOT = Path(__file__).parents[2]
RUNS = int(os.environ.get("KILL_RUNS", "1"))
KILLS = 8
PATIENCE = timedelta(minutes=4)  # for all of one run
HEALTHY = [f"fine{n}.org" for n in range(130)]
LAPSED = [f"gone{n}.org" for n in range(40)]
UNREACHABLE = [f"mute{n}.org" for n in range(30)]
ASKING = [*HEALTHY[:16], *LAPSED[:8], *UNREACHABLE[:4]]  # and two whom nobody knows: 30 requests
CODES_TO = [*HEALTHY[20:25], *LAPSED[20:25]]
NOTICES_TO = HEALTHY[40:50]
STRANGER = Client(ip="192.0.2.1", network="192.0.2.1", browser="Firefox on Linux")
KINDS = ("dns", "rdap", "smtp", "time")


@dataclass(frozen=True)
class Plan:
    """When to kill: so long after the n-th question or mail of the kind that this worker sends."""

    kind: str
    after: int
    delay_seconds: float

    @classmethod
    def any(cls, rng: random.Random) -> "Plan":
        """At a moment in some part of the work, often between a question and what its answer leads to."""
        kind = rng.choice(KINDS)
        most = {"dns": 300, "rdap": 30, "smtp": 8, "time": 1}[kind]
        delay = rng.uniform(0, 3) if kind == "time" else rng.choice([0, 0, rng.uniform(0, 0.05)])
        return cls(kind, rng.randint(1, most), delay)


class Killer:
    """Kills a process when its plan says so; the servers tell it what they see."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._plan: Plan | None = None
        self._left = 0

    def arm(self, process: subprocess.Popen[bytes], plan: Plan | None) -> None:
        """From now on this process is meant."""
        with self._lock:
            self._process, self._plan, self._left = process, plan, plan.after if plan else 0

    def saw(self, kind: str) -> None:
        """Something of the kind came in."""
        with self._lock:
            if self._plan is None or self._plan.kind != kind:
                return
            self._left -= 1
            if self._left == 0 and self._process is not None:
                threading.Timer(self._plan.delay_seconds, self._process.kill).start()


class Told(list[Any]):
    """A server's list of what came in, which tells the killer of each."""

    def __init__(self, kind: str, killer: Killer) -> None:
        super().__init__()
        self.kind, self.killer = kind, killer

    def append(self, item: Any) -> None:
        super().append(item)
        self.killer.saw(self.kind)


class World:
    """An installation of its own, and DNS, registry and mail server around it. Ends with its `with` block."""

    def __init__(self, settings: Settings, dns: servers.Dns, web: servers.Web, smtp: servers.Smtp) -> None:
        self.killer = Killer()
        self.settings = replace(
            settings,
            dns_resolvers=dns.setting,
            rdap_base_url=web.url,
            smtp_url=smtp.url,
            allow_loopback_targets=True,
        )
        self.dns, self.web, self.smtp = dns, web, smtp
        self.log = settings.instance / "worker.log"
        crypto.load_keys(self.settings.sealing_keys, create=True)
        self.app = create_app(self.settings)
        self.kills = 0

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_error: object) -> None:
        self.app.extensions["authsvc.engine"].dispose()

    def prepare(self, now: datetime) -> None:
        """200 accounts whose domains were all healthy yesterday; today some are gone. All are due; requests wait."""
        yesterday, proved = now - timedelta(hours=20), now - timedelta(days=20)
        self._says(HEALTHY + LAPSED + UNREACHABLE, mute=[])
        with self.app.app_context():
            with db.transaction():
                for name in HEALTHY + LAPSED + UNREACHABLE:
                    account_id = accounts.create(username=name.partition(".")[0], now=proved)
                    for email in (f"owner@{name}", *([f"{name}@backup.test"] if name in LAPSED else [])):
                        number = accounts.add_address(
                            account_id, email, is_primary=email.startswith("owner"), verified_at=None, now=proved
                        )
                        domain = email.rpartition("@")[2]
                        domains.record_verification(number, domain, verified_at=proved, now=proved)
            for turn, name in enumerate([*HEALTHY, *LAPSED, *UNREACHABLE, "backup.test"]):
                domains.check_now(name, now=yesterday + timedelta(seconds=turn))
            db.commit()
            self._says(HEALTHY, mute=UNREACHABLE)
            with db.transaction() as session:
                session.execute(update(Domain).values(next_check_at=now))
                for typed in [*(f"owner@{name}" for name in ASKING), "nobody@fine0.org", "nobody@gone0.org"]:
                    recovery.request_reset(typed, STRANGER, now=now)
                for name in CODES_TO:
                    self._mail("login_code", name, now=now, code="12345678")
                for name in NOTICES_TO:
                    self._mail("password_reset", name, now=now)

    def _mail(self, kind: str, name: str, *, now: datetime, **values: Any) -> None:
        account = accounts.find(name.partition(".")[0])
        assert account
        text = {"subject": kind, "username": account.username, "client": STRANGER, **values}
        mail.send(kind, to=f"owner@{name}", account_id=account.id, now=now, **text)

    def _says(self, names: Sequence[str], *, mute: Sequence[str]) -> None:
        records = [["mx.host.net", "A", "203.0.113.1"], ["n.host.net", "A", "203.0.113.53"]]
        for name in names:
            records += [[name, "MX", "10 mx.host.net."], [name, "NS", "n.host.net."]]
        faults = [{"name": name, "do": "servfail"} for name in mute]
        self.dns.zone = servers.Zone(records, faults, asked=Told("dns", self.killer))
        self.web.answers.clear()
        self.web.add_rdap({name: registered() for name in [*names, *mute, "host.net"]})
        self.web.asked = Told("rdap", self.killer)
        self.smtp.messages = Told("smtp", self.killer)

    def work(self, plans: Sequence[Plan]) -> None:
        """Run a worker until all is done, killed and started again as planned; the leases of a dead one end at once."""
        until = datetime.now(UTC) + PATIENCE
        for plan in [*plans, None]:
            with self._worker() as process:
                self.killer.arm(process, plan)
                if plan is not None and plan.kind == "time":
                    self.killer.saw("time")
                while process.poll() is None and not self._is_done():
                    assert datetime.now(UTC) < until, (self._left(), self.log.read_text())
                    try:
                        process.wait(0.2)
                    except subprocess.TimeoutExpired:
                        continue
                if process.poll() is None:
                    break
            assert process.returncode == -signal.SIGKILL, self.log.read_text()
            self.kills += 1
            self._end_leases()
        assert not any(self._left().values()), (self._left(), self.log.read_text())

    @contextmanager
    def _worker(self) -> Iterator[subprocess.Popen[bytes]]:
        names = "instance_path sealing_keys_file database_url hibp_base_url dns_resolvers smtp_url rdap_base_url"
        values = {f"AUTHSVC_{name.upper()}": str(getattr(self.settings, name)) for name in names.split()}
        environment = {**os.environ, **values, "AUTHSVC_ALLOW_LOOPBACK_TARGETS": "1"}
        environment["AUTHSVC_RDAP_BOOTSTRAP_URL"] = "off"
        with self.log.open("ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "authsvc.cli", "worker"]
            process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
        try:
            started = len(re.findall("worker started", self.log.read_text()))
            while process.poll() is None and len(re.findall("worker started", self.log.read_text())) == started:
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
            yield process
        finally:
            process.terminate()
            process.wait(60)

    def _end_leases(self) -> None:
        """As if the minutes of a lease had passed."""
        with self.app.app_context(), db.transaction() as session:
            for row in (ResetRequest, Message, Domain):
                session.execute(update(row).values(claimed_until=None))

    def _is_done(self) -> bool:
        return not any(self._left().values())

    def _left(self) -> dict[str, int]:
        """How much there still is to do, by table."""
        waiting: list[tuple[type[Row], ColumnElement[bool]]] = [
            (ResetRequest, ResetRequest.id.is_not(None)),
            (Message, Message.sent_at.is_(None) & Message.dropped_at.is_(None)),
            (Domain, Domain.next_check_at <= datetime.now(UTC)),
            (Address, Address.doubted_at.is_not(None) & Address.told_at.is_(None)),
            (Event, Event.position.is_(None)),
        ]
        with self.app.app_context(), db.snapshot() as session:
            count = select(func.count())
            return {row.__name__: session.scalar(count.select_from(row).where(left)) or 0 for row, left in waiting}

    def outcome(self) -> dict[str, Any]:
        """All that the work led to, without times and secrets."""
        with self.app.app_context(), db.snapshot() as session:
            looks = select(Domain.name, Domain.verdict, Domain.reason, Domain.generation, Domain.consecutive_failures)
            trust = select(Address.email, Address.verdict, Address.domain_generation, Address.block_reason)
            events = select(Account.username, Event.type, Event.detail).join(Account, Account.id == Event.account_id)
            links = select(Account.username).join(ResetLink, ResetLink.account_id == Account.id)
            mails = select(Message.kind, Message.recipient, Message.sent_at.is_not(None))
            return {
                "domains": {name: tuple(rest) for name, *rest in session.execute(looks)},
                "addresses": {email: tuple(rest) for email, *rest in session.execute(trust)},
                "events": Counter((name, str(kind), str(detail)) for name, kind, detail in session.execute(events)),
                "links": Counter(session.scalars(links)),
                "mails": Counter(tuple(row) for row in session.execute(mails)),
            }


def parts(message: EmailMessage) -> tuple[str, str]:
    """Whom a mail went to, and its name and text."""
    return str(message["X-Envelope-To"]), f"{message['Message-ID']}\n{message.get_content()}"


@pytest.fixture(scope="module")
def undisturbed(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one worker that nobody kills makes of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(sqlite_template, folder / "authsvc.sqlite3")
    settings = _settings(folder, f"sqlite:///{folder / 'authsvc.sqlite3'}")
    with (
        servers.dns(servers.Zone()) as dns,
        servers.web() as web,
        servers.smtp() as smtp,
        World(settings, dns, web, smtp) as world,
    ):
        world.prepare(datetime.now(UTC))
        world.work([])
        return world.outcome()


def _settings(folder: Path, database_url: str) -> Settings:
    keys = str(folder / "sealing-keys")
    return Settings(
        instance_path=str(folder),
        sealing_keys_file=keys,
        database_url=database_url,
        hibp_base_url="off",
        rdap_bootstrap_url="off",
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(RUNS))
def test_a_killed_worker_loses_nothing_and_mails_nobody_wrongly(
    database_url: str,
    tmp_path: Path,
    undisturbed: dict[str, Any],
    dns_server: servers.Dns,
    web_server: servers.Web,
    smtp_server: servers.Smtp,
    seed: int,
) -> None:
    # Given domains that lapsed, fell silent or are in order, reset requests, and mails that wait
    with World(_settings(tmp_path, database_url), dns_server, web_server, smtp_server) as world:
        world.prepare(datetime.now(UTC))
        # When the worker is killed again and again while it works
        rng = random.Random(seed)
        world.work([Plan.any(rng) for _ in range(KILLS)])
        found = world.outcome()
        with world.app.app_context(), db.snapshot():
            chain = audit.verify_chain()
    assert world.kills >= 3  # late plans may find nothing left to do
    # Then every request, verdict, block, log line and mail is there once, as if nothing had happened
    for part, expected in undisturbed.items():
        assert found[part] == expected, part
    # And so it should: links to the healthy alone, one generation for each lapse, codes to no lapsed domain
    assert found["links"] == Counter(name.partition(".")[0] for name in ASKING if name in HEALTHY)
    assert {name for name, (_, _, generation, _) in found["domains"].items() if generation} == set(LAPSED)
    assert {found["domains"][name][2] for name in LAPSED} == {1}
    # And what reached the mail server is what stands in the outbox: nothing at lapsed domains, copies alike
    sent = [parts(message) for message in smtp_server.messages]
    assert not [to for to, _ in sent if to.rpartition("@")[2] in LAPSED]
    assert {to for to, _ in sent} == {to for kind, to, was_sent in found["mails"] if was_sent}
    assert len(set(sent)) == sum(count for (_, _, was_sent), count in found["mails"].items() if was_sent)
    linked = {(to, LINK.search(text)[1]) for to, text in sent if LINK.search(text)}  # type: ignore[index]
    assert sorted(to for to, _ in linked) == sorted(f"owner@{name}" for name in ASKING if name in HEALTHY)
    assert len(sent) - len(set(sent)) <= world.kills
    # And the log's chain holds; no task failed on the way
    assert chain.broken is None
    assert " failed" not in world.log.read_text()
