"""Verbs: who owns what, which mandate follows, and which one holds for an account now."""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby, islice
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, exists, select, update
from sqlalchemy.sql.expression import SQLColumnExpression

from authsvc import accounts, audit, mail
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import Factor
from authsvc.mandates import phases
from authsvc.mandates.importing import match_accounts
from authsvc.mandates.models import MandateRow, Ownership, Package, is_current
from authsvc.policy import mandate as policy
from authsvc.policy.mandate import Impact, Mandate, Owned, Phase, Strength

BATCH = 100  # accounts told in one transaction, so that sign-ins never wait long

COMPUTED, BY_HAND, BY_HAND_FOR_KEYS = "computed", "by_hand", "for_keys"  # the last asks for keys and passkeys

_MANDATES = select(MandateRow.source, MandateRow.phase, MandateRow.reason, MandateRow.enforced_from).where(
    MandateRow.account_id == bindparam("account_id")
)
_COMPUTED_DATES = select(MandateRow.account_id, MandateRow.enforced_from).where(MandateRow.source == COMPUTED)
_OWNS = select(
    exists().where(
        Ownership.account_id == bindparam("account_id"), Ownership.accepted_at.is_not(None), is_current(Ownership)
    )
)
FIGURES = (
    Package.weekly_downloads,
    Package.dependents,
    Package.weekly_ge_1m,
    Package.dependents_ge_500,
    Package.rank,
    Package.dependents_rank,
)


def upcoming(account_id: int, *, now: datetime) -> Mandate | None:
    """The mandate in force, or else the one that asks first; None where the account has none."""
    given = [_mandate(row) for row in db.execute(_MANDATES, {"account_id": account_id})]
    return policy.strongest(m for m in given if m.in_force(now)) or policy.strictest(given)


def in_force(account_id: int, *, now: datetime) -> Mandate | None:
    """The mandate a sign-in must meet now, of several the one that asks for most; or None. Asked at every sign-in."""
    given = (_mandate(row) for row in db.execute(_MANDATES, {"account_id": account_id}))
    return policy.strongest(mandate for mandate in given if mandate.in_force(now))


def unmet(account_id: int, *, now: datetime) -> bool:
    """True while a mandate is in force that nothing enrolled meets. Asked at every request; most accounts have none."""
    mandate = in_force(account_id, now=now)
    if mandate is None:
        return False
    return not mandate.satisfied_by(frozenset(a.kind for a in accounts.enrolled(account_id, now=now)))


def has_mandate(account_id: int) -> bool:
    """True when a mandate was given, in force or not."""
    return db.execute(_MANDATES, {"account_id": account_id}).first() is not None


def owns_packages(account_id: int) -> bool:
    """True when the account accepted to maintain a package, whatever its reach."""
    return bool(db.session().scalar(_OWNS, {"account_id": account_id}))


def is_owner(account_id: SQLColumnExpression[int]) -> ColumnElement[bool]:
    """A condition for queries of others: the account accepted to maintain a package."""
    return exists().where(Ownership.account_id == account_id, Ownership.accepted_at.is_not(None), is_current(Ownership))


def is_covered(account_id: SQLColumnExpression[int]) -> ColumnElement[bool]:
    """A condition for queries of others: the account was given a mandate, in force or not."""
    return exists().where(MandateRow.account_id == account_id)


def may_keep_only(account_id: int, kinds_left: frozenset[Factor], *, now: datetime) -> bool:
    """May the account remove an authenticator and be left with these kinds?"""
    return policy.may_keep_only(kinds_left, in_force(account_id, now=now), now)


def require(
    account_id: int, *, from_: datetime, reason: str, set_by: str, keys_alone: bool = False, now: datetime
) -> bool:
    """Give a mandate by hand; with `keys_alone` a code from an app does not meet it (decision 0018).

    False when one of that strength by hand asks as early already: a date never moves back (POLICY 13).
    """
    words = reason if reason.endswith((".", "!", "?")) else f"{reason}."
    strength = Strength.PHISHING_RESISTANT if keys_alone else Strength.ANY_SECOND_FACTOR
    mandate = Mandate(phase="by-hand", reason=words, enforced_from=from_, strength=strength)
    source = BY_HAND_FOR_KEYS if keys_alone else BY_HAND
    return _give(account_id, mandate, source=source, set_by=set_by, now=now)


def link_account(account_id: int, username: str, *, now: datetime) -> None:
    """Give a new account what the registry says it maintains, and the mandate that follows at once.

    The name alone gives duties and no right over any package. Raises phases.BadPhases.
    """
    mine = update(Ownership).where(Ownership.account == username, Ownership.account_id.is_(None))
    linked = db.session().scalars(mine.values(account_id=account_id).returning(Ownership.id)).all()
    if not linked:
        return
    for owner_id, mandate in computed(phases.current(), now, only=Ownership.account_id == account_id).items():
        _give(owner_id, mandate, source=COMPUTED, set_by="import", now=now)


