"""The one permission table: what each action asks of whoever does it (POLICY 3 to 5, 13), and what a step-up takes.

`access` applies it before every view; a step-up is asked for by the view that names its parameters.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from authsvc.core.assurance import AUTHENTICATORS, PHISHING_RESISTANT, Acr, Action, Factor, Lack, Principal, Program


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one action asks for."""

    in_hold: bool  # allowed in a hold, or before what is enrolled is senior (POLICY 5: sign in, read, revoke, add)
    under_unmet_mandate: bool = False  # allowed before what a mandate asks for is enrolled and shown: read, end, enrol
    step_up: bool = False  # proved again, bound to the action and its parameters (POLICY 4)
    scope: str | None = None  # a token with this scope may do it; without one only a session may
    program: bool = False  # by a client for itself, whose token has the scope; by no account
    staff: bool = False  # by people of the service alone, who proved a senior key or passkey (POLICY 13)


TABLE: dict[Action, Rule] = {
    Action.READ_ACCOUNT: Rule(in_hold=True, under_unmet_mandate=True),
    Action.SIGN_OUT: Rule(in_hold=True, under_unmet_mandate=True),
    Action.END_SESSIONS: Rule(in_hold=True, under_unmet_mandate=True),
    Action.FORGET_BROWSER: Rule(in_hold=True, under_unmet_mandate=True),
    Action.REVOKE_TOKEN: Rule(in_hold=True, under_unmet_mandate=True),
    Action.STEP_UP: Rule(in_hold=True, under_unmet_mandate=True),
    Action.END_HOLD: Rule(in_hold=True, under_unmet_mandate=True, step_up=True),
    Action.FREEZE_ACCOUNT: Rule(in_hold=True, under_unmet_mandate=True, step_up=True),
    Action.DELETE_ACCOUNT: Rule(in_hold=False, under_unmet_mandate=True, step_up=True),
    Action.REPLACE_AUTHENTICATOR: Rule(in_hold=True, under_unmet_mandate=True, step_up=True),
    Action.STOP_REMOVAL: Rule(in_hold=True, under_unmet_mandate=True, step_up=True),
    Action.VOUCH: Rule(in_hold=False, step_up=True),
    Action.OBJECT_TO_RECOVERY: Rule(in_hold=True, under_unmet_mandate=True),
    Action.READ_STAFF: Rule(in_hold=False, staff=True),
    Action.DECIDE_RECOVERY: Rule(in_hold=False, step_up=True, staff=True),
    Action.EXEMPT_FROM_MANDATE: Rule(in_hold=False, step_up=True, staff=True),
    Action.CHANGE_MANDATE_PHASES: Rule(in_hold=False, step_up=True, staff=True),
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
    Action.MARK_BACKUP_ADDRESS: Rule(in_hold=False, step_up=True),
    Action.LINK_PROOF_PLACE: Rule(in_hold=False, step_up=True),
    Action.UNLINK_PROOF_PLACE: Rule(in_hold=False, step_up=True),
    # An acceptance brings duties at once, makes recovery harder, and after 90 days gives a voice in that of others.
    Action.ACCEPT_PACKAGE: Rule(in_hold=False, step_up=True),
    Action.DECLINE_PACKAGE: Rule(in_hold=False),  # takes nothing that counts, and may be accepted later
    Action.SIGN_IN_TO_CLIENT: Rule(in_hold=True),
    Action.GRANT_READ: Rule(in_hold=True),
    Action.GRANT_WRITE: Rule(in_hold=False, step_up=True),
    Action.CONSENT_TO_WRITE: Rule(in_hold=False, step_up=True),
    Action.READ_USERINFO: Rule(in_hold=True, under_unmet_mandate=True, scope="openid"),
    Action.WRITE_IMPACT: Rule(in_hold=False, scope="impact:write", program=True),
    Action.READ_MANDATES: Rule(in_hold=False, scope="mandates:read", program=True),
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
    """Not in this state; `reason` is `in_hold`, a `Lack` or `insufficient_scope`."""

    reason: str


@dataclass(frozen=True)
class Hidden:
    """As if there were nothing: whoever is not staff is not told of what staff do."""


@dataclass(frozen=True)
class KeyNeeded:
    """Of staff, who have to sign in with a senior key or passkey first; this session is too weak, or too old."""


Decision = Allowed | SignInNeeded | Refused | Hidden | KeyNeeded


def decide(action: Action, principal: Principal | Program | None, *, staff_acr: Acr = Acr.PHRH) -> Decision:
    """May this caller do this? Rules run top to bottom; the first that applies decides. Raises nothing.

    `staff_acr`: what staff prove, `phrh`, or `phr` where no attestation roots are configured (POLICY 13). A session
    has either for 24 hours, by a senior authenticator alone (POLICY 1, 3).
    """
    rule = TABLE[action]
    if principal is None:
        return SignInNeeded()
    if isinstance(principal, Program) or rule.program:
        may = rule.program and isinstance(principal, Program) and rule.scope in principal.scopes
        return Allowed() if may else Refused("insufficient_scope")
    if principal.token_id is not None and (rule.scope is None or rule.scope not in principal.scopes):
        return Refused("insufficient_scope")
    if rule.staff and not principal.is_staff:
        return Hidden()
    if principal.in_hold and not rule.in_hold:
        return Refused("in_hold")
    match principal.mandate_lack:
        case Lack.AUTHENTICATOR | Lack.PROOF as lack if not rule.under_unmet_mandate:
            return Refused(lack)
        case Lack.SENIORITY as lack if not rule.in_hold:  # what is junior signs in, and nothing more (POLICY 2, 3)
            return Refused(lack)
    if rule.staff and not principal.acr.satisfies(staff_acr):
        return KeyNeeded()
    return Allowed(step_up=rule.step_up)


@dataclass(frozen=True)
class StepUpProofs:
    """Any one of these sets of proofs will do; empty: nothing can, go to recovery. `mailbox`: a mailed code as well."""

    any_of: tuple[frozenset[Factor], ...]
    mailbox: bool = False

    @property
    def recovery_code(self) -> bool:
        """A recovery code stands beside every one of them."""
        return bool(self.any_of) and all(Factor.RECOVERY_CODE in needed for needed in self.any_of)

    def met_by(self, proved: Collection[Factor], *, mailbox_checked: bool) -> bool:
        """True when what was proved for this action suffices."""
        return any(needed <= set(proved) for needed in self.any_of) and (mailbox_checked or not self.mailbox)


def step_up_proofs(
    action: Action,
    senior: Iterable[Factor],
    *,
    mailbox_usable: bool,
    senior_browser: bool = False,
    owns_packages: bool = False,
    keys_alone: bool = False,
) -> StepUpProofs:
    """What a step-up takes: a senior authenticator of the strongest class the account has (POLICY 4).

    `senior`: kinds of those whose proof counts for this action. A key without user verification stands only beside
    the password (attack W03). Accounts without a senior authenticator prove password and mailbox, which never ends a
    hold nor vouches; where the mailbox is lost, password and senior browser add one junior thing, unless others depend
    on the account. Any senior authenticator freezes and keeps what was to be removed. Nothing will do where keys are
    the only proofs (`login.keys_alone`) and none is senior yet. What was lost is replaced by any senior authenticator
    or the password, each beside a recovery code. What staff do takes a key or passkey, whatever else they have.
    """
    kinds = frozenset(senior) & AUTHENTICATORS
    if TABLE[action].staff:
        return StepUpProofs(_KEYS if kinds & PHISHING_RESISTANT else ())
    if action is Action.REPLACE_AUTHENTICATOR:
        ways = [*_KEYS] if kinds & PHISHING_RESISTANT else []
        ways += [frozenset({Factor.TOTP})] if Factor.TOTP in kinds and not keys_alone else []
        return StepUpProofs(tuple(way | {Factor.RECOVERY_CODE} for way in (*ways, frozenset({Factor.PASSWORD}))))
    if action in PROTECTS and kinds and not keys_alone:  # an older app beside a younger key still may (POLICY 3)
        ways = [*_KEYS] if kinds & PHISHING_RESISTANT else []
        return StepUpProofs((*ways, *([frozenset({Factor.TOTP})] if Factor.TOTP in kinds else [])))
    if kinds & PHISHING_RESISTANT:
        return StepUpProofs(_KEYS)
    if keys_alone:
        return StepUpProofs(())
    if Factor.TOTP in kinds:
        return StepUpProofs((frozenset({Factor.TOTP}),))
    if action in {Action.END_HOLD, Action.VOUCH}:
        return StepUpProofs(())
    if mailbox_usable:
        return StepUpProofs((frozenset({Factor.PASSWORD}),), mailbox=True)
    adds = action in {Action.ADD_ADDRESS, Action.ADD_AUTHENTICATOR}
    return StepUpProofs((frozenset({Factor.PASSWORD}),) if adds and senior_browser and not owns_packages else ())


PROTECTS = frozenset({Action.FREEZE_ACCOUNT, Action.STOP_REMOVAL})
_KEYS = (frozenset({Factor.PASSKEY}), frozenset({Factor.SECURITY_KEY, Factor.PASSWORD}))
