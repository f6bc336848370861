"""The row of a place where only the owner can publish."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class ProofPlace(Row):
    """A place, from the moment its owner names it. It is linked once the line was seen there and a step-up followed."""

    __tablename__ = "proof_places"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    kind: Mapped[str] = mapped_column(String(12))
    location: Mapped[str] = mapped_column(String(500))  # domain as A-label, URL, or repository id
    forge: Mapped[str] = mapped_column(String(255))  # host of the repository's forge; empty for other kinds
    created_at: Mapped[datetime]
    token: Mapped[str | None] = mapped_column(String(64))  # to be published, so no secret; None once it did its work
    checked_at: Mapped[datetime | None]  # when the line was seen, before the step-up
    seen: Mapped[dict[str, Any] | None]  # of the domain at that moment
    linked_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    baseline: Mapped[dict[str, Any] | None]  # of the domain when the place was confirmed last
    unlinked_at: Mapped[datetime | None]
