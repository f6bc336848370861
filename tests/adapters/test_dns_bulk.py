"""The fast path asks over real sockets: what it believes, what it ignores, and what it never takes for an answer."""

import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import dnslib
import pytest

from authsvc.adapters import dns_bulk
from authsvc.adapters.dns import DnsClient
from authsvc.adapters.dns_bulk import BulkDns, Kind, Question
from tests import servers

Reply = Callable[[dnslib.DNSRecord, int], list[bytes]]


class Resolver:
    """A resolver whose every answer a test writes itself: `replies(question, how often it was asked)`."""

    def __init__(self) -> None:
        self.replies: Reply = lambda question, _: [right(question)]
        self.asked: Counter[str] = Counter()
        self.spelt: list[str] = []
        self.ids: list[int] = []
        self.senders: list[int] = []
        self.address = ""

    def hear(self, data: bytes, sender: int) -> list[bytes]:
        """The packets to send back."""
        question = dnslib.DNSRecord.parse(data)
        spelt = str(question.q.qname)
        self.spelt.append(spelt)
        self.ids.append(question.header.id)
        self.senders.append(sender)
        self.asked[spelt.lower()] += 1
        return self.replies(question, self.asked[spelt.lower()])


def right(question: dnslib.DNSRecord) -> bytes:
    """The true answer to every MX question."""
    reply = question.reply(ra=1)
    reply.add_answer(dnslib.RR(question.q.qname, dnslib.QTYPE.MX, ttl=60, rdata=dnslib.MX("mx.mail.net", 10)))
    return bytes(reply.pack())


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    """Such a resolver, on loopback."""
    running = Resolver()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, socket = self.request
            for packet in running.hear(data, self.client_address[1]):
                socket.sendto(packet, self.client_address)

    with socketserver.UDPServer(("127.0.0.1", 0), Handler) as server:
        running.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(servers.POLL_SECONDS,), daemon=True)
        thread.start()
        yield running
        server.shutdown()
        thread.join()


TRUE = frozenset({"mx.mail.net"})
SOON = 0.05  # seconds until a question that nobody answers is overdue


def ask(resolver: Resolver, *names: str, seconds: float = 10.0, in_flight: int = 50) -> dict[str, dns_bulk.Answer]:
    """The answers by name."""
    bulk = BulkDns(resolver.address, try_seconds=seconds, in_flight=in_flight)
    return {question[0]: answer for question, answer in bulk.ask((name, Kind.MX) for name in names)}


def test_every_question_is_answered(resolver: Resolver) -> None:
    names = [f"d{number}.org" for number in range(1500)]
    assert ask(resolver, *names) == dict.fromkeys(names, TRUE)


def test_a_socket_is_used_for_a_thousand_questions_and_no_more(resolver: Resolver) -> None:
    ask(resolver, *(f"d{number}.org" for number in range(2001)))
    assert sorted(Counter(resolver.senders).values()) == [1, 1000, 1000]


def test_ids_and_letters_are_drawn_anew_for_every_question(resolver: Resolver) -> None:
    ask(resolver, *(f"somewhat-longer-name-{number}.org" for number in range(50)))
    assert len(set(resolver.ids)) > 40
    assert len({spelt.partition("-")[0] for spelt in resolver.spelt}) > 20


def test_an_answer_with_a_wrong_id_is_ignored(resolver: Resolver) -> None:
    def replies(question: dnslib.DNSRecord, _: int) -> list[bytes]:
        packet = lie(right(question))
        return [bytes([packet[0] ^ 1]) + packet[1:], right(question)]

    resolver.replies = replies
    assert ask(resolver, "corp.org") == {"corp.org": TRUE}


def test_an_answer_in_another_case_is_ignored(resolver: Resolver) -> None:
    def replies(question: dnslib.DNSRecord, _: int) -> list[bytes]:
        asked, packet = question.pack(), lie(right(question))
        return [packet[:12] + asked[12:].swapcase() + packet[len(asked) :], right(question)]

    resolver.replies = replies
    assert ask(resolver, "corp.org") == {"corp.org": TRUE}


def lie(packet: bytes) -> bytes:
    """The same answer with another mail host, which an attacker would like to be believed."""
    return packet.replace(b"\x02mx\x04mail", b"\x02mx\x04evil")


