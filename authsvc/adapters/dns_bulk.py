"""DNS in bulk: is it as usual at very many names? A fast path for sweeps, over few UDP sockets and one resolver.

An answer is what a plain positive or empty answer says. Anything else (an error, an alias, a truncated, odd or missing
answer) is None, which is no evidence at all: whoever wants to know asks `DnsClient`.
"""

import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, assert_never

import dns.exception
import dns.message
import dns.rcode

from authsvc.adapters.dns import DnsClient

TRY_SECONDS = 1.0
TRIES = 2
IN_FLIGHT = 200  # more lose answers in the receive buffers of an ordinary system
QUESTIONS_A_SOCKET = 1000  # then a fresh random port, so that nobody has long to guess at one
MAX_LABEL, MAX_NAME = 63, 253

HEADER = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"  # after the id: recursion desired, one question
IN = b"\x00\x01"
USUAL = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
# By byte: the bit that turns a letter into its other case, and none for what is no letter.
CASE_BIT = bytes(0x20 if chr(byte).isalpha() and byte < 128 else 0 for byte in range(256))


class Kind(IntEnum):
    """Record types that can be asked for, by their numbers (RFC 1035, RFC 3596)."""

    A = 1
    NS = 2
    MX = 15
    AAAA = 28


Question = tuple[str, Kind]
Answer = frozenset[str] | None  # addresses, or names in lower case; None: ask the ordinary way


@dataclass(slots=True)
class _Port:
    """A socket, and what is under way from it by id."""

    socket: socket.socket
    left: int = QUESTIONS_A_SOCKET
    flights: dict[bytes, "_Flight"] = field(default_factory=dict)


@dataclass(slots=True)
class _Flight:
    """A question under way."""

    asked: Question
    section: bytes  # the question section as it was sent, in a random case of its own (0x20)
    port: _Port
    id: bytes
    deadline: float
    tries: int


class BulkDns:
    """Asks the first of the resolvers, which is best a validating one on the same machine with minimal responses."""

    def __init__(self, resolvers: str = "", *, in_flight: int = IN_FLIGHT, try_seconds: float = TRY_SECONDS) -> None:
        """`resolvers`: as for `DnsClient`. Raises ValueError for anything else."""
        self._client = DnsClient(resolvers)
        self._in_flight = in_flight
        self._try_seconds = try_seconds

    def ask(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Answer]]:
        """Every question with its answer, as answers come in; reads questions as it goes. Names are A-labels.

        Raises nothing.
        """
        resolver = self._client.resolvers.partition(",")[0]
        if not resolver:
            yield from ((question, None) for question in questions)
            return
        host, _, port = resolver.rpartition(":")
        with _Round((host, int(port)), self._in_flight, self._try_seconds) as started:
            yield from started.run(questions)


