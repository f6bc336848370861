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
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from authsvc import accounts
from authsvc.policy.mandate import Impact

TELL_EVERY = 1000  # lines between two reports of progress
MAX_LINE = 1 << 20  # characters
MAX_COUNT = 10**15  # so that sums of all of a registry's fit a database's whole numbers
MAX_RANK = 2**31 - 1
FIGURES = ("weekly_downloads", "dependents", "weekly_ge_1m", "dependents_ge_500")
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)  # of acceptance; no registry is older
CLOCKS_DIFFER = timedelta(days=1)  # nor does it know what is to come
RANKS = ("rank", "dependents_rank")
PACKAGE_COLUMNS = frozenset({"ecosystem", "name"})
OWNERSHIP_COLUMNS = frozenset({"ecosystem", "package", "account"})
ECOSYSTEM = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
NAME = re.compile(r"\S{1,214}")
PACKAGE = ("ecosystem", "name", *FIGURES, *RANKS)
OWNERSHIP = ("ecosystem", "package", "account", "role", "accepted_at")
SEPARATORS = re.compile(r"[-_.]+")
ROLE = re.compile(r"[a-z][a-z_-]{0,19}")

Progress = Callable[[int], None]  # told how many bytes of the file were read so far
OfRecord = Callable[[str], bool]  # is this ecosystem's registry the record of who accepted what? (POLICY 12)
Fields = tuple[str | None, ...]  # of a line, in the order of PACKAGE or OWNERSHIP; None: not given at all


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

    Without `accepted_at` the word of a registry of record counts as acceptance, from `now` on; with it that of another
    counts from `now` on at the earliest (POLICY 12).
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
    parse: Callable[[Fields], Line] | None = None
    for number, found in rows:
        line = number + passed_over
        if line % TELL_EVERY == 0:
            progress()
        if isinstance(found, str):
            yield BadLine(line, found)
            continue
        if parse is None:
            parse = partial(_ownership, now=now, of_record=of_record) if len(found) == len(OWNERSHIP) else _package
        try:
            yield line, parse(_printable(found))
        except ValueError as error:
            yield BadLine(line, str(error))


def _printable(fields: Fields) -> Fields:
    """The fields without space around them. Raises ValueError where they hold what nobody can read."""
    text = "".join(filter(None, fields))
    if text.isprintable() and " " not in text:  # millions of lines are so: this is all they cost
        return fields
    fields = tuple(field and field.strip() for field in fields)
    if not "".join(filter(None, fields)).isprintable():
        raise ValueError("holds bytes or characters that cannot be read; is the file UTF-8?")
    return fields


def _objects(first: str, text: io.TextIOWrapper) -> Iterator[tuple[int, Fields | str]]:
    """Lines of NDJSON; text instead of fields says what is wrong. The first object says which kind all are of."""
    number, names = 0, None
    for line in chain((first,), iter(lambda: text.readline(MAX_LINE), "")):
        number += 1
        if len(line) == MAX_LINE:
            raise UnreadableFile(f"line {number} is longer than {MAX_LINE:,} characters")
        if not line.strip():
            continue
        try:
            sent = json.loads(line)
            if names is None and isinstance(sent, dict):
                names = OWNERSHIP if "package" in sent else PACKAGE
            yield number, _fields(sent, names or PACKAGE)
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error)


def _fields(sent: object, names: tuple[str, ...]) -> Fields:
    """An object's members as a line of CSV would give them. Raises ValueError."""
    if not isinstance(sent, dict):
        raise ValueError("not a JSON object")
    if names is PACKAGE and sent.keys().isdisjoint(FIGURES):
        raise ValueError(f"holds none of {', '.join(FIGURES)}")
    return tuple(_field(name, sent[name]) if name in sent else None for name in names)


def _field(name: str, value: object) -> str:
    match value:
        case str():
            return value
        case None:
            return ""
        case bool() | int():
            return str(int(value))
        case _:
            raise ValueError(f"{name} is neither text nor a whole number")


def _csv(first: str, text: io.TextIOWrapper) -> Iterator[tuple[int, Fields | str]]:
    """Rows of CSV below the one that names the columns; text instead of fields says what is wrong."""
    reader = csv.reader(chain((first,), text), strict=True)
    pick: Callable[[list[str | None]], Fields] | None = None
    width = 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if pick is None:
                raise UnreadableFile(f"the first line is not CSV: {error}") from error
            yield reader.line_num, f"not CSV: {error}"
            continue
        if pick is None:
            width, pick = len(row), itemgetter(*_columns([name.strip() for name in row]))
        elif not row or row[0].startswith("#"):
            continue
        elif len(row) != width:
            yield reader.line_num, f"{len(row)} columns where the first line has {width}"
        else:
            yield reader.line_num, pick([*row, None])