def test_an_answer_about_another_name_is_ignored(resolver: Resolver) -> None:
    def replies(question: dnslib.DNSRecord, _: int) -> list[bytes]:
        return [lie(right(question)).replace(question.pack()[12:], b"\x04evil\x03org\0\0\x0f\0\1"), right(question)]

    resolver.replies = replies
    assert ask(resolver, "corp.org") == {"corp.org": TRUE}


def test_a_question_sent_back_is_no_answer(resolver: Resolver) -> None:
    resolver.replies = lambda question, _: [bytes(question.pack()), right(question)]
    assert ask(resolver, "corp.org") == {"corp.org": TRUE}


def test_the_second_of_two_answers_changes_nothing(resolver: Resolver) -> None:
    resolver.replies = lambda question, _: [right(question), lie(right(question))]
    assert ask(resolver, "a.org", "b.org", in_flight=1) == {"a.org": TRUE, "b.org": TRUE}


def test_a_lost_packet_costs_a_second_question_and_nothing_else(resolver: Resolver) -> None:
    resolver.replies = lambda question, times: [right(question)] if times == 2 else []
    assert ask(resolver, "corp.org", seconds=SOON) == {"corp.org": TRUE}
    assert resolver.ids[0] != resolver.ids[1]


def test_silence_is_no_answer_after_two_questions(resolver: Resolver) -> None:
    resolver.replies = lambda question, _: [] if "silent" in str(question.q.qname).lower() else [right(question)]
    assert ask(resolver, "silent.org", "corp.org", seconds=SOON) == {"silent.org": None, "corp.org": TRUE}
    assert resolver.asked["silent.org."] == 2


def test_no_more_questions_are_under_way_than_may_be(resolver: Resolver) -> None:
    resolver.replies = lambda question, times: []
    names = [f"d{number}.org" for number in range(30)]
    answers = BulkDns(resolver.address, try_seconds=SOON, in_flight=10).ask((name, Kind.MX) for name in names)
    next(answers)  # the first ten were asked twice before the eleventh is asked at all
    assert len(resolver.asked) == 10
    answers.close()  # type: ignore[attr-defined]


def test_questions_are_read_as_they_can_be_asked(resolver: Resolver) -> None:
    read = 0

    def questions() -> Iterator[Question]:
        nonlocal read
        for number in range(1_000_000):
            read += 1
            yield f"d{number}.org", Kind.MX

    answers = BulkDns(resolver.address).ask(questions())
    for _ in range(10):
        next(answers)
    assert read <= 210
    answers.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["", "a..b", f"{'x' * 64}.org", ".".join(["abcdefg"] * 40)])
def test_what_is_no_name_is_asked_of_nobody(resolver: Resolver, name: str) -> None:
    assert ask(resolver, name, "corp.org") == {name: None, "corp.org": TRUE}
    assert set(resolver.asked) == {"corp.org."}


def test_a_resolver_that_is_not_there_is_no_evidence() -> None:
    with socketserver.UDPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        port = server.server_address[1]
    bulk = BulkDns(f"127.0.0.1:{port}", try_seconds=SOON)
    assert list(bulk.ask([("corp.org", Kind.MX)])) == [(("corp.org", Kind.MX), None)]


def test_without_a_socket_there_is_no_answer(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("socket.socket", none_left)
    assert ask(resolver, "corp.org") == {"corp.org": None}


def test_without_a_resolver_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DnsClient, "resolvers", "")
    assert list(BulkDns().ask([("corp.org", Kind.MX)])) == [(("corp.org", Kind.MX), None)]


def test_all_kinds_are_asked_of_a_real_zone(dns_server: servers.Dns) -> None:
    dns_server.zone = servers.Zone(
        [
            ["corp.org", "NS", "ns1.host.net."],
            ["corp.org", "MX", "10 mx.mail.net."],
            ["mx.mail.net", "A", "203.0.113.1"],
            ["mx.mail.net", "AAAA", "2001:db8::1"],
        ]
    )
    questions = [("corp.org", Kind.MX), ("corp.org", Kind.NS), ("mx.mail.net", Kind.A), ("mx.mail.net", Kind.AAAA)]
    answers = dict(BulkDns(dns_server.setting).ask([*questions, ("gone.org", Kind.MX)]))
    assert [answers[question] for question in questions] == [
        TRUE,
        {"ns1.host.net"},
        {"203.0.113.1"},
        {"2001:db8::1"},
    ]
    assert answers["gone.org", Kind.MX] is None
