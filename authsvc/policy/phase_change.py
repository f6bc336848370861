"""A change of a phase: does it weaken protection, so that two people of the service have to want it?

Facts in, decision out. Source: POLICY 13. `mandates.phase_changes` carries out what follows.
"""

from authsvc.policy.cohort import Cohort, Phase, RankBy


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
