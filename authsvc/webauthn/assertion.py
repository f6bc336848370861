"""Assertion: a credential proves itself. What it proved is returned; others decide what it is worth."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from sqlalchemy import bindparam, or_, select, update
from webauthn import generate_authentication_options, options_to_json, verify_authentication_response
from webauthn.helpers import bytes_to_base64url, parse_authentication_credential_json, parse_client_data_json
from webauthn.helpers.structs import CredentialDeviceType, UserVerificationRequirement

from authsvc import accounts, audit, mail
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.errors import BadInput
from authsvc.core.web import client, settings
from authsvc.webauthn.models import TIMEOUT, WebauthnCredential, descriptors

UNREADABLE = "What your key or browser answered could not be read. Please try again."


class Reason(StrEnum):
    """Why an assertion is refused; for logs, and for pages that may tell the person."""

    UNKNOWN_CREDENTIAL = "unknown_credential"  # removed, or never ours: browsers may be told to forget it
    NOT_ENROLLED = "not_enrolled"  # stored, but out of force
    OTHER_ACCOUNT = "other_account"  # attack W05
    CHECK_FAILED = "check_failed"  # challenge, origin, RP ID, presence or signature (attack W01)
    NO_USER_VERIFICATION = "no_user_verification"  # attack W03
    SECOND_FACTOR_ONLY = "second_factor_only"  # registered without user verification: decision 0020
    COUNTER_BACK = "counter_back"  # a copy of the key exists, or an answer is sent again


@dataclass(frozen=True, kw_only=True)
class Assertion:
    """What was proved. `user_verified` makes it a passkey (POLICY 1), else it is a security key.

    `hardware`: the key cannot leave its device, as far as it says so itself; `attested`: its maker said so, too.
    """

    account_id: int
    authenticator_id: int
    user_verified: bool
    hardware: bool
    attested: bool


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Nothing was proved. Account and authenticator are those the credential id names, where it is known.

    `signal` is for a credential that exists nowhere here: what a page may tell the browser by
    `signalUnknownCredential` (WebAuthn Level 3, 5.1.10.2). It repeats what the browser sent and nothing else.
    """

    reason: Reason
    detail: str = ""
    account_id: int | None = None
    authenticator_id: int | None = None
    signal: dict[str, str] | None = None


_BY_CREDENTIAL = select(WebauthnCredential).where(WebauthnCredential.credential_id == bindparam("credential_id"))


def begin_assertion(
    account_id: int | None,
    *,
    user_verification: Literal["required", "preferred", "discouraged"],
    among: Collection[int] | None = None,
) -> tuple[str, bytes]:
    """Options as JSON, and the challenge for the caller to store and spend.

    With an account, any of its credentials may answer, or those whose authenticator is `among` the ids where given;
    without, a discoverable one names the account.
    """
    may_answer = descriptors(account_id, among) if account_id is not None else []
    options = generate_authentication_options(
        rp_id=settings().host,
        timeout=int(TIMEOUT.total_seconds() * 1000),
        allow_credentials=may_answer,
        user_verification=UserVerificationRequirement(user_verification),
    )
    return options_to_json(options), options.challenge


