"""The outbox: messages written in the transaction of what they announce, delivered by the worker.

Bodies may hold codes and links, so they are sealed at rest and erased once handed over. Each mail carries a check code,
by which its recipient finds out at `/mail/check` whether it came from us (decision 0017).
"""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from flask import render_template
from sqlalchemy import ForeignKey, Index, LargeBinary, String, delete, func, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts, adapters, dispute_links
from authsvc.core import crypto, db
from authsvc.core.db import BigId, Row
from authsvc.core.web import settings

log = logging.getLogger(__name__)

AT_ONCE = 3  # of up to 20 seconds each, and as much for a look at the domain, within the lease
LEASE = timedelta(minutes=2)
WORKER_SHARE = timedelta(seconds=5)  # of one round of the worker
FIRST_RETRY = timedelta(seconds=30)
GIVE_UP_AFTER = timedelta(days=3)
KEPT_FOR = timedelta(days=90)  # what was sent or dropped, without its body; so long mails can be checked
CHECK_LETTERS = 16  # of 20 letters: 69 bits


class Message(Row):
    """One mail to one address. `body` is sealed, and empty once the mail is handed over or dropped."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    kind: Mapped[str] = mapped_column(String(40))
    recipient: Mapped[str] = mapped_column(String(320))
    subject: Mapped[str] = mapped_column(String(200))
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    not_after: Mapped[datetime | None]  # a code or link that would arrive too old is dropped
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    claimed_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    dropped_at: Mapped[datetime | None]
    check_digest: Mapped[bytes | None] = mapped_column(LargeBinary, index=True)


_WAITS = Message.sent_at.is_(None) & Message.dropped_at.is_(None)
Index("ix_outbox_waiting", Message.due_at, sqlite_where=_WAITS, postgresql_where=_WAITS)


@dataclass(frozen=True)
class Delivered:
    """What one round of delivery did."""

    sent: int = 0
    retried: int = 0
    dropped: int = 0

    def __add__(self, other: "Delivered") -> "Delivered":
        return Delivered(self.sent + other.sent, self.retried + other.retried, self.dropped + other.dropped)


@dataclass(frozen=True)
class Sent:
    """A mail that was really sent by us."""

    subject: str
    sent_at: datetime


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A mail as those see it who want to know whether somebody was told. `sent_at`: None while it waits."""

    to: str
    subject: str
    written_at: datetime
    sent_at: datetime | None
    dropped: bool


_INSERT = insert(Message)

MayLeave = Callable[[str, int | None, str, datetime], bool]  # kind, account, recipient, now


def _anything(kind: str, account_id: int | None, recipient: str, now: datetime) -> bool:
    return True


def send(
    kind: str,
    *,
    to: str,
    subject: str,
    now: datetime,
    account_id: int | None = None,
    not_after: datetime | None = None,
    event: str = "",
    **values: object,
) -> None:
    """Write a mail from `templates/mail/<kind>.txt` to the outbox. `to` is a stored address, never a typed one.

    Templates may ask for `not_me()`, the link that freezes the account; mails of one `event` share its use.
    """

    def not_me() -> str:
        return _dispute_link(account_id, to, event=event, about=subject, now=now) if account_id else ""

    text = render_template(f"mail/{kind}.txt", now=now, to=to, not_me=not_me, **values)
    check_code = crypto.random_letters(CHECK_LETTERS)
    foot = render_template("mail/_foot.txt", check_code=check_code)
    row = {
        "account_id": account_id,
        "kind": kind,
        "recipient": to,
        "subject": subject,
        "body": crypto.seal(f"{text.rstrip()}\n\n{foot}".encode(), "mail"),
        "created_at": now,
        "not_after": not_after,
        "due_at": now,
        "attempts": 0,
        "check_digest": crypto.keyed_digest("mail_check", to, check_code),
    }
    db.execute(_INSERT, row)


def notify(account_id: int, kind: str, *, subject: str, now: datetime, **values: Any) -> int:
    """Write a security mail to every trusted address of the account (POLICY 3); returns to how many. Never limited."""
    recipients, event = accounts.trusted_recipients(account_id, now=now), dispute_links.new_event()
    for address in recipients:
        send(kind, to=address, subject=subject, now=now, account_id=account_id, event=event, **values)
    return len(recipients)


def _dispute_link(account_id: int, to: str, *, event: str, about: str, now: datetime) -> str:
    """A link for the address, or nothing where it may have none: it freezes accounts, so what is junior gets none."""
    address = next((a for a in accounts.with_a_say(account_id, now=now) if a.email == to), None)
    if address is None:
        return ""
    event = event or dispute_links.new_event()
    token = dispute_links.issue(account_id, address.id, event=event, about=about, now=now)
    return f"{settings().base_url}/not-me/{token}"


