""" "This was not me": freezing the account by the link in a mail, or from the security page; and deleting it."""

from datetime import datetime

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import (
    access,
    accounts,
    audit,
    cases,
    dispute_links,
    freezes,
    mail,
    passwords,
    proof_places,
    recovery,
    recovery_codes,
    totp,
    webauthn,
)
from authsvc.account_pages.blueprint import bp
from authsvc.account_pages.words import sentence
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import BadInput, Gone
from authsvc.core.rate_limits import limited
from authsvc.core.templating import date_words
from authsvc.core.web import client, public, query_field, request_time, requires, text_field
from authsvc.dispute_links import DisputeLinkView
from authsvc.policy.freeze import DELETED_AFTER, FreezeCause


class DisputeGone(Gone):
    """The link was used, is over 30 days old, or its dispute was ended."""

    title = "This link is over"
    message = (
        "Nothing was changed. Each of these links works once, for 30 days, until the matter is settled. If something "
        "is wrong with your account, use the link in a newer mail, or start at “Forgot your password?”."
    )


def _find(token: str) -> tuple[DisputeLinkView, accounts.AccountView]:
    link = dispute_links.find(token, now=request_time())
    if link is None:
        raise DisputeGone("no live dispute link")
    return link, accounts.get(link.account_id)


@bp.get("/not-me/<token>")
@public
def not_me(token: str) -> ResponseReturnValue:
    """What freezing means, and the button. Opening the page changes nothing (attack R19)."""
    link, account = _find(token)
    return render_template(
        "account_pages/not_me.html",
        token=token,
        username=account.username,
        about=link.about,
        event_at=link.event_at,
        frozen=account.frozen,
    )


@bp.post("/not-me/<token>")
@public
@limited("account")
def freeze_by_link(token: str) -> ResponseReturnValue:
    """Freeze. It needs no sign-in, and gives none."""
    now = request_time()
    link, account = _find(token)
    accounts.lock(account.id)
    if account.disabled or not dispute_links.spend(link.event, now=now):
        raise DisputeGone("a rival request was first, or the account is disabled")
    recovery.veto(link.event, client=client(), now=now)
    own = accounts.addresses(account.id, with_removed=True)
    removed_at = next((a.removed_at for a in own if a.id == link.address_id), None)
    freezes.begin(
        account.id,
        FreezeCause.OWNER,
        disputed_at=min(link.event_at, removed_at or now),  # an address that was removed disputes that, too
        by_address_id=link.address_id,
        client=client(),
        now=now,
        about=link.about,
    )
    return make_response(redirect(url_for("account_pages.frozen"), code=303))


@bp.get("/frozen")
@public
def frozen() -> ResponseReturnValue:
    """What a freeze did, and the way on. The same for everybody; it names no account."""
    return render_template("account_pages/frozen.html")


def _disputed() -> tuple[str, datetime, str]:
    """The line of the log that is disputed, its time and its words; without one, this moment."""
    now, chosen = request_time(), query_field("event", max_length=20)
    if not chosen:
        return "", now, "everything from now on"
    who = access.require_principal()
    event = audit.event(who.account_id, int(chosen)) if chosen.isdecimal() and len(chosen) < 19 else None
    if event is None:
        raise BadInput(f"event {chosen!r}", message="There is no such line in your security log.")
    at = max(event.at, now - freezes.REACH)
    return chosen, at, f"everything since {date_words(at)} (“{sentence(audit.Line(event=event))}”)"


@bp.get("/account/freeze")
@requires(Action.FREEZE_ACCOUNT)
def freeze_account() -> ResponseReturnValue:
    """Ask before the account is frozen."""
    chosen, _, words = _disputed()
    return render_template("account_pages/freeze.html", event=chosen, disputed=words)


@bp.post("/account/freeze")
@requires(Action.FREEZE_ACCOUNT)
@limited("account")
def submit_freeze() -> ResponseReturnValue:
    """Ask for the step-up; then the account is frozen."""
    _, at, words = _disputed()
    return access.step_up(
        Action.FREEZE_ACCOUNT,
        params={"disputed_at": at.isoformat()},
        words=f"Freeze your account and dispute {words}",
    )


@access.carries_out(Action.FREEZE_ACCOUNT)
def _freeze(who: Principal, params: dict[str, str]) -> Response:
    disputed_at = datetime.fromisoformat(params["disputed_at"])
    freezes.begin(who.account_id, FreezeCause.OWNER, disputed_at=disputed_at, client=client(), now=request_time())
    return make_response(redirect(url_for("account_pages.frozen"), code=303))


@bp.get("/account/delete")
@requires(Action.DELETE_ACCOUNT)
def delete_account() -> ResponseReturnValue:
    """What deletion means; the name is typed, so that nobody gets here by a slip."""
    return _delete_page(None)


def _delete_page(error: str | None) -> str:
    who = access.require_principal()
    return render_template(
        "account_pages/delete_account.html",
        username=who.username,
        deleted_at=request_time() + DELETED_AFTER,
        errors={"username": error} if error else {},
    )


@bp.post("/account/delete")
@requires(Action.DELETE_ACCOUNT)
@limited("account")
def submit_deletion() -> ResponseReturnValue:
    """Ask for the step-up; then the account is frozen for 30 days and deleted (POLICY 5)."""
    who = access.require_principal()
    if text_field("username", max_length=100).lower() != who.username:
        return _delete_page(f"Type {who.username} to confirm."), 422
    when = date_words(request_time() + DELETED_AFTER)
    return access.step_up(
        Action.DELETE_ACCOUNT, params={}, words=f"Freeze your account now and delete it on {when}", back="/account"
    )


@access.carries_out(Action.DELETE_ACCOUNT)
def _delete(who: Principal, params: dict[str, str]) -> Response:
    now = request_time()
    freezes.begin(who.account_id, FreezeCause.DELETION, disputed_at=now, client=client(), now=now)
    return make_response(redirect(url_for("account_pages.frozen"), code=303))


def delete_due(*, now: datetime) -> int:
    """Delete the accounts whose 30 days are over; returns how many. The worker's task."""
    with db.transaction():
        ids = freezes.to_be_deleted(now=now)
    return sum(_delete_for_good(account_id, now=now) for account_id in ids)


def _delete_for_good(account_id: int, *, now: datetime) -> bool:
    """Erase addresses and secrets. Name and subject stay taken for ever; the log stays its year (decision 0019)."""
    with db.transaction():
        accounts.lock(account_id)
        if account_id not in freezes.to_be_deleted(now=now):
            return False
        username = accounts.get(account_id).username
        mail.notify(account_id, "account_deleted", subject=f"Account {username} is deleted", now=now, username=username)
        passwords.erase(account_id)
        recovery_codes.void(account_id, now=now)
        totp.erase(account_id)
        cases.erase(account_id, now=now)
        webauthn.erase(account_id)
        proof_places.erase(account_id, now=now)
        freezes.release(account_id, now=now)
        accounts.erase(account_id, now=now)
        audit.record(EventType.ACCOUNT_DELETED, account_id=account_id, at=now)
        return True


def forget_removed(*, now: datetime) -> None:
    """Delete secrets and links that no dispute can need any more. The worker's task."""
    before = now - dispute_links.LIFE
    for authenticator_id in accounts.forgotten(before=before):
        totp.revoke(authenticator_id)
        webauthn.revoke(authenticator_id)
    passwords.purge(before=before)
    dispute_links.purge(before=now)
