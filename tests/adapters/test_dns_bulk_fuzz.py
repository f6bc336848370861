"""The fast path's own decoder reads the same as dnspython in the same bytes, or calls them unusual."""

import random
from collections.abc import Iterator

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.renderer
import dns.rrset
import pytest

from authsvc.adapters.dns_bulk import Answer, Kind, read

OWNER = "cORp.OrG."
PLAIN = {
    Kind.MX: ["10 mx.mail.net.", "20 mx2.mail.net.", "20 Backup.corp.org.", "5 a-b_c.x9.mx.mail.net."],
    Kind.NS: ["ns1.host.net.", "ns2.host.net.", "ns.corp.org."],
    Kind.A: ["203.0.113.1", "203.0.113.2"],
    Kind.AAAA: ["2001:db8::1", "::ffff:203.0.113.1"],
}
ALL_KINDS = [pytest.param(kind, id=kind.name) for kind in Kind]


def packet(kind: Kind, values: list[str], *, more: bool = False) -> bytes:
    """An answer as a resolver sends it; with `more` there is an authority and an additional section too."""
    message = dns.message.make_response(dns.message.make_query(OWNER, kind.name, id=7))
    if values:
        message.answer.append(dns.rrset.from_text(OWNER, 300, "IN", kind.name, *values))
    if more:
        message.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.STALE_ANSWER)])
        message.authority.append(dns.rrset.from_text("org.", 60, "IN", "SOA", "a.b. c.d. 1 2 3 4 5"))
        message.additional.append(dns.rrset.from_text("mx.mail.net.", 60, "IN", "A", "203.0.113.9"))
    return message.to_wire()


def section_end(kind: Kind) -> int:
    """Where the records begin in all these packets."""
    return len(dns.message.make_query(OWNER, kind.name).to_wire())


def reference(data: bytes, kind: Kind) -> Answer:
    """What dnspython reads; None for what is out of the ordinary."""
    try:
        message = dns.message.from_wire(data)
    except dns.exception.DNSException:
        return None
    usual = isinstance(message, dns.message.QueryMessage) and message.flags & dns.flags.QR
    if not usual or message.flags & dns.flags.TC or message.rcode() != dns.rcode.NOERROR or len(message.question) != 1:
        return None
    asked, values = dns.name.from_text(OWNER), set()
    for rrset in message.answer:
        if rrset.name != asked or rrset.rdtype != int(kind) or rrset.rdclass != 1:
            return None
        for record in rrset:
            words = record.to_text().rpartition(" ")[2]
            values.add(words.lower().removesuffix(".") if kind in {Kind.NS, Kind.MX} else record.address)
    return frozenset(values)


def mutated(data: bytes, chance: random.Random, after: int) -> bytes:
    """The packet with some damage, most of it behind the question."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(after if chance.random() < 0.9 else 2, len(changed)) if len(changed) > after else 2
        match chance.randrange(7):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at] = chance.randrange(256)
            case 2:
                changed[at] = chance.choice((0, 1, 2, 4, 15, 28, 63, 64, 0xC0, 0xFF))
            case 3:
                changed[at : at + 2] = (0xC000 | chance.randrange(len(changed) + 4)).to_bytes(2, "big")
            case 4:
                del changed[at : at + chance.randrange(1, 5)]
            case 5:
                changed[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 5)))
            case 6:
                changed[chance.choice((3, 5, 7, 9, 11))] = chance.randrange(4)
    return bytes(changed)


def packets() -> Iterator[tuple[Kind, bytes]]:
    for kind in Kind:
        for values in ([], PLAIN[kind][:1], PLAIN[kind]):
            for more in (False, True):
                yield kind, packet(kind, values, more=more)


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("more", [False, True])
def test_a_plain_answer_is_read(kind: Kind, more: bool) -> None:
    wanted = frozenset(value.rpartition(" ")[2].lower().removesuffix(".") for value in PLAIN[kind])
    assert read(packet(kind, PLAIN[kind], more=more), kind, section_end(kind)) == wanted


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("more", [False, True])
def test_an_empty_answer_is_read(kind: Kind, more: bool) -> None:
    assert read(packet(kind, [], more=more), kind, section_end(kind)) == frozenset()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_damaged_answers_are_read_as_dnspython_reads_them_or_called_unusual(seed: int) -> None:
    chance, read_at_all = random.Random(seed), 0
    for kind, whole in packets():
        at = section_end(kind)
        for _ in range(100):
            data = mutated(whole, chance, at)
            if data[4:at] != whole[4:at]:  # the question is compared before anything is read
                data = data[:4] + whole[4:at] + data[at:]
            found = read(data, kind, at)
            read_at_all += found is not None
            assert found is None or found == reference(data, kind), data.hex()
    assert read_at_all > 200  # it does not call everything unusual


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Kind.MX, "corp.org. 60 IN CNAME other.org."),
        (Kind.MX, "corp.org. 60 IN MX 0 ."),
        (Kind.MX, "corp.org. 60 IN MX 10 not\\032a\\.host.net."),
        (Kind.NS, "other.org. 60 IN NS ns1.host.net."),
    ],
)
@pytest.mark.parametrize("more", [False, True])
def test_aliases_and_odd_names_are_unusual(kind: Kind, answer: str, more: bool) -> None:
    message = dns.message.from_wire(packet(kind, [], more=more))
    owner, ttl, _, rdtype, rdata = answer.split(" ", 4)
    message.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", rdtype, rdata))
    assert read(message.to_wire(), kind, section_end(kind)) is None


@pytest.mark.parametrize("rcode", ["SERVFAIL", "NXDOMAIN", "REFUSED", "FORMERR"])
def test_errors_are_unusual(rcode: str) -> None:
    message = dns.message.from_wire(packet(Kind.MX, PLAIN[Kind.MX]))
    message.set_rcode(dns.rcode.from_text(rcode))
    assert read(message.to_wire(), Kind.MX, section_end(Kind.MX)) is None


def test_a_truncated_answer_is_unusual() -> None:
    message = dns.message.from_wire(packet(Kind.MX, PLAIN[Kind.MX]))
    message.flags |= dns.flags.TC
    assert read(message.to_wire(), Kind.MX, section_end(Kind.MX)) is None
