"""The table of limits per network, and the limiter. Limits per account live in `budgets`.

Coarse on purpose: many honest people share a network. Memory is per process, so the figures are
divided by the number of web processes there; with Redis they count across all machines.
"""

import ipaddress
import os

from flask import Flask, request
from flask_limiter import Limiter, RouteLimit

from authsvc.core import counters  # noqa: F401 -- makes counters:// known to the limiter's library

# name → (requests, seconds), per network. Source: decision 0011.
LIMITS: dict[str, tuple[int, int]] = {
    "login": (120, 60),
    "code": (120, 60),
    "register": (30, 3600),
    "reset": (30, 3600),
    "account": (300, 60),
    "device": (60, 60),
    "token": (1200, 60),
}


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


limiter = Limiter(key_func=lambda: network_of(request.remote_addr or ""), headers_enabled=False)


def limited(name: str) -> RouteLimit:
    """Count the view's requests per network under the named limit; beyond it 429 with `Retry-After`."""

    def current() -> str:
        return _limit(name)

    return limiter.shared_limit(current, scope=name)


_share = 1


def _limit(name: str) -> str:
    count, seconds = LIMITS[name]
    return f"{max(1, count // _share)} per {seconds} second"


def register(app: Flask, *, redis_url: str, workers: int) -> None:
    """Attach the limiter: in memory, or in Redis when a URL is given."""
    global _share
    _share = 1 if redis_url else (workers or os.cpu_count() or 1)
    app.config["RATELIMIT_STORAGE_URI"] = redis_url or "counters://"
    app.config["RATELIMIT_STRATEGY"] = "fixed-window"
    app.config["RATELIMIT_SWALLOW_ERRORS"] = True  # a lost Redis must not lock everybody out; budgets still hold
    app.config["RATELIMIT_IN_MEMORY_FALLBACK_ENABLED"] = False
    limiter.init_app(app)
