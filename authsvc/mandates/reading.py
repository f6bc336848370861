"""Files of a registry: packages with their figures, and who maintains them. Reads lines; stores nothing.

CSV in UTF-8, plain or gzipped; the first line says which of the two it is. Lines beginning with # are remarks.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from authsvc import accounts
from authsvc.policy.mandate import Impact

TELL_EVERY = 1000  # lines between two reports of progress
MAX_COUNT = 2**63 - 1
MAX_RANK = 2**31 - 1
FIGURES = ("weekly_downloads", "dependents", "weekly_ge_1m", "dependents_ge_500")
RANKS = ("rank", "dependents_rank")
PACKAGE_COLUMNS = frozenset({"ecosystem", "name"})
OWNERSHIP_COLUMNS = frozenset({"ecosystem", "package", "account"})
ECOSYSTEM = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
NAME = re.compile(r"\S{1,214}")
ROLE = re.compile(r"[a-z][a-z_-]{0,19}")

Progress = Callable[[int], None]  # told how many bytes of the file were read so far


class UnreadableFile(Exception):
    """The file as a whole cannot be used; the text says why."""


@dataclass(frozen=True)
class BadLine:
    """One line that cannot be stored, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class PackageLine:
    """One package. Every figure the file does not give counts as unknown."""

    ecosystem: str
    name: str
    impact: Impact


@dataclass(frozen=True)
class OwnershipLine:
    """One maintainer of one package. `accepted_at` None: the invitation was not accepted yet."""

    ecosystem: str
    package: str
    account: str
    role: str
    accepted_at: datetime | None


Line = PackageLine | OwnershipLine


def read(path: Path, *, now: datetime, progress: Progress) -> Iterator[Line | BadLine]:
    """The file's lines in order, good and bad. Raises UnreadableFile, at the first line or in the middle.

    Without a column `accepted_at` the registry's word counts as acceptance, from `now` on (POLICY 12).
    """
    with path.open("rb") as raw:
        reader = csv.reader(_text(raw), strict=True)
        try:
            yield from _lines(reader, now=now, progress=lambda: progress(raw.tell()))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UnreadableFile(f"the compressed file is damaged or cut off: {error}") from error
        progress(raw.tell())


def _text(raw: io.BufferedReader) -> io.TextIOWrapper:
    """The file's text, unpacked if need be. Bytes that are no UTF-8 become characters that no field may hold."""
    packed = raw.peek(2)[:2] == b"\x1f\x8b"
    stream = gzip.GzipFile(fileobj=raw) if packed else raw
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _lines(reader: Any, *, now: datetime, progress: Callable[[], None]) -> Iterator[Line | BadLine]:
    header: _Header | None = None
    seen: dict[tuple[str, ...], int] = {}
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if header is None:
                raise UnreadableFile(f"the first line is not CSV: {error}") from error
            yield BadLine(reader.line_num, f"not CSV: {error}")
            continue
        if not row or row[0].startswith("#"):
            continue
        if header is None:
            header = _Header(row)
            continue
        if reader.line_num % TELL_EVERY == 0:
            progress()
        try:
            line = header.parse(row, now)
        except ValueError as error:
            yield BadLine(reader.line_num, str(error))
            continue
        first = seen.setdefault(_key(line), reader.line_num)
        if first == reader.line_num:
            yield line
        else:
            yield BadLine(reader.line_num, f"says again what line {first} says: {' '.join(_key(line))}")
    if header is None:
        raise UnreadableFile("the file is empty")


def _key(line: Line) -> tuple[str, ...]:
    if isinstance(line, PackageLine):
        return line.ecosystem, line.name
    return line.ecosystem, line.package, line.account


