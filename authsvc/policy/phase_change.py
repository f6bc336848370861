"""A change of a phase: may one person of the service make it, or do two have to want it?

Facts in, decision out. Source: POLICY 13. `mandates.phase_changes` carries out what follows.
"""

from datetime import timedelta
from enum import StrEnum

from authsvc.policy.cohort import Cohort, Phase, RankBy

NOTICE = timedelta(hours=24)  # whoever is stopped sooner than that is stopped by two people


class SecondPerson(StrEnum):
    """Why a change takes one."""

    WEAKENS = "weakens"
    LETS_GO = "lets_go"  # people who were given it, of a phase that there was before
    STOPS_SOON = "stops_soon"  # strengthens, and would keep people out this very hour


def second_person(old: Phase | None, new: Phase | None, *, lets_go: bool, stops_soon: bool) -> SecondPerson | None:
    """Why a change takes a second person; None where one is enough.

    `lets_go`: somebody holds a mandate of that name whom the new rule does not reach, and leaves after 90 days.
    `stops_soon`: somebody would be stopped within NOTICE who would not be without it.
    """
    if weakens(old, new):
        return SecondPerson.WEAKENS
    if old is None and lets_go:  # an older phase of that name is gone, and what it gave is not
        return SecondPerson.LETS_GO
    return SecondPerson.STOPS_SOON if stops_soon else None


def weakens(old: Phase | None, new: Phase | None) -> bool:
    """True for a phase taken away, a later day, a lesser strength, a longer grace, or a cohort that may be smaller.

    None: there was no such phase, or there will be none. Where one cohort does not plainly contain the other it counts
    as smaller: to be asked for a second person too often does no harm.
    """
    if old is None:
        return False
    if new is None:
        return True
    return (
        new.enforced_from > old.enforced_from
        or new.announced > old.announced
        or new.strength.rank < old.strength.rank
        or new.grace > old.grace
        or not contains(new.cohort, old.cohort)
    )


def contains(wide: Cohort, narrow: Cohort) -> bool:
    """Is everybody whom `narrow` takes in or keeps also in `wide`, whatever the packages?"""
    if wide.everybody:
        return True
    if narrow.everybody or not (narrow.packages <= wide.packages and narrow.accounts <= wide.accounts):
        return False
    return not narrow.by_reach or (wide.by_reach and _thresholds(wide, narrow) and _ranks(wide, narrow))


def _thresholds(wide: Cohort, narrow: Cohort) -> bool:
    asked = [(wide.weekly_downloads, narrow.weekly_downloads), (wide.dependents, narrow.dependents)]
    if all(one is None for one, _ in asked):  # ranks alone
        return True
    if all(other is None for _, other in asked):
        return False
    return all(other is None or (one is not None and one <= other) for one, other in asked)


def _ranks(wide: Cohort, narrow: Cohort) -> bool:
    if wide.top is None:
        return True
    return narrow.top is not None and wide.top >= narrow.top and wide.by in {narrow.by, RankBy.EITHER}
