"""Registration: name, address, password; the account comes into being when the address is proved."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from authsvc import accounts, audit, domains, email_codes, login, mandates, passwords
from authsvc.account_pages.blueprint import bp
from authsvc.account_pages.models import Registration
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.core.assurance import Factor
from authsvc.core.errors import Gone, TooMany
from authsvc.core.rate_limits import limited
from authsvc.core.web import (
    client,
    code_field,
    cookie,
    drop_cookie,
    public,
    request_time,
    set_cookie,
    settings,
    text_field,
)

COOKIE = "registration"
LIFE = timedelta(hours=1)
RESEND_AFTER_SECONDS = 30


class RegistrationGone(Gone):
    """The registration was completed, is too old, or began in another browser."""

    message = "This registration is over or took too long. Please start again."


class NameTaken(Gone):
    """The name or address went to somebody else between form and code."""

    status = 409
    code = "taken"
    title = "Somebody was faster"
    message = "Meanwhile that user name or address was registered. Please start again with another one."


@dataclass(frozen=True, kw_only=True)
class Open:
    """A registration under way in this browser."""

    id: int
    username: str
    email: str
    password_hash: str
    expires_at: datetime

    @property
    def bound_to(self) -> str:
        """What its codes are bound to."""
        return f"registration:{self.id}"


@bp.get("/register")
@public
def register() -> ResponseReturnValue:
    """The form."""
    return _form({}, "", "")


def _form(errors: dict[str, str], username: str, email: str) -> str:
    return render_template(
        "account_pages/register.html",
        errors=errors,
        username=username,
        email=email,
        min_length=settings().password_min_length,
    )


@bp.post("/register")
@public
@limited("register")
def submit_registration() -> ResponseReturnValue:
    """Check the form and mail a code; a taken address leads to the same page, and its owner is told (attack L08)."""
    now = request_time()
    username, email = text_field("username", max_length=64), text_field("email", max_length=320)
    password = text_field("password", max_length=4096, strip=False)
    errors: dict[str, str] = {}
    name = address = ""
    try:
        name = accounts.canonical_username(username)
    except accounts.InvalidUsername as error:
        errors["username"] = str(error)
    else:
        if name in accounts.RESERVED_USERNAMES or accounts.username_taken(name):
            errors["username"] = "That user name is taken. Please choose another."
    try:
        address = accounts.normalise_address(email)
    except accounts.InvalidAddress as error:
        errors["email"] = str(error)
    else:
        if not domains.may_register(address):
            errors["email"] = "Addresses at this domain cannot receive mail. Please use another."
    problem = passwords.problem_with(password, username=name)
    if problem is not None:
        errors["password"] = problem
    if errors:
        return _form(errors, username, email), 422
    token = crypto.random_token()
    row = Registration(
        digest=crypto.digest(token),
        username=name,
        email=address,
        password_hash=passwords.hash_new(password),
        created_at=now,
        expires_at=now + LIFE,
    )
    db.session().add(row)
    db.session().flush()
    _send(Open(**{name: getattr(row, name) for name in Open.__dataclass_fields__}), now=now)
    response = make_response(redirect(url_for("account_pages.confirm_address"), code=303))
    set_cookie(response, COOKIE, token, max_age_seconds=int(LIFE.total_seconds()))
    return response


def _send(registration: Open, *, now: datetime) -> bool:
    """Mail the code, or tell the owner of a taken address. False when the address had enough mails for now."""
    owner = accounts.owner_of_address(registration.email)
    if owner is None:
        return email_codes.hand_over(
            registration.bound_to,
            registration.email,
            kind="registration_code",
            subject=f"Confirm your address for {registration.username}",
            account_id=None,
            browser_id=None,
            now=now,
            username=registration.username,
            client=client(),
        )
    return email_codes.hand_over_to_nobody(
        registration.bound_to,
        registration.email,
        owner=owner,
        account_id=None,
        browser_id=None,
        client=client(),
        now=now,
    )


def _current() -> Open:
    now = request_time()
    query = select(Registration).where(
        Registration.digest == crypto.digest(cookie(COOKIE)),
        Registration.consumed_at.is_(None),
        Registration.expires_at > now,
    )
    row = db.session().scalar(query) if cookie(COOKIE) else None
    if row is None:
        raise RegistrationGone("no registration under way")
    return Open(**{name: getattr(row, name) for name in Open.__dataclass_fields__})


@bp.get("/register/confirm")
@public
def confirm_address() -> ResponseReturnValue:
    """The page that asks for the code."""
    return _confirm_page(_current(), error=None)


def _confirm_page(registration: Open, *, error: str | None) -> str:
    sent = email_codes.sent(registration.bound_to)
    return render_template(
        "account_pages/confirm_address.html",
        masked_address=registration.email,
        ends_at=sent[1] if sent else registration.expires_at,
        resend_in_seconds=RESEND_AFTER_SECONDS,
        error=error,
    )


@bp.post("/register/resend")
@public
@limited("register")
def resend_confirmation() -> ResponseReturnValue:
    """Mail another code."""
    if not _send(_current(), now=request_time()):
        raise TooMany("mailed code budget empty", retry_after=3600)
    return redirect(url_for("account_pages.confirm_address"), code=303)


@bp.post("/register/confirm")
@public
@limited("code")
def submit_confirmation() -> ResponseReturnValue:
    """Check the code, make the account, and go through the sign-in door with what was proved."""
    registration, now = _current(), request_time()
    code = code_field()
    if email_codes.spend(registration.bound_to, code, now=now) is None:
        return _confirm_page(registration, error="That code is not right, or not valid any more."), 401
    taken = update(Registration).where(Registration.id == registration.id, Registration.consumed_at.is_(None))
    if db.session().scalar(taken.values(consumed_at=now).returning(Registration.id)) is None:
        raise RegistrationGone("a rival request was first")
    try:
        account_id = accounts.create(username=registration.username, now=now)
        accounts.add_address(account_id, registration.email, is_primary=True, verified_at=None, now=now)
        domains.first_proof(account_id, registration.email, now=now)
    except IntegrityError as error:
        raise NameTaken("name or address taken meanwhile") from error
    passwords.set_hash(account_id, registration.password_hash, now=now)
    audit.record(EventType.ACCOUNT_CREATED, account_id=account_id, at=now, client=client())
    mandates.link_account(account_id, registration.username, now=now)
    account = accounts.get(account_id)
    token = login.begin_for(account, proved=frozenset({Factor.PASSWORD}), mailbox_checked=True, next_path="", now=now)
    response = login.finish(token)
    drop_cookie(response, COOKIE)
    return response


def purge(*, before: datetime) -> None:
    """Delete registrations that ended before the time."""
    db.session().execute(delete(Registration).where(Registration.expires_at < before))