class _Header:
    """The first line: what kind of file this is and where its columns are. Columns we do not know are passed over."""

    def __init__(self, row: list[str]) -> None:
        names = [name.strip() for name in row]
        self.width = len(names)
        self.owners = set(names) >= OWNERSHIP_COLUMNS
        if not self.owners and not (set(names) >= PACKAGE_COLUMNS and set(names) & set(FIGURES)):
            raise UnreadableFile(
                "the first line must name the columns ecosystem, package, account (a file of maintainers), or "
                f"ecosystem, name and one or more of {', '.join(FIGURES)} (a file of packages); "
                f"it names {', '.join(names)[:200]!r}"
            )
        known = {*OWNERSHIP_COLUMNS, "role", "accepted_at"} if self.owners else {*PACKAGE_COLUMNS, *FIGURES, *RANKS}
        self.columns = [(index, name) for index, name in enumerate(names) if name in known]
        twice = sorted({name for _, name in self.columns if names.count(name) > 1})
        if twice:
            raise UnreadableFile(f"the first line names {', '.join(twice)} twice")

    def parse(self, row: list[str], now: datetime) -> Line:
        """The line. Raises ValueError with the reason."""
        if len(row) != self.width:
            raise ValueError(f"{len(row)} columns where the first line has {self.width}")
        values = {name: row[index].strip() for index, name in self.columns}
        if not "".join(values.values()).isprintable():
            raise ValueError("holds bytes or characters that cannot be read; is the file UTF-8?")
        return _ownership(values, now) if self.owners else _package(values)


def _package(values: dict[str, str]) -> PackageLine:
    ecosystem, name = _package_name(values["ecosystem"], values["name"])
    impact = Impact(
        weekly_downloads=_number(values, "weekly_downloads", 0, MAX_COUNT),
        dependents=_number(values, "dependents", 0, MAX_COUNT),
        weekly_ge_1m=_flag(values, "weekly_ge_1m"),
        dependents_ge_500=_flag(values, "dependents_ge_500"),
        rank=_number(values, "rank", 1, MAX_RANK),
        dependents_rank=_number(values, "dependents_rank", 1, MAX_RANK),
    )
    return PackageLine(ecosystem, name, impact)


def _ownership(values: dict[str, str], now: datetime) -> OwnershipLine:
    ecosystem, package = _package_name(values["ecosystem"], values["package"])
    try:
        account = accounts.canonical_username(values["account"])
    except accounts.InvalidUsername as error:
        raise ValueError(f"the account {values['account'][:40]!r} can be nobody's name here") from error
    role = values.get("role", "").lower() or "maintainer"
    if not ROLE.fullmatch(role):
        raise ValueError(f"the role {role[:40]!r} is not one word of up to 20 letters")
    accepted = values.get("accepted_at")
    if accepted is None:
        return OwnershipLine(ecosystem, package, account, role, now)
    return OwnershipLine(ecosystem, package, account, role, _moment(accepted) if accepted else None)


def _package_name(ecosystem: str, name: str) -> tuple[str, str]:
    """Both in the form they are stored and compared in. PyPI knows one package by many spellings (PEP 503)."""
    if not ECOSYSTEM.fullmatch(ecosystem):
        raise ValueError(f"the ecosystem {ecosystem[:40]!r} is not one word of up to 20 small letters")
    if not NAME.fullmatch(name):
        raise ValueError(f"the package name {name[:40]!r} is empty, holds a space or is longer than 214")
    return ecosystem, re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "pypi" else name


def _number(values: dict[str, str], column: str, least: int, most: int) -> int | None:
    text = values.get(column, "")
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most:
        return int(text)
    raise ValueError(f"{column} {text[:40]!r} is not a whole number from {least} to {most}")


def _flag(values: dict[str, str], column: str) -> bool | None:
    text = values.get(column, "")
    if text not in {"", "0", "1"}:
        raise ValueError(f"{column} {text[:40]!r} is neither 0, 1 nor empty")
    return text == "1" if text else None


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"accepted_at {text[:40]!r} is not a date such as 2026-11-24") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
