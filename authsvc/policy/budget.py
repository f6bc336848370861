"""Budgets: may this guess be tried, and if not, when next? (POLICY 7)

A budget counts charges in sliding windows and, for passwords, makes each further failure wait longer.
There is no hard lock-out: time alone always opens the door again.
"""

from dataclasses import dataclass
from datetime import timedelta

# After so many failures in a row a delay grows from FIRST_DELAY, doubling, up to MAX_DELAY.
FIRST_DELAY = timedelta(seconds=30)
MAX_DELAY = timedelta(minutes=15)
STREAK_IS_TOLD = 3  # wrong second factors in a row after which the owner hears of them (attack T03)
STREAK_NEEDS_CODE = 20  # second-factor failures in a row after which a mailed code is asked for as well


@dataclass(frozen=True)
class Limits:
    """Charges allowed per window; `delay_from`: failures in a row after which delays grow."""

    windows: tuple[tuple[int, timedelta], ...]
    delay_from: int | None = None


BUDGETS: dict[str, Limits] = {
    "password": Limits(((10, timedelta(minutes=5)),), delay_from=10),
    "second_factor": Limits(
        ((5, timedelta(minutes=5)), (20, timedelta(hours=1)), (50, timedelta(days=1))), delay_from=20
    ),
    "mailed_code": Limits(((5, timedelta(hours=1)),)),
    "reset_link": Limits(((5, timedelta(days=1)),)),
    # Right codes count too, and nothing clears this one: codes of one's own are to be had for the asking.
    "user_code": Limits(((5, timedelta(minutes=5)), (20, timedelta(hours=1)))),
    "user_code_site": Limits(((600, timedelta(minutes=5)),)),  # RFC 8628, 5.1: everybody together, against 34 bits
    # Not guesses but mails that strangers can cause: of one event one so often, other events apart.
    "tries_mail": Limits(((1, timedelta(minutes=15)),)),
    "second_factor_mail": Limits(((1, timedelta(hours=1)),)),
}


@dataclass(frozen=True)
class Spent:
    """What was charged: times in seconds since 1970 (oldest first), and failures since the last success."""

    times: tuple[float, ...] = ()
    streak: int = 0


@dataclass(frozen=True)
class Charged:
    """The guess may be tried; this is the new state."""

    spent: Spent


@dataclass(frozen=True)
class Refused:
    """Not now; seconds since 1970 from when on it may be tried again."""

    until: float


def charge(spent: Spent, limits: Limits, now: float) -> Charged | Refused:
    """Charge one guess, or say when the next one may come. `now` in seconds since 1970. Source: POLICY 7."""
    until = now
    for count, window in limits.windows:
        inside = [t for t in spent.times if t > now - window.total_seconds()]
        if len(inside) >= count:
            until = max(until, inside[-count] + window.total_seconds())
    if limits.delay_from is not None and spent.streak >= limits.delay_from and spent.times:
        doublings = min(spent.streak - limits.delay_from, 10)
        delay = min(FIRST_DELAY * 2**doublings, MAX_DELAY)
        until = max(until, spent.times[-1] + delay.total_seconds())
    if until > now:
        return Refused(until)
    keep = max(window.total_seconds() for _, window in limits.windows)
    recent = tuple(t for t in spent.times if t > now - keep)
    return Charged(Spent(times=(*recent, now), streak=spent.streak + 1))
