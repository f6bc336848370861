"""Passkeys and security keys (WebAuthn Level 3). Owns their public keys, counters and backup flags.

The caller stores the challenge that `begin_…` returns, bound to one session or pending sign-in and one
purpose, and spends it in its own single-use statement *before* it hands it to the verb that checks the
answer (attack W04): here a challenge is only compared. What an assertion is worth is `policy`'s affair.

Verbs: begin_registration, problem_with_registration, finish_registration (enrol), begin_assertion, verify_assertion,
accepted_credentials (for the browser's list of passkeys), credential_ids, attested (which are verified hardware),
revoke, erase, register (reads the roots of attestation at the start).
"""

from authsvc.webauthn.assertion import Assertion, Reason, Refused, begin_assertion, verify_assertion
from authsvc.webauthn.attestation import register
from authsvc.webauthn.registration import (
    CredentialTaken,
    NotAllowed,
    Registered,
    RegistrationRefused,
    accepted_credentials,
    attested,
    begin_registration,
    credential_ids,
    erase,
    finish_registration,
    problem_with_registration,
    revoke,
)

__all__ = [
    "Assertion",
    "CredentialTaken",
    "NotAllowed",
    "Reason",
    "Refused",
    "Registered",
    "RegistrationRefused",
    "accepted_credentials",
    "attested",
    "begin_assertion",
    "begin_registration",
    "credential_ids",
    "erase",
    "finish_registration",
    "problem_with_registration",
    "register",
    "revoke",
    "verify_assertion",
]
