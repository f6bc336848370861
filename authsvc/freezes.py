"""Freezes of an account: begun, looked at, ended (POLICY 5). The rules are in `policy/freeze.py`.

A freeze disputes everything since one moment. What belonged to the account then counts for opening it again, also
where it was removed since; what came later is void until its owner confirms it, item by item.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ForeignKey, Select, String, bindparam, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts, audit, dispute_links, holds, mail, mandates
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.web import Client
from authsvc.policy.freeze import DELETED_AFTER, FreezeCause
from authsvc.policy.hold import HoldCause

REACH = dispute_links.LIFE


class Freeze(Row):
    """One freeze. `accounts.frozen_at` says on every request that there is one."""

    __tablename__ = "freezes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    cause: Mapped[str] = mapped_column(String(20))
    disputed_at: Mapped[datetime]
    began_at: Mapped[datetime]
    by_address_id: Mapped[int | None] = mapped_column(ForeignKey("addresses.id"))
    ended_at: Mapped[datetime | None]


@dataclass(frozen=True, kw_only=True)
class FreezeView:
    """The freeze in force. `by_address_id`: whose link began it, if a link did."""

    id: int
    account_id: int
    cause: FreezeCause
    disputed_at: datetime
    began_at: datetime
    by_address_id: int | None

    @property
    def deleted_at(self) -> datetime | None:
        """When the account is deleted, where that is what the freeze is for."""
        return self.began_at + DELETED_AFTER if self.cause is FreezeCause.DELETION else None


_LIVE = select(*(getattr(Freeze, name) for name in FreezeView.__dataclass_fields__)).where(Freeze.ended_at.is_(None))
_CURRENT = _LIVE.where(Freeze.account_id == bindparam("account_id"))


def current(account_id: int) -> FreezeView | None:
    """The freeze in force, or None."""
    row = db.execute(_CURRENT, {"account_id": account_id}).first()
    return _view(row) if row else None


def _view(row: object) -> FreezeView:
    values = dict(row._mapping)  # type: ignore[attr-defined]  # a Row of the select above
    return FreezeView(**values | {"cause": FreezeCause(values["cause"])})


def begin(
    account_id: int,
    cause: FreezeCause,
    *,
    disputed_at: datetime,
    by_address_id: int | None = None,
    client: Client | None,
    now: datetime,
    **detail: object,
) -> bool:
    """Freeze: sessions, tokens, links and sign-ins under way are dead before this returns, and consents are forgotten.

    False where the account is frozen already; an earlier moment of dispute then moves the old one back, which ends
    what was shown to open it so far, and a freeze that only waited for deletion becomes the owner's. No dispute
    reaches back further than REACH: what was replaced is kept for so long.
    """
    account, disputed_at = accounts.lock(account_id), max(disputed_at, now - REACH)
    if account.frozen:
        standing = update(Freeze).where(Freeze.account_id == account_id, Freeze.ended_at.is_(None))
        earlier = standing.where(Freeze.disputed_at > disputed_at).values(disputed_at=disputed_at)
        if db.session().scalar(earlier.returning(Freeze.id)) is not None:
            accounts.raise_epoch(account_id)
        if cause is FreezeCause.OWNER:
            waiting = standing.where(Freeze.cause == FreezeCause.DELETION.value)
            db.session().execute(waiting.values(cause=cause.value, by_address_id=by_address_id))
        return False
    db.session().add(
        Freeze(
            account_id=account_id,
            cause=cause.value,
            disputed_at=disputed_at,
            began_at=now,
            by_address_id=by_address_id,
        )
    )
    db.session().flush()
    accounts.set_frozen(account_id, now=now)
    accounts.raise_epoch(account_id, confirm_after=now)
    audit.record(EventType.ACCOUNT_FROZEN, account_id=account_id, at=now, client=client, cause=cause.value, **detail)
    mail.notify(
        account_id,
        "account_frozen",
        subject=f"Account {account.username} is frozen",
        now=now,
        username=account.username,
        cause=cause.value,
        reason=detail.get("reason", ""),
        deleted_at=now + DELETED_AFTER if cause is FreezeCause.DELETION else None,
        client=client,
    )
    return True


def end(
    freeze: FreezeView,
    *,
    keep: Collection[tuple[str, int]],
    by_authenticator: bool,
    client: Client | None,
    now: datetime,
) -> None:
    """Open the account: what came since the dispute goes unless it is in `keep`, what was removed comes back if it is.

    `keep` names items of `accounts.changed_since` as (what, id); packages accepted since are invitations again. A hold
    of 72 hours follows. Where an authenticator opened it, the dispute is over: its links are void, and an address that
    began it and is not kept is silenced (POLICY 3). The caller has set a new password and locked the account.
    """
    account = accounts.get(freeze.account_id)
    changed = accounts.changed_since(account.id, since=freeze.disputed_at)
    for item in sorted(changed, key=lambda item: not item.added):  # what goes first: it may be in the way
        kept = (item.what, item.id) in keep
        accounts.settle(item, kept=kept, now=now)
        if item.what == "address" and item.added and not kept:
            dispute_links.void_of_address(item.id, now=now)
        audit.record(
            EventType.DISPUTED_ITEM_KEPT if kept else EventType.DISPUTED_ITEM_DROPPED,
            account_id=account.id,
            at=now,
            client=client,
            item=item.label,
            added=item.added,
        )
    for package in mandates.take_back(account.id, since=freeze.disputed_at):
        dropped = EventType.DISPUTED_ITEM_DROPPED
        audit.record(dropped, account_id=account.id, at=now, client=client, item=package, added=True)
    _ensure_main_address(account.id)
    accounts.accept_weaker_ways(account.id, since=freeze.disputed_at)
    if by_authenticator:
        dispute_links.void_since(account.id, since=freeze.disputed_at, now=now)
        live = {a.id for a in accounts.addresses(account.id)}
        if freeze.by_address_id is not None and freeze.by_address_id not in live:
            accounts.silence(freeze.by_address_id, now=now)
            dispute_links.void_of_address(freeze.by_address_id, now=now)
    release(account.id, now=now)
    audit.record(EventType.ACCOUNT_UNFROZEN, account_id=account.id, at=now, client=client)
    mail.notify(
        account.id,
        "account_opened",
        subject=f"Account {account.username} is open again",
        now=now,
        username=account.username,
        client=client,
    )
    holds.begin(account.id, HoldCause.FREEZE, client=client, now=now)


def release(account_id: int, *, now: datetime) -> None:
    """End the freeze and nothing else; what was issued meanwhile dies once more."""
    ended = update(Freeze).where(Freeze.account_id == account_id, Freeze.ended_at.is_(None))
    db.session().execute(ended.values(ended_at=now))
    accounts.set_frozen(account_id, now=None)
    accounts.raise_epoch(account_id, confirm_after=now)


def _ensure_main_address(account_id: int) -> None:
    """Where the main address went, the one that was proved first takes its place."""
    own = accounts.addresses(account_id)
    proved = sorted((a for a in own if a.first_verified_at is not None), key=lambda a: (a.first_verified_at, a.id))
    if proved and not any(a.is_primary for a in own):
        accounts.make_primary(account_id, proved[0].id)


def to_be_deleted(*, now: datetime) -> list[int]:
    """Accounts whose 30 days are over. Not those that staff disabled meanwhile: their owner could not object."""
    query = (
        select(Freeze.account_id)
        .join(accounts.AccountRow, accounts.AccountRow.id == Freeze.account_id)
        .where(
            Freeze.ended_at.is_(None),
            Freeze.cause == FreezeCause.DELETION.value,
            Freeze.began_at <= now - DELETED_AFTER,
            accounts.AccountRow.disabled_at.is_(None),
        )
    )
    return list(db.session().scalars(query))


def standing_ids() -> Select[int]:
    """A query for the ids of the freezes in force, for other slices' conditions."""
    return select(Freeze.id).where(Freeze.ended_at.is_(None))
