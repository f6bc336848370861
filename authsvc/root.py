"""Pages that belong to no slice: the front page, health, figures, the threats page, local mail while trying out."""

import email
import email.policy
import email.utils
import hmac
import ipaddress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flask import Blueprint, jsonify, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import text

from authsvc import mail, sessions
from authsvc.core import db, migrate
from authsvc.core.errors import NotFound
from authsvc.core.web import machine, public, request_time, settings
from authsvc.threats import THREATS

bp = Blueprint("root", __name__)


@bp.get("/")
@public
def home() -> ResponseReturnValue:
    """The front page."""
    return render_template("home.html")


@bp.get("/threats")
@public
def threats() -> ResponseReturnValue:
    """What the service defends against."""
    return render_template("threats.html", threats=THREATS, figures=[], as_of=None)


@bp.get("/.well-known/change-password")
@public
def change_password() -> ResponseReturnValue:
    """Where password managers lead to change a password (W3C, A Well-Known URL for Changing Passwords)."""
    return redirect(url_for("account_pages.change_password"), code=303)


@bp.get("/.well-known/passkey-endpoints")
@public
@machine
def passkey_endpoints() -> ResponseReturnValue:
    """Where password managers lead to add or manage passkeys (W3C, Passkey Endpoints)."""
    base = settings().base_url
    enrol, manage = url_for("account_pages.enrol_choose"), url_for("account_pages.security")
    return jsonify(enroll=base + enrol, manage=base + manage)


@bp.get("/healthz")
@public
@machine
def healthz() -> ResponseReturnValue:
    """Alive: this process answers."""
    return jsonify(status="ok")


@bp.get("/readyz")
@public
@machine
def readyz() -> ResponseReturnValue:
    """Ready: the database answers and has the schema of this program."""
    try:
        found = db.session().scalar(text("SELECT version_num FROM alembic_version"))
    except Exception:  # whatever the database says: not ready
        db.rollback()
        found = None
    ready = found == migrate.newest()
    return jsonify(status="ready" if ready else "not ready"), 200 if ready else 503


def _from_loopback() -> bool:
    """The peer is this machine and nobody stands in between."""
    forwarded = any(
        name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "X-Forwarded-Host")
    )
    try:
        peer = ipaddress.ip_address(request.environ.get("REMOTE_ADDR") or "")
    except ValueError:
        return False
    return peer.is_loopback and not forwarded and settings().trusted_proxies == 0


@bp.get("/metrics")
@public
@machine
def metrics() -> ResponseReturnValue:
    """Figures in Prometheus text, for this machine or a bearer token alone (POLICY 14)."""
    token = settings().metrics_token
    sent = request.headers.get("Authorization", "")
    if not _from_loopback() and not (token and hmac.compare_digest(sent.encode(), f"Bearer {token}".encode())):
        raise NotFound("metrics asked from beyond")
    lines = [
        "# TYPE authsvc_sessions_live gauge",
        f"authsvc_sessions_live {sessions.live_count(now=request_time())}",
        "# TYPE authsvc_mails_waiting gauge",
        f"authsvc_mails_waiting {mail.waiting()}",
    ]
    response = make_response("\n".join(lines) + "\n")
    response.mimetype = "text/plain"
    return response


# Local mail


@dataclass(frozen=True)
class LocalMessage:
    """A mail as the page shows it."""

    id: str
    to: str
    subject: str
    at: datetime
    text: str


def _mail_folder() -> Path:
    """The folder of local mail. Raises NotFound unless this is somebody trying things out on this machine."""
    found = settings()
    if not (found.smtp_url.startswith("file:") and found.is_loopback and _from_loopback()):
        raise NotFound("local mail asked from beyond this machine")
    return found.instance / found.smtp_url.removeprefix("file:")


def _message(path: Path) -> LocalMessage:
    parsed = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = parsed.get_body(preferencelist=("plain",))
    return LocalMessage(
        id=path.stem,
        to=str(parsed["To"]),
        subject=str(parsed["Subject"]),
        at=email.utils.parsedate_to_datetime(str(parsed["Date"])),
        text=body.get_content().replace("\r\n", "\n") if body else "",
    )


@bp.get("/dev/mailbox")
@public
def dev_mailbox() -> ResponseReturnValue:
    """All local mails, newest first."""
    files = sorted(_mail_folder().glob("*.eml"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
    return render_template("dev_mailbox.html", messages=[_message(p) for p in files[:100]], message=None)


@bp.get("/dev/mailbox/<message_id>")
@public
def dev_message(message_id: str) -> ResponseReturnValue:
    """One local mail."""
    found = next((p for p in _mail_folder().glob("*.eml") if p.stem == message_id), None)
    if found is None:
        raise NotFound(f"message {message_id}")
    return render_template("dev_mailbox.html", messages=[], message=_message(found))
