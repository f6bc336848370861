"""Names of mail domains: one spelling for each, and which part of one is registered.

The public suffix list comes with its package and is never fetched.
"""

from functools import cache

import idna
from publicsuffixlist import PublicSuffixList

# Names that never leave a machine or stand in examples (RFC 2606, RFC 6761).
RESERVED_TLDS = frozenset({"test", "localhost", "example"})


class InvalidDomain(ValueError):
    """The text names no mail domain that DNS could know."""


def mail_domain(address: str) -> str:
    """The domain of an address, or a bare domain, as A-label. Raises InvalidDomain.

    IDNA 2008 by UTS 46, non-transitional: the German sharp s stays itself (straße.de is not strasse.de).
    """
    typed = address.rpartition("@")[2]
    try:
        domain = idna.encode(typed, uts46=True, transitional=False).decode("ascii").lower().removesuffix(".")
    except (idna.IDNAError, UnicodeError) as error:
        raise InvalidDomain(f"{typed!r}: {error}") from error
    if not domain or domain.rpartition(".")[2].isdigit():
        raise InvalidDomain(f"{typed!r} is not a domain name")
    return domain


def registrable_domain(domain: str) -> str | None:
    """The part of an A-label name that somebody registered, one label under its public suffix.

    The private section counts: somebody.github.io is somebody's. None for a name that is itself a suffix.
    """
    found: str | None = _suffixes().privatesuffix(domain)
    return found


def registry_domain(domain: str) -> str | None:
    """The name to ask a registry about; None under a private suffix or an unknown top-level domain."""
    name = registrable_domain(domain)
    if name is None or _registry_suffixes().publicsuffix(name) != name.partition(".")[2]:
        return None
    return name


def is_reserved(domain: str) -> bool:
    """True for names that cannot exist on the Internet."""
    return domain.rpartition(".")[2] in RESERVED_TLDS


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@cache
def _registry_suffixes() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True, accept_unknown=False)