def apply(*, now: datetime, as_of: datetime | None = None) -> int:
    """Give every account the mandate its packages call for; returns how many were given or came nearer.

    The worker's task, in transactions of its own. `as_of` treats phases announced by then as announced.
    Never takes one away. Raises phases.BadPhases.
    """
    match_accounts()
    with db.transaction():
        wanted = computed(phases.current(), as_of or now)
        earliest = dict(db.session().execute(_COMPUTED_DATES).all())
    due = iter([(a, m) for a, m in wanted.items() if a not in earliest or m.enforced_from < earliest[a]])
    given = 0
    while some := list(islice(due, BATCH)):
        with db.transaction():
            given += sum(_give(a, m, source=COMPUTED, set_by="import", now=now) for a, m in some)
    return given


def computed(
    phases_: Iterable[Phase], as_of: datetime, *, only: ColumnElement[bool] | None = None
) -> dict[int, Mandate]:
    """By account, the mandate that follows from the packages of high impact it accepted to maintain."""
    owned = (
        select(Ownership.account_id, Package.ecosystem, Package.name, *FIGURES)
        .join(Package, and_(Package.ecosystem == Ownership.ecosystem, Package.name == Ownership.package))
        .where(Ownership.account_id.is_not(None), Ownership.accepted_at <= as_of, Package.high_impact)
        .where(is_current(Ownership), is_current(Package))
        .order_by(Ownership.account_id)
    )
    if only is not None:
        owned = owned.where(only)
    found = {}
    for account_id, rows in groupby(db.session().execute(owned), key=lambda row: row.account_id):
        packages = (Owned(ecosystem=row.ecosystem, name=row.name, impact=impact(row)) for row in rows)
        mandate = policy.required(packages, phases_, as_of)
        if mandate is not None:
            found[account_id] = mandate
    return found


def impact(row: Any) -> Impact:
    """The figures of a row that holds `FIGURES`."""
    return Impact(**{column.key: getattr(row, column.key) for column in FIGURES})


def standing() -> dict[int, Mandate]:
    """By account, the strictest mandate given so far."""
    rows = db.session().execute(
        select(MandateRow.account_id, *_MANDATES.selected_columns).order_by(MandateRow.account_id)
    )
    return {
        account_id: found
        for account_id, given in groupby(rows, key=lambda row: row.account_id)
        if (found := policy.strictest(_mandate(row) for row in given)) is not None
    }


def _mandate(row: Any) -> Mandate:
    strength = Strength.PHISHING_RESISTANT if row.source == BY_HAND_FOR_KEYS else Strength.ANY_SECOND_FACTOR
    return Mandate(phase=row.phase, reason=row.reason, enforced_from=row.enforced_from, strength=strength)


def _give(account_id: int, mandate: Mandate, *, source: str, set_by: str, now: datetime) -> bool:
    """Store a mandate, write it down, and tell its owner when it asks sooner than before.

    One statement decides whether it is new, so of two who apply at once only one tells. False when it is not.
    """
    before = upcoming(account_id, now=now)
    row = {"phase": mandate.phase, "reason": mandate.reason, "enforced_from": mandate.enforced_from}
    row |= {"set_by": set_by, "created_at": now}
    new = db.upsert(MandateRow).values(account_id=account_id, source=source, **row)
    sooner = new.on_conflict_do_update(
        index_elements=[MandateRow.account_id, MandateRow.source],
        set_=row,
        where=MandateRow.enforced_from > new.excluded.enforced_from,
    )
    if db.session().scalar(sooner.returning(MandateRow.id)) is None:
        return False
    audit.record(
        EventType.MANDATE_BEGUN,
        account_id=account_id,
        at=now,
        phase=mandate.phase,
        reason=mandate.reason,
        enforced_from=mandate.enforced_from.isoformat(),
        by=set_by,
    )
    for_keys = source == BY_HAND_FOR_KEYS
    if before is None or for_keys or mandate.enforced_from < before.enforced_from:
        kinds = frozenset(a.kind for a in accounts.enrolled(account_id, now=now))
        username = accounts.get(account_id).username
        mail.notify(
            account_id,
            "mandate_announced",
            subject=f"A second step is required for {username}",
            now=now,
            username=username,
            reason=mandate.reason,
            enforced_from=mandate.enforced_from,
            for_keys=for_keys,
            met=mandate.satisfied_by(kinds),
        )
    return True
