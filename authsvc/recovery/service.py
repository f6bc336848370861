"""Reset requests: written down for anybody, decided by the worker just before a mail leaves (POLICY 9).

What a link is worth once it was mailed is in `resetting.py`.
"""

import logging
import time
from datetime import datetime, timedelta
from typing import assert_never

from sqlalchemy import delete, func, insert, select, true

from authsvc import accounts, audit, budgets, devices, domains, mail
from authsvc.accounts import AccountView, AddressView
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.core.web import Client, settings
from authsvc.policy.reset_gate import EVIDENCE_MAX_AGE, Allow, Block, Defer
from authsvc.recovery import unfreezing
from authsvc.recovery.gate import gate
from authsvc.recovery.models import ResetLink, ResetRequest

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=1)
LINK_LIFE = timedelta(hours=1)
MAIL_WITHIN = timedelta(minutes=10)  # of the decision, else the mail is dropped (POLICY 9)
DECIDED_WITHIN = timedelta(hours=1)  # a request that nobody took up for longer is forgotten
MAX_LIVE_LINKS = 3
ONE_MAIL_EVERY = timedelta(minutes=15)  # once the budget is empty (POLICY 7)
WARN_AGAIN_AFTER = timedelta(days=1)  # of a refusal for a reason that was mailed before


def request_reset(typed: str, client: Client, *, browser_token: str = "", now: datetime) -> None:
    """Write one row, the same work for every text; nothing is looked up here (attack R18)."""
    waiting = select(func.count()).select_from(ResetRequest).where(ResetRequest.network == client.network)
    values = {"typed": typed, "ip": client.ip, "network": client.network, "browser": client.browser, "created_at": now}
    values["turn"] = db.session().scalar(waiting)
    values["browser_digest"] = crypto.digest(browser_token) if browser_token else None
    db.session().execute(insert(ResetRequest).values(values))


def process_resets(*, now: datetime) -> int:
    """Decide what waiting requests lead to; returns how many were taken up. The worker's task."""
    done, began = 0, time.monotonic()
    while time.monotonic() - began < domains.WORKER_SHARE.total_seconds():  # one at a time: a look-up takes seconds
        ids = db.claim(
            ResetRequest.id,
            ResetRequest.claimed_until,
            true(),
            limit=1,
            lease=LEASE,
            now=now,
            order_by=ResetRequest.turn,
        )
        if not ids:
            break
        try:
            _process(ids[0], now=now)
        except Exception:  # one request that cannot be decided must not keep the others waiting
            log.exception("reset request %s", ids[0])
            db.rollback()
        done += 1
    return done


def _process(request_id: int, *, now: datetime) -> None:
    """Look at the domain, whether or not the local part is known; decide; carry out and end the request at once.

    A worker killed on the way repeats the decision, and mails nothing twice.
    """
    with db.transaction() as session:
        request = session.get_one(ResetRequest, request_id)
        account = accounts.find(request.typed) or accounts.find_frozen(request.typed)
        address = accounts.link_address(account.id, request.typed) if account else None
        typed = request.typed
        client = Client(ip=request.ip, network=request.network, browser=request.browser)
        domain = address.domain if address else _domain_of(request.typed)
    if account is not None and account.frozen:
        unfreezing.mail_links(request_id, account, client, now=now)
        return
    look: domains.Look | None = None
    if domain is not None and now - request.created_at <= DECIDED_WITHIN:
        with db.transaction():
            look = domains.check_fresh(domain, max_age=EVIDENCE_MAX_AGE, now=now)
    decision: Allow | Defer | Block | None = None
    if account is not None and look is not None:
        with db.transaction():
            account = accounts.get(account.id)
            address = accounts.link_address(account.id, typed)  # as it stands after the look
            if address is not None and address.domain == look.domain and not account.disabled and not account.frozen:
                browser = devices.find_digest(request.browser_digest, account.id) if request.browser_digest else None
                decision = _decide(account, address, look, browser_id=browser.id if browser else None, now=now)
    with db.transaction() as session:
        end = delete(ResetRequest).where(ResetRequest.id == request_id).returning(ResetRequest.id)
        if session.scalar(end) is None or account is None or address is None or decision is None:
            return
        audit.record(EventType.RESET_REQUESTED, account_id=account.id, at=now, client=client)
        match decision:
            case Allow(also_prove, at_once):
                _mail_link(account, address, client, at_once=at_once, waits=not at_once and not also_prove, now=now)
            case Defer(reason):
                audit.record(EventType.RESET_DEFERRED, account_id=account.id, at=now, client=client, reason=reason)
            case Block(reason):
                _refuse(account, address, reason, client, now=now)
            case _:
                assert_never(decision)


