"""Who maintains packages together with somebody: whom a recovery asks and tells (POLICY 10)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, or_, select

from authsvc.accounts import SENIOR_AFTER, AccountRow
from authsvc.core import db
from authsvc.mandates.models import FIGURES, Ownership, Package, impact, is_current, of_account
from authsvc.policy.mandate import Owned
from authsvc.policy.recovery import SHARED_FOR, reach

_IS_OF = and_(Package.ecosystem == Ownership.ecosystem, Package.name == Ownership.package, is_current(Package))


@dataclass(frozen=True, kw_only=True)
class CoOwners:
    """Of one account. `package` is its highest-impact one, empty where it maintains none.

    `count` are the others who maintain that package, with an account here or not, seniors alone; `vouchers` those of
    them who may vouch; `fellows` all seniors who share any package, who hear and may object; `with_juniors` those, and
    whoever joined a moment ago: they are no judges (POLICY 13).
    """

    package: str = ""
    count: int = 0
    vouchers: frozenset[int] = frozenset()
    fellows: frozenset[int] = frozenset()
    with_juniors: frozenset[int] = frozenset()


def packages(account_id: int, *, now: datetime) -> list[Owned]:
    """What the account accepted to maintain, the highest impact first."""
    query = (
        select(Ownership.ecosystem, Ownership.package, *FIGURES)
        .join(Package, _IS_OF, isouter=True)
        .where(of_account(account_id), Ownership.accepted_at <= now, is_current(Ownership))
        .order_by(Ownership.ecosystem, Ownership.package)
    )
    found = [Owned(ecosystem=r.ecosystem, name=r.package, impact=impact(r)) for r in db.session().execute(query)]
    return sorted(found, key=lambda owned: reach(owned.impact), reverse=True)


def co_owners(account_id: int, *, now: datetime) -> CoOwners:
    """Who maintains the account's packages as well.

    A vouch takes that the package was shared for 90 days, and that the other account was here as long: a name at the
    registry alone gives no rights, so nobody may take the name of an absent maintainer and vouch.
    """
    accepted = (of_account(account_id), Ownership.accepted_at <= now, is_current(Ownership))
    own = (
        select(Ownership.ecosystem, Ownership.package, Ownership.accepted_at, *FIGURES)
        .join(Package, _IS_OF, isouter=True)
        .where(*accepted)
    )
    mine = {(row.ecosystem, row.package): row for row in db.session().execute(own)}
    if not mine:
        return CoOwners()
    top = max(sorted(mine), key=lambda name: reach(impact(mine[name])))
    names = select(Ownership.ecosystem, Ownership.package).where(*accepted).cte().prefix_with("MATERIALIZED").c
    others = (
        select(
            Ownership.ecosystem,
            Ownership.package,
            Ownership.account_id,
            Ownership.accepted_at,
            AccountRow.created_at,
            AccountRow.frozen_at,
            AccountRow.disabled_at,
        )
        .join(AccountRow, AccountRow.id == Ownership.account_id, isouter=True)
        .where(
            Ownership.ecosystem == names.ecosystem,
            Ownership.package == names.package,
            Ownership.accepted_at <= now,
            is_current(Ownership),
            or_(Ownership.account_id.is_(None), Ownership.account_id != account_id),
        )
    )
    everybody = db.session().execute(others).all()
    rows = [row for row in everybody if row.accepted_at <= now - SENIOR_AFTER]
    of_top = [row for row in rows if (row.ecosystem, row.package) == top]
    live = [row for row in rows if row.account_id is not None and row.disabled_at is None]
    long_ago = now - SHARED_FOR
    return CoOwners(
        package=top[1],
        count=len(of_top),
        vouchers=frozenset(
            row.account_id
            for row in live
            if row in of_top
            and row.frozen_at is None
            and max(mine[top].accepted_at, row.accepted_at, row.created_at) < long_ago
        ),
        fellows=frozenset(row.account_id for row in live),
        with_juniors=frozenset(row.account_id for row in everybody if row.account_id is not None),
    )
