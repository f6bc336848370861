"""E-mail addresses of accounts: which are verified, which may be trusted with a mail (POLICY 8)."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, bindparam, case, exists, func, literal, or_, select, update
from sqlalchemy.sql.expression import SQLColumnExpression

from authsvc.accounts.models import Account, Address
from authsvc.accounts.names import InvalidAddress, normalise_address
from authsvc.core import db
from authsvc.core.assurance import SENIOR_AFTER

NEWCOMER = timedelta(days=1)  # POLICY 3: what is proved in the account's first day is senior at once
NOTICES_AFTER_REMOVAL = timedelta(days=30)  # POLICY 3: a removed address still hears of changes
TRUSTED_VERDICTS = frozenset({"healthy", "unknown"})  # POLICY 8
LOST_VERDICTS = frozenset({"lapsed", "reregistered"})  # somebody else may hold the domain, now or soon


@dataclass(frozen=True, kw_only=True)
class AddressView:
    """An address as other slices see it. `trusted`: may receive links and vetoes (POLICY 8)."""

    id: int
    account_id: int
    email: str
    domain: str
    is_primary: bool
    is_backup: bool
    created_at: datetime
    verified_at: datetime | None
    first_verified_at: datetime | None
    generation: int
    domain_generation: int
    verdict: str
    doubted_at: datetime | None
    blocked_at: datetime | None
    block_reason: str | None
    removed_at: datetime | None
    silenced_at: datetime | None

    @property
    def trusted(self) -> bool:
        """No block, the domain's generation unchanged, and the verdict healthy or unknown."""
        return (
            self.verified_at is not None
            and self.blocked_at is None
            and self.generation == self.domain_generation
            and self.verdict in TRUSTED_VERDICTS
        )

    @property
    def masked(self) -> str:
        """The address as shown to somebody who has not proved much: a•••@example.org."""
        local, _, domain = self.email.rpartition("@")
        return f"{local[0]}•••@{domain}"

    def senior(self, now: datetime, *, account_made: datetime) -> bool:
        """On the account for 72 h or more, proved, or proved on the day the account was made (POLICY 3)."""
        if self.first_verified_at is None or self.first_verified_at > now:
            return False
        return now - self.first_verified_at >= SENIOR_AFTER or self.first_verified_at - account_made < NEWCOMER


_NAMES = tuple(AddressView.__dataclass_fields__)
_ALL = select(*(getattr(Address, name) for name in _NAMES)).order_by(Address.is_primary.desc(), Address.id)
_OF_ACCOUNT = _ALL.where(Address.account_id == bindparam("account_id"))
_LIVE = _OF_ACCOUNT.where(Address.removed_at.is_(None))


def addresses(account_id: int, *, with_removed: bool = False) -> list[AddressView]:
    """The account's addresses, primary first; with removed ones where asked."""
    rows = db.execute(_OF_ACCOUNT if with_removed else _LIVE, {"account_id": account_id})
    return [AddressView(**row._mapping) for row in rows]


def mail_address(account_id: int) -> AddressView | None:
    """The primary address, verified or not: where codes and reset links go."""
    return next((a for a in addresses(account_id) if a.is_primary), None)


def owner_of_address(email: str) -> int | None:
    """The account that verified this normalised address."""
    query = select(Address.account_id).where(
        Address.email == email, Address.verified_at.is_not(None), Address.removed_at.is_(None)
    )
    return db.session().scalar(query)


def add_address(account_id: int, email: str, *, is_primary: bool, verified_at: datetime | None, now: datetime) -> int:
    """Add a normalised address and return its id. Raises IntegrityError when a verified one exists elsewhere."""
    row = Address(
        account_id=account_id,
        email=email,
        domain=email.rpartition("@")[2],
        is_primary=is_primary,
        created_at=now,
        verified_at=verified_at,
        first_verified_at=verified_at,
    )
    db.session().add(row)
    db.session().flush()
    return row.id


def verify_address(address_id: int, *, generation: int, verdict: str, now: datetime) -> None:
    """The owner proved the address now, in this generation of its domain. Lifts nothing (see lift_block)."""
    values = {"verified_at": now, "generation": generation, "domain_generation": generation, "verdict": verdict}
    first = func.coalesce(Address.first_verified_at, now, type_=Address.first_verified_at.type)
    change = update(Address).where(Address.id == address_id)
    db.session().execute(change.values(**values, doubted_at=None, first_verified_at=first))


def remove_address(account_id: int, address_id: int, *, now: datetime) -> bool:
    """Take a secondary address off the account. False when there is none such, or it is the primary one."""
    change = update(Address).where(
        Address.id == address_id,
        Address.account_id == account_id,
        Address.removed_at.is_(None),
        Address.is_primary.is_(False),
    )
    return db.session().scalar(change.values(removed_at=now).returning(Address.id)) is not None


