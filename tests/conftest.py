"""Fixtures. Real servers come from `tests/servers.py`; what is asked for is started, once a session."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from jinja2 import BytecodeCache, FileSystemBytecodeCache
from playwright.sync_api import Browser, Page, Playwright, sync_playwright
from sqlalchemy import Engine
from werkzeug.routing import Rule

from authsvc.core import crypto, migrate
from authsvc.core.config import Settings
from tests import servers

if TYPE_CHECKING:
    from tests.people import Outbox, Person, Visitor

NEEDS_SYSTEM_PACKAGES = frozenset({"browser", "postgres", "redis", "slow"})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out what needs a system package or is slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        needed = set(getattr(item, "fixturenames", ()))
        if "playwright" in needed:
            item.add_marker("browser")
        if "redis_url" in needed:
            item.add_marker("redis")
        if "postgres" in needed:
            item.add_marker("postgres")
    if config.getoption("--fast"):
        left_out = [item for item in items if NEEDS_SYSTEM_PACKAGES & {m.name for m in item.iter_markers()}]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


# --- databases: every test that asks for one runs on both


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """A throw-away PostgreSQL cluster."""
    with servers.postgres() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite3"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: servers.Postgres) -> Iterator[servers.Emptied]:
    """A migrated PostgreSQL database that is emptied for each test: making one takes a second, emptying ten ms."""
    postgres.admin.execute("CREATE DATABASE migrated")
    url = postgres.url("migrated")
    migrate.upgrade(url)
    with servers.emptied(url) as database:
        yield database


BOTH_DATABASES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=BOTH_DATABASES)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of one's own, without rows; once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        path = template.with_name("authsvc.sqlite3")  # always the same, for the sake of `engines`
        for leftover in path.parent.glob(f"{path.name}*"):
            leftover.unlink()
        shutil.copy(template, path)
        yield f"sqlite:///{path}"
    else:
        database: servers.Emptied = request.getfixturevalue("migrated_postgres")
        database.empty()
        yield database.url


@pytest.fixture(params=BOTH_DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables; once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    else:
        with request.getfixturevalue("postgres").database() as url:
            yield url


# --- other servers


@pytest.fixture(scope="session")
def _redis() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture
def redis_url(_redis: str) -> str:
    """An empty Redis."""
    servers.empty_redis(_redis)
    return _redis


@pytest.fixture
def smtp_server() -> Iterator[servers.Smtp]:
    """A mail server: `.messages` came in, `.refuse[address] = "550 …"` turns one away."""
    with servers.smtp() as running:
        yield running


@pytest.fixture
def dns_server() -> Iterator[servers.Dns]:
    """Two resolvers on loopback; set `.zone`, and give `.setting` to AUTHSVC_DNS_RESOLVERS."""
    with servers.dns(servers.Zone()) as running:
        yield running


@pytest.fixture
def web_server() -> Iterator[servers.Web]:
    """An HTTP service such as RDAP: `.add_rdap({domain: answer})`, `.answers[path]`, `.url`."""
    with servers.web() as running:
        yield running


# --- the browser


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """What drives browsers; there can be one in a thread."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """The system's Chromium."""
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh browser profile's page. A script error, or anything on its console, fails the test."""
    context = chromium.new_context(locale="en-GB")
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda said: complaints.append(said.text))
    yield opened
    context.close()
    assert [text for text in complaints if not text.startswith(("Failed to load resource", "Clear-Site-Data"))] == []


# --- the app: app, client, clock, outbox, make_account


NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Clock:
    """The app's clock: stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **distance: float) -> None:
        """Move forward, by `timedelta`'s names."""
        self.now += timedelta(**distance)


@pytest.fixture
def clock() -> Clock:
    """Noon on 24 November 2026."""
    return Clock()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings for tests: cheap hashes, no breach service, mail in a folder."""
    return Settings(
        instance_path=str(tmp_path),
        sealing_keys_file=str(tmp_path / "sealing-keys"),
        database_url=database_url,
        hibp_base_url="off",
        dns_resolvers="127.0.0.1:9",
        rdap_bootstrap_url="off",
        argon2_memory_kib=8,
        argon2_time_cost=1,
        workers=1,
    )


@pytest.fixture(scope="session")
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> BytecodeCache:
    """Templates compiled once a session, not once a test: that took a third of the time."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture(scope="session")
def compiled_routes() -> Iterator[None]:
    """Routes compiled once a session: nine tenths of the time it takes to make an app. Works on Werkzeug's inside."""
    compile_route, known = Rule._compile_builder, {}

    def once(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, str(rule.defaults), append_unknown)
        if key not in known:
            known[key] = compile_route(rule, append_unknown)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", once)
        yield


@pytest.fixture(scope="session")
def engines() -> dict[str, Engine]:
    """One engine a database, which keeps the statements it has compiled: that took a third of the time too."""
    return {}


@pytest.fixture
def app(
    settings: Settings,
    clock: Clock,
    compiled_templates: BytecodeCache,
    compiled_routes: None,
    engines: dict[str, Engine],
) -> Iterator[Flask]:
    """The whole application, on SQLite and on PostgreSQL."""
    crypto.load_keys(settings.sealing_keys, create=True)
    from authsvc.app import create_app

    made = create_app(settings, clock=clock)
    made.jinja_env.bytecode_cache = compiled_templates
    engine = engines.setdefault(settings.database, made.extensions["authsvc.engine"])
    made.extensions["authsvc.engine"] = engine
    yield made
    engine.dispose()


@pytest.fixture
def outbox(app: Flask, clock: Clock, settings: Settings) -> "Outbox":
    """The mails that were sent so far; reading delivers what waits."""
    from tests.people import Outbox

    return Outbox(app, clock, settings.instance / "outbox")


@pytest.fixture
def client(app: Flask, outbox: "Outbox") -> "Visitor":
    """Somebody with a browser that has not been here before."""
    from tests.people import Visitor

    return Visitor(app, outbox)


@pytest.fixture
def new_client(app: Flask, outbox: "Outbox") -> Callable[[], "Visitor"]:
    """Makes further such people."""
    from tests.people import Visitor

    return lambda: Visitor(app, outbox)


@pytest.fixture
def make_account(app: Flask, clock: Clock) -> Callable[..., "Person"]:
    """Makes accounts: `make_account("alice", totp=True, key=True)`; old enough for all of it to be senior."""

    from tests.people import make_person

    def make(username: str = "alice", **wishes: Any) -> "Person":
        return make_person(app, username, now=clock.now, **wishes)

    return make
