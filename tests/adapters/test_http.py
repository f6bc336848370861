"""The outgoing HTTP client: what it refuses to reach, and where its patience ends."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from authsvc.adapters.http import HttpClient, HttpFault
from tests import servers


def fault(client: HttpClient, url: str, *, own: bool = False, redirects: int = 0, max_bytes: int = 100) -> str:
    """Why a request fails."""
    with pytest.raises(HttpFault) as caught:
        client.request("GET", url, own=own, redirects=redirects, max_bytes=max_bytes)
    return caught.value.reason


@contextmanager
def saying(answer: bytes, *, then_drip: bool = False) -> Iterator[str]:
    """A server that sends these bytes, and then one byte now and again if asked; gives its URL."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.sendall(answer)
                try:
                    while then_drip and not over.wait(0.05):
                        peer.sendall(b"x")
                    peer.recv(4096)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        over.set()
        thread.join()


def test_an_answer_comes_with_status_headers_and_body(web_server: servers.Web) -> None:
    web_server.answers["/a"] = {"http": 429, "raw": "slow down", "retry_after": 7}
    answer = HttpClient(allow_private=True).request("GET", f"{web_server.url}/a")
    assert (answer.status, answer.headers["retry-after"], answer.body) == (429, "7", b"slow down")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://192.168.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fe80::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",  # loopback behind a translator
        "https://[2002:7f00:1::]/",  # loopback inside 6to4
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://100.64.0.1/",
        "https://2130706433/",  # 127.0.0.1 as one number
        "http://203.0.113.1/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "https://[::1/",
        "//127.0.0.1/",
    ],
)
def test_private_and_odd_targets_are_refused(url: str) -> None:
    assert fault(HttpClient(), url) == "refused"


def test_even_in_development_the_cloud_s_own_address_is_refused() -> None:
    for url in ("http://169.254.169.254/", "http://0.0.0.0/", "http://8.8.8.8/"):
        assert fault(HttpClient(allow_private=True), url) == "refused"


def test_a_name_is_judged_by_every_address_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_args: object, **_kwargs: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", ("8.8.8.8", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert fault(HttpClient(), "https://rebinding.example/") == "refused"


def test_the_operator_s_own_url_may_be_private_but_not_where_it_redirects(web_server: servers.Web) -> None:
    with servers.web() as other:
        other.answers["/secret"] = {"http": 200, "raw": "secret"}
        web_server.answers = {
            "/here": {"http": 302, "location": "/there"},
            "/there": {"http": 200, "raw": "there"},
            "/away": {"http": 302, "location": f"{other.url}/secret"},
            "/round": {"http": 302, "location": "/round"},
        }
        client = HttpClient()
        answer = client.request("GET", f"{web_server.url}/here", own=True, redirects=3)
        assert answer.body == b"there"
        assert fault(client, f"{web_server.url}/away", own=True, redirects=3) == "refused"
        assert fault(client, f"{web_server.url}/round", own=True, redirects=3) == "too_many_redirects"
        assert client.request("GET", f"{web_server.url}/here", own=True).status == 302
        assert other.asked == []


def test_a_body_over_the_limit_is_not_read_on(web_server: servers.Web) -> None:
    web_server.answers["/big"] = {"http": 200, "raw": "x" * 101}
    web_server.answers["/fits"] = {"http": 200, "raw": "x" * 100}
    client = HttpClient(allow_private=True)
    assert fault(client, f"{web_server.url}/big") == "too_large"
    assert client.request("GET", f"{web_server.url}/fits", max_bytes=100).status == 200


def test_silence_is_a_timeout(web_server: servers.Web) -> None:
    web_server.answers["/mute"] = {"http": "timeout"}
    client = HttpClient(allow_private=True, total_seconds=0.3)
    assert fault(client, f"{web_server.url}/mute") == "timeout"


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\nX-Drip: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_drips_is_cut_off(sent: bytes) -> None:
    client = HttpClient(allow_private=True, total_seconds=0.4, idle_seconds=0.2)
    with saying(sent, then_drip=True) as url:
        assert fault(client, url, max_bytes=10_000) == "timeout"


@pytest.mark.parametrize("sent", [b"SSH-2.0-server\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_an_answer_that_is_none_is_a_fault(sent: bytes) -> None:
    client = HttpClient(allow_private=True, total_seconds=1)
    with saying(sent) as url, pytest.raises(HttpFault):
        client.request("GET", url)


def test_nobody_listening_is_a_fault() -> None:
    url = f"http://127.0.0.1:{servers.free_port()}/"
    assert fault(HttpClient(allow_private=True), url) == "connection"
    assert fault(HttpClient(), "https://no-such-host.invalid/") == "connection"
