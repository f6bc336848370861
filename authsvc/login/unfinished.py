"""Right passwords in new browsers that went no further: the owner is told, and after three a new one is due (POLICY 2).

The rule, kept simple: a sign-in that proved the password alone, in a browser the account does not know, and ended (by
time or by leaving) without anything more. Not counted where the same network completed a sign-in of the account
meanwhile, since that was its owner starting over.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from authsvc import accounts, audit, mail, passwords
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.core.assurance import Factor
from authsvc.core.web import Client
from authsvc.login.models import PendingLogin
from authsvc.login.service import LIFE
from authsvc.policy.login import unfinished

AT_ONCE = 200  # sign-ins taken up in one round


def note_elsewhere(account_id: int, *, client: Client, now: datetime) -> None:
    """A right password in a new browser at another page than the sign-in's: the owner hears unless more follows.

    Else that page would be the quiet way to find out whether a stolen password is right. Written down as a sign-in that
    nobody has the token of.
    """
    epoch = accounts.get(account_id).epoch
    db.session().add(
        PendingLogin(
            digest=crypto.digest(crypto.random_token()),
            account_id=account_id,
            epoch=epoch,
            created_at=now,
            expires_at=now + LIFE,
            proved=Factor.PASSWORD.value,
            new_browser=True,
            ip=client.ip,
            browser=client.browser,
        )
    )
    db.session().flush()


def tell(*, now: datetime) -> int:
    """Take up sign-ins that ended unfinished, each once, and tell their owners; returns how many. The worker's task."""
    due = (
        select(PendingLogin.id)
        .where(
            PendingLogin.new_browser.is_(True),
            PendingLogin.told_at.is_(None),
            PendingLogin.consumed_at.is_(None),
            PendingLogin.expires_at <= now,
            PendingLogin.proved == Factor.PASSWORD.value,
            PendingLogin.mailbox_checked.is_(False),
        )
        .order_by(PendingLogin.id)
        .limit(AT_ONCE)
    )
    with db.transaction() as session:
        take = update(PendingLogin).where(PendingLogin.id.in_(due), PendingLogin.told_at.is_(None))
        columns = (PendingLogin.account_id, PendingLogin.created_at, PendingLogin.ip, PendingLogin.browser)
        by_account: defaultdict[int, list[Any]] = defaultdict(list)
        for row in session.execute(take.values(told_at=now).returning(*columns)):
            by_account[row.account_id].append(row)
        for account_id, rows in sorted(by_account.items()):
            _tell_owner(account_id, rows, now=now)
    return sum(len(rows) for rows in by_account.values())


def _tell_owner(account_id: int, rows: list[Any], *, now: datetime) -> None:
    """Write a line for each, mail once for all of them, and ask for a new password where the policy says so."""
    account = accounts.lock(account_id)  # so that workers count one after another
    since = passwords.changed_at(account_id) or account.created_at
    rows = [
        row
        for row in sorted(rows, key=lambda row: row.created_at)
        if row.created_at >= since  # else the password that was known is gone already
        and not audit.count(EventType.LOGIN_SUCCEEDED, account_id=account_id, since=row.created_at, ip=row.ip)
        and not audit.count(EventType.RECOVERY_BEGUN, account_id=account_id, since=row.created_at)  # they heard of that
    ]
    if not rows:
        return
    before = audit.count(EventType.LOGIN_UNFINISHED, account_id=account_id, since=since)
    lately = audit.count(EventType.LOGIN_UNFINISHED, account_id=account_id, since=now - timedelta(days=1))
    decision = unfinished(before=before, fresh=len(rows), in_last_day=lately)
    for row in rows:
        where = Client(ip=row.ip, network=row.ip, browser=row.browser)
        audit.record(EventType.LOGIN_UNFINISHED, account_id=account_id, at=row.created_at, client=where)
    if decision.replace_password and account.password_must_change is None:
        accounts.require_new_password(account_id, "unfinished")
    if decision.tell:
        mail.notify(
            account_id,
            "login_unfinished",
            subject=f"Somebody knows the password of {account.username}",
            now=rows[-1].created_at,
            username=account.username,
            count=len(rows),
            replace=decision.replace_password,
            client=where,
        )