def check(check_code: str, recipient: str) -> Sent | None:
    """The mail with this code that was sent to exactly this address, both as typed; None for all else (POLICY 14)."""
    letters = "".join(c for c in check_code.upper() if c.isalpha())
    try:
        address = accounts.normalise_address(recipient)
    except ValueError:
        return None
    digests = crypto.keyed_digests("mail_check", address, letters)
    query = select(Message.subject, Message.sent_at).where(Message.check_digest.in_(digests))
    row = db.session().execute(query.where(Message.sent_at.is_not(None))).first()
    return Sent(row.subject, row.sent_at) if row else None


def notices(account_ids: Collection[int], *, kinds: Collection[str], since: datetime) -> list[Notice]:
    """Mails of these kinds that were written to these accounts at that time and later, oldest first."""
    query = select(Message).where(
        Message.account_id.in_(account_ids), Message.kind.in_(kinds), Message.created_at >= since
    )
    return [
        Notice(
            to=row.recipient,
            subject=row.subject,
            written_at=row.created_at,
            sent_at=row.sent_at,
            dropped=row.dropped_at is not None,
        )
        for row in db.session().scalars(query.order_by(Message.id))
    ]


def deliver(*, now: datetime, may_leave: MayLeave = _anything) -> Delivered:
    """Hand due mails over, one transaction each; a failure waits longer each time. The worker's task.

    What `may_leave` says no to is dropped; it is asked right before, outside of transactions. Takes a few at a time,
    so that the lease outlasts slow servers, and stops after WORKER_SHARE.
    """
    total, began = Delivered(), time.monotonic()
    while True:
        elapsed = timedelta(seconds=time.monotonic() - began)
        ids = db.claim(
            Message.id,
            Message.claimed_until,
            _WAITS & (Message.due_at <= now),
            limit=AT_ONCE,
            lease=LEASE,
            now=now + elapsed,
            order_by=Message.due_at,
        )
        for message_id in ids:
            at = now + timedelta(seconds=time.monotonic() - began)
            total += _hand_over(message_id, may_leave=may_leave, now=at)
        if len(ids) < AT_ONCE or elapsed > WORKER_SHARE:
            return total


def _hand_over(message_id: int, *, may_leave: MayLeave, now: datetime) -> Delivered:
    with db.transaction() as session:
        row = session.get_one(Message, message_id)
    if (row.not_after is not None and now >= row.not_after) or now - row.created_at > GIVE_UP_AFTER:
        _finish(message_id, dropped_at=now, body=None)
        return Delivered(dropped=1)
    try:
        if not may_leave(row.kind, row.account_id, row.recipient, now):
            _finish(message_id, dropped_at=now, body=None)
            return Delivered(dropped=1)
        adapters.current().mail.send(_compose(row))
    except Exception as error:  # whatever the transport raises, the mail stays in the outbox
        if isinstance(error, adapters.MailNotSent) and error.permanent:
            log.error("mail %s (%s) was refused for good: %s", message_id, row.kind, error)
            _finish(message_id, dropped_at=now, body=None)
            return Delivered(dropped=1)
        log.warning("mail %s (%s) not handed over: %s", message_id, row.kind, error)
        retry_at = now + FIRST_RETRY * 2 ** min(row.attempts, 8)
        _finish(message_id, attempts=row.attempts + 1, due_at=retry_at, claimed_until=None)
        return Delivered(retried=1)
    _finish(message_id, sent_at=now, body=None)
    return Delivered(sent=1)


def waiting() -> int:
    """How many mails are still to be handed over."""
    return db.session().scalars(select(func.count(Message.id)).where(_WAITS)).one()


def purge(*, before: datetime) -> None:
    """Forget what was sent or dropped and written before then; what waits stays."""
    db.session().execute(delete(Message).where(Message.created_at < before, ~_WAITS))


def _finish(message_id: int, **values: object) -> None:
    with db.transaction() as session:
        session.execute(update(Message).where(Message.id == message_id).values(**values))


def _compose(row: Message) -> EmailMessage:
    message = EmailMessage()
    message["From"] = settings().mail_from
    message["To"] = row.recipient
    message["Subject"] = row.subject
    message["Date"] = format_datetime(row.created_at)
    # Every copy has the same, so that mail programs know one that left again because a worker died before it noted it.
    name = crypto.keyed_digest("message_id", str(row.id), row.created_at.isoformat()).hex()
    message["Message-ID"] = f"<{name}@{settings().host}>"
    message["Auto-Submitted"] = "auto-generated"
    text = crypto.unseal(row.body or b"", "mail").decode()
    # Plain lines where they can be, so that links and codes stay whole for whoever reads the raw message.
    message.set_content(text, cte="7bit" if text.isascii() else "quoted-printable")
    return message
