"""Canary names: answers known beforehand, by which a fault of our own resolvers is told from a domain's.

A canary counts once these resolvers answered it rightly, so a network where one cannot work needs no setting, and one
that its owner changes for good stops counting by itself.
"""

from datetime import datetime, timedelta

from sqlalchemy import String, UniqueConstraint, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import adapters
from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.evidence import DnsFault

EXISTS, MISSING = "exists", "missing"
NAMES = {
    "iana.org": EXISTS,
    "authsvc-canary-that-nobody-made.iana.org": MISSING,  # resolvers that invent answers give it one
    "dnssec-failed.org": DnsFault.BOGUS.value,  # signed wrongly on purpose; resolvers that validate refuse it
}
COUNTS_FOR = timedelta(days=3)  # after it was answered rightly last
ASKED_EVERY = timedelta(minutes=1)


class Canary(Row):
    """One name asked of one set of resolvers."""

    __tablename__ = "canaries"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    resolvers: Mapped[str] = mapped_column(String(200))
    asked_at: Mapped[datetime]
    is_right: Mapped[bool]
    right_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("name", "resolvers"),)


def sing(*, now: datetime) -> bool:
    """Whether every canary that counts is answered rightly; asked again after a minute. Ends the present transaction.

    False: what these resolvers say about other names is no evidence.
    """
    client = adapters.current().dns
    known = {row.name: row for row in db.session().scalars(select(Canary).where(Canary.resolvers == client.resolvers))}
    fresh = [row for row in known.values() if now - row.asked_at < ASKED_EVERY]
    counting = {name for name, row in known.items() if row.right_at is not None and now - row.right_at < COUNTS_FOR}
    db.commit()
    if len(fresh) == len(NAMES):
        return all(row.is_right for row in fresh if row.name in counting)
    answers = {name: client.ask_canary(name) == wanted for name, wanted in NAMES.items()}
    for name, is_right in answers.items():
        _note(name, client.resolvers, is_right=is_right, now=now)
    return all(is_right for name, is_right in answers.items() if name in counting)


def _note(name: str, resolvers: str, *, is_right: bool, now: datetime) -> None:
    values = {"asked_at": now, "is_right": is_right, **({"right_at": now} if is_right else {})}
    known = update(Canary).where(Canary.name == name, Canary.resolvers == resolvers).values(values)
    if db.session().scalar(known.returning(Canary.id)) is None:
        try:
            with db.session().begin_nested():
                db.session().execute(insert(Canary).values(name=name, resolvers=resolvers, **values))
        except IntegrityError:  # a rival was first, with the same answer
            pass
    db.commit()
