"""Attestation: is this key what its maker says it is? Asked for only where the operator configured roots.

A key counts as attested when its statement is signed by a certificate that leads to one of those roots, names the
model the key names, and the key cannot be synced (decision 0018). Sources: WebAuthn Level 3, 6.5, 8.2.1, 8.3, 8.6.
"""

import re
from uuid import UUID

from cryptography import x509
from cryptography.x509.oid import NameOID
from flask import Flask, current_app
from webauthn import verify_registration_response
from webauthn.helpers import parse_attestation_object
from webauthn.helpers.structs import AttestationFormat, RegistrationCredential

from authsvc.core.config import PREFIX, SettingError, Settings
from authsvc.core.web import settings

EXTENSION = "authsvc.attestation_roots"
# Those that are verified against our roots alone: the library adds roots of its own to the others.
FORMATS = (AttestationFormat.PACKED, AttestationFormat.FIDO_U2F, AttestationFormat.TPM)
AAGUID_OID = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def register(app: Flask) -> None:
    """Read the roots once. Raises SettingError when the file cannot be used."""
    app.extensions[EXTENSION] = _load(app.extensions["authsvc.settings"])


def _load(settings_: Settings) -> list[bytes]:
    path = settings_.attestation_roots_file
    if not path:
        return []
    try:
        with open(path, "rb") as file:
            found = _PEM.findall(file.read())
        for certificate in found:
            x509.load_pem_x509_certificate(certificate)
    except (OSError, ValueError) as error:
        raise SettingError(f"{PREFIX}ATTESTATION_ROOTS_FILE: {path} cannot be used: {error}") from error
    if not found:
        raise SettingError(f"{PREFIX}ATTESTATION_ROOTS_FILE: {path} holds no certificate in PEM form")
    return found


def roots() -> list[bytes]:
    """The operator's roots as PEM; empty: no attestation is asked for."""
    found: list[bytes] = current_app.extensions[EXTENSION]
    return found


def allowed(aaguid: str, *, attested: bool) -> bool:
    """May this model be enrolled? Where there is a list, only what is on it and was attested."""
    listed = settings().aaguids
    return not listed or (attested and UUID(aaguid) in listed)


def verified(credential: RegistrationCredential, challenge: bytes) -> bool:
    """True when the statement leads to a root. The caller checked everything else of the registration before."""
    statement = parse_attestation_object(credential.response.attestation_object)
    chain = statement.att_stmt.x5c
    data = statement.auth_data.attested_credential_data
    if not roots() or statement.fmt not in FORMATS or not chain or data is None:
        return False
    try:
        verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=settings().host,
            expected_origin=settings().base_url,
            pem_root_certs_bytes_by_fmt={form: roots() for form in FORMATS},
        )
        return _fits(x509.load_der_x509_certificate(chain[0]), statement.fmt, data.aaguid)
    except Exception:  # hostile certificates make the libraries raise much more than their own errors
        return False


def _fits(leaf: x509.Certificate, form: AttestationFormat, aaguid: bytes) -> bool:
    """What the library leaves out: the certificate is one for attestation, of the model that the key names."""
    try:
        model = leaf.extensions.get_extension_for_oid(AAGUID_OID)
    except x509.ExtensionNotFound:
        pass
    else:
        if model.critical or model.value.public_bytes() != b"\x04\x10" + aaguid:
            return False
    if form != AttestationFormat.PACKED:  # the library gives plain text
        return True
    unit = [name.value for name in leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
    basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
    return leaf.version is x509.Version.v3 and unit == ["Authenticator Attestation"] and not basic.ca
