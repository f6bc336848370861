"""Clients: registered from RFC 7591 metadata, found, authenticated by the one method each has registered."""

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from sqlalchemy import bindparam, select, update

from authsvc.core import crypto, db
from authsvc.core.config import LOOPBACK_HOSTS
from authsvc.oidc.keys import ALGORITHMS
from authsvc.oidc.models import Client
from authsvc.tokens import PROGRAM_SCOPES, SCOPES

AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")
CODE, REFRESH = "authorization_code", "refresh_token"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
ITSELF = "client_credentials"
GRANT_TYPES = (CODE, REFRESH, DEVICE, ITSELF)
ALL_SCOPES = SCOPES | PROGRAM_SCOPES
MAX_URIS = 20
MAX_URI_LENGTH = 1000
MIN_SECRET_LENGTH = 22  # 128 bits in base64url; the digest of less could be guessed


class InvalidMetadata(ValueError):
    """A registration cannot be taken; `error` is RFC 7591's name for why (section 3.2.2)."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """A registration that was checked."""

    name: str
    auth_method: str
    redirect_uris: list[str]
    post_logout_redirect_uris: list[str]
    grant_types: list[str]
    scopes: str
    id_token_alg: str
    resource_server: bool


@dataclass(frozen=True, kw_only=True)
class ClientView(Metadata):
    """A client as requests see it."""

    id: str
    secret_digest: bytes | None
    created_at: datetime

    @property
    def public(self) -> bool:
        """It has no secret, so anybody can pretend to be it: never called verified, no consent remembered (O22)."""
        return self.auth_method == "none"

    def allowed(self, scopes: frozenset[str]) -> frozenset[str]:
        """Those of the scopes that it may ask for; the others are ignored (RFC 6749, 3.3)."""
        return scopes & frozenset(self.scopes.split()) & SCOPES.keys()

    @property
    def own_scopes(self) -> frozenset[str]:
        """What it may ask for itself."""
        return frozenset(self.scopes.split()) & PROGRAM_SCOPES.keys()

    def redirects_to(self, uri: str) -> bool:
        """True for a registered redirect URI, compared as a string (attack O01).

        The one exception: the port of a loopback IP literal, for public clients (RFC 8252, 7.3; attack O03).
        """
        return uri in self.redirect_uris or (
            self.public and _without_port(uri) in [u for u in map(_without_port, self.redirect_uris) if u]
        )


# The table, not the row class: see `tokens`.
_COLUMNS = [Client.__table__.c[name] for name in ClientView.__dataclass_fields__]
_BY_ID = select(*_COLUMNS).where(Client.__table__.c.id == bindparam("id"))
_ALL = select(*_COLUMNS).order_by(Client.__table__.c.created_at, Client.__table__.c.id)


def _without_port(uri: str) -> str | None:
    """A loopback IP literal's URI without its port; None for every other."""
    try:
        parts = urlsplit(uri)
        if parts.scheme != "http" or not ipaddress.ip_address(parts.hostname or "").is_loopback:
            return None
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return None
    start = f"http://{host}"
    return start + uri.removeprefix(start + port) if uri.startswith(start + port) else None


# Registration


