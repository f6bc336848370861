"""Mass change: so many domains at once do not lapse or change hands; our resolver, or a registry, is wrong instead.

Facts in, decision out. `domains` counts, and holds back what is found (decision 0025).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

PERIOD = timedelta(hours=24)
SHARE = 0.01  # of all established registrable domains
TLD_SHARE = 0.05  # of those under one top-level domain: one registry may be wrong
AT_LEAST = 50  # so many may always change: below that a share says nothing
ESTABLISHED_AFTER = timedelta(days=30)  # of an account at the domain; new domains are an attacker's to make and to drop

# Mailboxes of so many people stand there that a change is staff's to believe.
PINNED = frozenset(
    {
        "163.com",
        "aol.com",
        "daum.net",
        "fastmail.com",
        "free.fr",
        "gmail.com",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hey.com",
        "hotmail.com",
        "icloud.com",
        "libero.it",
        "live.com",
        "mail.com",
        "mail.ru",
        "me.com",
        "msn.com",
        "naver.com",
        "orange.fr",
        "outlook.com",
        "pm.me",
        "posteo.de",
        "proton.me",
        "protonmail.com",
        "qq.com",
        "seznam.cz",
        "tutanota.com",
        "web.de",
        "yahoo.co.jp",
        "yahoo.com",
        "yandex.ru",
        "zoho.com",
    }
)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Established registrable domains: how many there are, and how many changed within PERIOD.

    The present one included; counted as `causes` does.
    """

    changed: int
    established: int
    changed_under_tld: int
    established_under_tld: int


def causes(changes: Iterable[tuple[str, str]]) -> set[str]:
    """The registrable domains to count, given those of each mail domain that changed and of what changed its hands.

    The latter is the mail domain itself, or a mail host's. Each counts once, on either side: one expired name, or one
    zone full of names that point at many such, costs an attacker nothing.
    """
    own, found = set[str](), set[str]()
    for name, cause in changes:
        if name not in own and cause not in found:
            own.add(name)
            found.add(cause)
    return found


def too_many(seen: Changes) -> bool:
    """True when a change is to be held back until staff have decided. Source: issue 4, "Verdicts and state"."""
    return seen.changed > max(AT_LEAST, SHARE * seen.established) or seen.changed_under_tld > max(
        AT_LEAST, TLD_SHARE * seen.established_under_tld
    )
