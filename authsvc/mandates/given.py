"""Mandates that were given to accounts: read, as they hold now, and written down."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, exists, func, or_, select, update
from sqlalchemy.sql.expression import SQLColumnExpression

from authsvc import audit
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.mandates import exemptions
from authsvc.mandates.models import MandateRow
from authsvc.policy.cohort import LEAVES_AFTER
from authsvc.policy.mandate import Mandate, Strength, tells_anew
from authsvc.policy.mandate_days import Exemption, effective

BY_HAND = {
    Strength.ANY_SECOND_FACTOR: "by_hand",
    Strength.PHISHING_RESISTANT: "for_keys",
    Strength.TWO_PHISHING_RESISTANT: "two_keys",
}

_COLUMNS = (
    MandateRow.id,
    MandateRow.account_id,
    MandateRow.source,
    MandateRow.phase,
    MandateRow.strength,
    MandateRow.reason,
    MandateRow.enforced_from,
    MandateRow.created_at,
    MandateRow.tell_at,
)
_LIVE = select(*_COLUMNS).where(MandateRow.account_id == bindparam("account_id"), MandateRow.ended_at.is_(None))
_ONCE = select(
    exists().where(
        MandateRow.account_id == bindparam("account_id"),
        or_(MandateRow.once_in_force, MandateRow.enforced_from <= func.coalesce(MandateRow.ended_at, bindparam("now"))),
    )
)


@dataclass(frozen=True, kw_only=True)
class Given:
    """One mandate of an account, with its day as it holds now."""

    id: int
    account_id: int
    source: str
    mandate: Mandate
    created_at: datetime
    tell_at: datetime | None
    exemption: Exemption | None


def of_account(account_id: int, *, now: datetime) -> list[Given]:
    """What the account was given and still has. Asked at every request, so one statement where there is nothing."""
    rows = db.execute(_LIVE, {"account_id": account_id}).all()
    exemption = exemptions.current(account_id, now=now) if rows else None
    return [_given(row, exemption, now) for row in rows]


def of_all(*, as_of: datetime) -> dict[int, list[Given]]:
    """By account, what everybody was given, as it holds on a day, without those who will have left by then."""
    exempt = exemptions.of_accounts(as_of=as_of)
    stay = or_(MandateRow.below_since.is_(None), MandateRow.below_since > as_of - LEAVES_AFTER)
    live = select(*_COLUMNS).where(MandateRow.ended_at.is_(None), stay).order_by(MandateRow.id)
    found: dict[int, list[Given]] = {}
    for row in db.session().execute(live):
        found.setdefault(row.account_id, []).append(_given(row, exempt.get(row.account_id), as_of))
    return found


def once_in_force(account_id: int, *, now: datetime) -> bool:
    """True when a mandate is or was in force for the account, exempt or not."""
    return bool(db.session().scalar(_ONCE, {"account_id": account_id, "now": now}))


def _given(row: Any, exemption: Exemption | None, now: datetime) -> Given:
    mandate = Mandate(
        phase=row.phase, reason=row.reason, enforced_from=row.enforced_from, strength=Strength(row.strength)
    )
    return Given(
        id=row.id,
        account_id=row.account_id,
        source=row.source,
        mandate=effective(mandate, exemption, now),
        created_at=row.created_at,
        tell_at=row.tell_at,
        exemption=exemption,
    )


def give(account_id: int, mandate: Mandate, *, source: str, set_by: str, now: datetime) -> bool:
    """Write a mandate down, to be told at once. False when one of this source asks for as much, as early, already.

    One statement decides whether it is new, so of two who give at once only one does. A date never moves back and a
    strength never sinks (POLICY 13).
    """
    if not _write([_row(account_id, source, mandate, set_by=set_by, now=now)]):
        return False
    _record(account_id, mandate, set_by=set_by, now=now)
    return True


def give_all(wanted: Mapping[int, Collection[tuple[str, Mandate]]], *, set_by: str, now: datetime) -> int:
    """Give accounts several each, by source, as `give` does; returns how many are asked for something anew by that.

    Only what asks for something anew goes into an account's log.
    """
    before: dict[int, list[Mandate]] = defaultdict(list)
    for one in _of_accounts(wanted.keys(), now=now):
        before[one.account_id].append(one.mandate)
    rows = [
        _row(account_id, source, mandate, set_by=set_by, now=now)
        for account_id, mandates in wanted.items()
        for source, mandate in mandates
    ]
    written, news = _write(rows), set()
    for account_id, mandates in wanted.items():
        among = [*before[account_id], *(mandate for _, mandate in mandates)]
        for source, mandate in mandates:
            others = [other for other in among if other is not mandate]
            if (account_id, source) in written and tells_anew(mandate, others):
                _record(account_id, mandate, set_by=set_by, now=now)
                news.add(account_id)
    return len(news)


def _of_accounts(account_ids: Collection[int], *, now: datetime) -> Iterator[Given]:
    live = select(*_COLUMNS).where(MandateRow.account_id.in_(account_ids), MandateRow.ended_at.is_(None))
    for row in db.session().execute(live.order_by(MandateRow.id)).all():
        yield _given(row, exemptions.current(row.account_id, now=now), now)


def _row(account_id: int, source: str, mandate: Mandate, *, set_by: str, now: datetime) -> dict[str, Any]:
    return {
        "account_id": account_id,
        "source": source,
        "phase": mandate.phase,
        "reason": mandate.reason,
        "enforced_from": mandate.enforced_from,
        "strength": mandate.strength.value,
        "set_by": set_by,
        "created_at": now,
        "tell_at": now,
    }


def _write(rows: list[dict[str, Any]]) -> set[tuple[int, str]]:
    """Put mandates down; account and source of those that are new or ask for more than was given."""
    if not rows:
        return set()
    new = db.upsert(MandateRow)
    ended = MandateRow.ended_at.is_not(None)
    earlier = MandateRow.enforced_from > new.excluded.enforced_from
    weaker = _rank(MandateRow.strength) < _rank(new.excluded.strength)
    told: dict[str, Any] = {name: new.excluded[name] for name in rows[0] if name not in ("account_id", "source")}
    told |= {"ended_at": None, "below_since": None}
    told["enforced_from"] = case((or_(ended, earlier), new.excluded.enforced_from), else_=MandateRow.enforced_from)
    # A return brings a new day, with grace; that there was one before stays.
    begun = MandateRow.enforced_from <= func.coalesce(MandateRow.ended_at, new.excluded.created_at)
    told["once_in_force"] = or_(MandateRow.once_in_force, begun)
    told["strength"] = case((or_(ended, weaker), new.excluded.strength), else_=MandateRow.strength)
    stricter = new.on_conflict_do_update(
        index_elements=[MandateRow.account_id, MandateRow.source], set_=told, where=or_(ended, earlier, weaker)
    )
    taken = db.session().connection().execute(stricter.returning(MandateRow.account_id, MandateRow.source), rows)
    return {(row.account_id, row.source) for row in taken}


def _rank(strength: SQLColumnExpression[str]) -> ColumnElement[int]:
    return case(*((strength == one.value, one.rank) for one in Strength), else_=0)


def _record(account_id: int, mandate: Mandate, *, set_by: str, now: datetime) -> None:
    audit.record(
        EventType.MANDATE_BEGUN,
        account_id=account_id,
        at=now,
        phase=mandate.phase,
        reason=mandate.reason,
        enforced_from=mandate.enforced_from.isoformat(),
        strength=mandate.strength.value,
        by=set_by,
    )


def mark_below(ids: Collection[int], *, now: datetime) -> None:
    """Nothing keeps these accounts in their phase from now on. Marks made before stay."""
    change = update(MandateRow).where(MandateRow.id.in_(ids), MandateRow.below_since.is_(None))
    db.session().execute(change.values(below_since=now))


def mark_kept(ids: Collection[int]) -> None:
    """Something keeps them in again, so the 90 days begin anew."""
    db.session().execute(update(MandateRow).where(MandateRow.id.in_(ids)).values(below_since=None))


def below_without(sources: Collection[str]) -> list[int]:
    """Ids of mandates marked as below that come from none of these phases."""
    marked = select(MandateRow.id).where(MandateRow.ended_at.is_(None), MandateRow.below_since.is_not(None))
    return list(db.session().scalars(marked.where(MandateRow.source.not_in(sources)).order_by(MandateRow.id)))


def left(*, below_before: datetime) -> list[int]:
    """Ids of mandates whose account has been below the exit line since that time or longer."""
    gone = select(MandateRow.id).where(MandateRow.ended_at.is_(None), MandateRow.below_since <= below_before)
    return list(db.session().scalars(gone.order_by(MandateRow.id)))


def end(mandate_id: int, *, below_before: datetime, now: datetime) -> int | None:
    """End a mandate that has been below for so long; the account's id, or None when a rival or a return was first."""
    change = update(MandateRow).where(
        MandateRow.id == mandate_id, MandateRow.ended_at.is_(None), MandateRow.below_since <= below_before
    )
    return db.session().scalar(change.values(ended_at=now, tell_at=None).returning(MandateRow.account_id))
