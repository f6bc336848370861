"""The security log: append-only, written in the transaction of the change it records, HMAC-chained.

Events are chained in order by the worker within a second (decision 0009), so no request waits for another.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, func, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core import crypto, db
from authsvc.core.db import BigId, Row
from authsvc.core.web import Client


class EventType(StrEnum):
    """`subject:object:action`, the action in the past tense. Stored for ever, so never reworded."""

    ACCOUNT_CREATED = "account:account:created"
    ADDRESS_ADDED = "account:address:added"
    ADDRESS_VERIFIED = "account:address:verified"
    ADDRESS_REMOVED = "account:address:removed"
    ADDRESS_MADE_PRIMARY = "account:address:made_primary"
    ADDRESS_BLOCKED = "account:address:blocked"
    ADDRESS_UNBLOCKED = "account:address:unblocked"
    LOGIN_SUCCEEDED = "account:login:succeeded"
    LOGIN_FAILED = "account:login:failed"
    LOGIN_CODE_SENT = "account:login_code:sent"
    LOGIN_CODE_FAILED = "account:login_code:failed"
    SECOND_FACTOR_FAILED = "account:second_factor:failed"
    BROWSER_ADDED = "account:browser:added"
    BROWSER_FORGOTTEN = "account:browser:forgotten"
    SESSION_ENDED = "account:session:ended"
    SESSIONS_ENDED = "account:sessions:ended"
    AUTHENTICATOR_ENROLLED = "account:authenticator:enrolled"
    AUTHENTICATOR_RENAMED = "account:authenticator:renamed"
    AUTHENTICATOR_REVOKED = "account:authenticator:revoked"
    AUTHENTICATOR_COUNTER_BACK = "account:authenticator:counter_went_back"
    RECOVERY_CODES_RENEWED = "account:recovery_codes:renewed"
    RECOVERY_CODE_USED = "account:recovery_code:used"
    PASSWORD_CHANGED = "account:password:changed"
    PASSWORD_FOUND_BREACHED = "account:password:found_breached"
    RESET_REQUESTED = "account:password_reset:requested"
    RESET_SENT = "account:password_reset:sent"
    RESET_DEFERRED = "account:password_reset:deferred"
    RESET_REFUSED = "account:password_reset:refused"
    RESET_COMPLETED = "account:password_reset:completed"
    STEP_UP_PROVED = "account:step_up:proved"
    STEP_UP_FAILED = "account:step_up:failed"
    HOLD_BEGUN = "account:hold:begun"
    HOLD_ENDED = "account:hold:ended"
    ACCOUNT_FROZEN = "account:account:frozen"
    ACCOUNT_UNFROZEN = "account:account:unfrozen"
    ACCOUNT_DISABLED = "account:account:disabled"
    ACCOUNT_ENABLED = "account:account:enabled"
    MANDATE_BEGUN = "account:mandate:begun"
    MANDATE_ENDED = "account:mandate:ended"
    TOKEN_ISSUED = "account:token:issued"
    TOKEN_REVOKED = "account:token:revoked"
    TOKEN_REUSED = "account:token:reused"
    GRANT_APPROVED = "account:grant:approved"
    GRANT_DENIED = "account:grant:denied"
    CLIENT_SIGNED_IN = "account:client:signed_in"


class Event(Row):
    """One line of the log. Rows are only ever inserted; `position` and `mac` are filled once, by the chain."""

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    type: Mapped[str] = mapped_column(String(60))
    at: Mapped[datetime]
    ip: Mapped[str] = mapped_column(String(45), default="")
    browser: Mapped[str] = mapped_column(String(60), default="")
    detail: Mapped[dict[str, Any]]
    position: Mapped[int | None] = mapped_column(BigId, unique=True)
    mac: Mapped[bytes | None]

    __table_args__ = (Index("ix_audit_events_account_at", "account_id", "at"),)


@dataclass(frozen=True, kw_only=True)
class EventView:
    """One event for a page."""

    id: int
    type: EventType
    at: datetime
    ip: str
    browser: str
    detail: dict[str, Any]


_INSERT = insert(Event)


def record(
    type_: EventType, *, account_id: int | None, at: datetime, client: Client | None = None, **detail: object
) -> None:
    """Append one event. `detail` holds JSON values and never a secret."""
    values = {
        "account_id": account_id,
        "type": type_.value,
        "at": at,
        "ip": client.ip if client else "",
        "browser": client.browser if client else "",
        "detail": detail,
    }
    db.execute(_INSERT, values)


def events(account_id: int, *, limit: int = 50) -> list[EventView]:
    """The account's newest events."""
    query = select(Event).where(Event.account_id == account_id).order_by(Event.id.desc()).limit(limit)
    return [
        EventView(id=e.id, type=EventType(e.type), at=e.at, ip=e.ip, browser=e.browser, detail=e.detail)
        for e in db.session().scalars(query)
    ]


def chain_new_events(*, limit: int = 1000) -> int:
    """Give unchained events their place and MAC, each over the one before it; returns how many. The worker's task."""
    with db.transaction() as session:
        last = session.execute(
            select(Event.position, Event.mac)
            .where(Event.position.is_not(None))
            .order_by(Event.position.desc())
            .limit(1)
        ).first()
        position, mac = (last[0] or 0, last[1] or b"") if last else (0, b"")
        fresh = session.scalars(
            select(Event).where(Event.position.is_(None)).order_by(Event.id).limit(limit).with_for_update()
        )
        done = 0
        for event in fresh:
            position += 1
            mac = crypto.keyed_digest("audit", mac.hex(), str(position), _text(event))
            session.execute(update(Event).where(Event.id == event.id).values(position=position, mac=mac))
            done += 1
        return done


def verify_chain() -> tuple[int, int | None]:
    """Walk the chain: how many events hold, and the position of the first that does not (None when all do)."""
    mac, good = b"", 0
    for event in db.session().scalars(select(Event).where(Event.position.is_not(None)).order_by(Event.position)):
        expected = crypto.keyed_digests("audit", mac.hex(), str(good + 1), _text(event))
        if event.position != good + 1 or event.mac not in expected:
            return good, event.position
        mac, good = event.mac or b"", good + 1
    return good, None


def head() -> tuple[int, str]:
    """Position and MAC of the newest chained event, to be kept elsewhere as evidence."""
    row = (
        db.session()
        .execute(select(Event.position, Event.mac).order_by(func.coalesce(Event.position, 0).desc()).limit(1))
        .first()
    )
    return (row[0] or 0, (row[1] or b"").hex()) if row else (0, "")


def _text(event: Event) -> str:
    detail = json.dumps(event.detail, sort_keys=True)
    return "|".join(
        (
            str(event.id),
            str(event.account_id),
            event.type,
            event.at.isoformat(),
            event.ip,
            event.browser,
            detail,
        )
    )