def _columns(names: list[str]) -> list[int]:
    """Where each of the fields stands in a row; behind its end where there is no such column.

    Raises UnreadableFile where the columns make no file that we know.
    """
    owners = set(names) >= OWNERSHIP_COLUMNS
    if not owners and not (set(names) >= PACKAGE_COLUMNS and set(names) & set(FIGURES)):
        raise UnreadableFile(
            "the first line must name the columns ecosystem, package, account (a file of maintainers), or "
            f"ecosystem, name and one or more of {', '.join(FIGURES)} (a file of packages); "
            f"it names {', '.join(names)[:200]!r}"
        )
    known = OWNERSHIP if owners else PACKAGE
    twice = sorted({name for name in names if name in known and names.count(name) > 1})
    if twice:
        raise UnreadableFile(f"the first line names {', '.join(twice)} twice")
    return [names.index(name) if name in names else len(names) for name in known]


def package(sent: object) -> PackageLine:
    """A package from a JSON object. Raises ValueError with what is wrong."""
    return _package(_printable(_fields(sent, PACKAGE)))


def ownership(sent: object, *, now: datetime, of_record: OfRecord) -> OwnershipLine:
    """A maintainer from a JSON object. Raises ValueError with what is wrong."""
    return _ownership(_printable(_fields(sent, OWNERSHIP)), now=now, of_record=of_record)


def _package(fields: Fields) -> PackageLine:
    ecosystem, name = package_name(fields[0] or "", fields[1] or "")
    downloads, dependents, many_downloads, many_dependents, rank, dependents_rank = fields[2:]
    impact = Impact(
        weekly_downloads=_number(downloads, "weekly_downloads", 0, MAX_COUNT) if downloads else None,
        dependents=_number(dependents, "dependents", 0, MAX_COUNT) if dependents else None,
        weekly_ge_1m=_flag(many_downloads, "weekly_ge_1m") if many_downloads else None,
        dependents_ge_500=_flag(many_dependents, "dependents_ge_500") if many_dependents else None,
        rank=_number(rank, "rank", 1, MAX_RANK) if rank else None,
        dependents_rank=_number(dependents_rank, "dependents_rank", 1, MAX_RANK) if dependents_rank else None,
    )
    return PackageLine(ecosystem, name, impact)


def _ownership(fields: Fields, *, now: datetime, of_record: OfRecord) -> OwnershipLine:
    ecosystem, package = package_name(fields[0] or "", fields[1] or "")
    account, role, accepted = fields[2] or "", (fields[3] or "maintainer").lower(), fields[4]
    try:
        account = accounts.canonical_username(account)
    except accounts.InvalidUsername as error:
        raise ValueError(f"the account {account[:40]!r} can be nobody's name here") from error
    if not ROLE.fullmatch(role):
        raise ValueError(f"the role {role[:40]!r} is not one word of up to 20 letters")
    if accepted is None:
        return OwnershipLine(ecosystem, package, account, role, now if of_record(ecosystem) else None)
    moment = _moment(accepted, now) if accepted else None
    if moment is not None and not of_record(ecosystem):
        moment = max(moment, now)  # what it says counts from when it says so: else a date of its own making could vouch
    return OwnershipLine(ecosystem, package, account, role, moment)


def package_name(ecosystem: str, name: str) -> tuple[str, str]:
    """Both in the form they are stored and compared in. PyPI knows one package by many spellings (PEP 503).

    Raises ValueError with what is wrong.
    """
    if not ECOSYSTEM.fullmatch(ecosystem):
        raise ValueError(f"the ecosystem {ecosystem[:40]!r} is not one word of up to 20 small letters")
    if not NAME.fullmatch(name):
        raise ValueError(f"the package name {name[:40]!r} is empty, holds a space or is longer than 214")
    return ecosystem, SEPARATORS.sub("-", name).lower() if ecosystem == "pypi" else name


def _number(text: str, column: str, least: int, most: int) -> int:
    if text.isdigit() and text.isascii() and len(text) <= len(str(most)) and least <= (number := int(text)) <= most:
        return number
    raise ValueError(f"{column} {text[:40]!r} is not a whole number from {least} to {most}")


def _flag(text: str, column: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError(f"{column} {text[:40]!r} is neither 0, 1 nor empty")
    return text == "1"


def _moment(text: str, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"accepted_at {text[:40]!r} is not a date such as 2026-11-24") from error
    if not EARLIEST <= found <= now + CLOCKS_DIFFER:
        raise ValueError(f"accepted_at {text[:40]!r} is before the year 2000, or more than a day from now")
    return found
