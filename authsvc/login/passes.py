"""Browsers that proved the mailbox have tries beside the strangers', for an hour (POLICY 7, decision 0015).

So a bot that uses up the strangers' tries cannot keep out an owner whose browser is new. A mailed link gives the pass;
a completed reset gives one as well.
"""

from datetime import datetime, timedelta

from flask import Response
from sqlalchemy import bindparam, delete, insert, select, update

from authsvc import accounts, audit, budgets, mail
from authsvc.accounts import AccountRow, AccountView
from authsvc.audit import EventType
from authsvc.budgets import BY_MAIL, Share
from authsvc.core import crypto, db
from authsvc.core.errors import Gone
from authsvc.core.web import client, cookie, set_cookie, settings
from authsvc.devices import BrowserView
from authsvc.login.models import BrowserPass

COOKIE = "pass"
LINK_COOKIE = "pass-link"
LINK_LIFE = timedelta(hours=1)
LIFE = timedelta(hours=1)
MAIL_WITHIN = timedelta(minutes=10)  # else the mail is dropped, as all mails with links (POLICY 9)


class PassGone(Gone):
    """The link was used, is over an hour old, or the account changed since."""

    message = "A link works once and for one hour. If sign-in still asks you to wait, the next one comes by mail."


_FIND = (
    select(BrowserPass.id)
    .join(AccountRow, AccountRow.id == BrowserPass.account_id)
    .where(
        BrowserPass.digest == bindparam("digest"),
        BrowserPass.account_id == bindparam("account_id"),
        BrowserPass.ends_at > bindparam("now"),
        BrowserPass.epoch == AccountRow.epoch,
    )
)


def share(account_id: int, browser: BrowserView | None, *, now: datetime) -> Share:
    """Whose budget this browser's tries are charged to: its own, that of all who proved the mailbox, or strangers'."""
    if browser is not None:
        return browser.id
    token = cookie(COOKIE)
    if not token:
        return None
    found = db.execute(_FIND, {"digest": crypto.digest(token), "account_id": account_id, "now": now}).first()
    return BY_MAIL if found else None


def offer(account: AccountView, whose: Share, *, now: datetime) -> None:
    """The budget was empty: when it was the strangers', mail a link to a trusted address, at most one in 15 minutes."""
    if whose is not None or account.disabled or account.frozen:
        return
    trusted = [a for a in accounts.addresses(account.id) if a.trusted]  # the primary one first
    if not trusted:
        return
    if not budgets.charge("tries_mail", budgets.subject_of(account.id, ""), None, now=now).allowed:
        return
    token = crypto.random_token()
    values = {
        "account_id": account.id,
        "epoch": account.epoch,
        "link_digest": crypto.digest(token),
        "created_at": now,
        "expires_at": now + LINK_LIFE,
    }
    db.execute(insert(BrowserPass), values)
    audit.record(EventType.TRIES_USED_UP, account_id=account.id, at=now, client=client())
    mail.send(
        "tries_used_up",
        to=trusted[0].email,
        subject=f"Many failed sign-ins for {account.username}",
        account_id=account.id,
        not_after=now + MAIL_WITHIN,
        now=now,
        username=account.username,
        link=f"{settings().base_url}/login/pass/{token}",
        client=client(),
    )


def find_link(token: str, *, now: datetime) -> AccountView:
    """The account of a live link. Uses nothing up. Raises PassGone."""
    query = (
        select(BrowserPass.account_id)
        .join(AccountRow, AccountRow.id == BrowserPass.account_id)
        .where(
            BrowserPass.link_digest == crypto.digest(token),
            BrowserPass.opened_at.is_(None),
            BrowserPass.expires_at > now,
            BrowserPass.epoch == AccountRow.epoch,
            AccountRow.disabled_at.is_(None),
            AccountRow.frozen_at.is_(None),
        )
    )
    account_id = db.session().scalar(query) if token else None
    if account_id is None:
        raise PassGone("no live link")
    return accounts.get(account_id)


def open_link(token: str, response: Response, *, now: datetime) -> None:
    """Spend the link and give this browser its pass. Of two at once one wins. Raises PassGone."""
    account, secret = find_link(token, now=now), crypto.random_token()
    change = update(BrowserPass).where(
        BrowserPass.link_digest == crypto.digest(token), BrowserPass.opened_at.is_(None), BrowserPass.expires_at > now
    )
    values = {"opened_at": now, "digest": crypto.digest(secret), "ends_at": now + LIFE}
    if db.session().scalar(change.values(values).returning(BrowserPass.id)) is None:
        raise PassGone("a rival request was first")
    audit.record(EventType.TRIES_RENEWED, account_id=account.id, at=now, client=client())
    set_cookie(response, COOKIE, secret, max_age_seconds=int(LIFE.total_seconds()))


def give(account_id: int, response: Response, *, now: datetime) -> None:
    """Give this browser a pass because it proved the mailbox otherwise: with a reset link."""
    secret = crypto.random_token()
    values = {
        "account_id": account_id,
        "epoch": accounts.get(account_id).epoch,
        "created_at": now,
        "expires_at": now,
        "opened_at": now,
        "digest": crypto.digest(secret),
        "ends_at": now + LIFE,
    }
    db.execute(insert(BrowserPass), values)
    set_cookie(response, COOKIE, secret, max_age_seconds=int(LIFE.total_seconds()))


def purge(*, before: datetime) -> None:
    """Delete passes and links made before the time."""
    db.session().execute(delete(BrowserPass).where(BrowserPass.created_at < before))
