"""Lists of domains: companies that park domains, providers of throw-away mailboxes. Shipped, and added to by files.

One domain a line; what follows a # is a comment.
"""

from functools import cache
from importlib import resources
from pathlib import Path

from authsvc.core.config import SettingError
from authsvc.core.domain_names import InvalidDomain, mail_domain
from authsvc.core.evidence import DomainLists


@cache
def shipped_lists() -> DomainLists:
    """The lists that come with us."""
    folder = resources.files("authsvc.adapters")
    parking, disposable = (
        _domains(folder.joinpath(name).read_text(encoding="utf-8"))
        for name in ("parking_nameservers.txt", "disposable_domains.txt")
    )
    return DomainLists(parking=parking, disposable=disposable)


def domain_lists(*, parking: str, disposable: str) -> DomainLists:
    """The shipped lists with those of the named files; empty names for none.

    Raises SettingError for a file that cannot be read or holds what is no domain.
    """
    ours = shipped_lists()
    return DomainLists(
        parking=ours.parking | _read("PARKING_NAMESERVERS_FILE", parking),
        disposable=ours.disposable | _read("DISPOSABLE_DOMAINS_FILE", disposable),
    )


def _read(setting: str, path: str) -> frozenset[str]:
    try:
        return _domains(Path(path).read_text(encoding="utf-8")) if path else frozenset()
    except (OSError, ValueError) as error:  # InvalidDomain and UnicodeDecodeError are ValueErrors
        raise SettingError(f"AUTHSVC_{setting}: {path} cannot be used: {error}") from error


def _domains(text: str) -> frozenset[str]:
    """The domains of a list as A-labels. Raises InvalidDomain, with the line's number."""
    found: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.partition("#")[0].strip()
        if name:
            try:
                found.add(mail_domain(name))
            except InvalidDomain as error:
                raise InvalidDomain(f"line {number}: {error}") from error
    return frozenset(found)