def make_primary(account_id: int, address_id: int) -> bool:
    """Make a verified address the primary one. False when the account has no such address."""
    chosen = update(Address).where(
        Address.id == address_id,
        Address.account_id == account_id,
        Address.verified_at.is_not(None),
        Address.removed_at.is_(None),
    )
    if db.session().scalar(chosen.values(is_primary=True).returning(Address.id)) is None:
        return False
    others = update(Address).where(Address.account_id == account_id, Address.id != address_id)
    db.session().execute(others.values(is_primary=False))
    return True


def mark_backup(account_id: int, address_id: int, *, is_backup: bool) -> bool:
    """Let links for a new password go to a proved address, or not any more. False when nothing changes."""
    change = update(Address).where(
        Address.id == address_id,
        Address.account_id == account_id,
        Address.verified_at.is_not(None),
        Address.removed_at.is_(None),
        Address.is_backup != is_backup,
    )
    return db.session().scalar(change.values(is_backup=is_backup).returning(Address.id)) is not None


def link_address(account_id: int, typed: str) -> AddressView | None:
    """Where a link for a new password goes: the typed backup address, else the primary one, verified or not."""
    own = addresses(account_id)
    try:
        email = normalise_address(typed)
    except InvalidAddress:  # a user name
        email = ""
    return next((a for a in own if a.is_backup and a.email == email), mail_address(account_id))


def set_trust(domain: str, *, verdict: str, generation: int, now: datetime, keep_worse: bool = False) -> None:
    """Write what the domain check found to every address at the domain, and since when one is in doubt.

    `keep_worse`: the look saw too little to make anything better than it stands.
    """
    change = update(Address).where(Address.domain == domain)
    differs = change.where((Address.verdict != verdict) | (Address.domain_generation != generation))
    found = case((Address.verdict.in_(TRUSTED_VERDICTS), verdict), else_=Address.verdict) if keep_worse else verdict
    db.session().execute(differs.values(verdict=found, domain_generation=generation))
    doubted = change.where(Address.verified_at.is_not(None), Address.doubted_at.is_(None))
    if verdict not in LOST_VERDICTS:
        doubted = doubted.where(Address.generation != generation)
    db.session().execute(doubted.values(doubted_at=now))


def set_suspect(ids: Collection[int]) -> None:
    """At a domain that is trusted, these addresses are not: their owners saw it otherwise when they proved them."""
    change = update(Address).where(Address.id.in_(ids), Address.verdict.in_(TRUSTED_VERDICTS))
    db.session().execute(change.values(verdict="suspect"))


def ids_at(domain: str) -> Select[int]:
    """Ids of the proved addresses at the domain, for a subquery."""
    return select(Address.id).where(Address.domain == domain, Address.verified_at.is_not(None))


def proofs_at(domain: str) -> dict[int, datetime]:
    """When each proved address at the domain was proved last, by id."""
    query = select(Address.id, Address.verified_at).where(Address.domain == domain, Address.verified_at.is_not(None))
    return {row[0]: row[1] for row in db.session().execute(query) if row[1] is not None}


def set_reregistered(
    domain: str, *, proved_before: datetime, now: datetime, only: Collection[int] | None = None
) -> None:
    """The domain was registered anew: whoever proved an address before that time may not be who holds it now.

    `only`: ids of the addresses that this is about, where it is not all of them.
    """
    change = update(Address).where(Address.domain == domain, Address.verified_at < proved_before)
    if only is not None:
        change = change.where(Address.id.in_(only))
    doubted_at = func.coalesce(Address.doubted_at, now, type_=Address.doubted_at.type)
    db.session().execute(change.values(verdict="reregistered", doubted_at=doubted_at))


def would_be_doubted(domain: str, *, proved_before: datetime, only: Collection[int] | None = None) -> bool:
    """Whether `set_reregistered` with these arguments would put any address in doubt that is not yet."""
    query = select(Address.id).where(
        Address.domain == domain, Address.verified_at < proved_before, Address.verdict != "reregistered"
    )
    if only is not None:
        query = query.where(Address.id.in_(only))
    return db.session().scalar(query.limit(1)) is not None


def in_doubt_at(domain: str) -> Select[int]:
    """Accounts whose main address is at the domain and may be somebody else's by now, for a subquery."""
    return select(Address.account_id).where(
        Address.domain == domain,
        Address.is_primary,
        Address.removed_at.is_(None),
        Address.verified_at.is_not(None),
        Address.verdict.in_(LOST_VERDICTS) | (Address.generation != Address.domain_generation),
    )


def domains_of_accounts(
    *,
    made_before: datetime,
    or_with_id: Callable[[SQLColumnExpression[int]], ColumnElement[bool]],
    only: str | None = None,
) -> Select[str]:
    """Domains of proved addresses of accounts that are so old, or that the condition on their id holds for."""
    old = exists().where(Account.id == Address.account_id, Account.created_at < made_before)
    query = select(Address.domain).where(Address.verified_at.is_not(None), old | or_with_id(Address.account_id))
    return query.where(Address.domain == only) if only is not None else query


