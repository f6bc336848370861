"""Freezes: what opens a frozen account again (POLICY 5). Never time alone.

A freeze disputes everything since one moment. Only what is older than that moment counts.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from authsvc.core.assurance import Factor

WAIT = timedelta(hours=72)  # where the account had no authenticator and nothing stands beside the mailbox
DELETED_AFTER = timedelta(days=30)


class FreezeCause(StrEnum):
    """Who froze the account. Stored, so never reworded."""

    OWNER = "owner"  # "this was not me"
    OPERATOR = "operator"
    DELETION = "deletion"


@dataclass(frozen=True, kw_only=True)
class UnfreezeFacts:
    """What one attempt to open the account has shown, and what the account had when the disputed thing happened."""

    older: frozenset[Factor] = frozenset()  # kinds that were senior then, those removed since included
    contested: bool = False  # what is disputed was senior before the freeze, or the mailbox's domain changed
    proved: frozenset[Factor] = frozenset()  # with one of those, in this attempt
    mailbox: bool = False  # a link that went to an address older than the dispute, past the reset gate
    password: bool = False  # the one that was valid then
    senior_browser: bool = False  # senior then
    waited: bool = False  # WAIT is over
    vetoed: bool = False  # by something disputed


@dataclass(frozen=True)
class Unfreeze:
    """Open it: new password, confirmation of what is disputed, a hold."""

    by_authenticator: bool


@dataclass(frozen=True)
class AskAuthenticator:
    """One of these, enrolled before the disputed moment."""

    any_of: frozenset[Factor]


@dataclass(frozen=True)
class AskMailbox:
    """Start at /recovery: a link to an older address."""


@dataclass(frozen=True)
class AskPassword:
    """The password from before the dispute: beside a key that verified nobody, or, `or_wait`, beside a mailbox."""

    or_wait: bool


@dataclass(frozen=True)
class AskWait:
    """Mailbox and password or browser are shown; whoever has what is disputed may object for WAIT."""


@dataclass(frozen=True)
class AskPeople:
    """Somebody objected: two people of the service decide."""


Step = Unfreeze | AskAuthenticator | AskMailbox | AskPassword | AskWait | AskPeople


def decide(facts: UnfreezeFacts) -> Step:
    """What is still needed. Rules run top to bottom; the first that applies decides. Raises nothing.

    A code from an app stands beside mailbox or password, a key that verified nobody beside the password (attack W03).
    Whoever holds the mailbox has links to moments before the owner enrolled their first authenticator, and must not get
    past it by one of them (attack R10): the mailbox alone never does, and with the password it may object for 72 hours.
    Source: POLICY 5, decision 0019.
    """
    if facts.older:
        if Factor.PASSKEY in facts.proved or (facts.proved and facts.password):
            return Unfreeze(by_authenticator=True)
        if Factor.TOTP in facts.proved and facts.mailbox:
            return Unfreeze(by_authenticator=True)
        if Factor.SECURITY_KEY in facts.proved:
            return AskPassword(or_wait=False)
        if facts.mailbox or facts.password:
            return AskAuthenticator(facts.older)
        return AskAuthenticator(frozenset({Factor.PASSKEY})) if Factor.PASSKEY in facts.older else AskMailbox()
    if not facts.mailbox:
        return AskMailbox()
    beside = facts.password or facts.senior_browser
    if beside and not facts.contested:
        return Unfreeze(by_authenticator=False)
    if facts.vetoed:
        return AskPeople()
    if facts.contested and not (beside and facts.waited):
        return AskWait() if beside else AskPassword(or_wait=False)
    return Unfreeze(by_authenticator=False) if facts.waited else AskPassword(or_wait=True)
