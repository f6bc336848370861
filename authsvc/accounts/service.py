"""The account itself: made, found, disabled, frozen; its epoch."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select, update

from authsvc.accounts.models import Account, Address, Authenticator
from authsvc.accounts.names import InvalidAddress, InvalidUsername, canonical_username, normalise_address
from authsvc.core import crypto, db


@dataclass(frozen=True, kw_only=True)
class AccountView:
    """An account as other slices see it."""

    id: int
    sub: str
    username: str
    epoch: int
    created_at: datetime
    is_staff: bool
    disabled: bool
    frozen: bool
    confirm_after: datetime | None
    password_must_change: str | None
    last_sign_in_at: datetime | None
    last_strong_sign_in_at: datetime | None
    last_recovery_at: datetime | None
    keys_only: bool

    def stands_by(self, said_at: datetime) -> bool:
        """Does what was said in the account's name then still count? Source: POLICY 5, 6.

        Not while it is frozen or disabled, nor what was said before a reset, freeze or recovery.
        """
        forgotten = self.confirm_after is not None and said_at <= self.confirm_after
        return not (self.disabled or self.frozen or forgotten)


_COLUMNS = (
    Account.id,
    Account.sub,
    Account.username,
    Account.epoch,
    Account.created_at,
    Account.is_staff,
    Account.disabled_at,
    Account.frozen_at,
    Account.confirm_after,
    Account.password_must_change,
    Account.last_sign_in_at,
    Account.last_strong_sign_in_at,
    Account.last_recovery_at,
    Account.keys_only_since,
)
_BY_ID = select(*_COLUMNS).where(Account.id == bindparam("id"))
_BY_ID_LOCKED = _BY_ID.with_for_update()
_BY_SUB = select(*_COLUMNS).where(Account.sub == bindparam("sub"))
_BY_USERNAME = select(*_COLUMNS).where(Account.username == bindparam("username"))
_BY_EMAIL = (
    select(*_COLUMNS)
    .join(Address, Address.account_id == Account.id)
    .where(Address.email == bindparam("email"), Address.verified_at.is_not(None), Address.removed_at.is_(None))
)
_BY_PAST_EMAIL = (
    select(*_COLUMNS)
    .join(Address, Address.account_id == Account.id)
    .where(
        Address.email == bindparam("email"),
        Address.first_verified_at.is_not(None),
        Address.removed_at.is_not(None),
        Account.frozen_at.is_not(None),
    )
    .order_by(Address.removed_at.desc())
    .limit(1)
)


def _view(row: Any) -> AccountView | None:
    if row is None:
        return None
    values = dict(row._mapping)
    values["disabled"] = values.pop("disabled_at") is not None
    values["frozen"] = values.pop("frozen_at") is not None
    values["keys_only"] = values.pop("keys_only_since") is not None
    return AccountView(**values)


def create(*, username: str, now: datetime, is_staff: bool = False) -> int:
    """Make an account and return its id. Raises InvalidUsername; IntegrityError when the name is taken."""
    account = Account(
        sub=crypto.random_token(16), username=canonical_username(username), created_at=now, is_staff=is_staff
    )
    db.session().add(account)
    db.session().flush()
    return account.id


def get(account_id: int) -> AccountView:
    """The account. Raises LookupError when there is none, which only a bug can cause."""
    found = _view(db.execute(_BY_ID, {"id": account_id}).first())
    if found is None:
        raise LookupError(f"no account {account_id}")
    return found


def lock(account_id: int) -> AccountView:
    """The account as it stands, locked until this transaction ends, so that its epoch cannot rise meanwhile."""
    found = _view(db.execute(_BY_ID_LOCKED, {"id": account_id}).first())
    if found is None:
        raise LookupError(f"no account {account_id}")
    return found


def by_sub(sub: str) -> AccountView | None:
    """The account of a subject name."""
    return _view(db.execute(_BY_SUB, {"sub": sub}).first())


def find(name_or_address: str) -> AccountView | None:
    """The account of a user name, or of a verified address, as a person typed it."""
    try:
        if "@" in name_or_address:
            return _view(db.execute(_BY_EMAIL, {"email": normalise_address(name_or_address)}).first())
        return _view(db.execute(_BY_USERNAME, {"username": canonical_username(name_or_address)}).first())
    except (InvalidAddress, InvalidUsername):
        return None


def find_frozen(typed: str) -> AccountView | None:
    """The frozen account that an address belonged to before it was removed, as a person typed it."""
    try:
        values = {"email": normalise_address(typed)}
    except InvalidAddress:
        return None
    return _view(db.execute(_BY_PAST_EMAIL, values).first())


def username_taken(username: str) -> bool:
    """True when an account, present or past, has this canonical name. Names are never used again."""
    return db.execute(_BY_USERNAME, {"username": username}).first() is not None


def usernames() -> list[str]:
    """All names, for operators' commands."""
    return list(db.session().scalars(select(Account.username).order_by(Account.username)))


