"""Rows of reset requests and links, and of attempts to open a frozen account."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class ResetRequest(Row):
    """Somebody asked for a link, for any name or address. The worker decides, and deletes the row."""

    __tablename__ = "reset_requests"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    typed: Mapped[str] = mapped_column(String(320))
    ip: Mapped[str] = mapped_column(String(45))
    network: Mapped[str] = mapped_column(String(45), index=True)
    turn: Mapped[int]  # how many of this network waited before it: whoever asks a lot waits behind the others
    browser: Mapped[str] = mapped_column(String(60))
    browser_digest: Mapped[bytes | None]  # of its cookie: known browsers have a budget of their own (POLICY 7)
    created_at: Mapped[datetime] = mapped_column(index=True)
    claimed_until: Mapped[datetime | None]


class ResetLink(Row):
    """A link that was mailed. Bound to the account's epoch and to the address as it stood."""

    __tablename__ = "reset_links"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    address_id: Mapped[int] = mapped_column(ForeignKey("addresses.id"))
    epoch: Mapped[int]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    spent_at: Mapped[datetime | None]
    challenge: Mapped[bytes | None] = mapped_column(LargeBinary)
    at_once: Mapped[bool] = mapped_column(default=False)  # continuity was shown when it was mailed (POLICY 8)
    waits_until: Mapped[datetime | None]
    waiting_hash: Mapped[str | None] = mapped_column(String(255))  # of the password that was typed and waits


class Unfreezing(Row):
    """One attempt to open a frozen account, and what it has shown so far."""

    __tablename__ = "unfreezings"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    freeze_id: Mapped[int] = mapped_column(ForeignKey("freezes.id"))
    epoch: Mapped[int]
    address_id: Mapped[int | None] = mapped_column(ForeignKey("addresses.id"))  # whose link began it
    doubtful: Mapped[bool] = mapped_column(default=False)  # the address's domain showed no continuity (POLICY 8)
    password: Mapped[bool] = mapped_column(default=False)  # the one from before the dispute
    proved: Mapped[str] = mapped_column(String(80), default="")  # Factor values, space-separated
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    waits_until: Mapped[datetime | None]
    veto_event: Mapped[str | None] = mapped_column(String(22), index=True)
    vetoed_at: Mapped[datetime | None]
    challenge: Mapped[bytes | None] = mapped_column(LargeBinary)
    spent_at: Mapped[datetime | None]
