"""The row of an action that waits for its proof."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class PendingAction(Row):
    """One action with its parameters, shown to the person and waiting for a proof (POLICY 4)."""

    __tablename__ = "pending_actions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id"))
    epoch: Mapped[int]
    action: Mapped[str] = mapped_column(String(40))
    params: Mapped[dict[str, Any]]
    words: Mapped[str] = mapped_column(String(400))
    details: Mapped[list[Any]]  # what else is fixed, as (name, value) pairs for the page
    back: Mapped[str] = mapped_column(String(4096))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]
    challenge: Mapped[bytes | None] = mapped_column(LargeBinary)
