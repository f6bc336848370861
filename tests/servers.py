"""Real servers on loopback for tests: DNS, RDAP, SMTP, PostgreSQL, Redis, and the app itself.

Each starts in well under a second on a free port and ends with its `with` block. Programs die with the
process that started them, so a killed test run leaves nothing behind.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dnslib
import psycopg
from aiosmtpd.controller import Controller
from redis import Redis
from werkzeug.serving import make_server

POLL_SECONDS = 0.005  # how soon a server's loop notices that it should end


@contextmanager
def _serving(*servers: socketserver.BaseServer) -> Iterator[None]:
    """Run socket servers in threads for the length of the block."""
    threads = [threading.Thread(target=s.serve_forever, args=(POLL_SECONDS,), daemon=True) for s in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


# --- DNS


@dataclass
class Zone:
    """What DNS answers, in the format of the domain scenarios.

    `records` are (owner, type, value); a name with a record at or below it exists, any other is NXDOMAIN,
    and an owner `*.name` is a wildcard. `behaviour` lists faults, of which the first that fits wins: `name`,
    `type` (`*`: any), `subtree`, `do`, `times` (the first n queries only), `resolver` (only that one),
    `delay_ms`.
    """

    records: Sequence[Sequence[str]] = ()
    behaviour: Sequence[dict[str, Any]] = ()
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records = [(_plain(owner), kind.upper(), value) for owner, kind, value in self.records]
        self._times_left = [fault.get("times", -1) for fault in self.behaviour]

    def fault(self, name: str, kind: str, resolver: int) -> dict[str, Any]:
        """The fault due for this question, spent once; empty when there is none."""
        for index, fault in enumerate(self.behaviour):
            at = _plain(fault["name"])
            fits = (
                (name == at or (fault.get("subtree", False) and name.endswith("." + at)))
                and fault.get("type", "*") in ("*", kind)
                and fault.get("resolver", resolver) == resolver
                and self._times_left[index] != 0
            )
            if fits:
                self._times_left[index] -= 1
                return fault
        return {}

    def exists(self, name: str) -> bool:
        """True when a record stands at or below the name."""
        return any(owner == name or owner.endswith("." + name) for owner, _, _ in self.records)

    def find(self, name: str) -> list[tuple[str, str]]:
        """(type, value) of the name's own records, or of the wildcard that covers it."""
        source = name
        while source and not self.exists(source):
            source = source.partition(".")[2]
        owner = name if source == name else f"*.{source}"
        return [(kind, value) for at, kind, value in self.records if at == owner]

    def answer(self, question: dnslib.DNSRecord, resolver: int, over_udp: bool) -> bytes | None:
        """The reply to one query, or None for silence."""
        name, kind = _plain(str(question.q.qname)), dnslib.QTYPE[question.q.qtype]
        self.asked.append((name, kind))
        fault = self.fault(name, kind, resolver)
        if delay := fault.get("delay_ms"):
            threading.Event().wait(delay / 1000)
        do = fault.get("do", "")
        reply = question.reply(ra=1)
        match do:
            case "timeout":
                return None
            case "servfail" | "refused" | "formerr" | "notimp" | "nxdomain":
                reply.header.rcode = getattr(dnslib.RCODE, do.upper())
                return bytes(reply.pack())
            case "nodata":
                return bytes(reply.pack())
            case "truncate" if over_udp:
                reply.header.tc = 1
                return bytes(reply.pack())
            case "bogus" if not question.header.cd:
                reply.header.rcode = dnslib.RCODE.SERVFAIL
                bogus = dnslib.EDNSOption(15, (6).to_bytes(2, "big"))  # RFC 8914, 4.7: DNSSEC Bogus
                reply.add_ar(dnslib.EDNS0(udp_len=1232, opts=[bogus]))
                return bytes(reply.pack())
        self._fill(reply, name, kind)
        return bytes(reply.pack())

    def _fill(self, reply: dnslib.DNSRecord, name: str, kind: str) -> None:
        for _ in range(8):  # a chain of aliases
            found = self.find(name)
            aliases = [value for at, value in found if at == "CNAME" and kind != "CNAME"]
            for at, value in found:
                if at == kind or (aliases and at == "CNAME"):
                    reply.add_answer(*dnslib.RR.fromZone(f"{name}. 60 IN {at} {value}"))
            if not aliases:
                if not found and not self.exists(name):
                    reply.header.rcode = dnslib.RCODE.NXDOMAIN
                return
            name = _plain(aliases[0])


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


