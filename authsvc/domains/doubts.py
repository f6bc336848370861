"""Telling people that the domain of an address of theirs lapsed or changed hands, in batches."""

import time
from datetime import datetime

from sqlalchemy import select

from authsvc import accounts, audit, mail
from authsvc.accounts import AddressView
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.domains.judging import reason_words
from authsvc.domains.models import Domain
from authsvc.domains.sweep import WORKER_SHARE
from authsvc.policy.domain_verdict import Verdict

BATCH = 100  # addresses in one transaction, so that sign-ins never wait long


def tell_of_doubts(*, now: datetime) -> int:
    """Log it for every account concerned, and mail its other trusted addresses; returns for how many addresses.

    The worker's task. A batch is marked, logged and handed to the outbox in one transaction, so a killed worker tells
    nobody twice and forgets nobody.
    """
    told, began = 0, time.monotonic()
    while time.monotonic() - began < WORKER_SHARE.total_seconds():
        with db.transaction():
            batch = accounts.tell_of_doubt(limit=BATCH, now=now)
            for address in batch:
                _tell(address, now=now)
        told += len(batch)
        if len(batch) < BATCH:
            break
    return told


def _tell(address: AddressView, *, now: datetime) -> None:
    account = accounts.get(address.account_id)
    reason = db.session().scalar(select(Domain.reason).where(Domain.name == address.domain)) or ""
    if address.verdict == Verdict.REREGISTERED.value:
        reason = reason if reason == "MX_HOST_DOMAIN_REREGISTERED" else "REGISTERED_AFTER_VERIFICATION"
    why = reason_words(reason)
    audit.record(EventType.ADDRESS_DOUBTED, account_id=account.id, at=now, email=address.email, reason=why)
    mail.notify(
        account.id,
        "address_doubted",
        subject=f"An address of {account.username} cannot be trusted any more",
        now=now,
        username=account.username,
        email=address.email,
        why=why,
    )
