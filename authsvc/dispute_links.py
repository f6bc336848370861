"""Links that say "this was not me": one in every security mail, to a page that freezes the account (POLICY 5).

A link gives access to nothing. Unlike everything else that is issued it outlives the account's epoch: whoever broke
in and changed the addresses must not end the owner's way to object.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, delete, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core import crypto, db
from authsvc.core.db import BigId, Row

LIFE = timedelta(days=30)


class DisputeLink(Row):
    """One link, in one mail to one address. All links of one event are used up together."""

    __tablename__ = "dispute_links"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    event: Mapped[str] = mapped_column(String(22), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    address_id: Mapped[int] = mapped_column(ForeignKey("addresses.id"))
    about: Mapped[str] = mapped_column(String(200))
    event_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


@dataclass(frozen=True, kw_only=True)
class DisputeLinkView:
    """A live link. `about` is the subject of the mail that carried it, `event_at` when that happened."""

    event: str
    account_id: int
    address_id: int
    about: str
    event_at: datetime


_INSERT = insert(DisputeLink)


def new_event() -> str:
    """A name for what one round of mails tells of."""
    return crypto.random_token(16)


def issue(account_id: int, address_id: int, *, event: str, about: str, now: datetime) -> str:
    """Make a link and return its token. The caller sees to it that the address may have one."""
    token = crypto.random_token()
    values = {
        "digest": crypto.digest(token),
        "event": event,
        "account_id": account_id,
        "address_id": address_id,
        "about": about,
        "event_at": now,
        "expires_at": now + LIFE,
    }
    db.execute(_INSERT, values)
    return token


def find(token: str, *, now: datetime) -> DisputeLinkView | None:
    """The live link of a token: not used, not over."""
    query = select(*(getattr(DisputeLink, name) for name in DisputeLinkView.__dataclass_fields__)).where(
        DisputeLink.digest == crypto.digest(token), DisputeLink.used_at.is_(None), DisputeLink.expires_at > now
    )
    row = db.session().execute(query).first()
    return DisputeLinkView(**row._mapping) if row else None


def spend(event: str, *, now: datetime) -> bool:
    """Use the event's links up, all of them. Of two at once one wins; False for the other."""
    change = update(DisputeLink).where(DisputeLink.event == event, DisputeLink.used_at.is_(None))
    return bool(db.session().scalars(change.values(used_at=now).returning(DisputeLink.id)).all())


def void_since(account_id: int, *, since: datetime, now: datetime) -> None:
    """The dispute is over: links about what happened since that time are of no use any more."""
    change = update(DisputeLink).where(
        DisputeLink.account_id == account_id, DisputeLink.event_at >= since, DisputeLink.used_at.is_(None)
    )
    db.session().execute(change.values(used_at=now))


def void_of_address(address_id: int, *, now: datetime) -> None:
    """The address has no say any more (POLICY 3: an older authenticator ended its dispute)."""
    change = update(DisputeLink).where(DisputeLink.address_id == address_id, DisputeLink.used_at.is_(None))
    db.session().execute(change.values(used_at=now))


def purge(*, before: datetime) -> None:
    """Delete links that ended before the time."""
    db.session().execute(delete(DisputeLink).where(DisputeLink.expires_at < before))