@dataclass
class Dns:
    """Two resolvers over one zone, which a test may replace at any time."""

    zone: Zone
    addresses: list[str] = field(default_factory=list)

    @property
    def setting(self) -> str:
        """The value for AUTHSVC_DNS_RESOLVERS."""
        return ",".join(self.addresses)


@contextmanager
def dns(zone: Zone) -> Iterator[Dns]:
    """Run two resolvers, each on UDP and TCP."""
    running = Dns(zone)
    with ExitStack() as stack:
        for resolver in (1, 2):
            udp, tcp = _dns_pair(running, resolver)
            stack.enter_context(_serving(udp, tcp))
            running.addresses.append(f"127.0.0.1:{_port(udp)}")
        yield running


def _port(server: socketserver.TCPServer) -> int:
    port = server.socket.getsockname()[1]
    return int(port)


class _ThreadingTCPServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


class _ThreadingUDPServer(socketserver.ThreadingUDPServer):
    daemon_threads = True


def _dns_pair(running: Dns, resolver: int) -> tuple[socketserver.TCPServer, socketserver.TCPServer]:
    class Udp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sender = self.request
            reply = running.zone.answer(dnslib.DNSRecord.parse(data), resolver, over_udp=True)
            if reply is not None:
                sender.sendto(reply, self.client_address)

    class Tcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            data = self.rfile.read(int.from_bytes(self.rfile.read(2), "big"))
            if not data:
                return
            reply = running.zone.answer(dnslib.DNSRecord.parse(data), resolver, over_udp=False)
            if reply is not None:
                self.wfile.write(len(reply).to_bytes(2, "big") + reply)

    while True:
        tcp = _ThreadingTCPServer(("127.0.0.1", 0), Tcp)
        try:
            return _ThreadingUDPServer(("127.0.0.1", _port(tcp)), Udp), tcp
        except OSError:  # somebody has this number on UDP
            tcp.server_close()


# --- RDAP, and any other HTTP service


@dataclass
class Web:
    """An HTTP server that knows a few paths; whatever is not listed is 404.

    An answer has `http` (status, or "timeout": no answer), and may have `body` (sent as JSON), `raw` (sent
    as it is), `retry_after`, `location`.
    """

    url: str = ""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add_rdap(self, answers: dict[str, dict[str, Any]]) -> None:
        """Answer RDAP questions about these domains."""
        self.answers |= {f"/domain/{name}": answer for name, answer in answers.items()}