def _decide(
    account: AccountView, address: AddressView, look: domains.Look, *, browser_id: int | None, now: datetime
) -> Allow | Defer | Block:
    decision = gate(account, address, look, now=now)
    if isinstance(decision, Allow) and not _may_mail(account, browser_id, now=now):
        return Defer("BUDGET")
    return decision


def _may_mail(account: AccountView, browser_id: int | None, *, now: datetime) -> bool:
    """Whether one more link may go out (POLICY 7). Ends the present transaction when it charges.

    While a link lives and waits for nothing, nothing is charged, so strangers who ask cannot use up the owner's budget;
    nor can they fill the mailbox, since few live at once. An empty budget still lets one mail out every quarter of an
    hour.
    Each browser the account knows has its own budget, which no stranger can touch.
    """
    live = db.session().scalar(
        select(func.count())
        .select_from(ResetLink)
        .where(
            ResetLink.account_id == account.id,
            ResetLink.epoch == account.epoch,
            ResetLink.spent_at.is_(None),
            ResetLink.expires_at > now,
            ResetLink.waits_until.is_(None),
        )
    )
    if live and (live < MAX_LIVE_LINKS or browser_id is None):
        return live < MAX_LIVE_LINKS
    if budgets.charge("reset_link", budgets.subject_of(account.id, ""), browser_id, now=now).allowed:
        return True
    if live:
        return False
    newest = db.session().scalar(select(func.max(ResetLink.created_at)).where(ResetLink.account_id == account.id))
    return newest is None or now - newest >= ONE_MAIL_EVERY


def _domain_of(typed: str) -> str | None:
    """The domain of an unknown address, when it holds accounts: looked at alike, so that timing tells nothing."""
    try:
        domain = accounts.normalise_address(typed).rpartition("@")[2]
    except accounts.InvalidAddress:
        return None
    return domain if domains.known(domain) else None


def _mail_link(
    account: AccountView, address: AddressView, client: Client, *, at_once: bool, waits: bool, now: datetime
) -> None:
    token = crypto.random_token()
    values = {
        "digest": crypto.digest(token),
        "account_id": account.id,
        "address_id": address.id,
        "epoch": account.epoch,
        "at_once": at_once,
        "created_at": now,
        "expires_at": now + LINK_LIFE,
    }
    db.session().execute(insert(ResetLink).values(values))
    audit.record(EventType.RESET_SENT, account_id=account.id, at=now, client=client)
    mail.send(
        "reset_link",
        to=address.email,
        subject=f"Set a new password for {account.username}",
        account_id=account.id,
        not_after=now + MAIL_WITHIN,
        now=now,
        username=account.username,
        link=f"{settings().base_url}/recovery/reset/{token}",
        waits=waits,
        client=client,
    )


def _refuse(account: AccountView, address: AddressView, reason: str, client: Client, *, now: datetime) -> None:
    """Store the block, say so in the log, warn the account's other trusted addresses; nothing goes to this one."""
    why = domains.reason_words(reason)
    warned = audit.happened(EventType.RESET_REFUSED, account_id=account.id, after=now - WARN_AGAIN_AFTER)
    if accounts.block_address(address.id, reason=reason, now=now):
        audit.record(EventType.ADDRESS_BLOCKED, account_id=account.id, at=now, email=address.email, reason=why)
    audit.record(EventType.RESET_REFUSED, account_id=account.id, at=now, client=client, reason=why, code=reason)
    if warned:  # whoever asks again and again must not fill the other mailboxes
        return
    for recipient in accounts.trusted_recipients(account.id, now=now):
        if recipient != address.email:
            mail.send(
                "reset_refused",
                to=recipient,
                subject=f"Password reset refused for {account.username}",
                account_id=account.id,
                now=now,
                username=account.username,
                address=address.email,
                why=why,
                client=client,
            )


def purge(*, before: datetime) -> None:
    """Delete links that ended before the time."""
    db.session().execute(delete(ResetLink).where(ResetLink.expires_at < before))
    unfreezing.purge(before=before)
