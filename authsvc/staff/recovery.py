"""The recovery queue: cases that wait for a person, what is known of each, and the vote (POLICY 10, 13)."""

from dataclasses import dataclass
from datetime import datetime

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, accounts, cases, domains, holds, mandates
from authsvc.cases import CaseLine, CaseView, Queue
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import BadInput, Forbidden
from authsvc.core.rate_limits import limited
from authsvc.core.web import query_field, request_time, requires, text_field
from authsvc.policy.mandate import Mandate
from authsvc.policy.recovery import NoVote
from authsvc.staff.blueprint import bp
from authsvc.staff.words import ALONE, CANNED, NO_VOTES, STRENGTHS, WAYS, reach_words, standing

CASE = "/recovery/<int(max=9223372036854775807):case_id>"
TABS = {Queue.NEEDS_STAFF: "Needs people", Queue.WAITING: "Waiting", Queue.ALL: "All"}
CASES_ON_PAGE = 25
MOST_PACKAGES = 5
MIN_REASON = 10
DONE = {"approved": "Your approval counts.", "refused": "The request was refused and is over."}


@dataclass(frozen=True, kw_only=True)
class QueueLine:
    """One case in the queue."""

    case: CaseLine
    standing: str
    strength: str


@bp.get("/recovery")
@requires(Action.READ_STAFF)
@limited("account")
def queue() -> ResponseReturnValue:
    """Cases, those that need people first."""
    show, page = query_field("show", max_length=20), query_field("page", max_length=6)
    which = Queue(show) if show in list(Queue) else Queue.NEEDS_STAFF
    now = request_time()
    count = cases.queue_lengths(now=now)[which]
    pages = max(1, -(-count // CASES_ON_PAGE))
    number = min(pages, max(1, int(page))) if page.isdecimal() else 1
    begin = (number - 1) * CASES_ON_PAGE
    return render_template(
        "staff/queue.html",
        lines=[
            QueueLine(case=line, standing=standing(line), strength=STRENGTHS[line.strength])
            for line in cases.queue(which, now=now, begin=begin, most=CASES_ON_PAGE)
        ],
        tabs={tab.value: words for tab, words in TABS.items()},
        chosen=which.value,
        count=count,
        page=number,
        pages=pages,
        notice=DONE.get(query_field("done", max_length=10)),
    )


@dataclass(frozen=True, kw_only=True)
class AddressFacts:
    """An address of the account, and how its domain stands."""

    email: str
    is_primary: bool
    level: str
    words: str


@dataclass(frozen=True, kw_only=True)
class AccountFacts:
    """What somebody who decides should know of the account."""

    made_at: datetime
    last_sign_in_at: datetime | None
    frozen: bool
    held_until: datetime | None
    ways: list[tuple[str, datetime]]  # what it is, since when
    addresses: list[AddressFacts]
    packages: list[tuple[str, str]]  # name, reach
    packages_left_out: int
    co_owners: list[str]
    mandate: Mandate | None


def facts_of(account_id: int, *, now: datetime) -> AccountFacts:
    """The account's facts, without anything that would open it."""
    account, hold = accounts.get(account_id), holds.current(account_id, now=now)
    packages = mandates.packages(account_id, now=now)
    fellows = mandates.co_owners(account_id, now=now).fellows
    return AccountFacts(
        made_at=account.created_at,
        last_sign_in_at=account.last_sign_in_at,
        frozen=account.frozen,
        held_until=hold.ends_at if hold else None,
        ways=[(WAYS[a.kind], a.created_at) for a in accounts.enrolled(account_id, now=now)],
        addresses=[
            AddressFacts(email=a.email, is_primary=a.is_primary, level=level, words=words)
            for a in accounts.addresses(account_id)
            for level, words in [domains.health_words(a)]
        ],
        packages=[(f"{p.name} ({p.ecosystem})", reach_words(p.impact)) for p in packages[:MOST_PACKAGES]],
        packages_left_out=max(0, len(packages) - MOST_PACKAGES),
        co_owners=sorted(accounts.get(fellow).username for fellow in fellows),
        mandate=mandates.upcoming(account_id, now=now),
    )


@bp.get(CASE)
@requires(Action.READ_STAFF)
@limited("account")
def case(case_id: int) -> ResponseReturnValue:
    """One case. Looking stands in the account's log."""
    return _page(case_id, notice=DONE.get(query_field("done", max_length=10)))


def _page(
    case_id: int, *, notice: str | None = None, canned: str = "", reason: str = "", errors: dict[str, str] | None = None
) -> str:
    now = request_time()
    view = _look(case_id)
    return render_template(
        "staff/case.html",
        case=view,
        standing=standing(view.line),
        strength=STRENGTHS[view.line.strength],
        facts=facts_of(view.line.account_id, now=now),
        no_vote=_no_vote_words(view),
        canned={"": "In my own words"} | {name: text.text for name, text in CANNED.items()},
        chosen=canned,
        reason=reason,
        errors=errors or {},
        notice=notice,
    )


def _no_vote_words(view: CaseView) -> str | None:
    if view.no_vote is NoVote.VOTED and view.alone:
        return ALONE
    return NO_VOTES[view.no_vote] if view.no_vote else None


def _look(case_id: int) -> CaseView:
    who = access.require_principal()
    return cases.look_at(case_id, staff_id=who.account_id, now=request_time())


@bp.post(CASE)
@requires(Action.DECIDE_RECOVERY)
@limited("account")
def decide(case_id: int) -> ResponseReturnValue:
    """Ask for the step-up, which is bound to this case, this decision and this reason."""
    decision = text_field("decision", max_length=10)
    if decision not in {"approve", "refuse"}:
        raise BadInput("decision", message="Please choose whether to approve or to refuse.")
    approve = decision == "approve"
    canned = text_field("canned", max_length=20, required=False)
    typed = text_field("reason", max_length=cases.MAX_REASON, required=False)
    seen = text_field("seen", max_length=6)
    if not seen.isdecimal():
        raise BadInput("seen")
    reason = " ".join(part for part in (CANNED[canned].text if canned in CANNED else "", typed) if part)
    errors = _wrong(approve, canned, reason)
    if errors:
        return _page(case_id, canned=canned, reason=typed, errors=errors), 422
    view = _look(case_id)
    if view.no_vote is not None:
        raise Forbidden(f"case {case_id}: {view.no_vote}", message=NO_VOTES[view.no_vote])
    return access.step_up(
        Action.DECIDE_RECOVERY,
        params={"case": str(case_id), "decision": decision, "reason": reason, "seen": seen},
        words=f"{'Approve' if approve else 'Refuse'} the recovery of {view.line.username}",
        details=[("Request", f"no. {case_id}, opened {view.line.created_at:%d %B %Y}"), ("Reason", reason)],
        back=url_for("staff.case", case_id=case_id),
    )


def _wrong(approve: bool, canned: str, reason: str) -> dict[str, str]:
    if canned in CANNED and CANNED[canned].approve is not approve:
        return {"canned": f"That text is for {'refusing' if approve else 'approving'}. Choose another."}
    if not MIN_REASON <= len(reason) <= cases.MAX_REASON:
        return {"reason": f"Give a reason of {MIN_REASON} to {cases.MAX_REASON} characters."}
    return {}


@access.carries_out(Action.DECIDE_RECOVERY)
def _decide(who: Principal, params: dict[str, str]) -> Response:
    case_id, approve = int(params["case"]), params["decision"] == "approve"
    problem = cases.vote(
        case_id,
        staff_id=who.account_id,
        approve=approve,
        reason=params["reason"],
        objections_seen=int(params["seen"]),
        now=request_time(),
    )
    if problem is not None:
        raise Forbidden(f"case {case_id}: {problem}", message=NO_VOTES[problem])
    after = (
        url_for("staff.case", case_id=case_id, done="approved") if approve else url_for("staff.queue", done="refused")
    )
    return make_response(redirect(after, code=303))
