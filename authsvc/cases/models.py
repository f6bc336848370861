"""Rows of recovery cases: what was shown in each, who objected, how people of the service voted."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class Case(Row):
    """Somebody wants an account back. A row is written for any name; `account_id` is empty where there is none.

    It outlives the account's epoch: whoever broke in must not end it by a new password.
    """

    __tablename__ = "recovery_cases"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)  # of the token that only the applicant has
    typed: Mapped[str] = mapped_column(String(320))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    ip: Mapped[str] = mapped_column(String(45))
    browser: Mapped[str] = mapped_column(String(60))
    browser_digest: Mapped[bytes | None]  # of its cookie, for budgets of its own (POLICY 7)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    begun_at: Mapped[datetime | None] = mapped_column(index=True)  # a kind was verified, and it has a slot
    tended_until: Mapped[datetime | None]  # before then the worker does not look again
    told_at: Mapped[datetime | None]  # when everybody heard last
    told_rank: Mapped[int] = mapped_column(default=0, server_default="0")  # how much they heard of then
    told_until: Mapped[datetime | None]  # the end of the wait that everybody was told
    told_staff: Mapped[bool] = mapped_column(default=False)  # everybody was told that people of the service decide
    proof_token: Mapped[str] = mapped_column(String(64))  # to be published at a place linked before
    objection_event: Mapped[str] = mapped_column(String(22), index=True)  # of the links that object
    asked_staff_at: Mapped[datetime | None]
    statement: Mapped[str] = mapped_column(Text, default="")  # what the applicant says to the people of the service
    asked_for: Mapped[str | None] = mapped_column(String(10))  # mailbox or place: the worker looks, and empties it
    asked_about: Mapped[str] = mapped_column(String(320), default="")  # which, as typed
    asked_at: Mapped[datetime | None] = mapped_column(index=True)
    asked_network: Mapped[str] = mapped_column(String(45), default="", server_default="")
    asked_after: Mapped[int] = mapped_column(
        BigId, default=0, server_default="0"
    )  # places up to that id were looked at
    turn: Mapped[int] = mapped_column(default=0, server_default="0")  # how many of its network were waiting
    answer: Mapped[str | None] = mapped_column(String(20))  # why a place was refused; told once a kind is verified
    claimed_until: Mapped[datetime | None]
    new_email: Mapped[str | None] = mapped_column(String(320))
    new_email_proved_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(20))  # an Outcome of the service


class CaseProof(Row):
    """One proof that we verified. Those the owner knows or holds count in the epoch in which they were shown."""

    __tablename__ = "case_proofs"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("recovery_cases.id"), index=True)
    proof: Mapped[str] = mapped_column(String(20))
    ref: Mapped[int] = mapped_column(BigId, default=0)  # which address, browser, place or co-owner
    epoch: Mapped[int]
    shown_at: Mapped[datetime]
    confirms: Mapped[bool] = mapped_column(server_default=true())  # of a mailbox: its domain was in the same hands

    __table_args__ = (UniqueConstraint("case_id", "proof", "ref", "epoch"),)


class CaseObjection(Row):
    """Somebody with a say objected; each counts once."""

    __tablename__ = "case_objections"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("recovery_cases.id"), index=True)
    by: Mapped[str] = mapped_column(String(10))  # address, session, co_owner
    ref: Mapped[int] = mapped_column(BigId)  # which address or account
    at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("case_id", "by", "ref"),)


class CaseVote(Row):
    """What one person of the service decided, and why."""

    __tablename__ = "case_votes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("recovery_cases.id"), index=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    approve: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
