"""Settings: every value an operator may choose, with its unit, default and meaning.

Read once at start from `config.toml` in the instance folder, then from the environment, which wins.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

PREFIX = "AUTHSVC_"
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class SettingError(Exception):
    """A setting is unknown, of the wrong type or dangerous. The message names it and says what to do."""


def setting(default: Any, doc: str) -> Any:
    """A dataclass field whose one line of documentation travels with it."""
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What operators may choose. Names are those of the environment, in lower case and without prefix."""

    base_url: str = setting("http://localhost:8000", "public origin: issuer, WebAuthn origin, links in mail")
    instance_path: str = setting("instance", "folder for the SQLite file, keys and the mail folder")
    database_url: str = setting("", "sqlite:///… or postgresql+psycopg://…; empty: SQLite in the instance folder")
    redis_url: str = setting("", "network limits and detectors that all machines share; empty: in memory")
    sealing_keys_file: str = setting("", "file of id and key per line; empty: sealing-keys in the instance folder")
    smtp_url: str = setting("file:outbox", "smtp://, smtps:// or file:FOLDER below the instance folder")
    mail_from: str = setting("security@localhost", "sender of every mail")
    dns_resolvers: str = setting("", "comma-separated host:port; the second confirms the first; empty: the system's")
    dns_in_flight: int = setting(200, "questions under way at once in a sweep; more lose answers on most machines")
    rdap_base_url: str = setting(
        "",
        "one RDAP server for every name, whose limits are counted for each name by itself; empty: the bootstrap file's",
    )
    rdap_bootstrap_url: str = setting(
        "https://data.iana.org/rdap/dns.json", "where the worker refreshes the bootstrap file; `off`: the shipped one"
    )
    parking_nameservers_file: str = setting("", "domains of parking companies' name servers, one a line; adds to ours")
    disposable_domains_file: str = setting("", "domains of throw-away mailboxes, one a line; adds to ours")
    hibp_base_url: str = setting(
        "https://api.pwnedpasswords.com", "breached-password range service; `off`: the built-in list alone"
    )
    trusted_proxies: int = setting(0, "number of reverse proxies whose forwarding headers count")
    allow_loopback_targets: bool = setting(False, "allow outgoing calls to private addresses; development only")
    open_registration: bool = setting(False, "OAuth dynamic client registration without an initial token")
    password_min_length: int = setting(15, "characters a password needs at least; never below 8")
    argon2_memory_kib: int = setting(19456, "memory of one password hash, in KiB")
    argon2_time_cost: int = setting(2, "passes of one password hash")
    argon2_parallelism: int = setting(1, "lanes of one password hash")
    mailed_code: str = setting("always", "mailed code at sign-in without a second factor: always | new-browsers")
    attestation_roots_file: str = setting("", "PEM file of makers' roots, by which keys count as hardware; empty: none")
    allowed_aaguids: str = setting("", "comma-separated models of key that may be enrolled, if attested; empty: any")
    workers: int = setting(0, "web server processes; 0: one for each core. In-memory limits are divided by it")
    geoip_file: str = setting("", "GeoIP file in the MaxMind DB format, for places and countries; empty: none")
    proof_forges: str = setting(
        "", "comma-separated HOST=URL, where {id} in the URL stands for a repository's immutable id; empty: none"
    )
    registries_of_record: str = setting(
        "*", "comma-separated ecosystems whose word that somebody maintains a package counts as accepted; `*`: all"
    )
    metrics_token: str = setting("", "bearer token for /metrics from beyond loopback; empty: loopback only")

    @property
    def instance(self) -> Path:
        """The instance folder as an absolute path."""
        return Path(self.instance_path).absolute()

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.instance / 'authsvc.sqlite3'}"

    @property
    def sealing_keys(self) -> Path:
        """The file of sealing keys in force."""
        return Path(self.sealing_keys_file) if self.sealing_keys_file else self.instance / "sealing-keys"

    @property
    def host(self) -> str:
        """Host name of the public origin, without port: the WebAuthn RP ID."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def secure(self) -> bool:
        """True when the public origin is https."""
        return self.base_url.startswith("https://")

    @property
    def is_loopback(self) -> bool:
        """True when the public origin is this machine, so that reserved domains may be tried out."""
        return self.host in LOOPBACK_HOSTS

    @property
    def aaguids(self) -> frozenset[UUID]:
        """The models of `allowed_aaguids`. Raises ValueError for what is no AAGUID."""
        return frozenset(UUID(text.strip()) for text in self.allowed_aaguids.split(",") if text.strip())

    @property
    def forges(self) -> dict[str, str]:
        """The URL template of each forge in `proof_forges`, by host. Raises ValueError for what is no pair."""
        return dict(part.strip().split("=", 1) for part in self.proof_forges.split(",") if part.strip())

    def is_of_record(self, ecosystem: str) -> bool:
        """True when the registry's word on who maintains what counts as the maintainer's acceptance (POLICY 12)."""
        named = {name.strip() for name in self.registries_of_record.split(",")}
        return "*" in named or ecosystem in named

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query or parts.fragment:
            raise SettingError(f"{PREFIX}BASE_URL must be an origin such as https://id.example, not {self.base_url!r}")
        default_port = {"https": 443, "http": 80}[parts.scheme]
        if parts.netloc != parts.netloc.lower() or parts.port == default_port or "@" in parts.netloc:
            raise SettingError(f"{PREFIX}BASE_URL must be written as browsers do: lower case, no default port")
        if not self.secure and not self.is_loopback:
            raise SettingError(f"{PREFIX}BASE_URL must be https unless it names this machine, not {self.base_url!r}")
        if self.password_min_length < 8:
            raise SettingError(f"{PREFIX}PASSWORD_MIN_LENGTH must be 8 or more (NIST SP 800-63B-4, 3.1.1.2)")
        if self.mailed_code not in {"always", "new-browsers"}:
            raise SettingError(f"{PREFIX}MAILED_CODE must be always or new-browsers, not {self.mailed_code!r}")
        try:
            listed = self.aaguids
        except ValueError:
            raise SettingError(f"{PREFIX}ALLOWED_AAGUIDS must hold AAGUIDs, not {self.allowed_aaguids!r}") from None
        if listed and not self.attestation_roots_file:
            raise SettingError(f"{PREFIX}ALLOWED_AAGUIDS needs {PREFIX}ATTESTATION_ROOTS_FILE to be checked against")
        try:
            templates = self.forges.values()
        except ValueError:
            raise SettingError(f"{PREFIX}PROOF_FORGES must hold HOST=URL, not {self.proof_forges!r}") from None
        schemes = ("https://", "http://") if self.allow_loopback_targets else ("https://",)
        if not all(url.startswith(schemes) and "{id}" in url.partition("//")[2].partition("/")[2] for url in templates):
            raise SettingError(f"{PREFIX}PROOF_FORGES needs https URLs with {{id}} in their path")
        if not self.database.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise SettingError(f"{PREFIX}DATABASE_URL must start with sqlite:/// or postgresql+psycopg://")
        if not self.smtp_url.startswith(("smtp://", "smtps://", "file:")):
            raise SettingError(f"{PREFIX}SMTP_URL must start with smtp://, smtps:// or file:")
        if self.metrics_token and len(self.metrics_token) < 16:
            raise SettingError(f"{PREFIX}METRICS_TOKEN needs 16 characters or more")


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `config.toml` and the environment. Raises SettingError for an unknown name or a wrong type."""
    known = {f.name: f for f in fields(Settings)}
    values: dict[str, Any] = {}
    instance = Path(environ.get(f"{PREFIX}INSTANCE_PATH", str(known["instance_path"].default)))
    config = instance / "config.toml"
    if config.is_file():
        try:
            found = tomllib.loads(config.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingError(f"{config} is not valid TOML: {error}") from error
        for name, value in found.items():
            key = _known(name, known, str(config))
            values[key] = _typed(key, value, known)
    for name, text in environ.items():
        if name.startswith(PREFIX):
            key = _known(name.removeprefix(PREFIX).lower(), known, "the environment")
            values[key] = _typed(key, text, known)
    return Settings(**values)


def _known(name: str, known: Mapping[str, Any], where: str) -> str:
    if name not in known:
        raise SettingError(f"{where} has the unknown setting {name!r}; docs/settings.md lists those that exist")
    return name


def _typed(name: str, value: object, known: Mapping[str, Any]) -> object:
    kind = type(known[name].default)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    if isinstance(value, str):
        if kind is bool and value.lower() in {"0", "1", "true", "false"}:
            return value.lower() in {"1", "true"}
        if kind is int and value.isascii() and value.isdigit():
            return int(value)
    raise SettingError(f"{PREFIX}{name.upper()} must be of type {kind.__name__}, not {value!r}")
