"""The row of an action that was started elsewhere and waits for a browser."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class DeviceRequest(Row):
    """One device authorization (RFC 8628): asked, then entered by one session, then decided, then delivered once."""

    __tablename__ = "device_requests"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    device_digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    user_digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)  # keyed: the code has only 34 bits
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    client_name: Mapped[str] = mapped_column(String(100))
    client_verified: Mapped[bool]
    scopes: Mapped[list[Any]]
    phrase: Mapped[str] = mapped_column(String(60))
    ip: Mapped[str] = mapped_column(String(45))
    network: Mapped[str] = mapped_column(String(45))
    browser: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    # Polling.
    interval_seconds: Mapped[int]
    polled_at: Mapped[datetime | None]
    # The person who entered the code, and what they decided.
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    session_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id"))
    decided_at: Mapped[datetime | None]
    approved: Mapped[bool | None]
    epoch: Mapped[int | None]
    acr: Mapped[str | None] = mapped_column(String(8))
    amr: Mapped[str | None] = mapped_column(String(80))
    auth_time: Mapped[datetime | None]
    writes_from: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
