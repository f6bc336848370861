"""Rows of accounts, addresses and the register of authenticators."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class Account(Row):
    """One person. `epoch` rises whenever everything issued must die (POLICY 6)."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    sub: Mapped[str] = mapped_column(String(64), unique=True)  # opaque, never reused; also the WebAuthn user handle
    username: Mapped[str] = mapped_column(String(39), unique=True)
    epoch: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    is_staff: Mapped[bool] = mapped_column(default=False)
    disabled_at: Mapped[datetime | None]
    frozen_at: Mapped[datetime | None]
    confirm_after: Mapped[datetime | None]  # consents confirmed before this are forgotten (POLICY 6)
    password_must_change: Mapped[str | None] = mapped_column(String(40))  # why, or null
    last_sign_in_at: Mapped[datetime | None]
    last_strong_sign_in_at: Mapped[datetime | None]  # with a senior authenticator (POLICY 8)
    last_recovery_at: Mapped[datetime | None]  # a recovery case was completed; lifts blocks from before (POLICY 8)
    keys_only_since: Mapped[datetime | None]  # weaker second steps are switched off: decision 0018


class Address(Row):
    """An e-mail address of an account. One row for each verified address in the whole installation."""

    __tablename__ = "addresses"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    email: Mapped[str] = mapped_column(String(320), index=True)  # normalised
    domain: Mapped[str] = mapped_column(String(255), index=True)  # A-label
    is_primary: Mapped[bool] = mapped_column(default=False)
    is_backup: Mapped[bool] = mapped_column(default=False)  # may get reset links beside the primary one (POLICY 9)
    created_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]  # when it was last proved
    first_verified_at: Mapped[datetime | None]  # from when on seniority counts
    removed_at: Mapped[datetime | None]
    silenced_at: Mapped[datetime | None]  # an older authenticator ended its dispute: no notices, no say
    # What the domain check says (written through set_trust by `domains`): POLICY 8.
    generation: Mapped[int] = mapped_column(default=0)  # of the domain, when the owner last proved the address
    domain_generation: Mapped[int] = mapped_column(default=0)  # of the domain now
    verdict: Mapped[str] = mapped_column(String(16), default="unknown")
    told_at: Mapped[datetime | None]  # when its owner heard of the newest doubt
    # Since when somebody else may hold the domain; null again once proved anew.
    doubted_at: Mapped[datetime | None] = mapped_column(index=True)
    blocked_at: Mapped[datetime | None]
    block_reason: Mapped[str | None] = mapped_column(String(40))

    __table_args__ = (
        Index(
            "uq_addresses_verified_email",
            "email",
            unique=True,
            sqlite_where=text("verified_at IS NOT NULL AND removed_at IS NULL"),
            postgresql_where=text("verified_at IS NOT NULL AND removed_at IS NULL"),
        ),
    )


class Authenticator(Row):
    """One line of the register: that something is enrolled. Its secret lies in its kind's own table."""

    __tablename__ = "authenticators"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    label: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[datetime]
    senior_at: Mapped[datetime]  # POLICY 3
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    backed_up: Mapped[bool | None]  # WebAuthn: synced, or in this device only; null where it has no meaning
