"""What every page needs: markers on views, CSRF, security headers, who is calling, fields, safe redirects."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from flask import Flask, Response, current_app, g, request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.wrappers import Response as WerkzeugResponse

from authsvc.core import crypto, db
from authsvc.core.assurance import Action
from authsvc.core.config import Settings
from authsvc.core.errors import AuthError, BadCsrf, BadInput
from authsvc.core.evidence import Place
from authsvc.core.rate_limits import network_of

View = TypeVar("View", bound=Callable[..., Any])
Page = str | WerkzeugResponse  # what a view's helper makes; the view may add a status

CSRF_MAX_AGE_SECONDS = 24 * 3600
MAX_BODY_BYTES = 64 * 1024
MAX_NEXT_LENGTH = 4096


class MisdirectedRequest(AuthError):
    """The request names a host that is not ours (attacks R03, R04)."""

    status = 421
    code = "misdirected_request"
    title = "Wrong address"
    message = "This service does not answer under that name."


# Markers. They only mark; one before-request hook in `access` enforces them.


def public(view: View) -> View:
    """Anybody may call this view."""
    view.access = "public"  # type: ignore[attr-defined]
    return view


def requires(action: Action) -> Callable[[View], View]:
    """Only a principal whom `policy.permission` allows the action may call this view."""

    def mark(view: View) -> View:
        view.access = action  # type: ignore[attr-defined]
        return view

    return mark


def machine(view: View) -> View:
    """A route for programs: JSON errors, no cookies and so no CSRF token."""
    view.machine = True  # type: ignore[attr-defined]
    return view


def read_only(view: View) -> View:
    """A route that changes nothing although its method could."""
    view.read_only = True  # type: ignore[attr-defined]
    return view


def settings() -> Settings:
    """The settings of the running app."""
    found: Settings = current_app.extensions["authsvc.settings"]
    return found


def request_time() -> datetime:
    """The time of this request, taken once, so that all it does happens at one instant."""
    if "now" not in g:
        g.now = current_app.extensions["authsvc.clock"]()
    now: datetime = g.now
    return now


@dataclass(frozen=True)
class Client:
    """Who is calling, in words for logs and mails. Never trusted to decide anything alone."""

    ip: str
    network: str
    browser: str
    place: str = ""  # in words; empty without a GeoIP file
    country: str = ""  # ISO 3166-1 alpha-2

    def __str__(self) -> str:
        return f"{self.browser}, {self.place or self.ip}"


def client() -> Client:
    """The caller of this request."""
    ip = request.remote_addr or "unknown"
    found = place_of(ip)
    browser = browser_words(request.headers.get("User-Agent", ""))
    return Client(ip=ip, network=network_of(ip), browser=browser, place=found.words, country=found.country)


def place_of(ip: str) -> Place:
    """Where an address is, as far as the GeoIP file knows; empty where there is none."""
    look_up: Callable[[str], Place] = current_app.extensions["authsvc.places"]
    return look_up(ip)


def place_words(ip: str) -> str:
    """An address for a page: its place in words, or itself."""
    return place_of(ip).words or ip


def browser_family(words: str) -> str:
    """The browser of `browser_words` without its system, which a change of view ("desktop site") may alter."""
    return words.partition(" on ")[0]


BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_words(user_agent: str) -> str:
    """A user agent as people know it: "Firefox on Linux". Unknown ones stay "An unknown program"."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    if browser:
        return f"{browser} on {system}" if system else browser
    return "An unknown program"


# Fields


def text_field(name: str, *, max_length: int = 320, required: bool = True, strip: bool = True) -> str:
    """One scalar from the form. Raises BadInput when doubled, too long, with NUL, or missing though required."""
    return scalar(request.form.getlist(name), name, max_length=max_length, required=required, strip=strip)


def query_field(name: str, *, max_length: int = MAX_NEXT_LENGTH) -> str:
    """One optional scalar from the query. Raises BadInput as `text_field` does."""
    return scalar(request.args.getlist(name), name, max_length=max_length, required=False, strip=True)


def scalar(values: list[str], name: str, *, max_length: int, required: bool, strip: bool) -> str:
    """The single value of a field; see `text_field`."""
    if len(values) > 1:
        raise BadInput(f"{name} sent {len(values)} times", message=f"The field “{name}” was sent more than once.")
    value = values[0] if values else ""
    if strip:
        value = value.strip()
    if required and not value:
        raise BadInput(f"{name} missing", message=f"The field “{name}” is missing.")
    if len(value) > max_length:
        raise BadInput(f"{name} too long", message=f"The field “{name}” is longer than {max_length:,} characters.")
    if "\x00" in value:
        raise BadInput(f"NUL in {name}", message=f"The field “{name}” holds a character that cannot be used.")
    return value


def code_field(name: str = "code") -> str:
    """A one-time code as typed or pasted: white space and hyphens do not count."""
    return "".join(c for c in text_field(name, max_length=64) if not c.isspace() and c != "-")


def local_path(value: str, default: str) -> str:
    """`value` when it is a path on this server, else `default` (attack C04)."""
    if not value.startswith("/") or value.startswith("//") or "\\" in value or not value.isprintable():
        return default
    return value if len(value) <= MAX_NEXT_LENGTH else default


