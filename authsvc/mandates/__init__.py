"""Who must have a second factor, because so many depend on their packages. Owns packages, ownership and mandates.

Whether a mandate follows, and what meets it, is `policy.mandate`'s affair; `login` enforces it.

Verbs: in_force (what a sign-in must meet), unmet (is there one that nothing enrolled meets?), upcoming (in force, or
still to come), has_mandate, owns_packages, is_owner (as a condition of queries), may_keep_only (may the others go?),
co_owners (who maintains a package as well), packages (what somebody maintains), require (by hand), link_account (a name
registered), put_package and put_maintainers (pushed by a registry; package, ownership and package_name read what it
sent), apply and tidy_imports (the worker's tasks); and the operators' commands `impact` and `mandates`.
"""

from authsvc.mandates.co_owners import CoOwners, co_owners, packages
from authsvc.mandates.commands import GROUPS as commands
from authsvc.mandates.pushing import Pushed, put_maintainers, put_package
from authsvc.mandates.reading import OwnershipLine, PackageLine, ownership, package, package_name
from authsvc.mandates.service import (
    apply,
    has_mandate,
    in_force,
    is_covered,
    is_owner,
    link_account,
    may_keep_only,
    owns_packages,
    require,
    unmet,
    upcoming,
)
from authsvc.mandates.snapshots import Running
from authsvc.mandates.snapshots import tidy as tidy_imports

__all__ = [
    "CoOwners",
    "OwnershipLine",
    "PackageLine",
    "Pushed",
    "Running",
    "apply",
    "co_owners",
    "commands",
    "has_mandate",
    "in_force",
    "is_covered",
    "is_owner",
    "link_account",
    "may_keep_only",
    "ownership",
    "owns_packages",
    "package",
    "package_name",
    "packages",
    "put_maintainers",
    "put_package",
    "require",
    "tidy_imports",
    "unmet",
    "upcoming",
]
