"""Enrolling an authenticator: prove it, keep recovery codes safe, then it counts.

One ceremony for both places: a signed-in person after a step-up, and a sign-in that a mandate holds up.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from authsvc import accounts, audit, holds, mail, recovery_codes, totp, webauthn
from authsvc.accounts import AccountRow
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.core.assurance import Factor
from authsvc.core.errors import Gone
from authsvc.core.web import client
from authsvc.login.models import Enrolment

LIFE = timedelta(minutes=30)
TOTP_LABEL = "Authenticator app"
KEY_LABEL = "Security key"
MAX_LABEL = 60


class EnrolmentGone(Gone):
    """The enrolment is over or was never begun here."""

    message = "This set-up is over or took too long. Nothing was changed. Please begin it again."


@dataclass(frozen=True, kw_only=True)
class Open:
    """An enrolment under way. `kind` is totp, key, or codes (a new set of recovery codes alone)."""

    id: int
    account_id: int
    epoch: int
    kind: str
    label: str
    secrets: dict[str, Any]
    proved: bool
    replaces: int | None

    @property
    def codes(self) -> list[str]:
        """The recovery codes to be shown; empty until the authenticator is proved."""
        codes: list[str] = self.secrets.get("codes", [])
        return codes


@dataclass(frozen=True)
class Enrolled:
    """What was enrolled, for a sign-in that counts it as proved."""

    factor: Factor
    authenticator_id: int
    hardware: bool = False
    attested: bool = False


def begin(owner: str, account_id: int, kind: str, *, replaces: int | None = None, now: datetime) -> None:
    """Start over with an enrolment of this kind; an unfinished one of the same owner is dropped.

    `replaces` names a lost authenticator that ends when this one counts (POLICY 4).
    """
    unfinished = update(Enrolment).where(Enrolment.owner == owner, Enrolment.finished_at.is_(None))
    db.session().execute(unfinished.values(finished_at=now, sealed=b""))
    secrets: dict[str, Any] = {"seed": totp.new_seed()} if kind == "totp" else {}
    if kind == "codes":
        secrets["codes"] = recovery_codes.generate()
    row = Enrolment(
        owner=owner,
        account_id=account_id,
        epoch=accounts.get(account_id).epoch,
        kind=kind,
        replaces_id=replaces,
        sealed=_seal(secrets),
        proved_at=now if kind == "codes" else None,
        created_at=now,
        expires_at=now + LIFE,
    )
    db.session().add(row)
    db.session().flush()


def find(owner: str, kind: str | None = None, *, now: datetime) -> Open:
    """The enrolment under way of this owner. Raises EnrolmentGone."""
    query = (
        select(Enrolment)
        .join(AccountRow, AccountRow.id == Enrolment.account_id)
        .where(
            Enrolment.owner == owner,
            Enrolment.finished_at.is_(None),
            Enrolment.expires_at > now,
            Enrolment.epoch == AccountRow.epoch,
        )
        .order_by(Enrolment.id.desc())
        .limit(1)
    )
    row = db.session().scalar(query)
    if row is None or (kind is not None and row.kind != kind):
        raise EnrolmentGone("no enrolment under way")
    return Open(
        id=row.id,
        account_id=row.account_id,
        epoch=row.epoch,
        kind=row.kind,
        label=row.label,
        secrets=json.loads(crypto.unseal(row.sealed, "enrolment")),
        proved=row.proved_at is not None,
        replaces=row.replaces_id,
    )


def key_options(open_: Open) -> str:
    """Options for a WebAuthn registration as JSON; the challenge is kept here. Raises EnrolmentGone when proved."""
    options, challenge = webauthn.begin_registration(open_.account_id)
    _store(open_, {**open_.secrets, "challenge": challenge.hex()})
    return options


def prove_totp(open_: Open, code: str, *, now: datetime) -> bool:
    """The first code from the app. Not a guess: the seed is on the page."""
    if open_.proved:  # sent twice
        return True
    step = totp.matches(open_.secrets["seed"], code, now=now)
    if step is None:
        return False
    _proved(open_, {**open_.secrets, "step": step}, TOTP_LABEL, now=now)
    return True


def prove_key(open_: Open, credential: str, label: str, *, now: datetime) -> str | None:
    """The registration a key answered with; why it is refused, or None. Its challenge is spent either way."""
    if open_.proved:  # sent twice
        return None
    challenge = open_.secrets.get("challenge")
    if challenge is None:
        return "Please try again."
    _store(open_, {name: value for name, value in open_.secrets.items() if name != "challenge"})
    problem = webauthn.problem_with_registration(credential, bytes.fromhex(challenge))
    if problem is not None:
        return problem
    _proved(open_, {"challenge": challenge, "credential": credential}, label or KEY_LABEL, now=now)
    return None


def confirm_code(open_: Open, typed: str) -> bool:
    """One code typed back shows that the codes were kept. It is not spent by that."""
    return open_.proved and any(crypto.same(c.encode(), typed.encode()) for c in open_.codes)


def finish(open_: Open, *, browser_known_for: timedelta, now: datetime) -> Enrolled | None:
    """Make it count: enter the authenticator, replace the recovery codes. None for codes alone. Once only.

    Raises EnrolmentGone, also for new recovery codes when a hold began meanwhile: they wait (POLICY 5).
    """
    account = accounts.lock(open_.account_id)
    if account.epoch != open_.epoch:
        raise EnrolmentGone("the account changed meanwhile")
    if open_.codes and holds.current(open_.account_id, now=now) is not None:
        raise EnrolmentGone("new recovery codes wait until the hold is over")
    taken = update(Enrolment).where(
        Enrolment.id == open_.id, Enrolment.finished_at.is_(None), Enrolment.proved_at.is_not(None)
    )
    if db.session().scalar(taken.values(finished_at=now, sealed=b"").returning(Enrolment.id)) is None:
        raise EnrolmentGone("finished by a rival request, or not proved")
    enrolled: Enrolled | None = None
    if open_.kind == "totp":
        seed, step = open_.secrets["seed"], open_.secrets["step"]
        authenticator_id = totp.enrol(
            account.id, seed, step, label=open_.label, browser_known_for=browser_known_for, now=now
        )
        enrolled = Enrolled(Factor.TOTP, authenticator_id)
    elif open_.kind == "key":
        registered = webauthn.finish_registration(
            account.id,
            open_.secrets["credential"],
            bytes.fromhex(open_.secrets["challenge"]),
            label=open_.label,
            browser_known_for=browser_known_for,
            now=now,
        )
        factor = Factor.PASSKEY if registered.user_verified else Factor.SECURITY_KEY
        enrolled = Enrolled(factor, registered.authenticator_id, registered.hardware, registered.attested)
    if open_.codes:
        recovery_codes.store(account.id, open_.codes, now=now)
        audit.record(EventType.RECOVERY_CODES_RENEWED, account_id=account.id, at=now, client=client())
    if enrolled is not None:
        words = "an authenticator app" if enrolled.factor is Factor.TOTP else f"the key “{open_.label}”"
        audit.record(
            EventType.AUTHENTICATOR_ENROLLED,
            account_id=account.id,
            at=now,
            client=client(),
            kind=open_.kind,
            label=open_.label,
        )
    else:
        words = "a new set of recovery codes"
    mail.notify(
        account.id,
        "authenticator_added",
        subject=f"Second step changed for {account.username}",
        now=now,
        username=account.username,
        what=words,
        client=client(),
    )
    return enrolled


def _seal(secrets: dict[str, Any]) -> bytes:
    return crypto.seal(json.dumps(secrets).encode(), "enrolment")


def _store(open_: Open, secrets: dict[str, Any], **values: object) -> None:
    """Change what is not proved yet; of two proofs at once one wins, so codes on a page are never replaced."""
    change = update(Enrolment).where(
        Enrolment.id == open_.id, Enrolment.finished_at.is_(None), Enrolment.proved_at.is_(None)
    )
    if db.session().scalar(change.values(sealed=_seal(secrets), **values).returning(Enrolment.id)) is None:
        raise EnrolmentGone("proved already, or finished")


def _proved(open_: Open, secrets: dict[str, Any], label: str, *, now: datetime) -> None:
    """Note the proof. Recovery codes come with it where none are left; in a hold they wait (POLICY 5)."""
    if not recovery_codes.left(open_.account_id) and holds.current(open_.account_id, now=now) is None:
        secrets["codes"] = recovery_codes.generate()
    _store(open_, secrets, proved_at=now, label=label[:MAX_LABEL])
