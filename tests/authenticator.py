"""A software WebAuthn authenticator and its browser, for tests: what either would refuse can be asked of it.

`register` and `answer` take the options as JSON and answer with the credential as JSON, as a page would send it.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40  # WebAuthn Level 3, 6.1


@dataclass(kw_only=True)
class Authenticator:
    """One credential in one device. Change a field to change what it says from then on.

    `sign_count` is what it said last; `counts` is False for those that always say 0, as synced passkeys do.
    """

    origin: str = "http://localhost:8000"
    rp_id: str | None = None  # None: the one in the options
    present: bool = True
    user_verified: bool = True
    backup_eligible: bool = False
    backed_up: bool = False
    counts: bool = True
    sign_count: int = 0
    transports: list[str] = field(default_factory=lambda: ["usb"])
    cross_origin: bool = False
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    private_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    user_handle: bytes | None = None  # learnt at registration

    def register(self, options_json: str) -> str:
        """Answer to `navigator.credentials.create()`, with the attestation "none"."""
        options = json.loads(options_json)
        self.user_handle = base64url_to_bytes(options["user"]["id"])
        numbers = self.private_key.public_key().public_numbers()
        cose_key = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        credential_data = (
            bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor2.dumps(cose_key)
        )
        data = self._authenticator_data(options["rp"]["id"], AT) + credential_data
        return self._credential(
            clientDataJSON=self._client_data("webauthn.create", options["challenge"]),
            attestationObject=cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data}),
            transports=self.transports,
        )

    def answer(self, options_json: str) -> str:
        """Answer to `navigator.credentials.get()`. Does not look at `allowCredentials`, as an attacker's would not."""
        options = json.loads(options_json)
        data = self._authenticator_data(options["rpId"], 0)
        client_data = self._client_data("webauthn.get", options["challenge"])
        signed = data + hashlib.sha256(client_data).digest()
        return self._credential(
            clientDataJSON=client_data,
            authenticatorData=data,
            signature=self.private_key.sign(signed, ec.ECDSA(SHA256())),
            userHandle=self.user_handle,
        )

    def _authenticator_data(self, rp_id: str, flags: int) -> bytes:
        said = ((self.present, UP), (self.user_verified, UV), (self.backup_eligible, BE), (self.backed_up, BS))
        flags |= sum(bit for holds, bit in said if holds)
        self.sign_count += self.counts
        rp_id_hash = hashlib.sha256((self.rp_id or rp_id).encode()).digest()
        return rp_id_hash + bytes([flags]) + self.sign_count.to_bytes(4, "big")

    def _client_data(self, ceremony: str, challenge: str) -> bytes:
        said = {"type": ceremony, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin}
        return json.dumps(said).encode()

    def _credential(self, **response: Any) -> str:
        plain = {k: bytes_to_base64url(v) if isinstance(v, bytes) else v for k, v in response.items()}
        id_ = bytes_to_base64url(self.credential_id)
        return json.dumps(
            {"id": id_, "rawId": id_, "type": "public-key", "response": plain, "clientExtensionResults": {}}
        )
