"""The row of a password."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class Password(Row):
    """An account's password, as its Argon2id hash."""

    __tablename__ = "passwords"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(255))
    changed_at: Mapped[datetime]
    breach_checked_at: Mapped[datetime | None]  # null: the range service did not answer yet


class OldPassword(Row):
    """A password that was replaced. It opens nothing; it can show who owned the account before (POLICY 5)."""

    __tablename__ = "old_passwords"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    hash: Mapped[str] = mapped_column(String(255))
    replaced_at: Mapped[datetime]
