"""What was added to an account and taken from it since a disputed moment, and what becomes of each (POLICY 5)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update

from authsvc.accounts.addresses import owner_of_address
from authsvc.accounts.models import Address, Authenticator
from authsvc.core import db
from authsvc.core.assurance import Factor


@dataclass(frozen=True, kw_only=True)
class Item:
    """One authenticator or address. `added` since the dispute, or else removed since."""

    what: str  # "authenticator" or "address"
    id: int
    label: str
    added: bool
    at: datetime


def changed_since(account_id: int, *, since: datetime) -> list[Item]:
    """What came, and is still there, and what went, oldest change first. What came and went again is not named."""
    items = []
    for key in db.session().scalars(select(Authenticator).where(Authenticator.account_id == account_id)):
        if key.created_at >= since and key.revoked_at is None:
            items.append(Item(what="authenticator", id=key.id, label=key.label, added=True, at=key.created_at))
        elif key.created_at < since and key.revoked_at is not None and key.revoked_at >= since:
            items.append(Item(what="authenticator", id=key.id, label=key.label, added=False, at=key.revoked_at))
    for own in db.session().scalars(select(Address).where(Address.account_id == account_id)):
        came = own.first_verified_at or own.created_at
        if came >= since and own.removed_at is None:
            items.append(Item(what="address", id=own.id, label=own.email, added=True, at=came))
        elif came < since and own.removed_at is not None and own.removed_at >= since:
            items.append(Item(what="address", id=own.id, label=own.email, added=False, at=own.removed_at))
    return sorted(items, key=lambda item: item.at)


def settle(item: Item, *, kept: bool, now: datetime) -> None:
    """What came stays when kept, else it is gone for good; what went comes back when kept."""
    if item.added == kept:
        return
    gone_at = now if item.added else None
    if item.what == "authenticator":
        change = update(Authenticator).where(Authenticator.id == item.id)
        db.session().execute(change.values(revoked_at=gone_at))
    elif item.added or owner_of_address(item.label) is None:  # meanwhile it may be somebody else's
        change = update(Address).where(Address.id == item.id)
        db.session().execute(change.values(removed_at=gone_at, silenced_at=gone_at, is_primary=False))


def seniors_at(account_id: int, moment: datetime) -> dict[int, Factor]:
    """Authenticators that were enrolled and senior at the moment, by id; those removed since count (POLICY 5)."""
    query = select(Authenticator.id, Authenticator.kind).where(
        Authenticator.account_id == account_id,
        Authenticator.created_at < moment,
        Authenticator.senior_at <= moment,
        Authenticator.revoked_at.is_(None) | (Authenticator.revoked_at >= moment),
    )
    return {row.id: Factor(row.kind) for row in db.session().execute(query)}
