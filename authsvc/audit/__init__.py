"""The security log: append-only, written in the transaction of the change it records, HMAC-chained.

Events are chained in order by the worker within a second (decision 0009), so no request waits for another, and kept
for a year (decision 0017).

Verbs: record (an event), event (one), events (the newest), page (alike failures in one line), everything, browsers,
happened, count; chain_new_events and prune (the worker's), verify_chain, head, length; and the operators' command
`audit`.
"""

from authsvc.audit.chain import KEPT_FOR, Broken, Head, Report, chain_new_events, head, length, prune, verify_chain
from authsvc.audit.commands import GROUPS as commands
from authsvc.audit.log import (
    ALL,
    EventView,
    Filter,
    Line,
    Page,
    Tally,
    browsers,
    count,
    event,
    events,
    everything,
    happened,
    page,
    record,
    tally,
)
from authsvc.audit.types import EventType, Kind, kind_of

__all__ = [
    "ALL",
    "KEPT_FOR",
    "Broken",
    "EventType",
    "EventView",
    "Filter",
    "Head",
    "Kind",
    "Line",
    "Page",
    "Report",
    "Tally",
    "browsers",
    "chain_new_events",
    "commands",
    "count",
    "event",
    "events",
    "everything",
    "happened",
    "head",
    "kind_of",
    "length",
    "page",
    "prune",
    "record",
    "tally",
    "verify_chain",
]
