"""Step-up: prove again, for one displayed action with its parameters; carried out at once, spent once (POLICY 4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from flask import Response, make_response, redirect, url_for
from sqlalchemy import delete, select, update

from authsvc import (
    accounts,
    audit,
    budgets,
    devices,
    email_codes,
    holds,
    mandates,
    passwords,
    recovery_codes,
    sessions,
    totp,
    webauthn,
)
from authsvc.access.hook import decide, refusal, require_principal
from authsvc.access.models import PendingAction
from authsvc.accounts import AccountRow
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.core.assurance import Action, Factor, Principal
from authsvc.core.errors import Forbidden, Gone, TooMany
from authsvc.core.web import client, request_time, settings
from authsvc.policy import permission
from authsvc.policy.login import keys_alone
from authsvc.policy.permission import StepUpProofs

LIFE = timedelta(minutes=10)

Executor = Callable[[Principal, dict[str, str]], Response]
EXECUTORS: dict[Action, Executor] = {}


class StepUpGone(Gone):
    """The action was carried out, is too old, or belongs to another session."""

    message = "This action was carried out already, or waited too long. Nothing more was changed."


class NoProofLeft(Forbidden):
    """The account has nothing that could prove the action (POLICY 4)."""

    code = "no_proof_left"
    message = (
        "Your mail address cannot receive codes at the moment and no second step is enrolled, so there is no way to "
        "prove that it is you. Recovery is the way on."
    )


KEYS_TOO_NEW = (
    "Only keys and passkeys confirm changes to this account, and each of them was added less than three days ago. "
    "Please come back when one is three days old."
)


def carries_out(action: Action) -> Callable[[Executor], Executor]:
    """Name the function that carries the action out once it is proved."""

    def mark(function: Executor) -> Executor:
        EXECUTORS[action] = function
        return function

    return mark


def step_up(
    action: Action,
    *,
    params: dict[str, str],
    words: str,
    details: Sequence[tuple[str, str]] = (),
    back: str = "/account",
) -> Response:
    """Put the action down and send the person to the page that asks for the proof. `words` say what will happen."""
    who, now = require_principal(), request_time()
    if who.session_id is None or action not in EXECUTORS:
        raise Forbidden(f"{action} cannot be stepped up to here")
    account = accounts.get(who.account_id)
    handle = crypto.random_token()
    row = PendingAction(
        digest=crypto.digest(handle),
        account_id=account.id,
        session_id=who.session_id,
        epoch=account.epoch,
        action=action.value,
        params=dict(params),
        words=words,
        details=[list(pair) for pair in details],
        back=back,
        created_at=now,
        expires_at=now + LIFE,
    )
    db.session().add(row)
    db.session().flush()
    if proofs_for(who, action, params, now=now).mailbox:
        send_code(row.id, account.id, words, who, now=now)
    return make_response(redirect(url_for("access.step_up", handle=handle), code=303))


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A live pending action of this session."""

    id: int
    epoch: int
    action: Action
    params: dict[str, str]
    words: str
    details: list[tuple[str, str]]
    back: str
    challenge: bytes | None

    @property
    def bound_to(self) -> str:
        """What a mailed code for it is bound to."""
        return f"action:{self.id}"


def find(handle: str, who: Principal, *, now: datetime) -> Pending:
    """The live action of this handle and session. Raises StepUpGone."""
    query = (
        select(PendingAction)
        .join(AccountRow, AccountRow.id == PendingAction.account_id)
        .where(
            PendingAction.digest == crypto.digest(handle),
            PendingAction.session_id == who.session_id,
            PendingAction.epoch == AccountRow.epoch,
            PendingAction.spent_at.is_(None),
            PendingAction.expires_at > now,
        )
    )
    row = db.session().scalar(query)
    if row is None:
        raise StepUpGone("no live pending action")
    return Pending(
        id=row.id,
        epoch=row.epoch,
        action=Action(row.action),
        params=row.params,
        words=row.words,
        details=[(name, value) for name, value in row.details],
        back=row.back,
        challenge=row.challenge,
    )


