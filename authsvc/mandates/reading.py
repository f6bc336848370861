"""Files of a registry: packages with their figures, and who maintains them. Reads lines; stores nothing.

CSV or one JSON object a line, in UTF-8, plain or gzipped; the first line says what it is. Above and among lines of CSV
those that begin with # are remarks.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from authsvc import accounts
from authsvc.policy.mandate import Impact

TELL_EVERY = 1000  # lines between two reports of progress
MAX_LINE = 1 << 20  # characters
MAX_COUNT = 2**63 - 1
MAX_RANK = 2**31 - 1
FIGURES = ("weekly_downloads", "dependents", "weekly_ge_1m", "dependents_ge_500")
RANKS = ("rank", "dependents_rank")
PACKAGE_COLUMNS = frozenset({"ecosystem", "name"})
OWNERSHIP_COLUMNS = frozenset({"ecosystem", "package", "account"})
ECOSYSTEM = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
NAME = re.compile(r"\S{1,214}")
KNOWN = {*PACKAGE_COLUMNS, *OWNERSHIP_COLUMNS, *FIGURES, *RANKS, "role", "accepted_at"}
SEPARATORS = re.compile(r"[-_.]+")
ROLE = re.compile(r"[a-z][a-z_-]{0,19}")

Progress = Callable[[int], None]  # told how many bytes of the file were read so far
OfRecord = Callable[[str], bool]  # is this ecosystem's registry the record of who accepted what? (POLICY 12)
Values = dict[str, str]  # by column


class UnreadableFile(Exception):
    """The file as a whole cannot be used; the text says why."""


class BadLine(NamedTuple):
    """One line that cannot be stored, and why."""

    line: int
    reason: str


class PackageLine(NamedTuple):
    """One package. Every figure the file does not give counts as unknown."""

    ecosystem: str
    name: str
    impact: Impact


class OwnershipLine(NamedTuple):
    """One maintainer of one package. `accepted_at` None: the invitation was not accepted yet."""

    ecosystem: str
    package: str
    account: str
    role: str
    accepted_at: datetime | None


Line = PackageLine | OwnershipLine


def read(path: Path, *, now: datetime, progress: Progress, of_record: OfRecord) -> Iterator[tuple[int, Line] | BadLine]:
    """The file's lines in order, good ones with their number. Raises UnreadableFile, at the first line or in the midst.

    Without `accepted_at` the word of a registry of record counts as acceptance, from `now` on (POLICY 12).
    """
    with path.open("rb") as raw, _text(raw) as text:
        try:
            yield from _lines(text, now=now, progress=lambda: progress(raw.tell()), of_record=of_record)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UnreadableFile(f"the compressed file is damaged or cut off: {error}") from error
        progress(raw.tell())


def _text(raw: io.BufferedReader) -> io.TextIOWrapper:
    """The file's text, unpacked if need be. Bytes that are no UTF-8 become characters that no field may hold."""
    packed = raw.peek(2)[:2] == b"\x1f\x8b"
    stream = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 18) if packed else raw
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _lines(
    text: io.TextIOWrapper, *, now: datetime, progress: Callable[[], None], of_record: OfRecord
) -> Iterator[tuple[int, Line] | BadLine]:
    passed_over = 0
    for first in iter(lambda: text.readline(MAX_LINE), ""):
        if first.strip() and not first.startswith("#"):
            break
        passed_over += 1
    else:
        raise UnreadableFile("the file is empty")
    rows = _objects(first, text) if first.lstrip().startswith("{") else _csv(first, text)
    owners: bool | None = None
    for number, found in rows:
        line = number + passed_over
        if line % TELL_EVERY == 0:
            progress()
        if isinstance(found, str):
            yield BadLine(line, found)
            continue
        if owners is None:
            owners = "package" in found
        try:
            if not "".join(found.values()).isprintable():
                raise ValueError("holds bytes or characters that cannot be read; is the file UTF-8?")
            yield line, ownership(found, now=now, of_record=of_record) if owners else package(found)
        except ValueError as error:
            yield BadLine(line, str(error))


def _objects(first: str, text: io.TextIOWrapper) -> Iterator[tuple[int, Values | str]]:
    """Lines of NDJSON, a number each; text instead of values says what is wrong."""
    number = 0
    for line in chain((first,), iter(lambda: text.readline(MAX_LINE), "")):
        number += 1
        if len(line) == MAX_LINE:
            raise UnreadableFile(f"line {number} is longer than {MAX_LINE:,} characters")
        if not line.strip():
            continue
        try:
            yield number, from_json(json.loads(line))
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error)