class _Round:
    """One run of questions: what is under way, and the sockets it went out from."""

    def __init__(self, resolver: tuple[str, int], in_flight: int, try_seconds: float) -> None:
        self._resolver = resolver
        self._in_flight = in_flight
        self._try_seconds = try_seconds
        self._line: deque[_Flight] = deque()  # as they were sent, so by their deadlines; some have landed
        self._ports: dict[int, _Port] = {}  # by file number
        self._poll = select.poll()
        self._port: _Port | None = None  # the one to send from

    def __enter__(self) -> "_Round":
        return self

    def __exit__(self, *_: object) -> None:
        for port in self._ports.values():
            port.socket.close()

    def run(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Answer]]:
        """See `BulkDns.ask`."""
        todo, again, flying = iter(questions), deque[Question](), 0
        while True:
            while flying < self._in_flight:
                question, tries = (again.popleft(), TRIES) if again else (next(todo, None), 1)
                if question is None:
                    break
                if self._send(question, tries):
                    flying += 1
                else:
                    yield question, None
            if not flying:
                return
            wait = max(0.0, self._line[0].deadline - time.monotonic())
            for number, _event in self._poll.poll(wait * 1000 + 1):
                for flight, answer in self._arrivals(self._ports[number]):
                    flying -= 1
                    yield flight.asked, answer
            for flight in self._overdue(time.monotonic()):
                flying -= 1
                if flight.tries < TRIES:
                    again.append(flight.asked)
                else:
                    yield flight.asked, None

    def _send(self, question: Question, tries: int) -> bool:
        """Send a question; False where none can be made of the name, or there is no socket to be had."""
        name, kind = question
        wire = _wire(name)
        if wire is None:
            return False
        port = self._port
        if port is None or not port.left:
            try:
                port = self._port = self._open()
            except OSError:
                return False
        random = os.urandom(2 + len(wire))
        while random[:2] in port.flights:
            random = os.urandom(2) + random[2:]
        section = _in_random_case(wire, random[2:]) + kind.to_bytes(2, "big") + IN
        flight = _Flight(question, section, port, random[:2], time.monotonic() + self._try_seconds, tries)
        port.left -= 1
        port.flights[flight.id] = flight
        self._line.append(flight)
        with suppress(OSError):  # dropped on our side: it will be overdue
            port.socket.send(flight.id + HEADER + section)
        return True

    def _arrivals(self, port: _Port) -> Iterator[tuple[_Flight, Answer]]:
        """Answers that wait at a socket. What answers no question of ours is dropped, and the question stays open."""
        while True:
            try:
                data = port.socket.recv(4096)
            except ConnectionRefusedError:  # of something sent before; there may be answers behind it
                continue
            except OSError:  # most of all: nothing there any more
                break
            flight = port.flights.get(data[:2])
            if flight is not None and data[2:3] >= b"\x80" and data.startswith(flight.section, 12):
                del port.flights[flight.id]
                yield flight, read(data, flight.asked[1], 12 + len(flight.section))
        self._close_if_done(port)

    def _overdue(self, now: float) -> Iterator[_Flight]:
        """Take out what is past its deadline, and forget what has landed up to there."""
        while self._line:
            flight = self._line[0]
            open_still = flight.port.flights.get(flight.id) is flight
            if open_still and flight.deadline > now:
                return
            self._line.popleft()
            if open_still:
                del flight.port.flights[flight.id]
                self._close_if_done(flight.port)
                yield flight

    def _open(self) -> _Port:
        """A socket at a fresh random port that hears the resolver alone."""
        opened = socket.socket(socket.AF_INET6 if ":" in self._resolver[0] else socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        try:
            opened.connect(self._resolver)
        except OSError:
            opened.close()
            raise
        self._poll.register(opened, select.POLLIN)
        port = self._ports[opened.fileno()] = _Port(opened)
        return port

    def _close_if_done(self, port: _Port) -> None:
        if not port.left and not port.flights and port.socket.fileno() in self._ports:
            del self._ports[port.socket.fileno()]
            self._poll.unregister(port.socket)
            port.socket.close()


def _wire(name: str) -> bytes | None:
    """A name as it stands in a question; None for what is none."""
    labels = name.encode("ascii", "replace").split(b".")
    if len(name) > MAX_NAME or not all(0 < len(label) <= MAX_LABEL for label in labels):
        return None
    return b"".join([bytes((len(label),)) + label for label in labels]) + b"\0"


def _in_random_case(wire: bytes, random: bytes) -> bytes:
    """The same name with some letters in their other case. Source: draft-vixie-dnsext-dns0x20."""
    flips = int.from_bytes(random, "big") & int.from_bytes(wire.translate(CASE_BIT), "big")
    return (int.from_bytes(wire, "big") ^ flips).to_bytes(len(wire), "big")


def read(data: bytes, kind: Kind, at: int) -> Answer:
    """What an answer to our one question says, whose records begin at `at`. None: not as usual. Raises nothing.

    Where a value is returned, it is what dnspython reads in the same bytes.
    """
    if data[2] & 0xFA != 0x80 or data[3] & 0x0F or data[4:6] != b"\0\1":
        return None  # not an answer, truncated, an error, or to more than one question
    if data[8:12] != b"\0\0\0\0":  # more than was asked for, which has to be sound as well
        return _read_slowly(data, kind)
    values = []
    wanted = b"\xc0\x0c" + kind.to_bytes(2, "big") + IN  # of the name asked for, which stands right after the header
    try:
        for _ in range(data[6] << 8 | data[7]):
            if data[at : at + 6] != wanted:
                return _read_slowly(data, kind)
            end = at + 12 + (data[at + 10] << 8 | data[at + 11])
            value = _value(data, kind, at + 12, end)
            if value is None:
                return None
            values.append(value)
            at = end
    except IndexError:
        return None
    return frozenset(values) if at == len(data) else None


def _value(data: bytes, kind: Kind, at: int, end: int) -> str | None:
    """The address, or the name of the server, in the data of a record. Raises IndexError where it is cut off."""
    if end > len(data):
        return None
    match kind:
        case Kind.A:
            return socket.inet_ntop(socket.AF_INET, data[at:end]) if end - at == 4 else None
        case Kind.AAAA:
            return socket.inet_ntop(socket.AF_INET6, data[at:end]) if end - at == 16 else None
        case Kind.NS:
            return _name(data, at, end)
        case Kind.MX:
            return _name(data, at + 2, end)
    assert_never(kind)


def _name(data: bytes, at: int, end: int) -> str | None:
    """A name that fills the data of a record up to `end`; None for the root and for letters no host has."""
    labels, before, jumped = [], at, False
    while size := data[at]:
        if size <= MAX_LABEL:
            labels.append(data[at + 1 : at + 1 + size])
            at += 1 + size
            if at >= end:
                return None
        else:  # a pointer: backwards only, so that it ends (RFC 1035, 4.1.4)
            target = (size & 0x3F) << 8 | data[at + 1]
            if size < 0xC0 or target >= before or not (jumped or at + 2 == end):
                return None
            before = at = target
            jumped = True
    name = b".".join(labels)
    odd = b"".join(labels).translate(None, USUAL)
    if odd or not name or len(name) > MAX_NAME or not (jumped or at + 1 == end):
        return None
    return name.decode("ascii").lower()


def _read_slowly(data: bytes, kind: Kind) -> Answer:
    """The same by dnspython, for answers with more than one section."""
    try:
        message = dns.message.from_wire(data)
    except dns.exception.DNSException:
        return None
    asked = message.question[0]
    if message.rcode() != dns.rcode.NOERROR or any(
        rrset.name != asked.name or rrset.rdtype != asked.rdtype or rrset.rdclass != asked.rdclass
        for rrset in message.answer
    ):
        return None
    values = [_text(record, kind) for rrset in message.answer for record in rrset]
    return frozenset(values) if all(values) else None


def _text(record: Any, kind: Kind) -> str:
    """The value of one record as text; empty for an odd one."""
    match kind:
        case Kind.A | Kind.AAAA:
            return str(record.address)
        case Kind.NS:
            target = record.target
        case Kind.MX:
            target = record.exchange
    odd = len(target.labels) < 2 or b"".join(target.labels).translate(None, USUAL)  # the root is one empty label
    return "" if odd else str(target.to_text(omit_final_dot=True).lower())