def read_metadata(sent: Mapping[str, Any]) -> Metadata:
    """Check RFC 7591 metadata; unknown members are ignored. Raises InvalidMetadata.

    One member is ours: `resource_server`, true for services that introspect the tokens they are shown.
    """
    auth_method = sent.get("token_endpoint_auth_method", "client_secret_basic")
    if auth_method not in AUTH_METHODS:
        raise _invalid(f"token_endpoint_auth_method must be one of {', '.join(AUTH_METHODS)}")
    resource_server = sent.get("resource_server", False)
    if not isinstance(resource_server, bool) or (resource_server and auth_method == "none"):
        raise _invalid("resource_server must be true or false, and such a client needs a secret")
    grant_types = _strings(sent, "grant_types", [] if resource_server else [CODE])
    if not frozenset(grant_types) <= frozenset(GRANT_TYPES):
        raise _invalid(f"grant_types must be among {', '.join(GRANT_TYPES)}")
    response_types = _strings(sent, "response_types", ["code"] if CODE in grant_types else [])
    if response_types != (["code"] if CODE in grant_types else []):
        raise _invalid("response_types must be code with the grant type authorization_code, and empty without it")
    redirect_uris = _uris(sent, "redirect_uris")
    if CODE in grant_types and not redirect_uris:
        raise InvalidMetadata("invalid_redirect_uri", "the grant type authorization_code needs redirect_uris")
    name = sent.get("client_name", "")
    if not isinstance(name, str) or not name.strip() or len(name) > 100 or not name.isprintable():
        raise _invalid("client_name must be text of at most 100 characters")
    if ITSELF in grant_types and auth_method == "none":
        raise _invalid(f"the grant type {ITSELF} needs a client with a secret")
    for_people = frozenset(grant_types) - {ITSELF}
    scopes = sent.get("scope", "openid profile email" if for_people else "")
    if not isinstance(scopes, str) or not frozenset(scopes.split()) <= ALL_SCOPES.keys():
        raise _invalid(f"scope must hold some of: {' '.join(ALL_SCOPES)}")
    if (ITSELF in grant_types) != bool(frozenset(scopes.split()) & PROGRAM_SCOPES.keys()):
        raise _invalid(f"the grant type {ITSELF} and one of {', '.join(PROGRAM_SCOPES)} in scope go together")
    id_token_alg = sent.get("id_token_signed_response_alg", ALGORITHMS[0])
    if id_token_alg not in ALGORITHMS:
        raise _invalid(f"id_token_signed_response_alg must be one of {', '.join(ALGORITHMS)}")
    return Metadata(
        name=name.strip(),
        auth_method=auth_method,
        redirect_uris=redirect_uris,
        post_logout_redirect_uris=_uris(sent, "post_logout_redirect_uris"),
        grant_types=grant_types,
        scopes=" ".join(sorted(frozenset(scopes.split()))),
        id_token_alg=id_token_alg,
        resource_server=resource_server,
    )


def _invalid(message: str) -> InvalidMetadata:
    return InvalidMetadata("invalid_client_metadata", message)


def _strings(sent: Mapping[str, Any], name: str, default: list[str]) -> list[str]:
    found = sent.get(name, default)
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise _invalid(f"{name} must be a list of strings")
    return list(dict.fromkeys(found))


def _uris(sent: Mapping[str, Any], name: str) -> list[str]:
    """Addresses to redirect to: https, or http on this machine; no fragment, user or wildcard (attack O32)."""
    found = _strings(sent, name, [])
    if len(found) > MAX_URIS:
        raise InvalidMetadata("invalid_redirect_uri", f"{name} holds more than {MAX_URIS}")
    for uri in found:
        try:
            parts = urlsplit(uri)
            parts.port  # noqa: B018 -- raises for a port that is none
        except ValueError as error:
            raise InvalidMetadata("invalid_redirect_uri", f"{name}: {uri!r} is no address") from error
        secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS)
        plain = uri.isascii() and uri.isprintable() and not set(uri) & set(" #\\*\"'<>;")
        if not secure or not parts.hostname or "@" in parts.netloc or not plain or len(uri) > MAX_URI_LENGTH:
            raise InvalidMetadata(
                "invalid_redirect_uri",
                f"{name}: {uri!r} must be an https address, or http on this machine, without fragment or wildcard",
            )
    return found


