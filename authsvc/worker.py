"""The loop that runs without a request: deliver mail, process resets, look at domains, chain the log, purge.

Rows are the queue; any number of workers on any number of machines share them by leases.
"""

import logging
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask

from authsvc import (
    access,
    account_pages,
    audit,
    browser_actions,
    budgets,
    cases,
    domains,
    email_codes,
    login,
    mail,
    mandates,
    oidc,
    recovery,
    tokens,
)
from authsvc.app import utc_now
from authsvc.core import db

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=1)
CODES_FOR_OWNERS = frozenset({"login_code", "step_up_code", "recovery_case_code"})
KEPT_FOR = timedelta(days=7)  # spent codes, ended sign-ins and idle budgets, for questions afterwards


@dataclass(frozen=True)
class Task:
    """One kind of work and how often it is looked for."""

    name: str
    every: timedelta
    run: Callable[[datetime], object]


def _purge(now: datetime) -> None:
    with db.transaction():
        budgets.purge(before=now - KEPT_FOR)
        email_codes.purge(before=now - KEPT_FOR)
        access.purge(before=now - KEPT_FOR)
        login.purge(before=now - KEPT_FOR)
        recovery.purge(before=now - KEPT_FOR)
        cases.purge(before=now - KEPT_FOR)
        account_pages.purge(before=now - KEPT_FOR)
        account_pages.forget_removed(now=now)
        browser_actions.purge(before=now - KEPT_FOR)
        oidc.purge(before=now - KEPT_FOR)
        tokens.purge(before=now - KEPT_FOR)
        mail.purge(before=now - mail.KEPT_FOR)
        domains.forget_hosts(now=now)


def _may_leave(kind: str, account_id: int | None, recipient: str, now: datetime) -> bool:
    """No code leaves for a mailbox that somebody else may hold by now (POLICY 8)."""
    if kind not in CODES_FOR_OWNERS or account_id is None:
        return True
    with db.transaction():
        return domains.may_get_code(account_id, recipient, now=now)


TASKS = (
    Task("mail", LOOK_EVERY, lambda now: mail.deliver(now=now, may_leave=_may_leave)),
    Task("resets", LOOK_EVERY, lambda now: recovery.process_resets(now=now)),
    Task("recovery proofs", LOOK_EVERY, lambda now: cases.process(now=now)),
    Task("recoveries", timedelta(minutes=1), lambda now: cases.tend(now=now)),
    Task("audit chain", LOOK_EVERY, lambda now: audit.chain_new_events()),
    Task("domains", timedelta(seconds=10), lambda now: domains.sweep(now=now)),
    Task("domains of high impact", timedelta(minutes=10), lambda now: domains.bring_forward(now=now)),
    Task("doubts", timedelta(seconds=10), lambda now: domains.tell_of_doubts(now=now)),
    Task("established domains", timedelta(hours=1), lambda now: domains.count_established(now=now)),
    Task("unfinished sign-ins", timedelta(minutes=1), lambda now: login.tell_unfinished(now=now)),
    Task("mandates", timedelta(hours=1), lambda now: mandates.apply(now=now)),
    Task("invitations", timedelta(minutes=10), lambda now: mandates.tell_invited(now=now)),
    Task("proposals", timedelta(minutes=1), lambda now: mandates.carry_out_proposals(now=now)),
    Task("imports", timedelta(minutes=1), lambda now: mandates.tidy_imports(now=now, at_most=timedelta(seconds=3))),
    Task("audit pruning", timedelta(hours=1), lambda now: audit.prune(before=now - audit.KEPT_FOR, now=now)),
    Task("removals", timedelta(seconds=10), lambda now: account_pages.carry_out_removals(now=now)),
    Task("deletions", timedelta(hours=1), lambda now: account_pages.delete_due(now=now)),
    Task("purge", timedelta(hours=1), _purge),
    Task("registries", timedelta(hours=1), lambda now: domains.refresh_servers(now=now)),
)


def run_due(app: Flask, due: dict[str, datetime], *, now: datetime) -> None:
    """Run every task whose time has come; one that fails is logged and tried again, the others go on."""
    for task in TASKS:
        if due.get(task.name, now) > now:
            continue
        due[task.name] = now + task.every
        with app.app_context():
            try:
                task.run(now)
            except Exception:  # a surprise in one task must not stop the mail
                log.exception("task %s failed", task.name)
                db.rollback()


def run(app: Flask) -> None:
    """Work until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    due: dict[str, datetime] = {}
    log.info("worker started")
    while not stop.is_set():
        run_due(app, due, now=utc_now())
        stop.wait(LOOK_EVERY.total_seconds())
    log.info("worker stopped")
