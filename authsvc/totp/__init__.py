"""Codes from an authenticator app (RFC 6238). Owns the sealed seeds and which time steps were accepted.

Whether a code is needed is `policy.login`'s affair; the caller charges the guess before it asks `verify`.

Verbs: new_seed, provisioning_uri, qr_svg (what the enrolment page shows), matches (its confirming code),
enrol, verify, revoke, erase.
"""

from authsvc.totp.service import enrol, erase, matches, new_seed, provisioning_uri, qr_svg, revoke, verify

__all__ = ["enrol", "erase", "matches", "new_seed", "provisioning_uri", "qr_svg", "revoke", "verify"]
