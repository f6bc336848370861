"""The first page of the console: figures, and what they lead to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from flask import render_template
from flask.typing import ResponseReturnValue

from authsvc import accounts, audit, cases, domains
from authsvc.audit import EventType, Tally
from authsvc.cases import Queue
from authsvc.core.assurance import Action
from authsvc.core.rate_limits import limited
from authsvc.core.web import request_time, requires
from authsvc.staff.blueprint import bp
from authsvc.staff.words import deferral_words, refusal_words

LATELY = timedelta(days=7)
MOST_HELD = 50  # domains named on the page


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One line of a chart. `percent`: of the longest."""

    words: str
    count: int
    percent: int
    accounts: int | None = None  # how many it happened to


def bars(counted: Iterable[tuple[str, int, int | None]]) -> list[Bar]:
    """Words, counts and numbers of accounts as lines of a chart, the longest first; the same words are one line."""
    counts, of_accounts = Counter[str](), Counter[str]()
    for words, count, accounts_ in counted:
        counts[words] += count
        of_accounts[words] += accounts_ or 0
    longest = max(counts.values(), default=1)
    return [
        Bar(words=words, count=count, percent=max(1, 100 * count // longest), accounts=of_accounts[words] or None)
        for words, count in counts.most_common()
    ]


def _told(found: Iterable[Tally], type_: EventType) -> list[Bar]:
    words = deferral_words if type_ is EventType.RESET_DEFERRED else refusal_words
    return bars((words(one.value), one.events, one.accounts) for one in found if one.type is type_)


@bp.get("")
@requires(Action.READ_STAFF)
@limited("account")
def start() -> ResponseReturnValue:
    """What waits, and what the reset gate did lately."""
    now = request_time()
    lengths = cases.queue_lengths(now=now)
    since = now - LATELY
    blocked = accounts.blocked()
    held = domains.breaker(now=now)
    refused = audit.tally([EventType.RESET_REFUSED], by="code", since=since)
    deferred = audit.tally([EventType.RESET_DEFERRED], by="reason", since=since)
    return render_template(
        "staff/start.html",
        needing=lengths[Queue.NEEDS_STAFF],
        waiting=lengths[Queue.WAITING],
        blocked=sum(blocked.values()),
        blocked_bars=bars((refusal_words(reason), count, None) for reason, count in blocked.items()),
        newly_blocked=sum(one.events for one in audit.tally([EventType.ADDRESS_BLOCKED], by="reason", since=since)),
        refused_bars=_told(refused, EventType.RESET_REFUSED),
        deferred_bars=_told(deferred, EventType.RESET_DEFERRED),
        held=list(held.held.items())[:MOST_HELD],
        held_count=len(held.held),
        raised_from=held.raised_from,
        raised_until=held.raised_until,
    )
