"""Rows of the security log: its events, and the anchor that stands for those pruned."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class Event(Row):
    """One line of the log. Rows are only ever inserted; `position` and `mac` are filled once, by the chain."""

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    type: Mapped[str] = mapped_column(String(60))
    at: Mapped[datetime]
    ip: Mapped[str] = mapped_column(String(45), default="")
    browser: Mapped[str] = mapped_column(String(60), default="")
    place: Mapped[str] = mapped_column(String(80), default="", server_default="")
    detail: Mapped[dict[str, Any]]
    position: Mapped[int | None] = mapped_column(BigId, unique=True)
    mac: Mapped[bytes | None]


Index("ix_audit_events_account", Event.account_id, Event.id)
Index("ix_audit_events_account_type", Event.account_id, Event.type, Event.id)
Index(
    "ix_audit_events_unchained",
    Event.id,
    sqlite_where=Event.position.is_(None),
    postgresql_where=Event.position.is_(None),
)


class Anchor(Row):
    """The one row that says how far the log was pruned: what the oldest event kept is chained to."""

    __tablename__ = "audit_anchor"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    position: Mapped[int] = mapped_column(BigId)
    mac: Mapped[bytes]
    pruned_at: Mapped[datetime]
    seal: Mapped[bytes]  # HMAC over the others, so that nobody without the key can cut off the beginning
