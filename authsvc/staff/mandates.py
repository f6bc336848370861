"""Mandates in the console: how far each phase has come, who is about to be stopped, who is exempt (POLICY 12, 13)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from authsvc import access, accounts, mandates
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import BadInput, Forbidden, NotFound
from authsvc.core.rate_limits import limited
from authsvc.core.templating import date_words
from authsvc.core.web import query_field, request_time, requires, text_field
from authsvc.mandates import AdoptionDay, PhaseFigures
from authsvc.policy.cohort import Phase
from authsvc.policy.recovery import NoVote
from authsvc.staff.blueprint import bp
from authsvc.staff.words import MAX_REASON, MIN_REASON, NO_VOTES

SOON = timedelta(days=30)
FAR = timedelta(days=3650)
PEOPLE_ON_PAGE = 25
DAYS_IN_TABLE = 12
DONE = {
    "ended": "Taken back. What was asked before is asked again, and the owner was told.",
    "proposed": "Proposed. It begins when a second person approves.",
    "alone": "It begins in 24 hours, in place of another person's key. The owner was told.",
    "approved": "Approved. It has begun, and the owner was told.",
    "refused": "Refused. Nothing changes.",
}
TABS = {"soon": "In the next 30 days", "now": "Now"}


@dataclass(frozen=True)
class Part:
    """A part of a bar. `begin` and `width` are of a hundred."""

    css: str
    words: str
    number: int
    begin: float
    width: float


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """One phase with its bar. `enforced_from`, `strength`: None by hand, or where there is no such phase any more."""

    figures: PhaseFigures | AdoptionDay
    enforced_from: datetime | None
    strength: str | None
    packages: int
    nothing: int
    percent: int  # that comply, rounded down
    parts: tuple[Part, ...]
    stopped_width: float


def cohort(found: PhaseFigures | AdoptionDay, rule: Phase | None, *, packages: int = 0) -> Cohort:
    """What the accounts of a phase have, as parts of one bar."""
    nothing = found.accounts - found.with_two_keys - found.with_key - found.with_app
    whole, begin, parts = found.accounts or 1, 0.0, []
    for css, words, number in (
        ("two", "two keys or more", found.with_two_keys),
        ("key", "one key", found.with_key),
        ("app", "an app", found.with_app),
        ("none", "nothing yet", nothing),
    ):
        width = 100 * number / whole
        parts.append(Part(css, words, number, round(begin, 2), round(width, 2)))
        begin += width
    return Cohort(
        figures=found,
        enforced_from=rule.enforced_from if rule else None,
        strength=mandates.STRENGTH_WORDS[rule.strength.value] if rule else None,
        packages=packages,
        nothing=nothing,
        percent=100 * found.met // whole,
        parts=tuple(parts),
        stopped_width=round(100 * found.stopped / whole, 2),
    )


def some_days(days: list[AdoptionDay]) -> list[AdoptionDay]:
    """For the table: the rows of a dozen days, the newest first."""
    dates = sorted({row.day for row in days}, reverse=True)
    shown = set(dates[:: -(-len(dates) // DAYS_IN_TABLE)]) if dates else set()
    return sorted((row for row in days if row.day in shown), key=lambda row: (-row.day.toordinal(), row.phase))


@bp.get("/mandates")
@requires(Action.READ_STAFF)
@limited("account")
def mandate_figures() -> ResponseReturnValue:
    """Phases with what their accounts had when they were last counted, the trend, and exemptions.

    Counts nothing itself: with half a million accounts that takes seconds.
    """
    now = request_time()
    try:
        rules = mandates.current_phases()
    except mandates.BadPhases as error:
        return render_template("staff/mandates_unread.html", problem=str(error)), 503
    days, later = mandates.adoption(), [phase for phase in rules if phase.announced > now]
    counted, known = days[-1].day if days else None, {phase.name: phase for phase in rules}
    rows = {row.phase: row for row in days if row.day == counted}
    order = [*(name for name in known if name in rows), *(name for name in rows if name not in known)]
    return render_template(
        "staff/mandates.html",
        counted=counted,
        cohorts=[cohort(rows[name], known.get(name)) for name in order if known.get(name) not in later],
        uncounted=[phase for phase in rules if phase.name not in rows and phase not in later],
        later=later,
        strengths=mandates.STRENGTH_WORDS,
        trend=Markup(mandates.trend(days)) if days else None,  # noqa: S704 - `chart` escapes what it writes
        days=some_days(days),
        exemptions=mandates.standing_exemptions(now=now),
        proposals=len(mandates.exemption_proposals(staff_id=access.require_principal().account_id, now=now)),
    )


@bp.get("/mandates/people")
@requires(Action.READ_STAFF)
@limited("account")
def mandate_people() -> str:
    """Who is stopped now by what was given, or will be in 30 days."""
    now, show, page = request_time(), query_field("show", max_length=10), query_field("page", max_length=6)
    chosen = show if show in TABS else "soon"
    as_of, but_not_at = (now + SOON, now) if chosen == "soon" else (now, None)
    count = mandates.stopped(as_of=as_of, but_not_at=but_not_at)
    pages = max(1, -(-count // PEOPLE_ON_PAGE))
    number = min(pages, max(1, int(page))) if page.isdecimal() else 1
    begin = (number - 1) * PEOPLE_ON_PAGE
    people = mandates.people(as_of=as_of, but_not_at=but_not_at, begin=begin, most=PEOPLE_ON_PAGE) if count else []
    return render_template(
        "staff/mandates_people.html", tabs=TABS, chosen=chosen, count=count, people=people, page=number, pages=pages
    )


@bp.get("/mandates/plan")
@requires(Action.READ_STAFF)
@limited("account")
def mandate_plan() -> ResponseReturnValue:
    """Whom the phases cover and stop by a day, those included that are announced by then. Saves nothing."""
    now, typed = request_time(), query_field("as-of", max_length=20)
    day, found, rules = _day(typed) if typed else now, None, {}
    wrong = day is None or not now.date() <= day.date() <= (now + FAR).date()
    try:
        if day is not None and not wrong:
            rules = {phase.name: phase for phase in mandates.current_phases()}
            found = mandates.plan(as_of=max(day, now), now=now, most=PEOPLE_ON_PAGE)
    except mandates.BadPhases as error:
        return render_template("staff/mandates_unread.html", problem=str(error)), 503
    page = render_template(
        "staff/mandates_plan.html",
        day=typed or f"{now:%Y-%m-%d}",
        found=found,
        cohorts=[cohort(one, rules.get(one.phase), packages=one.packages) for one in found.phases] if found else [],
        errors={"as-of": "Choose a day from today on, within ten years."} if wrong else {},
    )
    return page, 422 if wrong else 200


@bp.get("/mandates/preview")
@requires(Action.READ_STAFF)
@limited("account")
def mandate_preview() -> ResponseReturnValue:
    """Who would be stopped if a phase had another day. Saves nothing."""
    phase, typed, now = query_field("phase", max_length=40), query_field("day", max_length=20), request_time()
    day, found, problem, status = _day(typed), None, None, 200
    try:
        names = {one.name: one.name for one in mandates.current_phases()}
        if typed and day is None:
            raise BadInput("day", message="Choose a day.")
        if day is not None:
            found = mandates.preview(phase, day=day, now=now, most=PEOPLE_ON_PAGE)
    except mandates.BadPhases as error:
        return render_template("staff/mandates_unread.html", problem=str(error)), 503
    except BadInput as error:
        problem, status = error.message, 422
    page = render_template(
        "staff/mandates_preview.html",
        names=names,
        chosen=phase,
        day=typed,
        found=found,
        errors={"day": problem} if problem else {},
    )
    return page, status


@bp.get("/mandates/exemptions")
@requires(Action.READ_STAFF)
@limited("account")
def exemptions() -> ResponseReturnValue:
    """What waits for a second person, what stands, and the form to propose one."""
    return _exemptions_page(notice=DONE.get(query_field("done", max_length=10)))


def _exemptions_page(
    *, notice: str | None = None, typed: dict[str, str] | None = None, errors: dict[str, str] | None = None
) -> str:
    now, who = request_time(), access.require_principal()
    return render_template(
        "staff/mandates_exemptions.html",
        proposals=[
            (one, NO_VOTES[one.no_vote] if one.no_vote else None, one.no_vote in {None, NoVote.VOTED})
            for one in mandates.exemption_proposals(staff_id=who.account_id, now=now)
        ],
        exemptions=mandates.standing_exemptions(now=now),
        alone=mandates.is_alone(who.account_id, now=now),
        first_day=(now + timedelta(days=2)).date(),
        last_day=(now + mandates.LONGEST).date(),
        typed=typed or {},
        errors=errors or {},
        notice=notice,
    )


@bp.post("/mandates/exemptions")
@requires(Action.EXEMPT_FROM_MANDATE)
@limited("account")
def propose_exemption() -> ResponseReturnValue:
    """Ask for the step-up, which is bound to this account, this reason and this end."""
    who, now = access.require_principal(), request_time()
    typed = {name: text_field(name, max_length=500, required=False) for name in ("account", "reason", "until")}
    account, until = accounts.find(typed["account"]), _day(typed["until"])
    reason = " ".join(typed["reason"].split())
    errors = {}
    if account is None or account.disabled:
        errors["account"] = "There is no account of this name."
    if not MIN_REASON <= len(reason) <= MAX_REASON:
        errors["reason"] = f"Give a reason of {MIN_REASON} to {MAX_REASON} characters."
    try:
        mandates.check_end(until or now, now=now)
    except BadInput as error:
        errors["until"] = error.message
    if account is None or until is None or errors:
        return _exemptions_page(typed=typed, errors=errors), 422
    problem = mandates.may_exempt(account.id, staff_id=who.account_id, now=now)
    if problem is not None:
        raise Forbidden(f"exemption of {account.id}: {problem}", message=NO_VOTES[problem])
    return access.step_up(
        Action.EXEMPT_FROM_MANDATE,
        params={"decision": "propose", "account": str(account.id), "reason": reason, "until": until.isoformat()},
        words=f"Propose to ask {account.username} for no second step",
        details=[("Until", date_words(until)), ("Reason", reason)],
        back=url_for("staff.exemptions"),
    )


def _day(typed: str) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(typed), time(), UTC)
    except ValueError:
        return None


@bp.post("/mandates/exemptions/<int(max=9223372036854775807):proposal_id>")
@requires(Action.EXEMPT_FROM_MANDATE)
@limited("account")
def decide_exemption(proposal_id: int) -> ResponseReturnValue:
    """Ask for the step-up, which is bound to this proposal, which never changes, and this decision."""
    who, decision = access.require_principal(), text_field("decision", max_length=10)
    if decision not in {"approve", "refuse"}:
        raise BadInput("decision", message="Please choose whether to approve or to refuse.")
    one = mandates.exemption_proposal(proposal_id, staff_id=who.account_id, now=request_time())
    if decision == "approve" and one.no_vote is not None:
        raise Forbidden(f"proposal {proposal_id}: {one.no_vote}", message=NO_VOTES[one.no_vote])
    asked = f"{'Ask' if decision == 'approve' else 'Refuse to ask'} {one.username} for no second step"
    return access.step_up(
        Action.EXEMPT_FROM_MANDATE,
        params={"decision": decision, "proposal": str(proposal_id)},
        words=asked,
        details=[("Until", date_words(one.until)), ("Reason", one.reason), ("Proposed by", one.proposed_by)],
        back=url_for("staff.exemptions"),
    )


@bp.post("/mandates/exemptions/end")
@requires(Action.EXEMPT_FROM_MANDATE)
@limited("account")
def end_exemption() -> ResponseReturnValue:
    """Ask for the step-up, which is bound to this account. It strengthens, so one person does it."""
    account = accounts.find(text_field("account"))
    if account is None:
        raise BadInput("account", message="There is no account of this name.")
    return access.step_up(
        Action.EXEMPT_FROM_MANDATE,
        params={"decision": "end", "account": str(account.id)},
        words=f"Take the exemption of {account.username} back",
        back=url_for("staff.exemptions"),
    )


@access.carries_out(Action.EXEMPT_FROM_MANDATE)
def _exempt(who: Principal, params: dict[str, str]) -> Response:
    now, staff_id, decision = request_time(), who.account_id, params["decision"]
    if decision == "end":
        if not mandates.end_exemption(int(params["account"]), set_by="staff", staff=who.username, now=now):
            raise NotFound("exemption", message="The account is not exempt any more.")
        return make_response(redirect(url_for("staff.exemptions", done="ended"), code=303))
    if decision == "propose":
        done = "alone" if mandates.is_alone(staff_id, now=now) else "proposed"
        until = datetime.fromisoformat(params["until"])
        problem = mandates.propose_exemption(
            int(params["account"]), reason=params["reason"], until=until, staff_id=staff_id, now=now
        )
    else:
        done = "approved" if decision == "approve" else "refused"
        problem = mandates.decide_exemption(
            int(params["proposal"]), staff_id=staff_id, approve=decision == "approve", now=now
        )
    if problem is not None:
        raise Forbidden(f"{decision}: {problem}", message=NO_VOTES[problem])
    return make_response(redirect(url_for("staff.exemptions", done=done), code=303))
