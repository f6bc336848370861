"""Enrol, verify and revoke authenticator apps. The arithmetic of RFC 6238 is pyotp's."""

from collections.abc import Collection
from datetime import datetime, timedelta

import pyotp
import segno
from markupsafe import Markup
from sqlalchemy import bindparam, delete, func, select, update

from authsvc import accounts
from authsvc.core import crypto, db
from authsvc.core.assurance import Factor
from authsvc.totp.models import TotpCredential

STEP = timedelta(seconds=30)  # RFC 6238, 5.2
DIGITS = 6
STEPS_EITHER_SIDE = 1  # RFC 6238, 5.2; more would let a relayed code live for minutes (attack T23)

_OF_ACCOUNT = (
    select(TotpCredential.authenticator_id, TotpCredential.sealed_seed)
    .where(TotpCredential.account_id == bindparam("account_id"))
    .order_by(TotpCredential.authenticator_id)
)


def new_seed() -> str:
    """A random seed of 160 bits in base32 (RFC 4226, 4, R6), not stored yet."""
    return pyotp.random_base32()


def provisioning_uri(seed: str, username: str, issuer: str) -> str:
    """The otpauth: URI that apps read from the picture."""
    return _generator(seed).provisioning_uri(name=username, issuer_name=issuer)


def qr_svg(uri: str) -> Markup:
    """The URI as a QR code: SVG for the middle of a page, without style attributes, which our CSP refuses."""
    svg = segno.make(uri, error="m", micro=False).svg_inline(
        omitsize=True, light="#fff", svgclass=None, lineclass=None, title="QR code for your authenticator app"
    )
    return Markup(svg.replace("<svg", '<svg role="img"', 1))  # noqa: S704 -- segno draws squares; the text is ours


def matches(seed: str, code: str, *, now: datetime) -> int | None:
    """The time step at which the seed shows this code, the present one or one either side; else None."""
    digits = "".join(code.split())
    if not digits.isascii():
        return None
    generator = _generator(seed)
    current = generator.timecode(now)
    for step in range(current - STEPS_EITHER_SIDE, current + STEPS_EITHER_SIDE + 1):
        if crypto.same(generator.generate_otp(step).encode(), digits.encode()):
            return step
    return None


def enrol(
    account_id: int, seed: str, first_step: int, *, label: str, browser_known_for: timedelta, now: datetime
) -> int:
    """Enter an app and return its authenticator id. `first_step`, that of the confirming code, is spent."""
    authenticator_id = accounts.add_authenticator(
        account_id, Factor.TOTP, label, browser_known_for=browser_known_for, now=now
    )
    newest = select(func.max(TotpCredential.last_step)).where(TotpCredential.account_id == account_id)
    db.session().add(
        TotpCredential(
            authenticator_id=authenticator_id,
            account_id=account_id,
            sealed_seed=crypto.seal(seed.encode(), _purpose(account_id)),
            last_step=max(first_step, db.session().scalar(newest) or 0),
        )
    )
    db.session().flush()
    return authenticator_id


def verify(account_id: int, code: str, *, now: datetime, among: Collection[int] | None = None) -> int | None:
    """Check a code and spend its time step; returns the authenticator that showed it, or None.

    A step counts once for the whole account, whichever way in it is used at, and older ones no more
    (attack T01). Of two at once one wins: the step only moves forward. Source: RFC 6238, 5.2.
    The caller charges the guess first. `among`: ids that count instead of those enrolled now (POLICY 5, freeze).
    """
    live = accounts.enrolled_ids(account_id) if among is None else among
    for authenticator_id, sealed_seed in db.session().execute(_OF_ACCOUNT, {"account_id": account_id}).all():
        if authenticator_id not in live:
            continue
        step = matches(crypto.unseal(sealed_seed, _purpose(account_id)).decode(), code, now=now)
        if step is not None and authenticator_id in _spend(account_id, step):
            accounts.note_use(authenticator_id, now=now)
            return authenticator_id
    return None


def revoke(authenticator_id: int) -> None:
    """Delete the seed. `accounts.revoke_authenticator` keeps the line in the register."""
    db.session().execute(delete(TotpCredential).where(TotpCredential.authenticator_id == authenticator_id))


def erase(account_id: int) -> None:
    """Delete all that the account has, or had."""
    db.session().execute(delete(TotpCredential).where(TotpCredential.account_id == account_id))


def _spend(account_id: int, step: int) -> set[int]:
    """Move the account's apps forward to the step; returns those that had not reached it."""
    change = update(TotpCredential).where(TotpCredential.account_id == account_id, TotpCredential.last_step < step)
    return set(db.session().scalars(change.values(last_step=step).returning(TotpCredential.authenticator_id)))


def _generator(seed: str) -> pyotp.TOTP:
    return pyotp.TOTP(seed, digits=DIGITS, interval=int(STEP.total_seconds()))


def _purpose(account_id: int) -> str:
    """Binds a sealed seed to its account, so that whoever can write rows cannot lend it to another."""
    return f"totp:{account_id}"
