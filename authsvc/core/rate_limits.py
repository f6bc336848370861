"""The table of limits per network, and the limiter. Limits per account live in `budgets`.

Coarse on purpose: many honest people share a network. Memory is per process, so the figures are
divided by the number of web processes there; with Redis they count across all machines.
"""

import ipaddress
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import limits
from flask import Flask, request
from flask_limiter import Limiter

from authsvc.core import counters  # noqa: F401 -- makes counters:// known to the limiter's library

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])

# name → (requests, seconds), per network. Source: decision 0011.
LIMITS: dict[str, tuple[int, int]] = {
    "login": (120, 60),
    "code": (120, 60),
    "register": (30, 3600),
    "reset": (30, 3600),
    "account": (300, 60),
    "device": (60, 60),
    "mail_check": (60, 3600),
    "proof": (30, 600),  # each asks a server that somebody named, and waits for it
    "token": (1200, 60),
    "registry": (3000, 60),  # one machine of a registry that pushes what changes
    "slowed": (6, 60),  # sign-ins of strangers from a network that tripped a detector (decision 0015)
}
WIDE = 4  # times the figure for an IPv6 /48, of which somebody may hold 65,536 /64


def network_of(address: str) -> str:
    """The network an address belongs to: itself for IPv4, its /64 for IPv6."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def wide_network_of(address: str) -> str | None:
    """The /48 of an IPv6 address or network; None for everything else."""
    try:
        ip = ipaddress.ip_address(address.partition("/")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv4Address) or ip.ipv4_mapped:
        return None
    return str(ipaddress.ip_network((ip, 48), strict=False))


limiter = Limiter(key_func=lambda: network_of(request.remote_addr or ""), headers_enabled=False)


def limited(name: str) -> Callable[[View], View]:
    """Count the view's requests per network under the named limit; beyond it 429 with `Retry-After`.

    Those from IPv6 also count for their /48, with a figure of its own.
    """

    def wide() -> str | None:
        return wide_network_of(request.remote_addr or "")

    near = limiter.shared_limit(lambda: _limit(name), scope=name)
    far = limiter.shared_limit(
        lambda: _limit(name, times=WIDE), scope=name, key_func=lambda: wide() or "", exempt_when=lambda: wide() is None
    )

    def mark(view: View) -> View:
        return cast(View, near(far(view)))

    return mark


def take(name: str, network: str) -> bool:
    """Count one under the named limit, for views that decide themselves whom it concerns. False when it is used up."""
    try:
        return limiter.limiter.hit(limits.parse(_limit(name)), name, network)
    except Exception as error:  # whatever the storage raises, it must not lock everybody out
        log.warning("limit %s could not be counted: %s", name, error)
        return True


_share = 1


def _limit(name: str, *, times: int = 1) -> str:
    count, seconds = LIMITS[name]
    return f"{max(1, count * times // _share)} per {seconds} second"


def register(app: Flask, *, redis_url: str, workers: int) -> None:
    """Attach the limiter: in memory, or in Redis when a URL is given."""
    global _share
    _share = 1 if redis_url else (workers or os.cpu_count() or 1)
    app.config["RATELIMIT_STORAGE_URI"] = redis_url or "counters://"
    app.config["RATELIMIT_STRATEGY"] = "fixed-window"
    app.config["RATELIMIT_SWALLOW_ERRORS"] = True  # a lost Redis must not lock everybody out; budgets still hold
    app.config["RATELIMIT_IN_MEMORY_FALLBACK_ENABLED"] = False
    limiter.init_app(app)
