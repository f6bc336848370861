"""The days of a mandate: when is its owner told, and when is it rehearsed?

Facts in, decision out. `mandates.telling` writes the mails, `login` rehearses in brown-outs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from authsvc.policy.mandate import Mandate


@dataclass(frozen=True)
class Announce:
    """Tell what is asked from when. Also to those who comply already."""


@dataclass(frozen=True)
class Remind:
    """So many days are left."""

    days: int


@dataclass(frozen=True)
class Enforced:
    """The day has come."""


Notice = Announce | Remind | Enforced


@dataclass(frozen=True, kw_only=True)
class Exemption:
    """Nothing is asked of an account meanwhile."""

    starts_at: datetime
    until: datetime


def effective(mandate: Mandate, exemption: Exemption | None, now: datetime) -> Mandate:
    """The mandate as it holds for an account that is or was exempt: from the end of the exemption, if that is later."""
    if exemption is None or now < exemption.starts_at:
        return mandate
    return replace(mandate, enforced_from=max(mandate.enforced_from, exemption.until))


@dataclass(frozen=True, kw_only=True)
class Days:
    """What the moments of a mandate follow from."""

    given_at: datetime  # or came nearer, or asked for more
    enforced_from: datetime
    reminders: tuple[int, ...]
    known_since: datetime | None = None  # an exemption put the day off then, which its owner was told

    def moments(self) -> list[tuple[datetime, Notice]]:
        """When something is told, in order. What lies before the mandate was given, the announcement says."""
        since = max(self.given_at, self.known_since or self.given_at)
        ahead: list[tuple[datetime, Notice]] = [
            (self.enforced_from - timedelta(days=days), Remind(days)) for days in self.reminders
        ]
        ahead.append((self.enforced_from, Enforced()))
        later = sorted((moment for moment in ahead if moment[0] > since), key=lambda moment: moment[0])
        return [(self.given_at, Announce()), *later]


def notice_due(days: Days, *, told_before: datetime, now: datetime) -> Notice | None:
    """What has to be told now, of the moments from `told_before` on; None when nothing.

    After an outage one mail stands for all that were missed: the announcement, which says everything, else the newest.
    """
    due = [notice for at, notice in days.moments() if told_before <= at <= now]
    if not due:
        return None
    return due[0] if isinstance(due[0], Announce) else due[-1]


def next_moment(days: Days, now: datetime) -> datetime | None:
    """When there will be something to tell again; None when all was told."""
    return next((at for at, _ in days.moments() if at > now), None)


def rehearsed(mandate: Mandate, brown_outs: Iterable[tuple[datetime, datetime]], now: datetime) -> bool:
    """Is a sign-in asked now as if the day had come? In a brown-out before it; from the day on there is none."""
    return not mandate.in_force(now) and any(begin <= now < end for begin, end in brown_outs)
