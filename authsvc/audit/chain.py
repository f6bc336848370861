"""The chain over all events: each carries an HMAC over itself and the one before it (decisions 0009, 0017).

The key is outside the database, so whoever can only write there can neither change, remove, insert nor exchange
events unseen. Heads (position and MAC of the newest) kept elsewhere show when the end was cut off.
"""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update

from authsvc.audit.models import Anchor, Event
from authsvc.core import crypto, db

log = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=365)
BATCH = 1000
MAX_BATCHES = 20  # of one round, so that the worker's other tasks get their turn


@dataclass(frozen=True, order=True)
class Head:
    """The newest event of the chain at some time. Written `POSITION:MAC`."""

    position: int
    mac: str  # hexadecimal

    def __str__(self) -> str:
        return f"{self.position}:{self.mac}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Raises ValueError for anything but `POSITION:MAC`."""
        position, colon, mac = text.strip().partition(":")
        if not (colon and position.isascii() and position.isdigit() and len(bytes.fromhex(mac)) == 32):
            raise ValueError(f"{text!r} is not POSITION:MAC")
        return cls(int(position), mac.lower())


@dataclass(frozen=True)
class Broken:
    """The first place where the chain does not hold. `event_id`: None where no event is to be shown."""

    position: int
    event_id: int | None
    why: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a walk over the chain found."""

    events: int  # that hold
    pruned: int  # position up to which events were removed in time, 0 for none
    head: Head
    broken: Broken | None
    unchained: int
    unchained_since: datetime | None


_START = Head(0, "")
_COLUMNS = (
    Event.id,
    Event.account_id,
    Event.type,
    Event.at,
    Event.ip,
    Event.browser,
    Event.place,
    Event.detail,
    Event.position,
    Event.mac,
)
_FRESH = select(*_COLUMNS).where(Event.position.is_(None)).order_by(Event.id).with_for_update()
_PLACE = (
    update(Event.__table__)  # type: ignore[arg-type]  # a table, as SQLAlchemy types it loosely
    .where(Event.__table__.c.id == bindparam("event_id"))
    .values(position=bindparam("new_position"), mac=bindparam("new_mac"))
)


def chain_new_events(*, limit: int = BATCH) -> int:
    """Give unchained events their place and MAC, each over the one before it; returns how many. The worker's task."""
    done = 0
    for _ in range(MAX_BATCHES):
        count = _chain(limit)
        done += count
        if count < limit:
            break
    return done


def _chain(limit: int) -> int:
    with db.transaction() as session:
        fresh = session.execute(_FRESH.limit(limit)).all()
        position, mac = _tip()  # only now, as the lock on the oldest may have waited for another worker
        placed: list[dict[str, Any]] = []
        for event in fresh:
            position += 1
            mac = crypto.keyed_digest("audit", mac.hex(), str(position), _text(event))
            placed.append({"event_id": event.id, "new_position": position, "new_mac": mac})
        if placed:
            session.connection().execute(_PLACE, placed)
        return len(placed)


def head() -> Head:
    """Position and MAC of the newest chained event, to be kept elsewhere as evidence."""
    position, mac = _tip()
    return Head(position, mac.hex())


def _tip() -> tuple[int, bytes]:
    newest = (
        select(Event.position, Event.mac).where(Event.position.is_not(None)).order_by(Event.position.desc()).limit(1)
    )
    row = db.session().execute(newest).first()
    if row is not None:
        return row.position or 0, row.mac or b""
    anchor = db.session().get(Anchor, 1)
    return (anchor.position, anchor.mac) if anchor else (0, b"")


# Verifying


def verify_chain(
    heads: Iterable[Head] = (), *, progress: Callable[[int], object] = lambda count: None, batch: int = 10 * BATCH
) -> Report:
    """Walk the chain from the anchor to its end, and look for heads that were kept elsewhere.

    `progress` is told after each batch how many were looked at. Call it in `db.snapshot()`, else pruning or chaining
    beside it looks like damage.
    """
    anchor = db.session().get(Anchor, 1)
    kept = {one.position: one for one in heads}
    last, count = _start(anchor), 0
    broken = None
    if anchor is not None and not _anchor_holds(anchor):
        broken = Broken(anchor.position, None, "the record of what was pruned was changed")
    if broken is None:
        broken = _head_differs(kept, last) or _before(anchor)
    while broken is None:
        rows = _after(last.position, batch)
        for row in rows:
            why = _fault(row, last)
            if why:
                broken = Broken(last.position + 1 if row.position > last.position else row.position, row.id, why)
                break
            last = Head(row.position, row.mac.hex())
            count += 1
            broken = _head_differs(kept, last)
            if broken:
                break
        progress(len(rows))
        if len(rows) < batch:
            break
    newest = max(kept, default=0)
    if broken is None and newest > last.position:
        broken = Broken(last.position + 1, None, f"the end is missing: it went on to {newest} at least")
    tail = db.session().execute(select(func.count(), func.min(Event.at)).where(Event.position.is_(None))).one()
    return Report(
        events=count,
        pruned=anchor.position if anchor else 0,
        head=last,
        broken=broken,
        unchained=tail[0],
        unchained_since=tail[1],
    )


