"""A browser that binds its sessions to a key, as Chromium does, in Python: for what Chromium would never send."""

import re
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from werkzeug.test import TestResponse

from tests.people import Visitor

OFFER = re.compile(r'\((?P<algorithms>[^)]*)\);path="(?P<path>[^"]+)";challenge="(?P<challenge>[^"]+)"')
CHALLENGE = re.compile(r'"(?P<challenge>[^"]+)";id="(?P<id>[^"]+)"')


class Device:
    """The browser of a visitor, with a key of its own for the next session."""

    def __init__(self, visitor: Visitor, alg: str = "ES256") -> None:
        self.visitor, self.alg = visitor, alg
        self.key: ECKey | RSAKey = ECKey.generate_key("P-256") if alg == "ES256" else RSAKey.generate_key(2048)
        self.identifier = ""

    def sign(self, challenge: str, *, first: bool = False, **header: Any) -> str:
        """A proof; the first one brings the public key."""
        about = {"alg": self.alg, "typ": "dbsc+jwt", **header}
        if first and "jwk" not in header:
            about["jwk"] = self.key.as_dict(private=False)
        return jwt.encode(about, {"jti": challenge}, self.key, algorithms=[about["alg"]])

    def send(self, path: str, **headers: str) -> TestResponse:
        """What the browser sends by itself: no form, no token."""
        named = {name.replace("_", "-"): value for name, value in headers.items() if value}
        return self.visitor.http.post(
            path, base_url=self.visitor.origin, headers={"Sec-Fetch-Site": "same-origin", **named}
        )

    def bind(self, signed_in: TestResponse) -> TestResponse:
        """Take the offer of a sign-in up."""
        offered = OFFER.fullmatch(signed_in.headers["Secure-Session-Registration"])
        assert offered
        proof = self.sign(offered["challenge"], first=True)
        answer = self.send(offered["path"], Secure_Session_Response=proof)
        if answer.status_code == 200:
            assert answer.json
            self.identifier = answer.json["session_identifier"]
        return answer

    def challenge(self) -> str:
        """Ask to refresh, and be challenged."""
        answer = self.send("/session/refresh", Sec_Secure_Session_Id=self.identifier)
        assert answer.status_code == 403, answer.text
        found = CHALLENGE.fullmatch(answer.headers["Secure-Session-Challenge"])
        assert found
        assert found["id"] == self.identifier
        return found["challenge"]

    def answer(self, proof: str) -> TestResponse:
        """Refresh with this proof."""
        return self.send("/session/refresh", Sec_Secure_Session_Id=self.identifier, Secure_Session_Response=proof)

    def refresh(self) -> TestResponse:
        """Refresh as it should be."""
        return self.answer(self.sign(self.challenge()))