def verify_assertion(
    credential_json: str,
    challenge: bytes,
    *,
    account_id: int | None,
    user_verification_required: bool,
    among: Collection[int] | None = None,
    now: datetime,
) -> Assertion | Refused:
    """Check an answer to `begin_assertion`; the account comes from the credential (WebAuthn Level 3, 7.2).

    `challenge` is the one the caller stored and has just spent. With `account_id`, credentials of others are
    refused; without, the answer must carry the user handle too. Of a counter that goes back the owner is told here.
    `among`: ids that count instead of those enrolled now (POLICY 5, freeze). Raises BadInput when this is no
    credential at all.
    """
    try:
        credential = parse_authentication_credential_json(credential_json)
    except Exception as error:  # hostile input makes the library raise much more than its own errors
        raise BadInput(f"{type(error).__name__}: {error}", message=UNREADABLE) from error
    row = db.session().scalar(_BY_CREDENTIAL, {"credential_id": credential.raw_id})
    if row is None:
        signal = {"rpId": settings().host, "credentialId": bytes_to_base64url(credential.raw_id)}
        return Refused(reason=Reason.UNKNOWN_CREDENTIAL, signal=signal)

    def refused(reason: Reason, detail: str = "") -> Refused:
        return Refused(reason=reason, detail=detail, account_id=row.account_id, authenticator_id=row.authenticator_id)

    if row.authenticator_id not in (accounts.enrolled_ids(row.account_id) if among is None else among):
        return refused(Reason.NOT_ENROLLED)
    if account_id is not None and row.account_id != account_id:
        return refused(Reason.OTHER_ACCOUNT)
    handle = credential.response.user_handle  # security keys leave it out when the account was named to them
    if handle != accounts.get(row.account_id).sub.encode() and (handle or account_id is None):
        return refused(Reason.OTHER_ACCOUNT, "user handle")
    try:
        found = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=settings().host,
            expected_origin=settings().base_url,
            credential_public_key=row.public_key,
            credential_current_sign_count=0,  # compared below, once the signature holds
        )
        framed = parse_client_data_json(credential.response.client_data_json).cross_origin
    except Exception as error:
        return refused(Reason.CHECK_FAILED, f"{type(error).__name__}: {error}")
    backup_eligible = found.credential_device_type is CredentialDeviceType.MULTI_DEVICE
    if framed or backup_eligible != row.backup_eligible:
        return refused(Reason.CHECK_FAILED, "made in a frame" if framed else "backup eligibility changed")
    if user_verification_required and not found.user_verified:
        return refused(Reason.NO_USER_VERIFICATION)
    if user_verification_required and not row.user_verified_at_registration:
        return refused(Reason.SECOND_FACTOR_ONLY)
    if not _count(row.authenticator_id, found.new_sign_count, backed_up=found.credential_backed_up):
        _warn_of_copy(row, found.new_sign_count, now=now)
        return refused(Reason.COUNTER_BACK, f"{row.sign_count} stored, {found.new_sign_count} sent")
    accounts.note_use(row.authenticator_id, now=now, backed_up=found.credential_backed_up)
    return Assertion(
        account_id=row.account_id,
        authenticator_id=row.authenticator_id,
        user_verified=found.user_verified and row.user_verified_at_registration,
        hardware=not row.backup_eligible,
        attested=row.attested,
    )


def _warn_of_copy(row: WebauthnCredential, sent: int, *, now: datetime) -> None:
    """Log a counter that went back, and mail the owner: somebody may have a copy of the key (7.2, step 22)."""
    audit.record(
        EventType.AUTHENTICATOR_COUNTER_BACK,
        account_id=row.account_id,
        at=now,
        client=client(),
        authenticator_id=row.authenticator_id,
        stored=row.sign_count,
        sent=sent,
    )
    username = accounts.get(row.account_id).username
    mail.notify(
        row.account_id,
        "key_refused",
        subject=f"A key of {username} was refused",
        now=now,
        username=username,
        client=client(),
    )


def _count(authenticator_id: int, sign_count: int, *, backed_up: bool) -> bool:
    """Store the counter. False when it did not grow; keys without one always say 0.

    Of two at once one wins (WebAuthn Level 3, 7.2, step 22).
    """
    stored = WebauthnCredential.sign_count
    change = update(WebauthnCredential).where(
        WebauthnCredential.authenticator_id == authenticator_id,
        or_(stored < sign_count, (stored == 0) & (sign_count == 0)),
    )
    counted = change.values(sign_count=sign_count, backed_up=backed_up)
    return db.session().scalar(counted.returning(WebauthnCredential.authenticator_id)) is not None
