"""Known browsers: a random cookie naming a row here, one for each account that signed in there.

A known browser has budgets of its own (POLICY 7) and becomes senior (POLICY 3). It dies with the account's epoch.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, UniqueConstraint, bindparam, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.accounts import AccountRow
from authsvc.core import crypto, db
from authsvc.core.assurance import SENIOR_AFTER
from authsvc.core.db import BigId, Row
from authsvc.core.web import Client

COOKIE_LIFE = timedelta(days=400)  # the longest browsers keep a cookie


class Browser(Row):
    """One browser as one account knows it."""

    __tablename__ = "browsers"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes]
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    epoch: Mapped[int]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    ip: Mapped[str] = mapped_column(String(45))
    browser: Mapped[str] = mapped_column(String(60))
    forgotten_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("digest", "account_id"),)


@dataclass(frozen=True, kw_only=True)
class BrowserView:
    """A known browser as other slices see it."""

    id: int
    account_id: int
    first_seen_at: datetime
    last_seen_at: datetime
    ip: str
    browser: str

    def known_for(self, now: datetime) -> timedelta:
        """How long the account has known it."""
        return now - self.first_seen_at

    def senior(self, now: datetime) -> bool:
        """Known for 72 h or more (POLICY 3)."""
        return self.known_for(now) >= SENIOR_AFTER


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """A browser after a sign-in: its row for the account, whether that is new, and what its cookie is to hold."""

    id: int
    is_new: bool
    token: str


_LIVE = (
    select(*(getattr(Browser, name) for name in BrowserView.__dataclass_fields__))
    .join(AccountRow, AccountRow.id == Browser.account_id)
    .where(Browser.forgotten_at.is_(None), Browser.epoch == AccountRow.epoch)
)
_FIND = _LIVE.where(Browser.digest == bindparam("digest"), Browser.account_id == bindparam("account_id"))
_OF_ACCOUNT = _LIVE.where(Browser.account_id == bindparam("account_id")).order_by(Browser.last_seen_at.desc())


def find(token: str, account_id: int) -> BrowserView | None:
    """This browser as the account knows it, or None when it is new there."""
    return find_digest(crypto.digest(token), account_id) if token else None


def find_digest(digest: bytes, account_id: int) -> BrowserView | None:
    """`find` for work that is done later, by the digest of the cookie."""
    row = db.execute(_FIND, {"digest": digest, "account_id": account_id}).first()
    return BrowserView(**row._mapping) if row else None


def of_account(account_id: int) -> list[BrowserView]:
    """The account's known browsers, last seen first."""
    return [BrowserView(**row._mapping) for row in db.execute(_OF_ACCOUNT, {"account_id": account_id})]


def remember(token: str, account_id: int, *, epoch: int, client: Client, now: datetime) -> Remembered:
    """Note a completed sign-in from this browser. `token` is what its cookie holds, which may be anything.

    A cookie stays while it names a browser that this account knows. Otherwise it gets a new random name of ours, and
    the rows of other accounts in this browser move to it: whoever planted the old one, or keeps a copy, holds nothing
    that this account will ever know (attacks S01, T14).
    """
    known = find(token, account_id)
    if known is not None:
        change = update(Browser).where(Browser.id == known.id)
        db.session().execute(change.values(last_seen_at=now, ip=client.ip, browser=client.browser))
        return Remembered(id=known.id, is_new=False, token=token)
    renamed = crypto.random_token()
    digest = crypto.digest(renamed)
    if token:
        rows = update(Browser).where(Browser.digest == crypto.digest(token))
        db.session().execute(rows.values(digest=digest))
    stale = update(Browser).where(Browser.digest == digest, Browser.account_id == account_id)
    fresh = {
        "epoch": epoch,
        "first_seen_at": now,
        "last_seen_at": now,
        "ip": client.ip,
        "browser": client.browser,
    }
    again = db.session().scalar(stale.values(forgotten_at=None, **fresh).returning(Browser.id))
    if again is not None:  # forgotten, or of an earlier epoch: it begins anew
        return Remembered(id=again, is_new=True, token=renamed)
    row = Browser(digest=digest, account_id=account_id, **fresh)
    db.session().add(row)
    db.session().flush()
    return Remembered(id=row.id, is_new=True, token=renamed)


def carry_over(browser_id: int, *, epoch: int) -> None:
    """The browser that made a change stays known in the new epoch, with its first-seen time (POLICY 6)."""
    db.session().execute(update(Browser).where(Browser.id == browser_id).values(epoch=epoch))


def forget(account_id: int, browser_id: int, *, now: datetime) -> bool:
    """Forget a browser. False when the account has no such browser."""
    change = update(Browser).where(
        Browser.id == browser_id, Browser.account_id == account_id, Browser.forgotten_at.is_(None)
    )
    return db.session().scalar(change.values(forgotten_at=now).returning(Browser.id)) is not None


def was_senior(token: str, account_id: int, *, at: datetime) -> bool:
    """True when the account had known this browser for 72 h at a past time; what was issued since does not matter."""
    query = select(Browser.id).where(
        Browser.digest == crypto.digest(token),
        Browser.account_id == account_id,
        Browser.first_seen_at <= at - SENIOR_AFTER,
        Browser.forgotten_at.is_(None) | (Browser.forgotten_at >= at),
    )
    return bool(token) and db.session().scalar(query) is not None