def proofs_for(who: Principal, action: Action, params: dict[str, str], *, now: datetime) -> StepUpProofs:
    """What the account has to show for this action. Raises NoProofLeft when nothing would do."""
    address = accounts.mail_address(who.account_id)
    browser = next((b for b in devices.of_account(who.account_id) if b.id == who.browser_id), None)
    alone = keys_alone(
        frozenset(a.kind for a in accounts.enrolled(who.account_id, now=now)),
        mandate=mandates.in_force(who.account_id, now=now),
        keys_only=accounts.get(who.account_id).keys_only,
    )
    proofs = permission.step_up_proofs(
        action,
        [a.kind for a in _eligible(who.account_id, action, params, now=now)],
        mailbox_usable=address is not None and address.trusted,
        senior_browser=browser is not None and browser.senior(now),
        owns_packages=mandates.owns_packages(who.account_id, now=now),
        keys_alone=alone,
    )
    if not proofs.any_of and alone:
        raise NoProofLeft(f"account {who.account_id}", message=KEYS_TOO_NEW)
    if not proofs.any_of:
        raise NoProofLeft(f"account {who.account_id}")
    return proofs


def _eligible(
    account_id: int, action: Action, params: dict[str, str], *, now: datetime
) -> list[accounts.AuthenticatorView]:
    """Authenticators whose proof counts for the action: senior ones.

    For the end of a hold those older than it, for what staff do verified hardware, where makers' roots are configured.
    """
    senior = [a for a in accounts.enrolled(account_id, now=now) if a.senior]
    if permission.TABLE[action].staff and settings().attestation_roots_file:
        hardware = webauthn.attested(account_id)
        return [a for a in senior if a.id in hardware]
    if action is Action.END_HOLD:
        return [a for a in senior if holds.may_be_ended_by(account_id, a, now=now)]
    if action is Action.REPLACE_AUTHENTICATOR:  # what is lost proves nothing
        return [a for a in senior if str(a.id) != params["id"]]
    return senior


def send_code(action_id: int, account_id: int, words: str, who: Principal, *, now: datetime) -> bool:
    """Mail the code that belongs to the action. False when the budget for codes is empty."""
    address = accounts.mail_address(account_id)
    if address is None:
        raise NoProofLeft(f"account {account_id} has no address")
    return email_codes.hand_over(
        f"action:{action_id}",
        address.email,
        kind="step_up_code",
        subject=f"Your code to confirm a change for {who.username}",
        account_id=account_id,
        browser_id=who.browser_id,
        now=now,
        username=who.username,
        words=words,
        client=client(),
    )


def set_challenge(pending: Pending, challenge: bytes) -> None:
    """Bind a WebAuthn challenge to the action."""
    db.session().execute(update(PendingAction).where(PendingAction.id == pending.id).values(challenge=challenge))


def prove(
    pending: Pending,
    who: Principal,
    *,
    way: str,
    code: str,
    password: str,
    credential: str,
    recovery_code: str,
    now: datetime,
) -> Response | None:
    """Check the proof and carry the action out; None when the proof is not good. Guesses are charged first."""
    decision = decide(pending.action, who)
    if not isinstance(decision, permission.Allowed):
        raise refusal(decision, who.account_id)
    proofs = proofs_for(who, pending.action, pending.params, now=now)
    shown = _check(pending, who, proofs, way, code, password, credential, recovery_code, now)
    if not proofs.met_by(shown.factors, mailbox_checked=shown.mailbox):
        audit.record(
            EventType.STEP_UP_FAILED,
            account_id=who.account_id,
            at=now,
            client=client(),
            action=pending.action.value,
        )
        return None
    account = accounts.lock(who.account_id)  # hashing left time for a reset, which must win
    if account.epoch != pending.epoch or not sessions.is_live(who.session_id, epoch=account.epoch):
        raise StepUpGone("the account changed while the proof was checked")
    spent = update(PendingAction).where(PendingAction.id == pending.id, PendingAction.spent_at.is_(None))
    if db.session().scalar(spent.values(spent_at=now).returning(PendingAction.id)) is None:
        raise StepUpGone("a rival request was first")
    if shown.recovery_code_id is not None and not recovery_codes.spend(shown.recovery_code_id, now=now):
        raise StepUpGone("the recovery code was spent meanwhile")
    audit.record(
        EventType.STEP_UP_PROVED,
        account_id=who.account_id,
        at=now,
        client=client(),
        action=pending.action.value,
    )
    return EXECUTORS[pending.action](replace(who, proved=frozenset(shown.authenticators)), pending.params)


