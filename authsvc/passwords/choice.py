"""Which new passwords are refused, and what the person is told (NIST SP 800-63B-4, 3.1.1.2)."""

from zxcvbn_rs_py import zxcvbn

from authsvc import adapters
from authsvc.core import db
from authsvc.core.web import settings

MAX_LENGTH = 1024
SERVICE_NAME = "authsvc"
USERNAME_COUNTS_FROM = 4  # letters; shorter names are in too many words
# Below this many guesses (estimated from dictionaries of common passwords and words) a password counts as common.
COMMON_BELOW_GUESSES = 10**8
ESTIMATED_PREFIX = 72  # the estimate's cost grows with length (attack L13); a longer password is not weaker


def problem_with(password: str, *, username: str) -> str | None:
    """Why this password cannot be taken, in words for its owner; None when it can.

    Asks the breached-password service, with no transaction open; a failure there never blocks.
    """
    minimum = settings().password_min_length
    if len(password) < minimum:
        return f"Use {minimum} characters or more. A few unrelated words work well."
    if len(password) > MAX_LENGTH:
        return f"Use at most {MAX_LENGTH:,} characters."
    lowered = password.lower()
    if len(username) >= USERNAME_COUNTS_FROM and username.lower() in lowered:
        return "Leave your user name out of the password."
    if SERVICE_NAME in lowered:
        return "Leave the name of this service out of the password."
    if zxcvbn(password[:ESTIMATED_PREFIX], [username]).guesses < COMMON_BELOW_GUESSES:
        return "This is too close to passwords that are tried first. A few unrelated words work well."
    if known_breached(password):
        return "This password is in lists of leaked passwords that attackers use. Choose one you use nowhere else."
    return None


def known_breached(password: str) -> bool | None:
    """True when the range service knows the password, False when not, None when it could not be asked."""
    db.commit()
    found = adapters.current().breaches.count(password)
    return None if found is None else found > 0
