"""Turning strangers' sign-ins away at the door while there is no place to hash for them (POLICY 7, decision 0023).

Before anything is parsed, looked up or counted: in a storm most of what a refusal costs would be spent on that, and
services that check tokens would wait for it. Who shows a cookie of a known browser is never turned away here, whatever
it says; it is looked up, and false ones wait with the strangers.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from authsvc import passwords
from authsvc.core.web import cookie_name
from authsvc.login import passes
from authsvc.login.service import BROWSER_COOKIE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PAGE = Path(__file__).parents[1] / "templates" / "login" / "busy.html"
HEADERS = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Retry-After", "5"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


def shed_strangers(inner: "WSGIApplication", *, secure: bool) -> "WSGIApplication":
    """The WSGI callable with this door in front of it. `secure`: the origin is https, which cookies' names tell."""
    known = tuple(cookie_name(name, secure=secure) + "=" for name in (BROWSER_COOKIE, passes.COOKIE))
    page = PAGE.read_bytes()

    def door(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/login" and environ.get("REQUEST_METHOD") == "POST":
            cookies = environ.get("HTTP_COOKIE", "")
            if passwords.no_place_for_strangers() and not any(name in cookies for name in known):
                start_response("503 Service Unavailable", [*HEADERS, ("Content-Length", str(len(page)))])
                return [page]
        return inner(environ, start_response)

    return door
