"""Addresses of an account: added, proved, made the main one, removed. A proof after a strong sign-in lifts a block."""

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, accounts, audit, domains, email_codes, holds, mail
from authsvc.account_pages.blueprint import bp
from authsvc.accounts import AddressView
from authsvc.audit import EventType
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import BadInput, Forbidden, NotFound, TooMany
from authsvc.core.rate_limits import limited
from authsvc.core.templating import date_words
from authsvc.core.web import client, code_field, request_time, requires, text_field
from authsvc.policy.hold import HoldCause
from authsvc.policy.login import Mailbox

MAX_ADDRESSES = 10
RESEND_AFTER_SECONDS = 30
NOT_HEALED = (
    "This address cannot be confirmed now. Its domain has to be in order, and after a block you have to sign in with "
    "a key, passkey or app that was enrolled three days ago or earlier."
)


def _own(address_id: int) -> AddressView:
    own = accounts.addresses(access.require_principal().account_id)
    found = next((a for a in own if a.id == address_id), None)
    if found is None:
        raise NotFound(f"address {address_id}")
    return found


def _fit_for_links(address_id: int) -> AddressView:
    """One's own address, trusted and senior: proved 72 h ago, or on the day the account was made (POLICY 3)."""
    address = _own(address_id)
    if not address.trusted:
        raise Forbidden(f"address {address.id} is not trusted", message="Confirm this address first.")
    made = accounts.get(address.account_id).created_at
    if not address.senior(request_time(), account_made=made):
        when = date_words((address.first_verified_at or request_time()) + accounts.SENIOR_AFTER)
        message = f"This address is new. It can be the main one or a backup from {when} on. Until then nothing changes."
        raise Forbidden(f"address {address.id} is junior", message=message)
    return address


def _bound_to(address: AddressView) -> str:
    """A code proves one address of one account (attack E06)."""
    return f"address:{address.account_id}:{address.id}"


@bp.get("/account/addresses/add")
@requires(Action.ADD_ADDRESS)
def add_address() -> ResponseReturnValue:
    """The form."""
    return _form("", None)


def _form(email: str, error: str | None) -> str:
    return render_template("account_pages/add_address.html", email=email, errors={"email": error} if error else {})


@bp.post("/account/addresses/add")
@requires(Action.ADD_ADDRESS)
@limited("account")
def submit_address() -> ResponseReturnValue:
    """Ask for the step-up; a code goes to the new address once it is given."""
    typed = text_field("email", max_length=320)
    try:
        email = accounts.normalise_address(typed)
    except accounts.InvalidAddress as error:
        return _form(typed, str(error)), 422
    own = accounts.addresses(access.require_principal().account_id)
    if any(a.email == email for a in own):
        return _form(typed, "This address is on your account already."), 422
    if len(own) >= MAX_ADDRESSES:
        return _form(typed, f"An account has at most {MAX_ADDRESSES} addresses."), 422
    if not domains.may_register(email):
        return _form(typed, "Addresses at this domain cannot receive mail. Please use another."), 422
    words = f"Add the address {email}"
    return access.step_up(Action.ADD_ADDRESS, params={"email": email}, words=words)


@access.carries_out(Action.ADD_ADDRESS)
def _add(who: Principal, params: dict[str, str]) -> Response:
    now, email = request_time(), params["email"]
    address_id = accounts.add_address(who.account_id, email, is_primary=False, verified_at=None, now=now)
    audit.record(EventType.ADDRESS_ADDED, account_id=who.account_id, at=now, client=client(), email=email)
    _send_code(who, _own(address_id))
    mail.notify(
        who.account_id,
        "address_added",
        subject=f"Address added to {who.username}",
        now=now,
        username=who.username,
        email=email,
        client=client(),
    )
    return make_response(redirect(url_for("account_pages.prove_address", address_id=address_id), code=303))


def _send_code(who: Principal, address: AddressView) -> bool:
    """Mail the code; an address that belongs to somebody else gets none, and the page is the same (attack L08).

    One that is in doubt gets it only where the proof would count, which a fresh look at the domain says.
    """
    now, in_doubt = request_time(), domains.mailbox_worth(address) is Mailbox.LOST
    if in_doubt and not domains.proof_would_count(address, now=now):
        raise Forbidden(f"address {address.id} cannot be healed now", message=NOT_HEALED)
    owner = accounts.owner_of_address(address.email)
    if owner is not None and owner != who.account_id:
        return email_codes.hand_over_to_nobody(
            _bound_to(address),
            address.email,
            owner=owner,
            account_id=who.account_id,
            browser_id=who.browser_id,
            client=client(),
            now=now,
        )
    return email_codes.hand_over(
        _bound_to(address),
        address.email,
        kind="address_code",
        subject=f"Confirm your address for {who.username}",
        account_id=who.account_id,
        browser_id=who.browser_id,
        now=now,
        heals=in_doubt,
        username=who.username,
        client=client(),
    )


@bp.post("/account/addresses/<int(max=9223372036854775807):address_id>/send")
@requires(Action.VERIFY_ADDRESS)
@limited("code")
def send_address_code(address_id: int) -> ResponseReturnValue:
    """Mail a code to an address of one's own, to prove it for the first time or anew."""
    address = _own(address_id)
    if not _send_code(access.require_principal(), address):
        raise TooMany("mailed code budget empty", retry_after=3600)
    return redirect(url_for("account_pages.prove_address", address_id=address.id), code=303)


@bp.get("/account/addresses/<int(max=9223372036854775807):address_id>/prove")
@requires(Action.VERIFY_ADDRESS)
def prove_address(address_id: int) -> ResponseReturnValue:
    """The page that asks for the code."""
    return _prove_page(_own(address_id), None)


