"""Account recovery, for whoever lost every factor or whose mail domain lapsed (POLICY 10).

A case is opened by anybody for any name; what it needs, how long it waits and who decides is in `policy/recovery.py`.

Verbs, for pages: standing (what an owner should know); for staff: queue, queue_lengths, look_at, vote; for the worker:
process (codes and places), tend (ends and mails), purge; erase (of a deleted account).
"""

from authsvc.cases import views, vouching
from authsvc.cases.asking import process
from authsvc.cases.blueprint import bp
from authsvc.cases.reading import of_account as standing
from authsvc.cases.service import erase, purge, tend
from authsvc.cases.staff import (
    MAX_REASON,
    CaseLine,
    CaseView,
    Moment,
    ProofView,
    Queue,
    VoteView,
    look_at,
    queue,
    queue_lengths,
    vote,
)

__all__ = [
    "MAX_REASON",
    "CaseLine",
    "CaseView",
    "Moment",
    "ProofView",
    "Queue",
    "VoteView",
    "bp",
    "erase",
    "look_at",
    "process",
    "purge",
    "queue",
    "queue_lengths",
    "standing",
    "tend",
    "views",
    "vote",
    "vouching",
]
