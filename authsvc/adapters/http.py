"""The one outgoing HTTP client: only public https targets, within limits of size and time.

Whatever name or redirect leads there, the address that is connected to is the one that was checked, so no
DNS answer in between can point us at ourselves or our neighbours.
"""

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

TOTAL_SECONDS = 10.0
IDLE_SECONDS = 5.0  # between two packets
MAX_BODY_BYTES = 1024 * 1024
CHUNK_BYTES = 16 * 1024
USER_AGENT = "authsvc"
NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpFault(Exception):
    """No usable answer. `reason`: timeout, refused, too_large, too_many_redirects or connection."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class HttpAnswer:
    """A complete answer; `headers` have names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Sends one request at a time, with no cookies, no proxy and no credentials of the environment."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        total_seconds: float = TOTAL_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """`allow_private` admits loopback and private networks, and plain http to them (development)."""
        self._allow_private = allow_private
        self._total_seconds = total_seconds
        self._idle_seconds = idle_seconds

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        own: bool = False,
        redirects: int = 0,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> HttpAnswer:
        """Send a request and read the whole answer.

        `own` says that the operator wrote this URL into the settings: its host and port may then be private
        and plain http; where a redirect leads may not. Follows up to `redirects`. Raises HttpFault.
        """
        deadline = time.monotonic() + self._total_seconds
        own_origin = _origin(url) if own else None
        for _ in range(redirects + 1):
            answer = self._once(method, url, headers or {}, body, _origin(url) == own_origin, max_bytes, deadline)
            location = answer.headers.get("location")
            if answer.status not in REDIRECTS or not location or not redirects:
                return answer
            url = urljoin(url, location)
        raise HttpFault("too_many_redirects", url)

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        own: bool,
        max_bytes: int,
        deadline: float,
    ) -> HttpAnswer:
        private = own or self._allow_private
        scheme = urlsplit(url).scheme
        if scheme != "https" and not (scheme == "http" and private):
            raise HttpFault("refused", f"not https: {url}")
        gate = _Gate(allow_private=private, plain=scheme == "http" and not own)
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise HttpFault("timeout", url)
        watchdog = threading.Timer(remaining, gate.hang_up)
        watchdog.daemon = True
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", _Adapter(gate))
        session.mount("http://", _Adapter(gate))
        try:
            watchdog.start()
            with session.request(
                method,
                url,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
                data=body,
                timeout=min(self._idle_seconds, remaining),
                allow_redirects=False,
                stream=True,
            ) as response:
                content = bytearray()
                for chunk in response.iter_content(CHUNK_BYTES):
                    content += chunk
                    if len(content) > max_bytes:
                        raise HttpFault("too_large", url)
                if gate.hung_up:
                    raise HttpFault("timeout", url)
                lower = {name.lower(): value for name, value in response.headers.items()}
                return HttpAnswer(status=response.status_code, headers=lower, body=bytes(content))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if gate.refused:
                raise HttpFault("refused", f"{url} leads to {gate.refused}") from error
            timed_out = gate.hung_up or isinstance(error, requests.Timeout)
            raise HttpFault("timeout" if timed_out else "connection", f"{url}: {error}") from error
        finally:
            watchdog.cancel()
            session.close()


class _Gate:
    """Decides about each address right before it is connected to, and can cut the connection."""

    def __init__(self, *, allow_private: bool, plain: bool) -> None:
        self._allow_private = allow_private
        self._plain = plain
        self._sockets: list[socket.socket] = []
        self.refused = ""
        self.hung_up = False

    def connect(self, connection: HTTPConnection) -> socket.socket:
        """A socket to an allowed address of the connection's host. Raises OSError."""
        timeout = connection.timeout if isinstance(connection.timeout, int | float) else IDLE_SECONDS
        host, port = connection.host.strip("[]"), connection.port or 0
        failure: OSError = OSError(f"{host} has no address")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for *_, target in found:
            if not self._allows(str(target[0])):
                self.refused = str(target[0])
                raise OSError(f"{host} leads to {self.refused}")
        for *_, target in found:
            try:
                return socket.create_connection((str(target[0]), port), timeout)
            except OSError as error:
                failure = error
        raise failure

    def _allows(self, text: str) -> bool:
        address = _reached(ip_address(text.partition("%")[0]))
        if address.is_global and not address.is_multicast:
            return not self._plain  # plain http is for our own machines
        near = address.is_loopback or (address.is_private and not address.is_link_local)
        return self._allow_private and near and not address.is_unspecified

    def watch(self, sock: socket.socket | None) -> None:
        """Remember a connected socket, so that it can be cut."""
        if sock is not None:
            self._sockets.append(sock)

    def hang_up(self) -> None:
        """Cut all connections: the time is over, however slowly the other side drips."""
        self.hung_up = True
        for sock in self._sockets:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # also below TLS


class _Adapter(requests.adapters.HTTPAdapter):
    """Makes every connection of a session go through the gate."""

    def __init__(self, gate: _Gate) -> None:
        self._gate = gate
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        gate = self._gate

        class GatedHttp(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return gate.connect(self)

            def connect(self) -> None:
                super().connect()
                gate.watch(self.sock)

        class GatedHttps(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return gate.connect(self)

            def connect(self) -> None:
                super().connect()
                gate.watch(self.sock)

        class HttpPool(HTTPConnectionPool):
            ConnectionCls = GatedHttp

        class HttpsPool(HTTPSConnectionPool):
            ConnectionCls = GatedHttps

        self.poolmanager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}


def _reached(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address packets end at: the IPv4 address inside, where a translator or tunnel unpacks one."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    tunnelled = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or tunnelled or address


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        raise HttpFault("refused", f"not a URL: {url!r}") from error
