"""Rows of registrations whose address is not confirmed yet, and of removals that wait."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class Registration(Row):
    """Somebody who wants an account. Nothing exists until the address is proved (attacks E01, E02)."""

    __tablename__ = "registrations"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    username: Mapped[str] = mapped_column(String(39))
    email: Mapped[str] = mapped_column(String(320))
    password_hash: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    consumed_at: Mapped[datetime | None]


class Removal(Row):
    """An authenticator that goes in three days, because something younger removed it. Dies with the epoch."""

    __tablename__ = "removals"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    authenticator_id: Mapped[int] = mapped_column(ForeignKey("authenticators.id"))
    epoch: Mapped[int]
    began_at: Mapped[datetime]
    due_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
