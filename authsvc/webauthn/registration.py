"""Registration: what the browser is asked to make, and the check of what it made."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from webauthn import generate_registration_options, options_to_json, verify_registration_response
from webauthn.helpers import bytes_to_base64url, parse_client_data_json, parse_registration_credential_json
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from authsvc import accounts
from authsvc.core import db
from authsvc.core.assurance import Factor
from authsvc.core.errors import AuthError
from authsvc.core.web import settings
from authsvc.webauthn import attestation
from authsvc.webauthn.models import TIMEOUT, WebauthnCredential, descriptors

RP_NAME = "authsvc"
MAX_CREDENTIAL_ID_BYTES = 1023  # WebAuthn Level 3, 7.1, step 25


class RegistrationRefused(AuthError):
    """The answer to a registration is not JSON of a credential, or its checks fail."""

    code = "registration_refused"
    title = "This did not work"
    message = "What your key or browser answered could not be checked. Please try again."


class CredentialTaken(RegistrationRefused):
    """The credential id is registered already, here or on another account."""

    status = 409
    code = "credential_taken"
    message = "This key or passkey is registered here already. Use another one, or remove it first."


class NotAllowed(RegistrationRefused):
    """The operator lists the models that may be enrolled, and this is none of them, or cannot show that it is."""

    code = "authenticator_not_allowed"
    message = (
        "Only certain models of security key can be added here, and this one is not among them or did not show its "
        "maker's certificate. Use another key, and allow your browser to show its make and model."
    )


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What was enrolled. `hardware`: the key cannot leave its device; `attested`: its maker vouches for that."""

    authenticator_id: int
    user_verified: bool
    hardware: bool
    attested: bool


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """A registration that holds."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    aaguid: str
    transports: list[str]
    backup_eligible: bool
    backed_up: bool
    user_verified: bool
    attested: bool


def begin_registration(account_id: int) -> tuple[str, bytes]:
    """Options as JSON, and the challenge for the caller to store and spend.

    User verification and discoverability are wished for, not demanded: a key without a PIN still makes
    a good second factor. Attestation is asked for only where there are roots to check it against.
    """
    account = accounts.get(account_id)
    options = generate_registration_options(
        rp_id=settings().host,
        rp_name=RP_NAME,
        user_name=account.username,
        user_id=account.sub.encode(),
        timeout=int(TIMEOUT.total_seconds() * 1000),
        attestation=AttestationConveyancePreference("direct" if attestation.roots() else "none"),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            require_resident_key=False,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=descriptors(account_id),
    )
    return options_to_json(options), options.challenge


def problem_with_registration(credential_json: str, challenge: bytes) -> str | None:
    """Why this answer would be refused, in words for the person; None when it is good. Stores nothing."""
    try:
        _check(credential_json, challenge)
    except RegistrationRefused as refused:
        return refused.message
    return None


def finish_registration(
    account_id: int,
    credential_json: str,
    challenge: bytes,
    *,
    label: str,
    browser_known_for: timedelta,
    now: datetime,
) -> Registered:
    """Enrol the credential. It is a passkey when it verified its user, else a security key (decision 0020).

    Raises RegistrationRefused, or CredentialTaken when the credential id exists on any account.
    """
    checked = _check(credential_json, challenge)
    authenticator_id = accounts.add_authenticator(
        account_id,
        Factor.PASSKEY if checked.user_verified else Factor.SECURITY_KEY,
        label,
        browser_known_for=browser_known_for,
        backed_up=checked.backed_up,
        now=now,
    )
    db.session().add(
        WebauthnCredential(
            authenticator_id=authenticator_id,
            account_id=account_id,
            credential_id=checked.credential_id,
            public_key=checked.public_key,
            sign_count=checked.sign_count,
            aaguid=checked.aaguid,
            transports=checked.transports,
            backup_eligible=checked.backup_eligible,
            backed_up=checked.backed_up,
            attested=checked.attested,
            user_verified_at_registration=checked.user_verified,
        )
    )
    try:
        db.session().flush()
    except IntegrityError as error:
        raise CredentialTaken(f"registered meanwhile, refused to account {account_id}") from error
    return Registered(
        authenticator_id=authenticator_id,
        user_verified=checked.user_verified,
        hardware=not checked.backup_eligible,
        attested=checked.attested,
    )


def credential_ids(account_id: int) -> list[str]:
    """The account's credential ids in base64url, those out of force included."""
    return [bytes_to_base64url(found.id) for found in descriptors(account_id)]


def accepted_credentials(account_id: int) -> dict[str, object]:
    """What a page tells the browser by `signalAllAcceptedCredentials` (WebAuthn Level 3, 5.1.10.3), for its owner."""
    user_id = bytes_to_base64url(accounts.get(account_id).sub.encode())
    return {"rpId": settings().host, "userId": user_id, "allAcceptedCredentialIds": credential_ids(account_id)}


def attested(account_id: int) -> set[int]:
    """Of the account's authenticators, those whose hardware was verified when they were enrolled."""
    query = select(WebauthnCredential.authenticator_id).where(
        WebauthnCredential.account_id == account_id, WebauthnCredential.attested
    )
    return set(db.session().scalars(query))


def revoke(authenticator_id: int) -> None:
    """Delete the public key. `accounts.revoke_authenticator` keeps the line in the register."""
    db.session().execute(delete(WebauthnCredential).where(WebauthnCredential.authenticator_id == authenticator_id))


def erase(account_id: int) -> None:
    """Delete all that the account has, or had."""
    db.session().execute(delete(WebauthnCredential).where(WebauthnCredential.account_id == account_id))


def _check(credential_json: str, challenge: bytes) -> _Checked:
    """Origin, RP ID, challenge and flags as WebAuthn Level 3, 7.1 has them. Raises RegistrationRefused."""
    try:
        credential = parse_registration_credential_json(credential_json)
        found = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=settings().host,
            expected_origin=settings().base_url,
        )
        framed = parse_client_data_json(credential.response.client_data_json).cross_origin
        backup_eligible = found.credential_device_type is CredentialDeviceType.MULTI_DEVICE
        attested = not backup_eligible and attestation.verified(credential, challenge)
    except Exception as error:  # hostile input makes the library raise much more than its own errors
        raise RegistrationRefused(f"{type(error).__name__}: {error}") from error
    if framed:
        raise RegistrationRefused("made in a frame of another site")
    if len(found.credential_id) > MAX_CREDENTIAL_ID_BYTES:
        raise RegistrationRefused(f"credential id of {len(found.credential_id)} bytes")
    if not attestation.allowed(found.aaguid, attested=attested):
        raise NotAllowed(f"AAGUID {found.aaguid}, {'attested' if attested else 'not attested'}")
    known = select(WebauthnCredential.account_id).where(WebauthnCredential.credential_id == found.credential_id)
    if (owner := db.session().scalar(known)) is not None:
        raise CredentialTaken(f"exists on account {owner}")
    return _Checked(
        credential_id=found.credential_id,
        public_key=found.credential_public_key,
        sign_count=found.sign_count,
        aaguid=found.aaguid,
        transports=[transport.value for transport in credential.response.transports or []],
        backup_eligible=backup_eligible,
        backed_up=found.credential_backed_up,
        user_verified=found.user_verified,
        attested=attested,
    )
