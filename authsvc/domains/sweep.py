"""The sweep: domains that are due are looked at again, by any number of workers on any number of machines."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from authsvc import accounts, mandates
from authsvc.core import db
from authsvc.domains import as_before, canaries
from authsvc.domains.looks import check_now
from authsvc.domains.models import Domain
from authsvc.policy.domain_verdict import RECHECK_OFTEN, Impact, Verdict
from authsvc.policy.registry_schedule import Purpose

log = logging.getLogger(__name__)

BATCH = 500  # domains leased at once
LEASE = timedelta(minutes=5)  # half of it is longer than any one look takes
WORKER_SHARE = timedelta(seconds=5)  # of one round of the worker, whose next task may be a mail


@dataclass
class Sweep:
    """What a sweep did, in numbers of domains. `verdicts` and `reasons` say how those looked at stand now."""

    checked: int = 0
    changed: int = 0  # of verdict
    as_before: int = 0  # settled by the fast path
    failed: int = 0  # the look broke off, and is tried again after the lease
    resolvers_fail: bool = False  # ours do, by the canaries: it ended there
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def blocked(self) -> int:
        """Domains whose addresses get no reset link: see `policy/reset_gate.py`."""
        return self.verdicts[Verdict.LAPSED.value] + self.verdicts[Verdict.REREGISTERED.value]

    @property
    def deferred(self) -> int:
        """Domains where a reset waits until more is known."""
        return self.verdicts[Verdict.SUSPECT.value] + self.verdicts[Verdict.UNKNOWN.value]

    def count(self, verdict: str, reason: str, *, was: str) -> None:
        """One more was looked at."""
        self.checked += 1
        self.changed += verdict != was
        self.verdicts[verdict] += 1
        self.reasons[reason] += 1


class _Clock:
    """The time since a sweep began, and the time it is then."""

    def __init__(self, now: datetime, at_most: timedelta | None) -> None:
        self._began, self._now = time.monotonic(), now
        self.until = self._began + (timedelta.max if at_most is None else at_most).total_seconds()

    def __call__(self) -> datetime:
        return self._now + timedelta(seconds=time.monotonic() - self._began)

    @property
    def is_over(self) -> bool:
        """True once the sweep has had its share."""
        return time.monotonic() >= self.until


def sweep(
    *,
    limit: int | None = None,
    now: datetime,
    at_most: timedelta | None = WORKER_SHARE,
    progress: Callable[[int], object] = lambda done: None,
) -> Sweep:
    """Look at domains that are due, longest due first, until `limit` or the time `at_most` is used up.

    They are leased in batches, so that many workers share the work; a killed one's come back after the lease. Those
    that the fast path finds as they were are settled together, each other one is looked at by itself.
    Ends at once where our own resolvers fail. `progress` hears how many are done. Runs in transactions of its own.
    """
    clock, report = _Clock(now, at_most), Sweep()
    while not clock.is_over and (limit is None or report.checked + report.failed < limit):
        claimed_at = clock()
        ids = db.claim(
            Domain.id,
            Domain.claimed_until,
            Domain.next_check_at <= claimed_at,
            limit=BATCH if limit is None else min(BATCH, limit - report.checked - report.failed),
            lease=LEASE,
            now=claimed_at,
            order_by=Domain.next_check_at,
        )
        if not ids:
            break
        if not canaries.sing(now=claimed_at):
            log.warning("our resolvers answer known names wrongly: domains stay as they are until that is over")
            report.resolvers_fail = True
            _release(ids, lease=claimed_at + LEASE)
            break
        _look_at(ids, claimed_at, clock, report, progress)
    return report


def _look_at(
    ids: Sequence[int], claimed_at: datetime, clock: _Clock, report: Sweep, progress: Callable[[int], object]
) -> None:
    lease = claimed_at + LEASE
    with db.transaction() as session:
        rows = session.scalars(select(Domain).where(Domain.id.in_(ids)).order_by(Domain.next_check_at)).all()
        covered = accounts.domains_where(mandates.is_covered, among=[row.name for row in rows])
        impacts = dict.fromkeys(session.scalars(covered), Impact.HIGH)
    settled = as_before.settle(rows, impacts, lease=lease, until=clock.until, claimed_at=claimed_at, now=clock())
    for row in rows:
        if row.id in settled:
            report.count(row.verdict, row.reason, was=row.verdict)
    report.as_before += len(settled)
    progress(report.checked)
    left = {row.id: row for row in rows if row.id not in settled}
    try:
        while left and not clock.is_over:
            if clock() >= lease - LEASE / 2:
                lease, left = _renew(left, lease=lease, now=clock())
                continue
            row = left.pop(next(iter(left)))
            _look_closely(row, impacts.get(row.name, Impact.NORMAL), report, now=clock())
            progress(report.checked + report.failed)
    finally:
        _release(left.keys(), lease=lease)


def _look_closely(row: Domain, impact: Impact, report: Sweep, *, now: datetime) -> None:
    """The ordinary look. One that breaks off stops no other, or a domain made to break it would end all sweeps."""
    try:
        found = check_now(row.name, now=now, purpose=Purpose.SWEEP, impact=impact).judgement
    except Exception:
        log.exception("the look at %s broke off", row.name)
        db.rollback()
        report.failed += 1
    else:
        report.count(found.verdict.value, found.reason, was=row.verdict)


def _renew(left: dict[int, Domain], *, lease: datetime, now: datetime) -> tuple[datetime, dict[int, Domain]]:
    """A new lease on those that nobody else looked at meanwhile, and which those are."""
    ours = update(Domain).where(Domain.id.in_(left), Domain.claimed_until == lease)
    with db.transaction() as session:
        kept = set(session.scalars(ours.values(claimed_until=now + LEASE).returning(Domain.id)))
    return now + LEASE, {number: row for number, row in left.items() if number in kept}


def _release(ids: Collection[int], *, lease: datetime) -> None:
    """Give back what was not looked at."""
    if ids:
        ours = update(Domain).where(Domain.id.in_(ids), Domain.claimed_until == lease)
        with db.transaction() as session:
            session.execute(ours.values(claimed_until=None))


def bring_forward(*, now: datetime) -> int:
    """Make domains of accounts with a mandate due where the last look is six hours old; returns how many.

    Looks for other reasons, and mandates given since, know nothing of that rhythm. One statement; the worker's task.
    """
    covered = accounts.domains_where(mandates.is_covered)
    late = now - RECHECK_OFTEN * (1 + as_before.JITTER)
    change = update(Domain).where(Domain.next_check_at > now, Domain.checked_at <= late, Domain.name.in_(covered))
    with db.transaction() as session:
        done: Any = session.execute(change.values(next_check_at=now), execution_options={"synchronize_session": False})
        return int(done.rowcount)


def due(*, now: datetime) -> int:
    """How many domains wait for a look."""
    return db.session().scalar(select(func.count()).select_from(Domain).where(Domain.next_check_at <= now)) or 0