def length() -> int:
    """How many events are chained, for a progress bar."""
    return db.session().scalars(select(func.count()).where(Event.position.is_not(None))).one()


def _start(anchor: Anchor | None) -> Head:
    return Head(anchor.position, anchor.mac.hex()) if anchor else _START


def _after(position: int, limit: int) -> list[Any]:
    query = select(*_COLUMNS).where(Event.position > position).order_by(Event.position, Event.id).limit(limit)
    return list(db.session().execute(query))


def _before(anchor: Anchor | None) -> Broken | None:
    """An event at a place that was pruned, or that never was."""
    limit = anchor.position if anchor else 0
    query = select(Event.position, Event.id).where(Event.position <= limit).order_by(Event.position).limit(1)
    row = db.session().execute(query).first()
    return Broken(row.position or 0, row.id, "it stands where events were pruned, so it was put in") if row else None


def _head_differs(kept: dict[int, Head], last: Head) -> Broken | None:
    one = kept.get(last.position)
    if one is None or one == last:
        return None
    return Broken(last.position, None, "the head kept elsewhere is another: the chain was written anew")


def _fault(row: Any, last: Head) -> str:
    """Why this event cannot follow `last`; empty when it does."""
    if row.position > last.position + 1:
        missing = row.position - last.position - 1
        return f"{missing} missing before the event shown" if missing > 1 else "missing; the event shown comes after it"
    expected = crypto.keyed_digests("audit", last.mac, str(row.position), _text(row))
    return "" if row.mac in expected else "changed, or not the one that stood there"


# Pruning


def prune(*, before: datetime, now: datetime) -> int:
    """Remove the events of the beginning that are older than `before`, and remember where. The worker's task.

    Each is verified first: a beginning that was tampered with stays, as evidence, and says so in the program's log.
    """
    done = 0
    for _ in range(MAX_BATCHES):
        count = _prune(before=before, now=now)
        done += count
        if count < BATCH:
            break
    return done


def _prune(*, before: datetime, now: datetime) -> int:
    with db.transaction() as session:
        anchor = session.get(Anchor, 1)
        first = last = _start(anchor)
        if anchor is not None and not _anchor_holds(anchor):
            log.error("audit: the record of what was pruned was changed; nothing is pruned")
            return 0
        for row in _after(first.position, BATCH):
            if row.at >= before:
                break
            why = _fault(row, last)
            if why:
                log.error("audit: position %s, event %s: %s; not pruned any further", last.position + 1, row.id, why)
                break
            last = Head(row.position, row.mac.hex())
        if last == first:
            return 0
        values = {"position": last.position, "mac": bytes.fromhex(last.mac), "pruned_at": now}
        new = db.upsert(Anchor).values(id=1, seal=crypto.keyed_digest(*_anchor_text(last, now)), **values)
        moved = new.on_conflict_do_update(
            index_elements=[Anchor.id],
            set_={name: new.excluded[name] for name in (*values, "seal")},
            where=Anchor.position < new.excluded.position,  # never back, when two prune at once
        )
        session.execute(moved)
        session.execute(delete(Event).where(Event.position <= last.position))
        return last.position - first.position


def _anchor_text(head_: Head, pruned_at: datetime) -> tuple[str, ...]:
    return "audit_anchor", str(head_), pruned_at.isoformat()


def _anchor_holds(anchor: Anchor) -> bool:
    return anchor.seal in crypto.keyed_digests(*_anchor_text(_start(anchor), anchor.pruned_at))


def _text(event: Any) -> str:
    """What the MAC covers. The place came later, and events without one keep the text they had."""
    parts = [
        str(event.id),
        str(event.account_id),
        event.type,
        event.at.isoformat(),
        event.ip,
        event.browser,
        json.dumps(event.detail, sort_keys=True),
    ]
    return "|".join([*parts, event.place] if event.place else parts)
