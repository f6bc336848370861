"""The one permission table: what each action asks of whoever does it (POLICY 3 to 5), and what a step-up takes.

`access` applies it before every view; a step-up is asked for by the view that names its parameters.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from authsvc.core.assurance import AUTHENTICATORS, PHISHING_RESISTANT, Action, Factor, Principal


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one action asks for."""

    in_hold: bool  # allowed while the account is in a hold (POLICY 5: sign in and out, read, revoke, add)
    under_unmet_mandate: bool = False  # allowed before what a mandate asks for is enrolled: read, end, revoke, enrol
    step_up: bool = False  # proved again, bound to the action and its parameters (POLICY 4)
    scope: str | None = None  # a token with this scope may do it; without one only a session may


TABLE: dict[Action, Rule] = {
    Action.READ_ACCOUNT: Rule(in_hold=True, under_unmet_mandate=True),
    Action.SIGN_OUT: Rule(in_hold=True, under_unmet_mandate=True),
    Action.END_SESSIONS: Rule(in_hold=True, under_unmet_mandate=True),
    Action.FORGET_BROWSER: Rule(in_hold=True, under_unmet_mandate=True),
    Action.REVOKE_TOKEN: Rule(in_hold=True, under_unmet_mandate=True),
    Action.STEP_UP: Rule(in_hold=True, under_unmet_mandate=True),
    Action.RENAME_AUTHENTICATOR: Rule(in_hold=False),
    Action.ADD_AUTHENTICATOR: Rule(in_hold=True, under_unmet_mandate=True, step_up=True),
    Action.REMOVE_AUTHENTICATOR: Rule(in_hold=False, step_up=True),
    Action.RENEW_RECOVERY_CODES: Rule(in_hold=False, under_unmet_mandate=True, step_up=True),
    Action.SWITCH_WEAKER_WAYS: Rule(in_hold=False, step_up=True),
    Action.CHANGE_PASSWORD: Rule(in_hold=False, step_up=True),
    Action.ADD_ADDRESS: Rule(in_hold=True, step_up=True),
    Action.VERIFY_ADDRESS: Rule(in_hold=True),
    Action.REMOVE_ADDRESS: Rule(in_hold=False, step_up=True),
    Action.CHANGE_PRIMARY_ADDRESS: Rule(in_hold=False, step_up=True),
    Action.SIGN_IN_TO_CLIENT: Rule(in_hold=True),
    Action.GRANT_READ: Rule(in_hold=True),
    Action.GRANT_WRITE: Rule(in_hold=False, step_up=True),
    Action.CONSENT_TO_WRITE: Rule(in_hold=False, step_up=True),
    Action.READ_USERINFO: Rule(in_hold=True, under_unmet_mandate=True, scope="openid"),
}


@dataclass(frozen=True)
class Allowed:
    """Go on; `step_up` says that the proof for this very action is still to come."""

    step_up: bool = False


@dataclass(frozen=True)
class SignInNeeded:
    """Nobody is signed in, or by something that cannot do this."""


@dataclass(frozen=True)
class Refused:
    """Not in this state; `reason` is `in_hold`, `mandate_unmet` or `insufficient_scope`."""

    reason: str


def decide(action: Action, principal: Principal | None) -> Allowed | SignInNeeded | Refused:
    """May this caller do this? Rules run top to bottom; the first that applies decides. Raises nothing."""
    rule = TABLE[action]
    if principal is None:
        return SignInNeeded()
    if principal.token_id is not None and (rule.scope is None or rule.scope not in principal.scopes):
        return Refused("insufficient_scope")
    if principal.in_hold and not rule.in_hold:
        return Refused("in_hold")
    if principal.mandate_unmet and not rule.under_unmet_mandate:
        return Refused("mandate_unmet")
    return Allowed(step_up=rule.step_up)


@dataclass(frozen=True)
class StepUpProofs:
    """Any one of these sets of proofs will do; empty: nothing can, go to recovery. `mailbox`: a mailed code as well."""

    any_of: tuple[frozenset[Factor], ...]
    mailbox: bool = False

    def met_by(self, proved: frozenset[Factor], *, mailbox_checked: bool) -> bool:
        """True when what was proved for this action suffices."""
        return any(needed <= proved for needed in self.any_of) and (mailbox_checked or not self.mailbox)


def step_up_proofs(senior: Iterable[Factor], *, mailbox_usable: bool, keys_alone: bool = False) -> StepUpProofs:
    """What a step-up takes: a senior authenticator of the strongest class the account has (POLICY 4).

    A key without user verification stands only beside the password (attack W03). Accounts without a senior
    authenticator prove password and mailbox; where the mailbox is lost, nothing here will do. Nor will anything
    where keys are the only proofs (`login.keys_alone`) and none is senior yet.
    """
    kinds = frozenset(senior) & AUTHENTICATORS
    if kinds & PHISHING_RESISTANT:
        return StepUpProofs((frozenset({Factor.PASSKEY}), frozenset({Factor.SECURITY_KEY, Factor.PASSWORD})))
    if keys_alone:
        return StepUpProofs(())
    if Factor.TOTP in kinds:
        return StepUpProofs((frozenset({Factor.TOTP}),))
    return StepUpProofs((frozenset({Factor.PASSWORD}),), mailbox=True) if mailbox_usable else StepUpProofs(())
