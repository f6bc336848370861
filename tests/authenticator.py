"""A software WebAuthn authenticator and its browser, for tests: what either would refuse can be asked of it.

`register` and `answer` take the options as JSON and answer with the credential as JSON, as a page would send it.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40  # WebAuthn Level 3, 6.1
AAGUID_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
START = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class Maker:
    """A maker of keys with a root, an intermediate, and for each registration a certificate of attestation.

    Change a field to change what the certificates say. `self_attested`: none, signed by the credential itself.
    """

    unit: str = "Authenticator Attestation"
    is_authority: bool = False
    says_aaguid: bytes | None = None  # None: that of the key
    names_model: bool = True
    ends: datetime = datetime(2120, 1, 1, tzinfo=UTC)
    self_attested: bool = False
    spoilt: bool = False  # the signature is over something else

    def __post_init__(self) -> None:
        self._serial = secrets.token_hex(4)  # or chains of makers of one name would be confused
        self._root_key, self._between_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self._root = self._certificate("Root", self._root_key, "Root", self._root_key, authority=True)
        self._between = self._certificate("Between", self._between_key, "Root", self._root_key, authority=True)

    @property
    def root_pem(self) -> bytes:
        """What an operator would write into the file of roots."""
        return self._root.public_bytes(Encoding.PEM)

    def attest(self, aaguid: bytes, signed: bytes, own_key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
        """The statement of the format packed (WebAuthn Level 3, 8.2)."""
        if self.spoilt:
            signed = b"something else"
        if self.self_attested:
            return {"alg": -7, "sig": own_key.sign(signed, ec.ECDSA(SHA256()))}
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = []
        if self.names_model:
            value = b"\x04\x10" + (self.says_aaguid or aaguid)
            extensions.append(x509.UnrecognizedExtension(AAGUID_EXTENSION, value))
        leaf = self._certificate(
            "Leaf", key, "Between", self._between_key, authority=self.is_authority, extensions=extensions
        )
        chain = [certificate.public_bytes(Encoding.DER) for certificate in (leaf, self._between)]
        return {"alg": -7, "sig": key.sign(signed, ec.ECDSA(SHA256())), "x5c": chain}

    def _certificate(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: str,
        issuer_key: ec.EllipticCurvePrivateKey,
        *,
        authority: bool,
        extensions: Iterable[x509.ExtensionType] = (),
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(self._name(name))
            .issuer_name(self._name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(START)
            .not_valid_after(self.ends if name == "Leaf" else datetime(2120, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(issuer_key, SHA256())

    def _name(self, name: str) -> x509.Name:
        unit = self.unit if name == "Leaf" else "Attestation Authority"
        said = ((NameOID.ORGANIZATION_NAME, f"Keys for Tests {self._serial}"), (NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in (*said, (NameOID.COMMON_NAME, name))])


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
    aaguid: bytes = bytes(16)
    maker: "Maker | None" = None  # attests what is registered, if that is asked for

    def register(self, options_json: str) -> str:
        """Answer to `navigator.credentials.create()`, attested in the format packed where there is a maker."""
        options = json.loads(options_json)
        self.user_handle = base64url_to_bytes(options["user"]["id"])
        numbers = self.private_key.public_key().public_numbers()
        cose_key = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        credential_data = (
            self.aaguid + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor2.dumps(cose_key)
        )
        data = self._authenticator_data(options["rp"]["id"], AT) + credential_data
        client_data = self._client_data("webauthn.create", options["challenge"])
        attestation: dict[str, Any] = {"fmt": "none", "attStmt": {}, "authData": data}
        if self.maker is not None and options["attestation"] == "direct":
            statement = self.maker.attest(self.aaguid, data + hashlib.sha256(client_data).digest(), self.private_key)
            attestation |= {"fmt": "packed", "attStmt": statement}
        return self._credential(
            clientDataJSON=client_data,
            attestationObject=cbor2.dumps(attestation),
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
