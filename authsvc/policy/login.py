"""Sign-in: what does this pending login still need? The one door to every session and token.

Facts in, decision out. `login.service` gathers the facts and applies the decision.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from authsvc.core.assurance import AUTHENTICATORS, FIRST_FACTORS, PHISHING_RESISTANT, Acr, Factor
from authsvc.policy.hold import HoldCause
from authsvc.policy.mandate import Mandate


class Mailbox(StrEnum):
    """What the primary address may be used for at sign-in (POLICY 8, second column)."""

    GOOD = "good"  # a code proves the mailbox
    DOUBTFUL = "doubtful"  # a code may be sent, but the sign-in completes into a hold
    LOST = "lost"  # no code may be sent


def second_factors(enrolled: frozenset[Factor], *, mandate: Mandate | None, keys_only: bool) -> frozenset[Factor]:
    """Second factors that will do, at sign-in and in a reset: none where nothing is enrolled.

    Those that satisfy the mandate in force, or all where none does; keys and passkeys alone for an account that
    switched weaker ones off, also when it has none left (decision 0018). Raises nothing.
    """
    if enrolled and keys_only:
        return PHISHING_RESISTANT
    kinds = enrolled & mandate.strength.kinds if mandate is not None else frozenset[Factor]()
    usable: set[Factor] = set()
    for kind in kinds or enrolled:
        usable |= PHISHING_RESISTANT if kind in PHISHING_RESISTANT else {kind}
    return frozenset(usable)


def keys_alone(enrolled: frozenset[Factor], *, mandate: Mandate | None, keys_only: bool) -> bool:
    """Are keys and passkeys the only proofs of this account? Its owner said so, or a mandate does once there is one.

    Before, weaker ones are needed to enrol what it asks for; a second key is enrolled with the first. Source: decision
    0018.
    """
    asked_for = mandate is not None and mandate.strength.for_keys
    return keys_only or (asked_for and bool(enrolled & PHISHING_RESISTANT))


@dataclass(frozen=True, kw_only=True)
class LoginFacts:
    """What one pending login has shown, and what its account is."""

    proved: frozenset[Factor] = frozenset()
    senior: frozenset[Factor] = frozenset()  # those of `proved` whose authenticator is senior
    frozen: bool = False
    enrolled: Collection[Factor] = ()  # by authenticator: TOTP, SECURITY_KEY, PASSKEY
    code_also_needed: bool = False  # 20 wrong second factors in a row (POLICY 7)
    mailbox: Mailbox = Mailbox.GOOD
    mailbox_checked: bool = False
    code_waived: bool = False  # the operator asks for mailed codes from new browsers only, and this one is known
    senior_browser: bool = False  # first seen before the mail domain's last healthy look
    password_must_change: bool = False
    password_replaced: bool = False  # in this sign-in, because it had to be
    all_enrolled_here: bool = False  # nothing was enrolled before this sign-in began
    mandate: Mandate | None = None  # only when in force
    rehearsal: Mandate | None = None  # one that is not yet, in a brown-out
    postponed: bool = False  # "not today" was said in this sign-in
    keys_only: bool = False  # the owner switched weaker second steps off
    attested: bool = False  # one of `senior` is hardware whose attestation was verified
    long_absent: bool = False  # no sign-in for 12 months

    def sufficient(self) -> frozenset[Factor]:
        """Second factors that will do."""
        return second_factors(frozenset(self.enrolled), mandate=self.mandate, keys_only=self.keys_only)

    def acr(self) -> Acr:
        """The strength reached. Junior authenticators and recovery codes sign in and raise nothing (POLICY 1, 3)."""
        if Factor.RECOVERY_CODE in self.proved:
            return Acr.AAL1
        with_password = self.senior if Factor.PASSWORD in self.proved else frozenset()
        if Factor.PASSKEY in self.senior or Factor.SECURITY_KEY in with_password:
            return Acr.PHRH if self.attested else Acr.PHR
        return Acr.AAL2 if Factor.TOTP in with_password else Acr.AAL1

    def rehearsed(self) -> Mandate | None:
        """What a brown-out asks for, unless postponed. A known browser alone, with a lost mailbox, enrols nothing."""
        by_browser_alone = self.mailbox is Mailbox.LOST and not self.enrolled
        return None if self.postponed or by_browser_alone else self.rehearsal

    def hold_cause(self) -> HoldCause | None:
        """Why this sign-in completes into a hold, if it does (POLICY 5)."""
        strong = bool(self.proved & AUTHENTICATORS) and not self.all_enrolled_here  # or it would prove itself
        if Factor.RECOVERY_CODE in self.proved:
            return HoldCause.RECOVERY_CODE
        if self.password_replaced and not strong:
            return HoldCause.FORCED_PASSWORD
        if self.mailbox is not Mailbox.GOOD and not strong:
            return HoldCause.DOUBTFUL_MAILBOX
        return HoldCause.LONG_ABSENCE if self.long_absent else None


@dataclass(frozen=True)
class AskFirstFactor:
    """Nothing is proved yet."""


@dataclass(frozen=True)
class ExplainFreeze:
    """The account is frozen; only somebody with a first factor is told."""


@dataclass(frozen=True)
class AskSecondFactor:
    """One of these, or a recovery code."""

    any_of: frozenset[Factor]


@dataclass(frozen=True)
class AskEmailCode:
    """A code mailed to the primary address."""


@dataclass(frozen=True)
class GoToRecovery:
    """The mailbox proves nothing any more and nothing else is enrolled."""


@dataclass(frozen=True)
class ReplacePassword:
    """The password is known to be in other hands."""


@dataclass(frozen=True)
class EnrolFactor:
    """A mandate asks for a factor that is not enrolled yet. In a brown-out its owner may say "not today"."""

    mandate: Mandate
    may_postpone: bool = False


@dataclass(frozen=True)
class Complete:
    """Issue a session of this strength; begin a hold where there is a cause."""

    acr: Acr
    hold: HoldCause | None


Step = (
    AskFirstFactor
    | ExplainFreeze
    | AskSecondFactor
    | AskEmailCode
    | GoToRecovery
    | ReplacePassword
    | EnrolFactor
    | Complete
)


def next_step(facts: LoginFacts) -> Step:
    """What this pending login still needs.

    Rules run top to bottom; the first that applies decides. Raises nothing. Source: POLICY 2.
    """
    if not facts.proved & FIRST_FACTORS:  # a code or a key alone opens nothing
        return AskFirstFactor()
    if facts.frozen:
        return ExplainFreeze()
    if facts.enrolled:
        if not facts.proved & (facts.sufficient() | {Factor.RECOVERY_CODE}):
            return AskSecondFactor(facts.sufficient())
        guessable = not facts.proved & PHISHING_RESISTANT  # a key was not found by trying
        if facts.code_also_needed and guessable and facts.mailbox is not Mailbox.LOST and not facts.mailbox_checked:
            return AskEmailCode()
    elif facts.mailbox is Mailbox.LOST:
        if facts.mandate is not None or not facts.senior_browser:
            return GoToRecovery()
    elif not facts.mailbox_checked and not (facts.code_waived and facts.mandate is None and facts.rehearsal is None):
        return AskEmailCode()  # a fresh one always before something is enrolled
    if facts.password_must_change and Factor.PASSWORD in facts.proved:
        return ReplacePassword()
    if facts.mandate is not None and not facts.mandate.satisfied_by(facts.enrolled):
        return EnrolFactor(facts.mandate)
    rehearsal = facts.rehearsed()
    if rehearsal is not None and not rehearsal.satisfied_by(facts.enrolled):
        return EnrolFactor(rehearsal, may_postpone=True)
    return Complete(acr=facts.acr(), hold=facts.hold_cause())


UNFINISHED_END_PASSWORD = 3  # right passwords in new browsers that went no further (POLICY 2)


@dataclass(frozen=True)
class Unfinished:
    """What follows from sign-ins that proved the password alone and ended."""

    tell: bool
    replace_password: bool


def unfinished(*, before: int, fresh: int, in_last_day: int) -> Unfinished:
    """What follows from `fresh` more of them, with `before` since the password was set and `in_last_day` in 24 hours.

    The owner is told until a new password is due, which the mail says; then once a day, so that whoever knows the
    password cannot fill the mailbox with what its owner knows. Source: POLICY 2, last paragraph.
    """
    return Unfinished(
        tell=before < UNFINISHED_END_PASSWORD or in_last_day == 0,
        replace_password=before + fresh >= UNFINISHED_END_PASSWORD,
    )