def from_json(sent: object) -> Values:
    """An object's members as a line of CSV would give them. Raises ValueError."""
    if not isinstance(sent, dict):
        raise ValueError("not a JSON object")
    values = {}
    for name, value in sent.items():
        if name not in KNOWN:
            continue
        match value:
            case str():
                values[name] = value.strip()
            case None:
                values[name] = ""
            case bool():
                values[name] = str(int(value))
            case int():
                values[name] = str(value)
            case _:
                raise ValueError(f"{name} is neither text nor a whole number")
    return values


def _csv(first: str, text: io.TextIOWrapper) -> Iterator[tuple[int, Values | str]]:
    """Rows of CSV below the one that names the columns; text instead of values says what is wrong."""
    reader = csv.reader(chain((first,), text), strict=True)
    columns: list[tuple[int, str]] = []
    width = 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not width:
                raise UnreadableFile(f"the first line is not CSV: {error}") from error
            yield reader.line_num, f"not CSV: {error}"
            continue
        if not width:
            width, columns = len(row), _columns([name.strip() for name in row])
        elif not row or row[0].startswith("#"):
            continue
        elif len(row) != width:
            yield reader.line_num, f"{len(row)} columns where the first line has {width}"
        else:
            yield reader.line_num, {name: row[index].strip() for index, name in columns}


def _columns(names: list[str]) -> list[tuple[int, str]]:
    """Where the columns that we know are. Raises UnreadableFile where they make no file that we know."""
    owners = set(names) >= OWNERSHIP_COLUMNS
    if not owners and not (set(names) >= PACKAGE_COLUMNS and set(names) & set(FIGURES)):
        raise UnreadableFile(
            "the first line must name the columns ecosystem, package, account (a file of maintainers), or "
            f"ecosystem, name and one or more of {', '.join(FIGURES)} (a file of packages); "
            f"it names {', '.join(names)[:200]!r}"
        )
    known = {*OWNERSHIP_COLUMNS, "role", "accepted_at"} if owners else {*PACKAGE_COLUMNS, *FIGURES, *RANKS}
    columns = [(index, name) for index, name in enumerate(names) if name in known]
    twice = sorted({name for _, name in columns if names.count(name) > 1})
    if twice:
        raise UnreadableFile(f"the first line names {', '.join(twice)} twice")
    return columns


def package(values: Values) -> PackageLine:
    """A package. Raises ValueError with what is wrong."""
    if values.keys().isdisjoint(FIGURES):
        raise ValueError(f"holds none of {', '.join(FIGURES)}")
    ecosystem, name = package_name(values.get("ecosystem", ""), values.get("name", ""))
    impact = Impact(
        weekly_downloads=_number(values, "weekly_downloads", 0, MAX_COUNT),
        dependents=_number(values, "dependents", 0, MAX_COUNT),
        weekly_ge_1m=_flag(values, "weekly_ge_1m"),
        dependents_ge_500=_flag(values, "dependents_ge_500"),
        rank=_number(values, "rank", 1, MAX_RANK),
        dependents_rank=_number(values, "dependents_rank", 1, MAX_RANK),
    )
    return PackageLine(ecosystem, name, impact)


def ownership(values: Values, *, now: datetime, of_record: OfRecord) -> OwnershipLine:
    """A maintainer. Raises ValueError with what is wrong."""
    ecosystem, package = package_name(values.get("ecosystem", ""), values.get("package", ""))
    account = values.get("account", "")
    try:
        account = accounts.canonical_username(account)
    except accounts.InvalidUsername as error:
        raise ValueError(f"the account {account[:40]!r} can be nobody's name here") from error
    role = values.get("role", "").lower() or "maintainer"
    if not ROLE.fullmatch(role):
        raise ValueError(f"the role {role[:40]!r} is not one word of up to 20 letters")
    accepted = values.get("accepted_at")
    if accepted is None:
        return OwnershipLine(ecosystem, package, account, role, now if of_record(ecosystem) else None)
    return OwnershipLine(ecosystem, package, account, role, _moment(accepted) if accepted else None)


def package_name(ecosystem: str, name: str) -> tuple[str, str]:
    """Both in the form they are stored and compared in. PyPI knows one package by many spellings (PEP 503).

    Raises ValueError with what is wrong.
    """
    if not ECOSYSTEM.fullmatch(ecosystem):
        raise ValueError(f"the ecosystem {ecosystem[:40]!r} is not one word of up to 20 small letters")
    if not NAME.fullmatch(name):
        raise ValueError(f"the package name {name[:40]!r} is empty, holds a space or is longer than 214")
    return ecosystem, SEPARATORS.sub("-", name).lower() if ecosystem == "pypi" else name


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
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"accepted_at {text[:40]!r} is not a date such as 2026-11-24") from error