def put(client_id: str | None, metadata: Metadata, *, secret: str | None, now: datetime) -> tuple[str, str | None]:
    """Store a client, or replace what is registered under the id; returns its id and its new secret, if one was made.

    Raises InvalidMetadata for an id or secret that cannot be used.
    """
    if client_id is not None and not (0 < len(client_id) <= 64 and client_id.isascii() and client_id.isprintable()):
        raise _invalid("client_id must be 1 to 64 ASCII characters")
    if secret is not None and len(secret) < MIN_SECRET_LENGTH:
        raise _invalid(f"client_secret needs {MIN_SECRET_LENGTH} random characters or more")
    row = db.session().get(Client, client_id) if client_id else None
    kept = row.secret_digest if row is not None else None
    made = crypto.random_token() if metadata.auth_method != "none" and not secret and kept is None else None
    fresh = secret or made
    if row is None:
        # Begins with a letter: a leading hyphen would read as an option on a command line.
        row = Client(id=client_id or f"c{crypto.random_token(16)}", created_at=now)
        db.session().add(row)
    for name in Metadata.__dataclass_fields__:
        setattr(row, name, getattr(metadata, name))
    row.secret_digest = (crypto.digest(fresh) if fresh else kept) if metadata.auth_method != "none" else None
    db.session().flush()
    return row.id, made


def rotate_secret(client_id: str) -> str | None:
    """A new secret, the old one stops working at once; None when there is no such client with a secret."""
    secret = crypto.random_token()
    change = update(Client).where(Client.id == client_id, Client.secret_digest.is_not(None))
    changed = db.session().scalar(change.values(secret_digest=crypto.digest(secret)).returning(Client.id))
    return secret if changed is not None else None


def find(client_id: str) -> ClientView | None:
    """The client of this id. One SELECT."""
    if not client_id or "\x00" in client_id:  # PostgreSQL takes no NUL in a text
        return None
    row = db.session().connection().execute(_BY_ID, {"id": client_id}).first()
    return ClientView(**row._mapping) if row else None


def all_clients() -> list[ClientView]:
    """Every client, oldest first."""
    return [ClientView(**row._mapping) for row in db.session().execute(_ALL)]


# Authentication


@dataclass(frozen=True)
class Refused:
    """Who asks is not known: `error` is the standard's name for why (RFC 6749, 5.2)."""

    error: str
    description: str


def authenticate(header: str | None, form: Mapping[str, Sequence[str]]) -> ClientView | Refused:
    """The client that makes this request, by exactly the one method it registered (attack O31).

    `header` is the Authorization header, `form` the values of each field. Source: RFC 6749, 2.3.1; RFC 9700, 2.5.
    """
    sent = {name: form.get(name, []) for name in ("client_id", "client_secret", "client_assertion")}
    if any(len(values) > 1 for values in sent.values()):
        return Refused("invalid_request", "A client parameter was sent twice.")
    client_id, secret = ("".join(sent[name]) for name in ("client_id", "client_secret"))
    method = "client_secret_post" if sent["client_secret"] else "none"
    if sent["client_assertion"]:
        return Refused("invalid_client", "Client assertions are not served.")
    if header is not None:
        if sent["client_secret"]:
            return Refused("invalid_request", "Two client credentials were sent.")
        from_header = _basic(header)
        if from_header is None:
            return Refused("invalid_client", "The Authorization header is not that of a client.")
        if client_id and client_id != from_header[0]:
            return Refused("invalid_request", "Two different clients were named.")
        (client_id, secret), method = from_header, "client_secret_basic"
    found = find(client_id)
    if found is None or found.auth_method != method:
        return Refused("invalid_client", "Client unknown, or not authenticated by its registered method.")
    if not found.public and not crypto.same(crypto.digest(secret), found.secret_digest or b""):
        return Refused("invalid_client", "Client unknown, or not authenticated by its registered method.")
    return found


def _basic(header: str) -> tuple[str, str] | None:
    """Id and secret of HTTP Basic; both are form-encoded inside (RFC 6749, 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:  # not base64, not UTF-8
        return None
    client_id, separator, secret = decoded.partition(":")
    return (unquote_plus(client_id), unquote_plus(secret)) if separator else None
