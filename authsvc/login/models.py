"""Rows of sign-ins under way and enrolments under way."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class PendingLogin(Row):
    """A sign-in under way in one browser. Holds no rights (attack T07)."""

    __tablename__ = "pending_logins"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    epoch: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    proved: Mapped[str] = mapped_column(String(120), default="")  # Factor values, space-separated
    senior: Mapped[str] = mapped_column(String(120), default="")
    hardware: Mapped[bool] = mapped_column(default=False)
    attested: Mapped[bool] = mapped_column(default=False)  # a senior key of verified hardware was among the proofs
    mailbox_checked: Mapped[bool] = mapped_column(default=False)
    password_replaced: Mapped[bool] = mapped_column(default=False)
    postponed: Mapped[bool] = mapped_column(default=False)  # "not today", in a brown-out
    recovery_code_id: Mapped[int | None]  # spent only when the sign-in completes
    challenge: Mapped[bytes | None] = mapped_column(LargeBinary)
    challenge_for: Mapped[str] = mapped_column(String(10), default="")
    next_path: Mapped[str] = mapped_column(String(4096), default="")
    consumed_at: Mapped[datetime | None]
    # For the owner, when a right password in a new browser goes no further (POLICY 2).
    new_browser: Mapped[bool] = mapped_column(default=False)
    ip: Mapped[str] = mapped_column(String(45), default="")
    browser: Mapped[str] = mapped_column(String(60), default="")
    told_at: Mapped[datetime | None]


class BrowserPass(Row):
    """A mailed link that gives a browser tries of its own, and the browser that has them (decision 0015)."""

    __tablename__ = "browser_passes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    epoch: Mapped[int]
    link_digest: Mapped[bytes | None] = mapped_column(unique=True)  # null: given by a reset link
    created_at: Mapped[datetime] = mapped_column(index=True)
    expires_at: Mapped[datetime]  # of the link
    opened_at: Mapped[datetime | None]
    digest: Mapped[bytes | None] = mapped_column(unique=True)  # of the cookie of the browser that opened it
    ends_at: Mapped[datetime | None]


class Enrolment(Row):
    """An authenticator being enrolled, by a session or inside a sign-in. It counts only when finished."""

    __tablename__ = "enrolments"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    owner: Mapped[str] = mapped_column(String(40), index=True)  # "session:7" or "login:9"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    epoch: Mapped[int]
    kind: Mapped[str] = mapped_column(String(10))  # "totp" or "key"
    label: Mapped[str] = mapped_column(String(60), default="")
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("authenticators.id"))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)  # JSON: seed, challenge, proof, recovery codes
    proved_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]