def allow_form_to_lead_to(path: str) -> None:
    """Let the form of this page end at the client that `path`, an authorization request, names.

    Chromium applies `form-action` to every redirect that follows a form. Whether the client may be redirected to at
    all is decided at the authorization endpoint; this only keeps the browser from refusing it.
    """
    if path.startswith("/oauth2/authorize?"):
        allow_form_to_reach(parse_qs(urlsplit(path).query).get("redirect_uri", [""])[0])


def allow_form_to_reach(address: str) -> None:
    """Let the form of this page end at an address elsewhere; see `allow_form_to_lead_to`."""
    try:
        target = urlsplit(address)
    except ValueError:  # not an address
        return
    if target.scheme in {"http", "https"} and target.netloc.isascii():
        origin = f"{target.scheme}://{target.netloc}"
        if not set(origin) & set(" ;,'\""):
            g.form_action = f"'self' {origin}"


# Cookies


def cookie_name(name: str, *, secure: bool | None = None) -> str:
    """The cookie's name: with `__Host-` wherever the origin is https (attack S11). `secure`: when no app is running."""
    secure = settings().secure if secure is None else secure
    return f"__Host-authsvc-{name}" if secure else f"authsvc-{name}"


def cookie(name: str) -> str:
    """The cookie's value, or nothing."""
    return request.cookies.get(cookie_name(name), "")


def set_cookie(response: Response, name: str, value: str, *, max_age_seconds: int | None) -> None:
    """Set a cookie for this host alone, unreadable by script."""
    response.set_cookie(
        cookie_name(name),
        value,
        max_age=max_age_seconds,
        secure=settings().secure,
        httponly=True,
        samesite="Lax",
        path="/",
    )


def drop_cookie(response: Response, name: str) -> None:
    """Expire a cookie."""
    response.delete_cookie(cookie_name(name), secure=settings().secure, httponly=True, samesite="Lax", path="/")


# CSRF: a signed copy of a cookie that no other site can read


def _csrf() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(crypto.secret_for("csrf"), salt="csrf")


def csrf_token() -> str:
    """The token for forms of this page; bound to a cookie that is set with the response."""
    if "csrf" not in g:
        g.csrf = cookie("csrf")
        if len(g.csrf) < 22:
            g.csrf = g.csrf_new = crypto.random_token()
    return _csrf().dumps(crypto.digest(g.csrf).hex())


def refuse_other_sites() -> None:
    """Raise BadCsrf when another origin made the browser send this, a sibling subdomain included (attack C02).

    Old browsers send no `Sec-Fetch-Site`; for them the token decides.
    """
    # Under `Referrer-Policy: no-referrer` browsers say "null" even for our own forms (Fetch, "Append a request Origin
    # header"), so the fetch metadata decide where there are any.
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin", "null")
    if site not in {None, "same-origin", "none"} or origin not in {"null", settings().base_url}:
        raise BadCsrf(f"sent from site {site!r}, origin {origin!r}")


def check_csrf() -> None:
    """Raise BadCsrf unless the form carries this browser's token and comes from our own origin."""
    refuse_other_sites()
    sent = request.form.getlist("csrf_token") or request.headers.getlist("X-CSRF-Token")
    held = cookie("csrf")
    if len(sent) != 1 or not held:
        raise BadCsrf("token or cookie missing")
    try:
        signed = _csrf().loads(sent[0], max_age=CSRF_MAX_AGE_SECONDS)
    except BadSignature as error:
        raise BadCsrf(str(error)) from error
    if not isinstance(signed, str) or not crypto.same(signed.encode(), crypto.digest(held).hex().encode()):
        raise BadCsrf("token of another browser")


def register(app: Flask) -> None:
    """Host check, transaction mode, CSRF cookie and security headers for every request."""
    own_netloc = urlsplit(app.extensions["authsvc.settings"].base_url).netloc
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY_BYTES

    @app.before_request
    def begin() -> None:
        view = app.view_functions.get(request.endpoint or "")
        request.machine = bool(getattr(view, "machine", False))  # type: ignore[attr-defined]
        if request.host != own_netloc and request.path not in {"/healthz", "/readyz", "/metrics"}:
            raise MisdirectedRequest(f"host {request.host!r}")
        if db.request_reads() or getattr(view, "read_only", False):
            db.reading()

    @app.after_request
    def protect(response: Response) -> Response:
        if "csrf_new" in g:
            set_cookie(response, "csrf", g.csrf_new, max_age_seconds=None)
        headers = response.headers
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "no-referrer")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("X-Frame-Options", "DENY")
        headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
        form_action = g.get("form_action", "'self'")
        nonce = f" 'nonce-{g.csp_nonce}'" if "csp_nonce" in g else ""
        headers.setdefault(
            "Content-Security-Policy",
            f"default-src 'none'; script-src 'self'{nonce}; style-src 'self'{nonce}; img-src 'self' data:; "
            f"connect-src 'self'; form-action {form_action}; "
            "frame-ancestors 'none'; base-uri 'none'",
        )
        if app.extensions["authsvc.settings"].secure:
            headers.setdefault("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
        if request.endpoint != "static":
            headers.setdefault("Cache-Control", "no-store")
        return response

    @app.context_processor
    def page_values() -> dict[str, object]:
        if "csp_nonce" not in g:
            g.csp_nonce = secrets.token_urlsafe(16)
        return {
            "csp_nonce": g.csp_nonce,
            "csrf_token": csrf_token,
            "settings": settings(),
            "now": request_time(),
        }
