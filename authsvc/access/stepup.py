"""Step-up: prove again, for one displayed action with its parameters; carried out at once, spent once (POLICY 4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Response, make_response, redirect, url_for
from sqlalchemy import delete, select, update

from authsvc import accounts, audit, budgets, email_codes, mandates, passwords, sessions, totp, webauthn
from authsvc.access.hook import refusal, require_principal
from authsvc.access.models import PendingAction
from authsvc.accounts import AccountRow
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.core.assurance import Action, Factor, Principal
from authsvc.core.errors import Forbidden, Gone, TooMany
from authsvc.core.web import client, request_time
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
    if proofs_for(account.id, now=now).mailbox:
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


def proofs_for(account_id: int, *, now: datetime) -> StepUpProofs:
    """What the account has to show. Raises NoProofLeft when nothing would do."""
    address = accounts.mail_address(account_id)
    enrolled = accounts.enrolled(account_id, now=now)
    alone = keys_alone(
        frozenset(a.kind for a in enrolled),
        mandate=mandates.in_force(account_id, now=now),
        keys_only=accounts.get(account_id).keys_only,
    )
    proofs = permission.step_up_proofs(
        [a.kind for a in enrolled if a.senior],
        mailbox_usable=address is not None and address.trusted,
        keys_alone=alone,
    )
    if not proofs.any_of and alone:
        raise NoProofLeft(f"account {account_id}", message=KEYS_TOO_NEW)
    if not proofs.any_of:
        raise NoProofLeft(f"account {account_id}")
    return proofs


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
    pending: Pending, who: Principal, *, way: str, code: str, password: str, credential: str, now: datetime
) -> Response | None:
    """Check the proof and carry the action out; None when the proof is not good. Guesses are charged first."""
    decision = permission.decide(pending.action, who)
    if isinstance(decision, permission.Refused):
        raise refusal(decision, who.account_id)
    proofs = proofs_for(who.account_id, now=now)
    proved, mailbox_checked = _check(pending, who, way, code, password, credential, now)
    if not proofs.met_by(proved, mailbox_checked=mailbox_checked):
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
    audit.record(
        EventType.STEP_UP_PROVED,
        account_id=who.account_id,
        at=now,
        client=client(),
        action=pending.action.value,
    )
    return EXECUTORS[pending.action](who, pending.params)


def _check(
    pending: Pending, who: Principal, way: str, code: str, password: str, credential: str, now: datetime
) -> tuple[frozenset[Factor], bool]:
    """What this submission proves, counting senior authenticators alone, and whether it proves the mailbox."""
    proved: set[Factor] = set()
    mailbox = False
    senior = {a.id for a in accounts.enrolled(who.account_id, now=now) if a.senior}
    if password:
        verified = passwords.verify(who.account_id, password, name=who.username, browser_id=who.browser_id, now=now)
        if not verified.charged:
            raise TooMany("password budget empty", retry_after=300)
        if verified.ok:
            proved.add(Factor.PASSWORD)
    if way == "totp":
        charge_code(who, now=now)
        if totp.verify(who.account_id, code, now=now) in senior:
            proved.add(Factor.TOTP)
            budgets.clear("second_factor", budgets.subject_of(who.account_id, ""), who.browser_id)
    elif way == "password" and Factor.PASSWORD in proved:
        mailbox = email_codes.spend(pending.bound_to, code, now=now) is not None
    elif way == "key" and pending.challenge is not None:
        taken = update(PendingAction).where(
            PendingAction.id == pending.id, PendingAction.challenge == pending.challenge
        )
        if db.session().scalar(taken.values(challenge=None).returning(PendingAction.id)) is not None:
            found = webauthn.verify_assertion(
                credential,
                pending.challenge,
                account_id=who.account_id,
                user_verification_required=Factor.PASSWORD not in proved,
                now=now,
            )
            if isinstance(found, webauthn.Assertion) and found.authenticator_id in senior:
                proved.add(Factor.PASSKEY if found.user_verified else Factor.SECURITY_KEY)
    return frozenset(proved), mailbox


def charge_code(who: Principal, *, now: datetime) -> None:
    """Charge one guess of a second factor. Raises TooMany."""
    charge = budgets.charge("second_factor", budgets.subject_of(who.account_id, ""), who.browser_id, now=now)
    if not charge.allowed:
        raise TooMany("second factor budget empty", retry_after=int(charge.retry_after.total_seconds()) + 1)


def purge(*, before: datetime) -> None:
    """Delete actions that ended before the time; their parameters may hold the hash of a password never set."""
    db.session().execute(delete(PendingAction).where(PendingAction.expires_at < before))
