"""The security log on its own page, and as a file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Response, render_template, stream_with_context, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, audit
from authsvc.account_pages.blueprint import bp
from authsvc.account_pages.words import UNUSUAL, sentence
from authsvc.audit import Filter, Kind, Line
from authsvc.core.assurance import Action
from authsvc.core.rate_limits import limited
from authsvc.core.web import query_field, request_time, requires

LINES = 50  # on a page
STAFF = "staff"
SHOW = {
    "": "Everything",
    Kind.SIGN_IN.value: "Sign-ins",
    Kind.FAILURE.value: "What failed, one by one",
    Kind.CHANGE.value: "Changes",
    STAFF: "By the service and its staff",
}
PERIODS = {"": "A year", "7": "7 days", "30": "30 days"}


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line of the security log as a page shows it."""

    id: int
    at: datetime
    sentence: str
    unusual: bool
    ip: str  # where the sentence names a place instead


def lines(found: Sequence[Line]) -> list[LogLine]:
    """The log's lines in words."""
    return [
        LogLine(
            id=line.event.id,
            at=line.event.at,
            sentence=sentence(line),
            unusual=line.event.type in UNUSUAL,
            ip=line.event.ip if line.event.place else "",
        )
        for line in found
    ]


def _wanted(now: datetime) -> tuple[Filter, dict[str, str]]:
    """What the query asks for, and the same for links; a choice that does not exist counts as none."""
    show, period = query_field("show", max_length=20), query_field("days", max_length=3)
    browser = query_field("browser", max_length=60)
    kind = Kind(show) if show in list(Kind) else None
    since = now - timedelta(days=int(period)) if period in PERIODS and period else None
    chosen = {"show": show if show in SHOW else "", "days": period if since else "", "browser": browser}
    return Filter(kind=kind, staff=show == STAFF, browser=browser, since=since), chosen


@bp.get("/account/log")
@requires(Action.READ_ACCOUNT)
@limited("account")
def security_log() -> ResponseReturnValue:
    """The log, newest first, filtered and in pages."""
    who = access.require_principal()
    wanted, chosen = _wanted(request_time())
    before = query_field("before", max_length=18)
    page = audit.page(who.account_id, wanted, before=int(before) if before.isdecimal() else None, limit=LINES)
    query: dict[str, Any] = {name: value for name, value in chosen.items() if value}
    return render_template(
        "account_pages/log.html",
        events=lines(page.lines),
        show=SHOW,
        periods=PERIODS,
        browsers={"": "Any browser"} | {name: name for name in audit.browsers(who.account_id)},
        chosen=chosen,
        newest=url_for("account_pages.security_log", **query) if before else None,
        older=url_for("account_pages.security_log", **query, before=page.older) if page.older else None,
        export=url_for("account_pages.export_log", **query),
    )


@bp.get("/account/log.json")
@requires(Action.READ_ACCOUNT)
@limited("account")
def export_log() -> ResponseReturnValue:
    """Every event, each by itself, oldest first, as a JSON file."""
    who, now = access.require_principal(), request_time()
    wanted, _ = _wanted(now)
    head = {"account": who.username, "exported_at": now.isoformat()}

    def pieces() -> Iterator[str]:
        yield json.dumps(head)[:-1] + ', "events": ['
        for number, event in enumerate(audit.everything(who.account_id, wanted)):
            facts = {
                "id": event.id,
                "at": event.at.isoformat(),
                "type": event.type.value,
                "sentence": sentence(Line(event=event)),
                "ip": event.ip,
                "browser": event.browser,
                "place": event.place,
                "detail": event.detail,
            }
            yield (",\n" if number else "\n") + json.dumps(facts)
        yield "\n]}\n"

    response = Response(stream_with_context(pieces()), mimetype="application/json")
    name = f"authsvc-security-log-{who.username}-{now:%Y-%m-%d}.json"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
