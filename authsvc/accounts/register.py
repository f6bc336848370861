"""The register of authenticators: what is enrolled, since when, and whether it is senior."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Subquery, bindparam, case, func, select, update

from authsvc.accounts.models import Account, Authenticator
from authsvc.core import db
from authsvc.core.assurance import PHISHING_RESISTANT, SENIOR_AFTER, Factor

KNOWN_WELL_AFTER = timedelta(days=30)  # POLICY 3: what is enrolled first in such a browser counts at once


@dataclass(frozen=True, kw_only=True)
class AuthenticatorView:
    """One enrolled authenticator. A WebAuthn credential is a PASSKEY or a SECURITY_KEY by decision 0020."""

    id: int
    kind: Factor
    label: str
    created_at: datetime
    senior: bool
    senior_at: datetime
    last_used_at: datetime | None
    backed_up: bool | None


_ENROLLED = (
    select(
        Authenticator.id,
        Authenticator.kind,
        Authenticator.label,
        Authenticator.created_at,
        Authenticator.senior_at,
        Authenticator.last_used_at,
        Authenticator.backed_up,
    )
    .where(Authenticator.account_id == bindparam("account_id"), Authenticator.revoked_at.is_(None))
    .order_by(Authenticator.created_at, Authenticator.id)
)


def enrolled(account_id: int, *, now: datetime) -> list[AuthenticatorView]:
    """What the account has enrolled, oldest first."""
    return [
        AuthenticatorView(
            id=row.id,
            kind=Factor(row.kind),
            label=row.label,
            created_at=row.created_at,
            senior=row.senior_at <= now,
            senior_at=row.senior_at,
            last_used_at=row.last_used_at,
            backed_up=row.backed_up,
        )
        for row in db.execute(_ENROLLED, {"account_id": account_id})
    ]


def enrolled_ids(account_id: int) -> frozenset[int]:
    """Ids of what the account has enrolled."""
    return frozenset(row.id for row in db.execute(_ENROLLED, {"account_id": account_id}))


def enrolled_counts() -> Subquery:
    """For the figures of others, who count millions: by `account_id`, how many keys and others are enrolled."""
    is_key = Authenticator.kind.in_([kind.value for kind in PHISHING_RESISTANT])
    numbers = [func.sum(case((which, 1), else_=0)) for which in (is_key, ~is_key)]
    query = select(Authenticator.account_id, numbers[0].label("key_count"), numbers[1].label("app_count"))
    return query.where(Authenticator.revoked_at.is_(None)).group_by(Authenticator.account_id).subquery()


def staff_with_keys(*, now: datetime) -> frozenset[int]:
    """Staff who have a senior key or passkey, and so may decide (POLICY 13).

    The frozen and those in a hold count: else whoever brings that about for one of two would leave one alone.
    """
    query = (
        select(Account.id)
        .join(Authenticator, Authenticator.account_id == Account.id)
        .where(
            Account.is_staff,
            Account.disabled_at.is_(None),
            Authenticator.kind.in_([kind.value for kind in PHISHING_RESISTANT]),
            Authenticator.revoked_at.is_(None),
            Authenticator.senior_at <= now,
        )
    )
    return frozenset(db.session().scalars(query))


def forgotten(*, before: datetime) -> list[int]:
    """Authenticators revoked before the time, but for those of frozen accounts, where they may count again."""
    query = (
        select(Authenticator.id)
        .join(Account, Account.id == Authenticator.account_id)
        .where(Authenticator.revoked_at < before, Account.frozen_at.is_(None))
    )
    return list(db.session().scalars(query))


def would_be_senior_at(account_id: int, *, browser_known_for: timedelta, now: datetime) -> datetime:
    """When an authenticator that is enrolled now counts for more than signing in (POLICY 3).

    After 72 h; at once for an account's first one ever, on the day the account was made or from a browser known for
    30 days.
    """
    account = db.session().get_one(Account, account_id)
    first = db.session().scalar(select(Authenticator.id).where(Authenticator.account_id == account_id).limit(1)) is None
    at_once = first and (now - account.created_at < timedelta(days=1) or browser_known_for >= KNOWN_WELL_AFTER)
    return now if at_once else now + SENIOR_AFTER


def add_authenticator(
    account_id: int,
    kind: Factor,
    label: str,
    *,
    browser_known_for: timedelta,
    backed_up: bool | None = None,
    now: datetime,
) -> int:
    """Enter an authenticator and return its id."""
    row = Authenticator(
        account_id=account_id,
        kind=kind.value,
        label=label,
        created_at=now,
        senior_at=would_be_senior_at(account_id, browser_known_for=browser_known_for, now=now),
        backed_up=backed_up,
    )
    db.session().add(row)
    db.session().flush()
    return row.id


def rename_authenticator(account_id: int, authenticator_id: int, label: str) -> bool:
    """Give it another label. False when the account has no such authenticator."""
    change = update(Authenticator).where(
        Authenticator.id == authenticator_id,
        Authenticator.account_id == account_id,
        Authenticator.revoked_at.is_(None),
    )
    return db.session().scalar(change.values(label=label).returning(Authenticator.id)) is not None


def revoke_authenticator(account_id: int, authenticator_id: int, *, now: datetime) -> bool:
    """End it for good. False when the account has no such authenticator, or it was revoked before."""
    change = update(Authenticator).where(
        Authenticator.id == authenticator_id,
        Authenticator.account_id == account_id,
        Authenticator.revoked_at.is_(None),
    )
    return db.session().scalar(change.values(revoked_at=now).returning(Authenticator.id)) is not None


def note_use(authenticator_id: int, *, now: datetime, backed_up: bool | None = None) -> None:
    """Remember the last use, and whether a passkey is synced by now."""
    change = update(Authenticator).where(Authenticator.id == authenticator_id).values(last_used_at=now)
    if backed_up is not None:
        change = change.values(backed_up=backed_up)
    db.session().execute(change)