@dataclass
class _Shown:
    """What one submission proved."""

    factors: set[Factor] = field(default_factory=set)
    authenticators: set[int] = field(default_factory=set)
    mailbox: bool = False
    recovery_code_id: int | None = None


def _check(
    pending: Pending,
    who: Principal,
    proofs: StepUpProofs,
    way: str,
    code: str,
    password: str,
    credential: str,
    recovery_code: str,
    now: datetime,
) -> _Shown:
    """What this submission proves, counting authenticators that are eligible alone."""
    shown = _Shown()
    eligible = {a.id for a in _eligible(who.account_id, pending.action, pending.params, now=now)}
    if password:
        verified = passwords.verify(who.account_id, password, name=who.username, browser_id=who.browser_id, now=now)
        if not verified.charged:
            raise TooMany("password budget empty", retry_after=300)
        if verified.ok:
            shown.factors.add(Factor.PASSWORD)
    if way == "totp":
        charge_code(who, now=now)
        authenticator_id = totp.verify(who.account_id, code, now=now)
        if authenticator_id in eligible:
            shown.factors.add(Factor.TOTP)
            shown.authenticators.add(authenticator_id)
    elif way == "password" and proofs.mailbox and Factor.PASSWORD in shown.factors:
        shown.mailbox = email_codes.spend(pending.bound_to, code, now=now) is not None
    elif way == "key" and pending.challenge is not None:
        taken = update(PendingAction).where(
            PendingAction.id == pending.id, PendingAction.challenge == pending.challenge
        )
        if db.session().scalar(taken.values(challenge=None).returning(PendingAction.id)) is not None:
            found = webauthn.verify_assertion(
                credential,
                pending.challenge,
                account_id=who.account_id,
                user_verification_required=Factor.PASSWORD not in shown.factors,
                now=now,
            )
            if isinstance(found, webauthn.Assertion) and found.authenticator_id in eligible:
                shown.factors.add(Factor.PASSKEY if found.user_verified else Factor.SECURITY_KEY)
                shown.authenticators.add(found.authenticator_id)
    if proofs.recovery_code and shown.factors:  # never looked at unless something else was right
        charge_code(who, now=now)
        shown.recovery_code_id = recovery_codes.check(who.account_id, recovery_code)
        if shown.recovery_code_id is not None:
            shown.factors.add(Factor.RECOVERY_CODE)
    if (shown.authenticators & eligible and way == "totp") or shown.recovery_code_id is not None:
        budgets.clear("second_factor", budgets.subject_of(who.account_id, ""), who.browser_id)
    return shown


def charge_code(who: Principal, *, now: datetime) -> None:
    """Charge one guess of a second factor. Raises TooMany."""
    charge = budgets.charge("second_factor", budgets.subject_of(who.account_id, ""), who.browser_id, now=now)
    if not charge.allowed:
        raise TooMany("second factor budget empty", retry_after=int(charge.retry_after.total_seconds()) + 1)


def purge(*, before: datetime) -> None:
    """Delete actions that ended before the time; their parameters may hold the hash of a password never set."""
    db.session().execute(delete(PendingAction).where(PendingAction.expires_at < before))