def _prove_page(address: AddressView, error: str | None) -> str:
    sent = email_codes.sent(_bound_to(address))
    return render_template(
        "account_pages/prove_address.html",
        address=address.email,
        address_id=address.id,
        ends_at=sent[1] if sent else request_time() + email_codes.LIFE,
        resend_in_seconds=RESEND_AFTER_SECONDS,
        error=error,
    )


@bp.post("/account/addresses/<int(max=9223372036854775807):address_id>/prove")
@requires(Action.VERIFY_ADDRESS)
@limited("code")
def submit_address_code(address_id: int) -> ResponseReturnValue:
    """Check the code, look at the domain, and note the proof where POLICY 8 lets it count."""
    who, now, address = access.require_principal(), request_time(), _own(address_id)
    if email_codes.spend(_bound_to(address), code_field(), now=now) is None:
        return _prove_page(address, "That code is not right, or not valid any more."), 401
    if accounts.owner_of_address(address.email) not in {None, who.account_id}:
        raise BadInput("address of another account", message="This address cannot be confirmed here.")
    if not domains.prove(address, client=client(), now=now):
        raise Forbidden(f"address {address.id} does not count now", message=NOT_HEALED)
    return redirect(url_for("account_pages.security", _anchor="addresses"), code=303)


@bp.post("/account/addresses/<int(max=9223372036854775807):address_id>/main")
@requires(Action.CHANGE_PRIMARY_ADDRESS)
@limited("account")
def make_main_address(address_id: int) -> ResponseReturnValue:
    """Ask for the step-up; codes and links go to this address once it is given."""
    address = _fit_for_links(address_id)
    return access.step_up(
        Action.CHANGE_PRIMARY_ADDRESS, params={"id": str(address.id)}, words=f"Make {address.email} the main address"
    )


@access.carries_out(Action.CHANGE_PRIMARY_ADDRESS)
def _make_main(who: Principal, params: dict[str, str]) -> Response:
    address = _fit_for_links(int(params["id"]))
    if not accounts.make_primary(who.account_id, address.id):
        raise NotFound(f"address {address.id}")
    return _changed(who, EventType.ADDRESS_MADE_PRIMARY, address.email, f"{address.email} is the main address")


@bp.post("/account/addresses/<int(max=9223372036854775807):address_id>/backup")
@requires(Action.MARK_BACKUP_ADDRESS)
@limited("account")
def mark_backup_address(address_id: int) -> ResponseReturnValue:
    """Ask for the step-up; links for a new password may go to this address once it is given."""
    return _ask_backup(_fit_for_links(address_id), "on", "Mark {} as a backup")


@bp.post("/account/addresses/<int(max=9223372036854775807):address_id>/no-backup")
@requires(Action.MARK_BACKUP_ADDRESS)
@limited("account")
def unmark_backup_address(address_id: int) -> ResponseReturnValue:
    """Ask for the step-up; no more links go to this address once it is given."""
    return _ask_backup(_own(address_id), "off", "Let {} be no backup any more")


def _ask_backup(address: AddressView, state: str, words: str) -> Response:
    params = {"id": str(address.id), "state": state}
    return access.step_up(Action.MARK_BACKUP_ADDRESS, params=params, words=words.format(address.email))


@access.carries_out(Action.MARK_BACKUP_ADDRESS)
def _mark_backup(who: Principal, params: dict[str, str]) -> Response:
    number, on = int(params["id"]), params["state"] == "on"
    address = _fit_for_links(number) if on else _own(number)
    if not accounts.mark_backup(who.account_id, address.id, is_backup=on):
        raise NotFound(f"address {address.id}")
    if on:
        return _changed(who, EventType.ADDRESS_MARKED_BACKUP, address.email, f"{address.email} is a backup")
    return _changed(who, EventType.ADDRESS_UNMARKED_BACKUP, address.email, f"{address.email} is no backup any more")


@bp.post("/account/addresses/<int(max=9223372036854775807):address_id>/remove")
@requires(Action.REMOVE_ADDRESS)
@limited("account")
def remove_address(address_id: int) -> ResponseReturnValue:
    """Ask for the step-up; the address goes once it is given."""
    address = _own(address_id)
    if address.is_primary:
        raise Forbidden("main address", message="Make another address the main one first.")
    return access.step_up(
        Action.REMOVE_ADDRESS, params={"id": str(address.id)}, words=f"Remove the address {address.email}"
    )


@access.carries_out(Action.REMOVE_ADDRESS)
def _remove(who: Principal, params: dict[str, str]) -> Response:
    address = _own(int(params["id"]))
    if not accounts.remove_address(who.account_id, address.id, now=request_time()):
        raise NotFound(f"address {address.id}")
    return _changed(who, EventType.ADDRESS_REMOVED, address.email, f"{address.email} was removed")


def _changed(who: Principal, event: EventType, email: str, what: str) -> Response:
    """What every address change brings: a new epoch, a log line, a mail to old and new, a hold (POLICY 5, 6)."""
    now = request_time()
    epoch = accounts.raise_epoch(who.account_id)
    audit.record(event, account_id=who.account_id, at=now, client=client(), email=email)
    mail.notify(
        who.account_id,
        "address_changed",
        subject=f"Addresses changed for {who.username}",
        now=now,
        username=who.username,
        what=what,
        client=client(),
    )
    holds.begin(who.account_id, HoldCause.ADDRESS_CHANGE, client=client(), now=now)
    response = make_response(redirect(url_for("account_pages.security", _anchor="addresses"), code=303))
    return access.carry_over(response, who, epoch=epoch)
