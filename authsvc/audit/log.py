"""Writing an event in the transaction of the change it records, and reading an account's own events."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, insert, literal, select

from authsvc.audit.models import Event
from authsvc.audit.types import FAILURES, SIGN_INS, EventType, Kind
from authsvc.core import db
from authsvc.core.web import Client

EXPORT_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class EventView:
    """One event for a page."""

    id: int
    type: EventType
    at: datetime
    ip: str
    browser: str
    place: str
    detail: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the log: an event, or the newest of several alike that stand together."""

    event: EventView
    count: int = 1
    networks: int = 1  # from how many addresses
    since: datetime | None = None  # when the oldest of them was


@dataclass(frozen=True, kw_only=True)
class Page:
    """Lines, newest first; `older` is where the next page begins, None at the end."""

    lines: list[Line]
    older: int | None


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What a reader wants to see. `staff`: acts of the people who run the service alone."""

    kind: Kind | None = None
    staff: bool = False
    browser: str = ""
    since: datetime | None = None


ALL = Filter()
_INSERT = insert(Event)
_COLUMNS = (Event.id, Event.type, Event.at, Event.ip, Event.browser, Event.place, Event.detail)
_FAILURES = sorted(t.value for t in FAILURES)
_SIGN_INS = sorted(t.value for t in SIGN_INS)
_OTHERS = sorted(t.value for t in EventType if t not in FAILURES)


def record(
    type_: EventType, *, account_id: int | None, at: datetime, client: Client | None = None, **detail: object
) -> None:
    """Append one event. `detail` holds JSON values and never a secret; `by` names staff or an operator."""
    values = {
        "account_id": account_id,
        "type": type_.value,
        "at": at,
        "ip": client.ip if client else "",
        "browser": client.browser if client else "",
        "place": client.place[:80] if client else "",
        "detail": detail,
    }
    db.execute(_INSERT, values)


def _view(row: Any) -> EventView:
    return EventView(**{**row._mapping, "type": EventType(row.type)})


def events(account_id: int, *, limit: int = 50) -> list[EventView]:
    """The account's newest events, each by itself."""
    query = select(*_COLUMNS).where(Event.account_id == account_id).order_by(Event.id.desc()).limit(limit)
    return [_view(row) for row in db.session().execute(query)]


def event(account_id: int, event_id: int) -> EventView | None:
    """One event of this account, or None."""
    query = select(*_COLUMNS).where(Event.account_id == account_id, Event.id == event_id)
    row = db.session().execute(query).first()
    return _view(row) if row else None


def happened(type_: EventType, *, account_id: int, after: datetime, **detail: str) -> bool:
    """True when there was such an event, with this detail, after that time, however much came in between."""
    query = select(Event.id).where(Event.account_id == account_id, Event.type == type_.value, Event.at > after)
    query = query.where(*(Event.detail[name].as_string() == value for name, value in detail.items()))
    return db.session().scalar(query.limit(1)) is not None


def count(type_: EventType, *, account_id: int, since: datetime, ip: str = "") -> int:
    """How many such events there were at that time and later, from one address where it is given."""
    query = select(func.count()).where(Event.account_id == account_id, Event.type == type_.value, Event.at >= since)
    return db.session().scalars(query.where(Event.ip == ip) if ip else query).one()


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How often something happened, to how many accounts."""

    type: EventType
    value: str
    events: int
    accounts: int


def tally(types: Collection[EventType], *, by: str, since: datetime) -> list[Tally]:
    """What happened at that time and later, counted by one value of its detail; the most frequent first."""
    value = func.coalesce(Event.detail[by].as_string(), "")
    counted = select(Event.type, value, func.count(), func.count(Event.account_id.distinct())).where(
        Event.type.in_([type_.value for type_ in types]), Event.at >= since
    )
    rows = db.session().execute(counted.group_by(Event.type, value).order_by(func.count().desc(), value))
    return [Tally(type=EventType(name), value=text, events=n, accounts=m) for name, text, n, m in rows]


def browsers(account_id: int) -> list[str]:
    """The browsers that the account's log names, apart from those of failures alone."""
    query = select(Event.browser).where(Event.account_id == account_id, Event.type.in_(_OTHERS), Event.browser != "")
    return sorted(db.session().scalars(query.distinct()))


