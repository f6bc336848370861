"""The row of a password."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import Row


class Password(Row):
    """An account's password, as its Argon2id hash."""

    __tablename__ = "passwords"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(255))
    changed_at: Mapped[datetime]
    breach_checked_at: Mapped[datetime | None]  # null: the range service did not answer yet
