"""Breached passwords: was this one leaked? Asks a range service without telling it the password.

Five hexadecimal digits of the SHA-1 digest leave the house, and the answer is padded, so that neither the
service nor a listener learns which password was asked about (k-anonymity).
"""

import hashlib

from authsvc.adapters.http import HttpClient, HttpFault

PREFIX_DIGITS = 5
MAX_BODY_BYTES = 256 * 1024  # a padded range has about 1,000 lines of 40 characters
OFF = "off"


class BreachedPasswords:
    """Asks the range service at `base_url`; `off` asks nobody."""

    def __init__(self, http: HttpClient, base_url: str) -> None:
        self._http = http
        self._base_url = base_url

    def count(self, password: str) -> int | None:
        """How often the password was seen in leaks; None when the service did not answer."""
        if self._base_url == OFF:
            return 0
        # SHA-1 is what the service speaks; nothing of ours rests on it.
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        prefix, suffix = digest[:PREFIX_DIGITS], digest[PREFIX_DIGITS:]
        try:
            answer = self._http.request(
                "GET",
                f"{self._base_url.rstrip('/')}/range/{prefix}",
                headers={"Add-Padding": "true"},
                own=True,
                max_bytes=MAX_BODY_BYTES,
            )
        except HttpFault:
            return None
        if answer.status != 200:
            return None
        for line in answer.body.decode("ascii", errors="replace").splitlines():
            found, _, times = line.strip().partition(":")
            if found.upper() == suffix:
                return int(times) if times.isascii() and times.isdigit() else None
        return 0
