"""Holds: what begins one and how long it lasts (POLICY 5). An account in a hold signs in; risky actions wait."""

from datetime import datetime, timedelta
from enum import StrEnum

HOLD_OF_MAINTAINERS = timedelta(hours=72)  # accounts that own packages or have a mandate
HOLD_OF_OTHERS = timedelta(hours=24)
ABSENCE = timedelta(days=365)  # POLICY 5: first sign-in after 12 months without one


class HoldCause(StrEnum):
    """Why an account is in a hold. Stored, so never reworded."""

    ADDRESS_CHANGE = "address_change"
    RESET = "reset"
    RECOVERY_CODE = "recovery_code"
    FACTOR_REMOVED = "factor_removed"
    FORCED_PASSWORD = "forced_password"
    LONG_ABSENCE = "long_absence"
    DOUBTFUL_MAILBOX = "doubtful_mailbox"
    OPERATOR = "operator"
    FREEZE = "freeze"
    REPLACED = "replaced"
    RECOVERY = "recovery"


def duration(cause: HoldCause, *, owns_packages: bool, mandated: bool) -> timedelta:
    """How long a hold lasts when nothing older ends it early."""
    long = owns_packages or mandated or cause is HoldCause.FREEZE
    return HOLD_OF_MAINTAINERS if long else HOLD_OF_OTHERS


def may_end_early(*, began_at: datetime, enrolled_at: datetime, senior: bool) -> bool:
    """An authenticator that is senior and older than the cause ends a hold; nothing else does (POLICY 5)."""
    return senior and enrolled_at < began_at