@contextmanager
def web() -> Iterator[Web]:
    """Run an HTTP server whose answers a test fills in."""
    running = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running.asked.append(self.path)
            answer = running.answers.get(self.path, {"http": 404, "body": {"errorCode": 404}})
            if answer["http"] == "timeout":
                self.rfile.read(1)  # returns when the caller gives up
                return
            body = answer.get("raw", json.dumps(answer["body"]) if "body" in answer else "").encode()
            self.send_response(answer["http"])
            self.send_header("Content-Type", "application/rdap+json" if "body" in answer else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            for header, key in (("Retry-After", "retry_after"), ("Location", "location")):
                if key in answer:
                    self.send_header(header, str(answer[key]))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Tests need no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.url = f"http://127.0.0.1:{server.server_port}"
    with _serving(server):
        yield running


# --- SMTP


@dataclass
class Smtp:
    """A mail server that keeps what it gets. `refuse` maps a recipient to the reply it earns."""

    url: str = ""
    messages: list[EmailMessage] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        message["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
        self.messages.append(message)
        return "250 OK"


@contextmanager
def smtp() -> Iterator[Smtp]:
    """Run a mail server."""
    running = Smtp()
    controller = Controller(running, hostname="127.0.0.1", port=free_port())
    running.url = f"smtp://127.0.0.1:{controller.port}"
    controller.start()
    try:
        yield running
    finally:
        controller.stop()


# --- programs


def free_port() -> int:
    """A TCP port nobody listens on right now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def program(command: Sequence[str], *, ready: str, **popen: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends; enter the block when a line of its output holds `ready`.

    Raises RuntimeError with the last lines when it ends first. The kernel ends it should this process die.
    """
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "INT", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **popen,
    )
    assert process.stdout is not None
    output = process.stdout
    tail: deque[str] = deque(maxlen=30)
    drain = threading.Thread(target=tail.extend, args=(output,), daemon=True)  # or a full pipe would stop it
    try:
        for line in output:
            tail.append(line)
            if ready in line:
                break
        else:
            raise RuntimeError(f"{command[0]} ended before it was ready:\n{''.join(tail)}")
        drain.start()
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children too, which hold the pipe open
            process.wait()
        if drain.is_alive():
            drain.join()
        output.close()


@contextmanager
def redis() -> Iterator[str]:
    """Run Redis without persistence; gives its URL."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with program(command, ready="Ready to accept connections", cwd=tempfile.gettempdir()):
        yield f"redis://127.0.0.1:{port}/0"


def empty_redis(url: str) -> None:
    """Forget everything."""
    with Redis.from_url(url) as client:
        client.flushall()


@dataclass
class Postgres:
    """A throw-away cluster. Databases are made and dropped through one administrative connection."""

    admin: psycopg.Connection[Any]
    socket_folder: str
    made: int = 0

    def url(self, database: str) -> str:
        """The URL for AUTHSVC_DATABASE_URL."""
        return f"postgresql+psycopg://authsvc@/{database}?host={self.socket_folder}"

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """A database of one's own, copied from the template; gives its URL."""
        self.made += 1
        name = f"test_{self.made}"
        self.admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self.admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class Emptied:
    """One migrated database, and what takes all rows out of it."""

    url: str
    connection: psycopg.Connection[Any]
    statements: str

    def empty(self) -> None:
        """Take out every row and count ids from one again."""
        self.connection.execute(self.statements)


@contextmanager
def emptied(url: str) -> Iterator[Emptied]:
    """Prepare a migrated database for use by one test after another."""
    target = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(target, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        ).fetchall()
        sequences = connection.execute("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'").fetchall()
        statements = ["SET session_replication_role = replica"]  # no order of deletion to keep to
        statements += [f'DELETE FROM "{name}"' for (name,) in tables]  # noqa: S608 -- names of our own tables
        statements += [f"SELECT setval('\"{name}\"', 1, false)" for (name,) in sequences]
        yield Emptied(url, connection, "; ".join(statements))


@contextmanager
def postgres(**changed: str) -> Iterator[Postgres]:
    """Run PostgreSQL in a temporary folder, on a Unix socket, without what makes it survive a crash.

    `changed`: settings that shall be otherwise.
    """
    folder = Path(tempfile.mkdtemp(prefix="authsvc-pg-"))
    programs = _postgres_programs()
    as_user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    data = str(folder / "data")
    initdb = [
        str(programs / "initdb"),
        "-D",
        data,
        "-U",
        "authsvc",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
    ]
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
        "shared_buffers": "32MB",
        "max_connections": "60",
    }
    server = [str(programs / "postgres"), "-D", data]
    for name, value in (settings | changed).items():
        server += ["-c", f"{name}={value}"]
    try:
        subprocess.run([*as_user, *initdb, "--no-sync"], check=True, capture_output=True, cwd=folder)
        death = ["setpriv", "--pdeathsig", "INT"] if as_user else []  # changing the user had cleared it
        with program([*as_user, *death, *server], ready="ready to accept connections", cwd=folder):
            target = f"host={folder} user=authsvc dbname=postgres"
            with psycopg.connect(target, autocommit=True) as admin:
                yield Postgres(admin, str(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_programs() -> Path:
    """The folder of the newest installed PostgreSQL. Raises RuntimeError when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if on_path:
        return Path(on_path).parent
    raise RuntimeError("PostgreSQL is not installed; scripts/system-packages test says what is missing")


# --- the app


@contextmanager
def live(make_app: Callable[[str], Any], *, certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Serve an app from threads of this process; gives its origin, which `make_app` is told before.

    Over https where a certificate and its key are given, each as a PEM file.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        origin = f"{'https' if certificate else 'http'}://localhost:{port}"
        files = (str(certificate[0]), str(certificate[1])) if certificate else None
        server = make_server(
            "127.0.0.1", port, make_app(origin), threaded=True, fd=listening.fileno(), ssl_context=files
        )
        with _serving(server):
            yield origin
