"""Removing authenticators: at once by what is older, after 72 hours by what is younger.

POLICY 3: whoever adds a key to an account must not be able to drop the owner's before the owner can object.
"""

from datetime import datetime, timedelta

from flask import Response, make_response, redirect, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select, update

from authsvc import access, accounts, audit, holds, mail, mandates, recovery_codes
from authsvc.account_pages import keys_only
from authsvc.account_pages.blueprint import bp
from authsvc.account_pages.models import Removal
from authsvc.accounts import AccountRow, AuthenticatorView
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import PHISHING_RESISTANT, Action, Factor, Principal
from authsvc.core.errors import Forbidden, NotFound
from authsvc.core.rate_limits import limited
from authsvc.core.web import Client, client, request_time, requires
from authsvc.policy.hold import HoldCause

WAIT = timedelta(hours=72)  # POLICY 3


TOO_FEW_LEFT = (
    "Without this one you would have less than your packages require. Add another first; then this one can go."
)


class LastFactor(Forbidden):
    """A mandate needs the factor that was to be removed."""

    code = "last_factor"
    title = "This one has to stay"
    message = (
        "Your packages require a second step, or once did, and this is the last one. Add another first; then this one "
        "can go."
    )


KEY_FOR_A_KEY = "Your packages require keys or passkeys, so an app cannot come in place of this one. Add a key instead."


def own(authenticator_id: int) -> AuthenticatorView:
    """An authenticator of the caller's. Raises NotFound."""
    own = accounts.enrolled(access.require_principal().account_id, now=request_time())
    found = next((a for a in own if a.id == authenticator_id), None)
    if found is None:
        raise NotFound(f"authenticator {authenticator_id}")
    return found


def words_for(found: AuthenticatorView) -> str:
    """What it is, and its name."""
    return f"the {'authenticator app' if found.kind is Factor.TOTP else 'key'} “{found.label}”"


@bp.post("/account/authenticators/<int(max=9223372036854775807):authenticator_id>/remove")
@requires(Action.REMOVE_AUTHENTICATOR)
@limited("account")
def remove_authenticator(authenticator_id: int) -> ResponseReturnValue:
    """Ask for the step-up; the authenticator goes once it is given, or three days later."""
    found, who, now = own(authenticator_id), access.require_principal(), request_time()
    _check_mandate(who.account_id, found.id, now=now)
    older = [a for a in accounts.enrolled(who.account_id, now=now) if a.senior and a.created_at <= found.created_at]
    note = "Proved with something younger, it goes only after three days" if found.senior and older else ""
    return access.step_up(
        Action.REMOVE_AUTHENTICATOR,
        params={"id": str(found.id)},
        words=f"Remove {words_for(found)}",
        details=[("Note", note)] if note else (),
    )


def _check_mandate(account_id: int, leaving: int, *, now: datetime) -> None:
    kinds = [a.kind for a in accounts.enrolled(account_id, now=now) if a.id != leaving]
    if not keys_only.may_keep_only(account_id, frozenset(kinds)):
        raise keys_only.LastKey(f"account {account_id}")
    if not mandates.may_keep_only(account_id, kinds, now=now):
        raise LastFactor(
            f"account {account_id}",
            message=TOO_FEW_LEFT if kinds else None,
            way_on=("Add another", url_for("account_pages.enrol_choose")),
        )


def may_replace(account_id: int, lost: AuthenticatorView, new: Factor, *, now: datetime) -> bool:
    """May this come in place of the lost one? A mandate for keys takes a key for a key, also while there are too few.

    Source: POLICY 4.
    """
    others = [a.kind for a in accounts.enrolled(account_id, now=now) if a.id != lost.id]
    less = lost.kind in PHISHING_RESISTANT and new not in PHISHING_RESISTANT
    return not less or mandates.may_keep_only(account_id, [*others, new], now=now)


def check_replacement(account_id: int, lost: AuthenticatorView, new: Factor, *, now: datetime) -> None:
    """The same. Raises LastFactor."""
    if not may_replace(account_id, lost, new, now=now):
        raise LastFactor(f"account {account_id}", message=KEY_FOR_A_KEY)


@access.carries_out(Action.REMOVE_AUTHENTICATOR)
def _remove(who: Principal, params: dict[str, str]) -> Response:
    now, found = request_time(), own(int(params["id"]))
    _check_mandate(who.account_id, found.id, now=now)
    used = [a for a in accounts.enrolled(who.account_id, now=now) if a.id in who.proved]
    response = make_response(redirect(url_for("account_pages.security", _anchor="ways"), code=303))
    if used and all(found.created_at < a.created_at for a in used):
        _begin(who, found, now=now)
        return response
    epoch = _end(who.account_id, found, client=client(), now=now)
    return access.carry_over(response, who, epoch=epoch)


def _begin(who: Principal, found: AuthenticatorView, *, now: datetime) -> None:
    """Let it wait, and tell the owner, who may stop it or freeze the account."""
    if found.id in due_at(who.account_id):
        return
    epoch = accounts.get(who.account_id).epoch
    db.session().add(
        Removal(account_id=who.account_id, authenticator_id=found.id, epoch=epoch, began_at=now, due_at=now + WAIT)
    )
    db.session().flush()
    audit.record(EventType.REMOVAL_BEGUN, account_id=who.account_id, at=now, client=client(), label=found.label)
    mail.notify(
        who.account_id,
        "removal_begun",
        subject=f"Second step to be removed for {who.username}",
        now=now,
        username=who.username,
        what=words_for(found),
        due_at=now + WAIT,
        client=client(),
    )


