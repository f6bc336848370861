"""One canonical form for each name and address, so that no two spellings open two doors (attacks E12, L02, R05)."""

import re

import idna
from email_validator import EmailNotValidError, validate_email

USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,37}[a-z0-9])?")
RESERVED_USERNAMES = frozenset({"admin", "administrator", "authsvc", "root", "security", "staff", "support", "system"})


class InvalidUsername(ValueError):
    """The name cannot be used; the text says why."""


class InvalidAddress(ValueError):
    """The text is not an e-mail address we can use; the text says why."""


def canonical_username(text: str) -> str:
    """The name in lower case. ASCII alone, so no look-alike letter exists. Raises InvalidUsername."""
    name = text.strip()
    if not name.isascii() or not USERNAME.fullmatch(name.lower()):
        raise InvalidUsername(
            "Use 1 to 39 letters (a to z), digits, dots, hyphens or underscores, starting with a letter or digit."
        )
    return name.lower()


def normalise_address(text: str) -> str:
    """The address as stored and compared: lower case, NFC, domain as A-label. Raises InvalidAddress.

    RFC 5321 has case in local parts count, but nobody runs them so; two accounts differing in case would be a trap.
    Non-ASCII local parts are refused: look-alike letters would make two people one (attack R05).
    """
    text = text.strip().removesuffix(".")
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True, allow_smtputf8=False)
        domain = idna.encode(found.domain, uts46=True, transitional=False).decode("ascii").lower()
    except (EmailNotValidError, idna.IDNAError) as error:
        raise InvalidAddress("This does not look like an e-mail address.") from error
    return f"{found.local_part.lower()}@{domain}"