def tell_of_doubt(*, limit: int, now: datetime) -> list[AddressView]:
    """Addresses that came into doubt and whose owners were not told; they count as told once this commits.

    A look may be dated after `now`, the beginning of the worker's round, and is told of once for all that.
    """
    untold = select(Address.id).where(
        Address.doubted_at.is_not(None),
        or_(Address.told_at.is_(None), Address.told_at < Address.doubted_at),
        Address.removed_at.is_(None),
    )
    chosen = list(db.session().scalars(untold.order_by(Address.id).limit(limit).with_for_update(skip_locked=True)))
    told_at = case((Address.doubted_at > now, Address.doubted_at), else_=literal(now, Address.told_at.type))
    db.session().execute(update(Address).where(Address.id.in_(chosen)).values(told_at=told_at))
    return [AddressView(**row._mapping) for row in db.session().execute(_ALL.where(Address.id.in_(chosen)))]


def proved_before(domain: str, *, before: datetime) -> list[int]:
    """Ids of addresses at the domain that were proved last before the time."""
    return list(db.session().scalars(select(Address.id).where(Address.domain == domain, Address.verified_at < before)))


def proved_since(domain: str, *, since: datetime) -> list[int]:
    """Ids of addresses at the domain that were proved since the time, and are not in doubt."""
    query = select(Address.id).where(
        Address.domain == domain,
        Address.verified_at >= since,
        Address.doubted_at.is_(None),
        Address.blocked_at.is_(None),
    )
    return list(db.session().scalars(query))


def domains_where(
    holds: Callable[[SQLColumnExpression[int]], ColumnElement[bool]], *, among: Collection[str] | None = None
) -> Select[str]:
    """Domains of proved addresses of the accounts for whose id the condition holds, for a subquery."""
    query = select(Address.domain).where(
        Address.verified_at.is_not(None), Address.removed_at.is_(None), holds(Address.account_id)
    )
    return query if among is None else query.where(Address.domain.in_(among))


def newest_at(domains: Collection[str]) -> dict[str, datetime]:
    """By domain, when an address there was last added or proved, of those that were proved at all."""
    newest = func.max(case((Address.verified_at > Address.created_at, Address.verified_at), else_=Address.created_at))
    query = select(Address.domain, newest).where(Address.domain.in_(domains), Address.verified_at.is_not(None))
    return {row[0]: row[1] for row in db.session().execute(query.group_by(Address.domain))}


def block_address(address_id: int, *, reason: str, now: datetime) -> bool:
    """Store a reset block. False when it was blocked already; the first reason and time stay."""
    change = update(Address).where(Address.id == address_id, Address.blocked_at.is_(None))
    return db.session().scalar(change.values(blocked_at=now, block_reason=reason).returning(Address.id)) is not None


def blocked() -> dict[str, int]:
    """How many addresses are blocked, by reason code."""
    query = select(Address.block_reason, func.count()).where(
        Address.blocked_at.is_not(None), Address.removed_at.is_(None)
    )
    return {reason or "": count for reason, count in db.session().execute(query.group_by(Address.block_reason))}


def lift_block(address_id: int) -> bool:
    """Forget a block; False when there was none. Only what POLICY 8 names may call for this."""
    change = update(Address).where(Address.id == address_id, Address.blocked_at.is_not(None))
    return db.session().scalar(change.values(blocked_at=None, block_reason=None).returning(Address.id)) is not None


def _noticed(account_id: int, *, now: datetime) -> list[AddressView]:
    return [
        a
        for a in addresses(account_id, with_removed=True)
        if a.trusted and a.silenced_at is None and (a.removed_at is None or now - a.removed_at < NOTICES_AFTER_REMOVAL)
    ]


def trusted_recipients(account_id: int, *, now: datetime) -> list[str]:
    """Where security mails go: every trusted address, also those removed in the last 30 days (POLICY 3).

    One that was removed and came back is named once.
    """
    return list(dict.fromkeys(a.email for a in _noticed(account_id, now=now)))


def with_a_say(account_id: int, *, now: datetime) -> list[AddressView]:
    """Those among them that may dispute and veto: senior, or proved on the day the account was made (POLICY 3)."""
    made = db.session().scalars(select(Account.created_at).where(Account.id == account_id)).one()
    return [a for a in _noticed(account_id, now=now) if a.senior(now, account_made=made)]


def silence(address_id: int, *, now: datetime) -> None:
    """No more notices and no say: an older authenticator ended the dispute of this address (POLICY 3)."""
    db.session().execute(update(Address).where(Address.id == address_id).values(silenced_at=now))