def _end(account_id: int, found: AuthenticatorView, *, client: Client | None, now: datetime) -> int:
    """Revoke it, with all that follows; returns the new epoch. Its secret is kept as long as it may be disputed."""
    before = accounts.enrolled(account_id, now=now)
    accounts.revoke_authenticator(account_id, found.id, now=now)
    left = [a for a in before if a.id != found.id]
    if not left:
        recovery_codes.void(account_id, now=now)
    epoch = accounts.raise_epoch(account_id)
    username = accounts.get(account_id).username
    audit.record(
        EventType.AUTHENTICATOR_REVOKED,
        account_id=account_id,
        at=now,
        client=client,
        kind=found.kind.value,
        label=found.label,
    )
    mail.notify(
        account_id,
        "authenticator_removed",
        subject=f"Second step removed for {username}",
        now=now,
        username=username,
        label=found.label,
        client=client,
    )
    was_strong = found.kind in PHISHING_RESISTANT
    if not left or (was_strong and not any(a.kind in PHISHING_RESISTANT for a in left)):
        holds.begin(account_id, HoldCause.FACTOR_REMOVED, client=client, now=now)
    return epoch


# What waits

_waiting = (
    select(Removal)
    .join(AccountRow, AccountRow.id == Removal.account_id)
    .where(Removal.ended_at.is_(None), Removal.epoch == AccountRow.epoch)
)


def due_at(account_id: int) -> dict[int, datetime]:
    """When each authenticator whose removal waits is going, by its id."""
    found = db.session().scalars(_waiting.where(Removal.account_id == account_id))
    return {row.authenticator_id: row.due_at for row in found}


@bp.post("/account/authenticators/<int(max=9223372036854775807):authenticator_id>/keep")
@requires(Action.STOP_REMOVAL)
@limited("account")
def stop_removal(authenticator_id: int) -> ResponseReturnValue:
    """Ask for the step-up; then the authenticator stays."""
    found = own(authenticator_id)
    return access.step_up(Action.STOP_REMOVAL, params={"id": str(found.id)}, words=f"Keep {words_for(found)}")


@access.carries_out(Action.STOP_REMOVAL)
def _stop(who: Principal, params: dict[str, str]) -> Response:
    now, found = request_time(), own(int(params["id"]))
    change = update(Removal).where(
        Removal.account_id == who.account_id, Removal.authenticator_id == found.id, Removal.ended_at.is_(None)
    )
    db.session().execute(change.values(ended_at=now))
    audit.record(EventType.REMOVAL_STOPPED, account_id=who.account_id, at=now, client=client(), label=found.label)
    return make_response(redirect(url_for("account_pages.security", _anchor="ways"), code=303))


def carry_out_removals(*, now: datetime) -> int:
    """Remove what waited long enough and nobody objected to; returns how many. The worker's task."""
    with db.transaction() as session:
        ids = [row.id for row in session.scalars(_waiting.where(Removal.due_at <= now))]
    return sum(_carry_out(removal_id, now=now) for removal_id in ids)


def _carry_out(removal_id: int, *, now: datetime) -> bool:
    with db.transaction() as session:
        removal = session.get_one(Removal, removal_id)
        account = accounts.lock(removal.account_id)
        if holds.current(account.id, now=now) is not None:  # POLICY 5: everything else waits, in every way in
            return False
        taken = update(Removal).where(Removal.id == removal_id, Removal.ended_at.is_(None))
        if session.scalar(taken.values(ended_at=now).returning(Removal.id)) is None or account.frozen:
            return False
        kinds = accounts.enrolled(account.id, now=now)
        found = next((a for a in kinds if a.id == removal.authenticator_id), None)
        left = [a.kind for a in kinds if a is not found]
        may_go = mandates.may_keep_only(account.id, left, now=now) and keys_only.may_keep_only(
            account.id, frozenset(left)
        )
        if account.epoch != removal.epoch or found is None or not may_go:
            return False
        _end(account.id, found, client=None, now=now)
        return True


def replace_lost(response: Response, who: Principal, lost: int, new: Factor) -> Response:
    """The new one counts: the lost one ends, and a hold begins that only an older authenticator shortens (POLICY 4).

    Raises LastFactor, so that the new one does not count either, where a mandate for keys came into force meanwhile.
    """
    now = request_time()
    found = next((a for a in accounts.enrolled(who.account_id, now=now) if a.id == lost), None)
    if found is None:
        return response
    check_replacement(who.account_id, found, new, now=now)
    audit.record(
        EventType.AUTHENTICATOR_REPLACED, account_id=who.account_id, at=now, client=client(), label=found.label
    )
    epoch = _end(who.account_id, found, client=client(), now=now)
    holds.begin(who.account_id, HoldCause.REPLACED, client=client(), now=now)
    return access.carry_over(response, who, epoch=epoch)
