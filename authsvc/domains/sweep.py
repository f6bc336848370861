"""The sweep: domains that are due are looked at again, by any number of workers on any number of machines."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from authsvc.core import db
from authsvc.domains.looks import check_now
from authsvc.domains.models import Domain

LEASE = timedelta(minutes=1)
RDAP_MAX_AGE_IN_SWEEP = timedelta(days=30)  # registries are slow and count questions; any change asks at once
WORKER_SHARE = timedelta(seconds=5)  # of one round of the worker, whose next task may be a mail


@dataclass(frozen=True)
class Sweep:
    """What one sweep did: how many were looked at, how many verdicts changed, and how many of each now."""

    checked: int
    changed: int
    verdicts: dict[str, int]


def sweep(
    *,
    limit: int,
    now: datetime,
    at_most: timedelta | None = WORKER_SHARE,
    progress: Callable[[int], object] = lambda done: None,
) -> Sweep:
    """Look at domains that are due, longest due first, until `limit` or the time `at_most` is used up.

    Each is leased by itself, so that many workers share the work and a killed one keeps nothing back.
    """
    began, checked, changed, verdicts = time.monotonic(), 0, 0, dict[str, int]()
    while checked < limit and (at_most is None or time.monotonic() - began < at_most.total_seconds()):
        ids = db.claim(
            Domain.id,
            Domain.claimed_until,
            Domain.next_check_at <= now,
            limit=1,
            lease=LEASE,
            now=now,
            order_by=Domain.next_check_at,
        )
        if not ids:
            break
        with db.transaction() as session:
            row = session.get_one(Domain, ids[0])
            name, was = row.name, row.verdict
        verdict = check_now(name, now=now, rdap_max_age=RDAP_MAX_AGE_IN_SWEEP).judgement.verdict.value
        checked, changed = checked + 1, changed + (verdict != was)
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        progress(checked)
    return Sweep(checked, changed, verdicts)


def due(*, now: datetime) -> int:
    """How many domains wait for a look."""
    return db.session().scalar(select(func.count()).select_from(Domain).where(Domain.next_check_at <= now)) or 0
