"""A registry's public metadata: which address it publishes for which package and account. Reads lines; stores nothing.

NDJSON in UTF-8, plain or gzipped: one object a line.
"""

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import getaddresses
from pathlib import Path
from typing import Any

from authsvc import accounts

MAX_LINE = 1024 * 1024  # bytes; a longer line is passed over in pieces, so that none fills the memory
TELL_EVERY = 1000  # lines between two reports of progress
SHOWN = 60  # characters of what somebody else wrote
MAX_NAME = 214
# What registries call these things; the first that an object has counts.
PACKAGE = ("package", "name", "package_name", "project", "crate", "gem")
VERSION = ("version", "release", "num")
ADDRESS = ("email", "e-mail", "e_mail", "mail", "published_email", "author_email", "maintainer_email")
ACCOUNT = ("account", "username", "user", "owner", "maintainer", "login")

Progress = Callable[[int], object]  # told how many bytes of the file were read so far


@dataclass(frozen=True, kw_only=True)
class Published:
    """One address as a registry publishes it. `account` is empty where the registry names none."""

    line: int
    package: str
    version: str
    email: str  # normalised
    account: str

    @property
    def domain(self) -> str:
        """The address's domain, as A-label."""
        return self.email.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """A line that publishes no address."""

    line: int


@dataclass(frozen=True, kw_only=True)
class BadLine:
    """One line, or one address in it, that cannot be read, and why."""

    line: int
    reason: str


def read(path: Path, *, progress: Progress) -> Iterator[Published | Nothing | BadLine]:
    """What the file's lines say, in order; a damaged or cut-off archive ends with a bad line."""
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        stream: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if packed else raw
        number = 0
        try:
            while text := stream.readline(MAX_LINE):
                number += 1
                cut = False
                while len(text) == MAX_LINE and not text.endswith(b"\n"):
                    cut, text = True, stream.readline(MAX_LINE)
                if number % TELL_EVERY == 0:
                    progress(raw.tell())
                if cut:
                    yield BadLine(line=number, reason=f"longer than {MAX_LINE:,} bytes")
                elif text.strip():
                    yield from _of_line(text, number)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield BadLine(line=number + 1, reason=f"the compressed file is damaged or cut off here: {error}")
        progress(raw.tell())


def _of_line(text: bytes, number: int) -> Iterator[Published | Nothing | BadLine]:
    try:
        found = json.loads(text.removeprefix(b"\xef\xbb\xbf"))
        if not isinstance(found, dict):
            raise ValueError("not an object")
        key = next((name for name in ADDRESS if name in found), None)
        if key is None:
            raise ValueError(f"no field for the address; it may be called {', '.join(ADDRESS)}")
        package, version, account = (_text(found, names) for names in (PACKAGE, VERSION, ACCOUNT))
        if not package:
            raise ValueError(f"no field for the package; it may be called {', '.join(PACKAGE)}")
        written = _addresses(found[key])
    except RecursionError:
        yield BadLine(line=number, reason="not JSON that can be read: nested too deeply")
        return
    except ValueError as error:
        what = "not JSON in UTF-8: " if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else ""
        yield BadLine(line=number, reason=f"{what}{error}")
        return
    if not written:
        yield Nothing(line=number)
    for address in written:
        try:
            email = accounts.normalise_address(address)
        except accounts.InvalidAddress:
            yield BadLine(line=number, reason=f"{address[:SHOWN]!a} is not an e-mail address we can use")
        else:
            yield Published(line=number, package=package, version=version, email=email, account=account)


def _text(found: dict[str, Any], names: tuple[str, ...]) -> str:
    """A short text of printable characters, so that none steers the terminal it is shown on. Raises ValueError."""
    name = next((name for name in names if found.get(name) is not None), None)
    value = "" if name is None else found[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} is not a text")
    text = str(value).strip()
    if len(text) > MAX_NAME or not text.isprintable():
        raise ValueError(f"{name} {text[:SHOWN]!a} is longer than {MAX_NAME} or cannot be shown")
    return text


def _addresses(value: Any) -> list[str]:
    """The addresses in a text such as `Ada <ada@example.org>, bob@example.org`, or in a list of them."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, str) for one in values):
        raise ValueError("the address is neither a text nor a list of texts")
    found: dict[str, None] = {}
    for text in values:
        apart = [address for _, address in getaddresses([text]) if "@" in address and text.isprintable()]
        found |= dict.fromkeys(apart or ([text] if text.strip() else []))  # what does not come apart is told of
    return list(found)