def raise_epoch(account_id: int, *, confirm_after: datetime | None = None) -> int:
    """Kill everything issued so far (POLICY 6) and return the new epoch. `confirm_after` also forgets consents."""
    change = update(Account).where(Account.id == account_id).values(epoch=Account.epoch + 1)
    if confirm_after is not None:
        change = change.values(confirm_after=confirm_after)
    return db.session().scalars(change.returning(Account.epoch)).one()


def set_disabled(account_id: int, *, now: datetime | None) -> None:
    """Disable at `now`, or enable again with None. The caller raises the epoch."""
    db.session().execute(update(Account).where(Account.id == account_id).values(disabled_at=now))


def set_frozen(account_id: int, *, now: datetime | None) -> None:
    """Freeze at `now`, or unfreeze with None. The caller raises the epoch."""
    db.session().execute(update(Account).where(Account.id == account_id).values(frozen_at=now))


def set_staff(account_id: int, *, is_staff: bool) -> None:
    """Give or take the staff mark."""
    db.session().execute(update(Account).where(Account.id == account_id).values(is_staff=is_staff))


def set_keys_only(account_id: int, *, now: datetime | None) -> None:
    """Switch second steps weaker than keys and passkeys off at `now`, or on again with None (decision 0018)."""
    db.session().execute(update(Account).where(Account.id == account_id).values(keys_only_since=now))


def accept_weaker_ways(account_id: int, *, since: datetime) -> None:
    """Take the switch back where it was turned on since then: what it refuses may be all that the owner has."""
    change = update(Account).where(Account.id == account_id, Account.keys_only_since >= since)
    db.session().execute(change.values(keys_only_since=None))


def require_new_password(account_id: int, reason: str | None) -> None:
    """Ask for a new password at the next sign-in, with the reason; None clears it."""
    db.session().execute(update(Account).where(Account.id == account_id).values(password_must_change=reason))


def note_sign_in(account_id: int, *, strong: bool, now: datetime) -> None:
    """Remember when the account was last signed in to, and when strongly (POLICY 8)."""
    values: dict[str, datetime] = {"last_sign_in_at": now}
    if strong:
        values["last_strong_sign_in_at"] = now
    db.session().execute(update(Account).where(Account.id == account_id).values(values))


def note_recovery(account_id: int, *, now: datetime) -> None:
    """A recovery case was completed: blocks from before it do not count any more (POLICY 8)."""
    db.session().execute(update(Account).where(Account.id == account_id).values(last_recovery_at=now))


def erase(account_id: int, *, now: datetime) -> None:
    """Delete what names a person; name and subject stay taken, so the row stays, disabled for good."""
    nothing = {"email": "", "domain": "", "verified_at": None, "first_verified_at": None, "removed_at": now}
    addresses = update(Address).where(Address.account_id == account_id)
    db.session().execute(addresses.values(**nothing, is_primary=False))
    gone = update(Authenticator).where(Authenticator.account_id == account_id, Authenticator.revoked_at.is_(None))
    db.session().execute(gone.values(revoked_at=now))
    set_disabled(account_id, now=now)
    raise_epoch(account_id, confirm_after=now)


def count() -> int:
    """How many accounts there are."""
    return db.session().scalars(select(func.count()).select_from(Account)).one()