def page(account_id: int, wanted: Filter = ALL, *, before: int | None = None, limit: int) -> Page:
    """A page of the account's log, newest first.

    Where nothing or all was filtered for, alike failures between two other lines become one, counted: else whoever
    knows the user name could push everything else out of sight. Failures asked for by name are shown one by one.
    """
    conditions = _conditions(account_id, wanted)
    if wanted.kind is None and not wanted.staff:
        return _folded(conditions, before=before, limit=limit)
    found = _newest(conditions, before=before, limit=limit + 1)
    older = found[limit - 1].id if len(found) > limit else None
    return Page(lines=[Line(event=event) for event in found[:limit]], older=older)


def everything(account_id: int, wanted: Filter = ALL) -> Iterator[EventView]:
    """All events, oldest first, in transactions of their own, so that a slow reader holds none open."""
    conditions, last = _conditions(account_id, wanted), 0
    while True:
        query = select(*_COLUMNS).where(*conditions, Event.id > last).order_by(Event.id).limit(EXPORT_BATCH)
        found = [_view(row) for row in db.session().execute(query)]
        db.commit()
        yield from found
        if len(found) < EXPORT_BATCH:
            return
        last = found[-1].id


def _conditions(account_id: int, wanted: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Event.account_id == account_id]
    match wanted.kind:
        case Kind.FAILURE:
            conditions.append(Event.type.in_(_FAILURES))
        case Kind.SIGN_IN:
            conditions.append(Event.type.in_(_SIGN_INS))
        case Kind.CHANGE:
            conditions.append(Event.type.in_([name for name in _OTHERS if name not in _SIGN_INS]))
        case None:
            pass
    if wanted.staff:
        conditions += [Event.type.in_(_OTHERS), Event.detail["by"].as_string().is_not(None)]
    if wanted.browser:
        conditions.append(Event.browser == wanted.browser)
    if wanted.since is not None:
        conditions.append(Event.at >= wanted.since)
    return conditions


def _newest(conditions: Sequence[ColumnElement[bool]], *, before: int | None, limit: int) -> list[EventView]:
    query = select(*_COLUMNS).where(*conditions).order_by(Event.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Event.id < before)
    return [_view(row) for row in db.session().execute(query)]


def _folded(conditions: list[ColumnElement[bool]], *, before: int | None, limit: int) -> Page:
    """Other lines by themselves; between each two of them one line for each kind of failure."""
    found = _newest([*conditions, Event.type.in_(_OTHERS)], before=before, limit=limit + 1)
    shown, more = found[:limit], len(found) > limit
    between = [*conditions, Event.type.in_(_FAILURES)]
    if before is not None:
        between.append(Event.id < before)
    if more:  # failures older than the last line shown come on the next page
        between.append(Event.id > shown[-1].id)
    # The number of the gap an event lies in, counted from the newest line.
    gaps = [(Event.id > event.id, literal(number)) for number, event in enumerate(shown)]
    gap = case(*gaps, else_=literal(len(shown))) if gaps else literal(0)
    runs = (
        select(func.count(), func.count(Event.ip.distinct()), func.min(Event.at), func.max(Event.id))
        .where(*between)
        .group_by(gap, Event.type)
    )
    counted = {newest: (count, networks, since) for count, networks, since, newest in db.session().execute(runs)}
    of_runs = select(*_COLUMNS).where(Event.id.in_(counted))
    newest_failures = [_view(row) for row in db.session().execute(of_runs)]
    lines = [Line(event=event) for event in shown]
    for event in newest_failures:
        count, networks, since = counted[event.id]
        lines.append(Line(event=event, count=count, networks=networks, since=since))
    lines.sort(key=lambda line: line.event.id, reverse=True)
    return Page(lines=lines, older=shown[-1].id if more else None)
