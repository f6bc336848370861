"""Rows of clients, what they ask for, and the keys that sign for them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class Client(Row):
    """A program that signs people in through us. A secret's SHA-256 is enough: it has 128 bits or more."""

    __tablename__ = "clients"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # the OAuth client_id
    name: Mapped[str] = mapped_column(String(100))
    auth_method: Mapped[str] = mapped_column(String(30))
    secret_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    redirect_uris: Mapped[list[Any]]
    post_logout_redirect_uris: Mapped[list[Any]]
    grant_types: Mapped[list[Any]]
    scopes: Mapped[str] = mapped_column(String(400))  # space-separated: what it may ask for
    id_token_alg: Mapped[str] = mapped_column(String(10))
    resource_server: Mapped[bool]  # may introspect tokens of other clients
    created_at: Mapped[datetime]


class AuthorizationRequest(Row):
    """A request that passed its checks and waits for its person to sign in or to consent."""

    __tablename__ = "authorization_requests"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    parameters: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]


class AuthorizationCode(Row):
    """A code on its way through the browser, and what it will be traded for."""

    __tablename__ = "authorization_codes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    redirect_uri: Mapped[str] = mapped_column(Text)
    code_challenge: Mapped[str] = mapped_column(String(43))
    nonce: Mapped[str | None] = mapped_column(Text)
    claims: Mapped[list[Any]]  # asked for in the ID token by name
    scopes: Mapped[str] = mapped_column(String(400))
    writes_from: Mapped[datetime | None]
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    epoch: Mapped[int]
    acr: Mapped[str] = mapped_column(String(8))
    amr: Mapped[str] = mapped_column(String(80))
    auth_time: Mapped[datetime]
    session_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    consumed_at: Mapped[datetime | None]
    grant_id: Mapped[int | None] = mapped_column(ForeignKey("grants.id"))  # what it was traded for


class Consent(Row):
    """What a person allowed one client, remembered for next time."""

    __tablename__ = "consents"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"), primary_key=True)
    scopes: Mapped[str] = mapped_column(String(400))
    confirmed_at: Mapped[datetime]


class SigningKey(Row):
    """A key pair. Signs from `signs_from` until a newer one does; published before and for a while after."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(String(43), primary_key=True)  # RFC 7638 thumbprint
    alg: Mapped[str] = mapped_column(String(10))
    public_jwk: Mapped[dict[str, Any]]
    sealed_private_jwk: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    signs_from: Mapped[datetime]
    dropped_at: Mapped[datetime | None]  # compromised: trusted by nobody from then on
