"""How much depends on an account: its packages' figures, its rank among accounts, and why, in words."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, func, select

from authsvc.core import db
from authsvc.mandates.models import FIGURES, Ownership, Package, is_current
from authsvc.mandates.models import impact as impact_of
from authsvc.mandates.models import of_account as is_of_account
from authsvc.policy.mandate import HIGH_DEPENDENTS, HIGH_WEEKLY_DOWNLOADS, Impact
from authsvc.policy.recovery import reach


@dataclass(frozen=True, kw_only=True)
class Reach:
    """All that an account's packages have of one figure, and its rank among accounts; None where there is none.

    Accounts with as much share a rank; a name at the registry without an account here has none.
    """

    total: int
    rank: int | None


@dataclass(frozen=True, kw_only=True)
class Maintained:
    """A package, in the role that the registry names, and why it matters. `accepted_at` None: an invitation."""

    id: int  # of the row that says so, which another import may replace
    ecosystem: str
    name: str
    role: str
    accepted_at: datetime | None
    impact: Impact
    reason: str


@dataclass(frozen=True, kw_only=True)
class AccountImpact:
    """An account's packages, the highest impact first; figures count accepted ones alone."""

    dependents: Reach
    downloads: Reach
    packages: tuple[Maintained, ...]


# Where a figure is missing its flag stands for the threshold.
_DOWNLOADS = func.coalesce(
    Package.weekly_downloads, case((Package.weekly_ge_1m.is_(True), HIGH_WEEKLY_DOWNLOADS), else_=0)
)
_DEPENDENTS = func.coalesce(Package.dependents, case((Package.dependents_ge_500.is_(True), HIGH_DEPENDENTS), else_=0))
_IS_OF = and_(Package.ecosystem == Ownership.ecosystem, Package.name == Ownership.package, is_current(Package))


def of_account(account_id: int, *, now: datetime) -> AccountImpact:
    """What depends on an account. Ranking goes through all accounts that own something: for commands and staff."""
    counted = (Ownership.account_id.is_not(None), Ownership.accepted_at <= now, is_current(Ownership))
    totals = (
        select(
            Ownership.account_id,
            func.sum(_DOWNLOADS).label("downloads"),
            func.sum(_DEPENDENTS).label("dependents"),
        )
        .join(Package, _IS_OF)
        .where(*counted)
        .group_by(Ownership.account_id)
    )
    mine = db.session().execute(totals.where(is_of_account(account_id))).first()
    downloads, dependents = (int(mine.downloads), int(mine.dependents)) if mine else (0, 0)
    everybody = totals.subquery()
    before = select(
        func.count().filter(everybody.c.downloads > downloads),
        func.count().filter(everybody.c.dependents > dependents),
    ).select_from(everybody)
    above = db.session().execute(before).one()
    return AccountImpact(
        downloads=Reach(total=downloads, rank=above[0] + 1 if downloads else None),
        dependents=Reach(total=dependents, rank=above[1] + 1 if dependents else None),
        packages=packages_of(account_id),
    )


def packages_of(
    account_id: int, *conditions: ColumnElement[bool], at_most: int | None = None
) -> tuple[Maintained, ...]:
    """What the registry names an account for, accepted or not, the highest impact first.

    Only what meets the conditions on `Ownership`, and of more than `at_most` those that were named first.
    """
    query = (
        select(Ownership.id, Ownership.ecosystem, Ownership.package, Ownership.role, Ownership.accepted_at, *FIGURES)
        .join(Package, _IS_OF, isouter=True)
        .where(is_of_account(account_id), is_current(Ownership), *conditions)
        .order_by(*((Ownership.ecosystem, Ownership.package) if at_most is None else (Ownership.id,)))
        .limit(at_most)
    )
    found = [
        Maintained(
            id=row.id,
            ecosystem=row.ecosystem,
            name=row.package,
            role=row.role,
            accepted_at=row.accepted_at,
            impact=known,
            reason=f"{row.role} of {row.package}: {figures_in_words(known)}",
        )
        for row, known in ((row, impact_of(row)) for row in db.session().execute(query))
    ]
    return tuple(sorted(found, key=lambda package: reach(package.impact), reverse=True))


def figures_in_words(impact: Impact) -> str:
    """Figures as people read them: "2.1 M weekly downloads, 640 dependents". A flag says no more than its threshold."""
    words = []
    if impact.weekly_downloads is not None:
        words.append(f"{_short(impact.weekly_downloads)} weekly downloads")
    elif impact.many_downloads:
        words.append(f"{_short(HIGH_WEEKLY_DOWNLOADS)} weekly downloads or more")
    if impact.dependents is not None:
        words.append(f"{_short(impact.dependents)} dependents")
    elif impact.many_dependents:
        words.append(f"{_short(HIGH_DEPENDENTS)} dependents or more")
    return ", ".join(words) or "no figures known"


def _short(number: int) -> str:
    return f"{number / 1_000_000:,.1f} M" if number >= 1_000_000 else f"{number:,}"
