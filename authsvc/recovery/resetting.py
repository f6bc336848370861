"""Using a reset link: the new password, an enrolled factor beside it, at once or after a wait (POLICY 8, 9)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update

from authsvc import accounts, audit, budgets, devices, domains, holds, login, mail, mandates, passwords, totp, webauthn
from authsvc.accounts import AccountRow, AccountView, AddressView
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.core.assurance import PHISHING_RESISTANT, Factor
from authsvc.core.errors import Gone, TooMany
from authsvc.core.web import Client
from authsvc.policy.domain_verdict import Verdict
from authsvc.policy.hold import HoldCause
from authsvc.policy.login import second_factors
from authsvc.policy.reset_gate import WAIT, completes_at_once
from authsvc.recovery.models import ResetLink

MATURE_FOR = timedelta(days=7)  # after the wait

WRONG_CODE = "That was not right. Please try again."
WRONG_KEY = (
    "That key could not be used. A new password takes a key or passkey that asks for its PIN, your fingerprint or your "
    "face; one that is only touched is not enough here."
)
NOT_NOW = (
    "The domain of the address that got this link cannot be checked at the moment, so your password was not changed. "
    "Please open the link again in a few hours."
)


class LinkGone(Gone):
    """The link was used, replaced, is too old, or its account or address changed since."""


@dataclass(frozen=True, kw_only=True)
class Open:
    """A live link and what its use takes."""

    id: int
    account: AccountView
    address: AddressView
    factors: frozenset[Factor]  # one of them is proved as well; empty where nothing is enrolled
    challenge: bytes | None
    at_once: bool  # completes at once; else the new password waits
    typed_at: datetime | None  # when the password that waits was typed
    waits_until: datetime | None

    def way(self, wanted: str) -> str | None:
        """Which factor the page asks for: key or totp; None when nothing is enrolled."""
        has_key = bool(self.factors & PHISHING_RESISTANT)
        if Factor.TOTP in self.factors and (wanted == "totp" or not has_key):
            return "totp"
        return "key" if has_key else None

    @property
    def waits(self) -> bool:
        """A password was typed and nothing but time puts it in force."""
        return self.waits_until is not None and not self.at_once


def find(token: str, *, browser_token: str = "", now: datetime) -> Open:
    """The live link of a token, by stored verdict and generation, without asking anybody. Raises LinkGone.

    `browser_token` is the cookie of the browser that opened it; the one that asked for the link gains nothing.
    """
    query = (
        select(ResetLink)
        .join(AccountRow, AccountRow.id == ResetLink.account_id)
        .where(
            ResetLink.digest == crypto.digest(token),
            ResetLink.spent_at.is_(None),
            ResetLink.expires_at > now,
            ResetLink.epoch == AccountRow.epoch,
            AccountRow.disabled_at.is_(None),
            AccountRow.frozen_at.is_(None),
        )
    )
    row = db.session().scalar(query) if token else None
    if row is None:
        raise LinkGone("no live link")
    address = next((a for a in accounts.addresses(row.account_id) if a.id == row.address_id), None)
    if address is None or not address.trusted:
        raise LinkGone(f"address {row.address_id} is not what it was")
    account = accounts.get(row.account_id)
    enrolled = frozenset(a.kind for a in accounts.enrolled(account.id, now=now))
    mandate = mandates.in_force(account.id, now=now)
    factors = second_factors(enrolled, mandate=mandate, keys_only=account.keys_only)
    browser = devices.find(browser_token, account.id)
    return Open(
        id=row.id,
        account=account,
        address=address,
        factors=factors,
        challenge=row.challenge,
        at_once=completes_at_once(
            continuity=row.at_once,
            factor_proved=bool(factors),
            senior_browser=browser is not None and browser.senior(now),
        ),
        typed_at=row.waits_until - WAIT if row.waits_until else None,
        waits_until=row.waits_until,
    )


def key_options(link: Open) -> str:
    """Options for a WebAuthn assertion, bound to this link. No password stands beside it, so the user is verified."""
    options, challenge = webauthn.begin_assertion(link.account.id, user_verification="required")
    db.session().execute(update(ResetLink).where(ResetLink.id == link.id).values(challenge=challenge))
    return options


@dataclass(frozen=True)
class Refused:
    """Which field was not right, and why, for its owner."""

    field: str
    why: str


@dataclass(frozen=True)
class Waiting:
    """The new password was taken down and is not in force before then."""

    until: datetime


def reset(
    link: Open, new_password: str, *, code: str, credential: str, client: Client, now: datetime
) -> Refused | Waiting | None:
    """Take a new password, with an enrolled factor proved as well; None when it is in force and the link spent."""
    account = link.account
    if link.waits:
        raise LinkGone("a password was typed before")
    problem = passwords.problem_with(new_password, username=account.username)
    if problem is not None:
        return Refused("new_password", problem)
    authenticator_id: int | None = None
    if link.factors:
        authenticator_id = _prove(link, code=code, credential=credential, now=now)
        if authenticator_id is None:
            audit.record(EventType.SECOND_FACTOR_FAILED, account_id=account.id, at=now, client=client)
            return Refused("code", WRONG_CODE) if code else Refused("credential", WRONG_KEY)
    senior = any(a.id == authenticator_id and a.senior for a in accounts.enrolled(account.id, now=now))
    hashed = passwords.hash_new(new_password, known=True)
    _check_unchanged(link, now=now)
    if not link.at_once:
        return _begin_wait(link, hashed, client=client, now=now)
    _put_in_force(link, hashed, with_hold=not senior, client=client, now=now)
    return None


def _check_unchanged(link: Open, *, now: datetime) -> None:
    """Lock the account; raises LinkGone where it is not what it was when the link was found."""
    if accounts.lock(link.account.id).epoch != link.account.epoch:
        raise LinkGone("the account changed meanwhile")
    if not link.factors and accounts.enrolled(link.account.id, now=now):
        raise LinkGone("a factor was enrolled meanwhile, and a reset never passes one by")


def _begin_wait(link: Open, hashed: str, *, client: Client, now: datetime) -> Waiting:
    """Keep the hash, and tell every address; the link in that mail freezes the account, which ends the wait."""
    account, until = link.account, now + WAIT
    begun = update(ResetLink).where(
        ResetLink.id == link.id,
        ResetLink.spent_at.is_(None),
        ResetLink.waits_until.is_(None),
        ResetLink.expires_at > now,
    )
    begun = begun.values(waits_until=until, waiting_hash=hashed, expires_at=until + MATURE_FOR)
    if db.session().scalar(begun.returning(ResetLink.id)) is None:
        raise LinkGone("a rival request was first")
    audit.record(EventType.RESET_POSTPONED, account_id=account.id, at=now, client=client)
    mail.notify(
        account.id,
        "reset_postponed",
        subject=f"A new password for {account.username} waits",
        now=now,
        username=account.username,
        until=until,
        client=client,
    )
    return Waiting(until)


def complete(link: Open, *, client: Client, now: datetime) -> None:
    """The wait is over: put the password in force that was typed then. Raises LinkGone.

    Asks nobody; the last look must still call the domain healthy for this address (POLICY 8).
    """
    look = domains.last_look(link.address.domain)
    if not link.waits or link.waits_until is None or now < link.waits_until:
        raise LinkGone("nothing waits, or still does")
    if look is None or domains.judge_address(look, link.address).verdict is not Verdict.HEALTHY:
        raise LinkGone(f"domain of address {link.address.id} is not healthy", message=NOT_NOW)
    _check_unchanged(link, now=now)
    kept = select(ResetLink.waiting_hash).where(ResetLink.id == link.id)
    hashed = db.session().scalar(kept)
    if hashed is None:
        raise LinkGone("a rival request was first")
    _put_in_force(link, hashed, with_hold=True, client=client, now=now)


def _put_in_force(link: Open, hashed: str, *, with_hold: bool, client: Client, now: datetime) -> None:
    account = link.account
    spent = update(ResetLink).where(ResetLink.id == link.id, ResetLink.spent_at.is_(None), ResetLink.expires_at > now)
    spent = spent.values(spent_at=now, waiting_hash=None)
    if db.session().scalar(spent.returning(ResetLink.id)) is None:
        raise LinkGone("a rival request was first")
    passwords.set_hash(account.id, hashed, now=now)
    accounts.raise_epoch(account.id, confirm_after=now)  # ends sessions, tokens and every other link
    audit.record(EventType.RESET_COMPLETED, account_id=account.id, at=now, client=client)
    mail.notify(
        account.id,
        "password_reset",
        subject=f"Password reset for {account.username}",
        now=now,
        username=account.username,
        client=client,
    )
    if with_hold:
        holds.begin(account.id, HoldCause.RESET, client=client, now=now)


def _prove(link: Open, *, code: str, credential: str, now: datetime) -> int | None:
    """The authenticator that was proved, or None. A reset never replaces an enrolled factor (attack R10).

    A key has to verify its user here, since no password is proved beside it (decision 0018).
    """
    if credential and link.challenge is not None:
        taken = update(ResetLink).where(ResetLink.id == link.id, ResetLink.challenge == link.challenge)
        if db.session().scalar(taken.values(challenge=None).returning(ResetLink.id)) is None:
            return None
        found = webauthn.verify_assertion(
            credential, link.challenge, account_id=link.account.id, user_verification_required=True, now=now
        )
        return found.authenticator_id if isinstance(found, webauthn.Assertion) else None
    if Factor.TOTP not in link.factors:
        return None
    subject = budgets.subject_of(link.account.id, "")
    charge = budgets.charge("second_factor", subject, budgets.BY_MAIL, now=now)  # the link proved the mailbox
    if not charge.allowed:
        raise TooMany("second factor budget empty", retry_after=int(charge.retry_after.total_seconds()) + 1)
    proved = totp.verify(link.account.id, code, now=now) if code else None
    if proved is not None:
        budgets.clear("second_factor", subject, budgets.BY_MAIL)
    else:
        login.tell_wrong_codes(link.account.id, charge.streak, now=now)
    return proved
