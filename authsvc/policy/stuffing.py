"""Stuffing and spraying: which networks are slowed, whose password was sprayed, who hashes first? (POLICY 7)

Facts in, decision out. `authsvc/stuffing.py` counts and `passwords` applies. Counts are of *distinct* things: an honest
person who types the same wrong password ten times is one pair, a list of stolen pairs is as many as it is long.

The figures and where they come from: decision 0015.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

# Counts reach back over the present period and the one before: one to two of them, half an hour to an hour.
NETWORK_PERIOD = timedelta(minutes=30)
SITE_PERIOD = timedelta(minutes=5)
PASSWORD_PERIOD = timedelta(days=1)  # also how long a key of the sketch lives
REMEMBER_UP_TO = 160  # members of one set: above every threshold, so nothing more needs remembering


class Turn(IntEnum):
    """Who hashes first. Lower goes first."""

    KNOWN = 0  # a browser the account knows, or one that proved the mailbox
    STRANGER = 1
    SUSPECT = 2  # its network tripped a detector


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From which count on; each for one process, which sees its share of the traffic."""

    pairs: int = 30  # wrong pairs of name and password from one IPv4 address or IPv6 /64
    wide_pairs: int = 150  # the same from one IPv6 /48: a provider's customer, or a small provider
    sprayed: int = 4  # sprayed passwords tried by one network
    accounts: int = 10  # accounts that one wrong password was tried against
    failing: int = 60  # accounts that failed on the whole site


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was counted, in this process or, with Redis, everywhere."""

    pairs: int = 0
    wide_pairs: int = 0
    sprayed: int = 0
    failing: int = 0


def thresholds(processes: int) -> Thresholds:
    """The figures for one of so many processes that do not share their counts; 1 where they do.

    No figure falls so low that one person's mistakes reach it.
    """
    whole = Thresholds()

    def share(figure: int, least: int) -> int:
        return max(least, math.ceil(figure / processes))

    return Thresholds(
        pairs=share(whole.pairs, 10),
        wide_pairs=share(whole.wide_pairs, 40),
        sprayed=share(whole.sprayed, 3),
        accounts=share(whole.accounts, 6),
        failing=share(whole.failing, 20),
    )


def tripped(seen: Seen, limits: Thresholds) -> bool:
    """True when a network tries stolen pairs or sprayed passwords; whoever is not known there is slowed."""
    return seen.pairs >= limits.pairs or seen.wide_pairs >= limits.wide_pairs or seen.sprayed >= limits.sprayed


def under_pressure(seen: Seen, limits: Thresholds) -> bool:
    """True when so many accounts fail at once that strangers get fewer places to wait."""
    return seen.failing >= limits.failing


def is_sprayed(accounts: int, limits: Thresholds) -> bool:
    """True for a password that was wrong for so many accounts that somebody must be trying it everywhere."""
    return accounts >= limits.accounts


def turn(*, known: bool, network_tripped: bool) -> Turn:
    """A known browser goes first, wherever it is: its network changes, and may be shared with an attacker."""
    if known:
        return Turn.KNOWN
    return Turn.SUSPECT if network_tripped else Turn.STRANGER
