"""Phases in the console: what they say, what a change would bring, and the change itself (POLICY 13)."""

import json
from dataclasses import dataclass

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, mandates
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import BadInput, Forbidden, NotFound
from authsvc.core.rate_limits import limited
from authsvc.core.web import query_field, request_time, requires, text_field
from authsvc.mandates import PhaseProposal
from authsvc.policy.cohort import Phase
from authsvc.policy.phase_change import SecondPerson
from authsvc.policy.recovery import NoVote
from authsvc.staff.blueprint import bp
from authsvc.staff.phase_words import BY, FIELDS, BadField, difference_words, phase_of, rule_words, typed_of
from authsvc.staff.words import MAX_REASON, MIN_REASON, NO_VOTES

PROPOSAL = "/mandates/phases/<int(max=9223372036854775807):proposal_id>"
PEOPLE_SHOWN = 10
CHANGES_SHOWN = 25
LONGEST_RULE = 60_000
DONE = {
    "changed": "Changed. The worker gives and tells within the hour.",
    "proposed": "Proposed. It changes when a second person approves.",
    "alone": "It changes in 24 hours. As nobody else here has a key, a day takes the place of another person.",
    "refused": "Refused. Nothing changes.",
}
FILE_DECIDES = "The operator's mandates.toml decides, so phases are changed there and nowhere else."


@dataclass(frozen=True, kw_only=True)
class Looked:
    """A change as it was looked at, in words and as its form sends it on."""

    name: str
    old: Phase | None
    new: Phase | None
    what: mandates.WhatIf
    lines: list[tuple[str, str, str]]
    second: SecondPerson | None  # why it takes one

    @property
    def old_rule(self) -> str:
        """The phase as it was shown."""
        return _json(self.old)

    @property
    def new_rule(self) -> str:
        """The phase that is wanted; empty for none."""
        return _json(self.new)


@bp.get("/mandates/phases")
@requires(Action.READ_STAFF)
@limited("account")
def phases() -> ResponseReturnValue:
    """Every phase with its rule, what waits for a second person, and the history."""
    who, now = access.require_principal(), request_time()
    try:
        rules, history = mandates.current_phases(), mandates.phase_history()
    except mandates.BadPhases as error:
        return render_template("staff/mandates_unread.html", problem=str(error)), 503
    page = query_field("page", max_length=6)
    pages = max(1, -(-len(history) // CHANGES_SHOWN))
    number = min(pages, max(1, int(page))) if page.isdecimal() else 1
    shown = history[(number - 1) * CHANGES_SHOWN : number * CHANGES_SHOWN]
    return render_template(
        "staff/phases.html",
        rules=[(phase.name, rule_words(phase)) for phase in rules],
        file_decides=mandates.file_decides(),
        proposals=[
            (one, difference_words(one.old, one.new))
            for one in mandates.phase_proposals(staff_id=who.account_id, now=now)
        ],
        history=[(change, difference_words(change.old, change.new)) for change in shown],
        page=number,
        pages=pages,
        notice=DONE.get(query_field("done", max_length=10)),
    )


@bp.get("/mandates/phases/change")
@requires(Action.READ_STAFF)
@limited("account")
def change_phase() -> ResponseReturnValue:
    """The form: of the phase that is named, or of a new one."""
    old = _named(query_field("phase", max_length=40))
    return _form(old, typed_of(old))


@bp.post("/mandates/phases/change")
@requires(Action.READ_STAFF)
@limited("account")
def look_at_phase() -> ResponseReturnValue:
    """What the form would change. Writes nothing, so it answers at once; a rule may be too long for an address."""
    old = _named(text_field("phase", max_length=40, required=False))
    typed = {name: text_field(name, max_length=LONGEST_RULE, required=False) for name in FIELDS}
    if old is not None:
        typed["name"] = old.name
    try:
        new = phase_of(typed, old)
        if old is None and mandates.phase(new.name) is not None:
            raise BadField("name", "There is a phase of this name. Choose another, or change that one.")
    except BadField as error:
        return _form(old, typed, errors={error.field: error.message}), 422
    if new == old:
        return _form(old, typed, errors={"name": "Nothing is changed."}), 422
    return _form(old, typed, looked=_looked(new.name, old, new))


@bp.get("/mandates/phases/take-away")
@requires(Action.READ_STAFF)
@limited("account")
def take_phase_away() -> ResponseReturnValue:
    """What changes if a phase is taken away."""
    old = _named(query_field("phase", max_length=40))
    if old is None:
        raise NotFound("no phase named")
    return _form(old, typed_of(old), looked=_looked(old.name, old, None), away=True)


@bp.post("/mandates/phases")
@requires(Action.CHANGE_MANDATE_PHASES)
@limited("account")
def propose_phase() -> ResponseReturnValue:
    """Ask for the step-up, which is bound to this rule, the one before it and this reason."""
    _refuse_file()
    name = text_field("name", max_length=40)
    sent = {side: text_field(side, max_length=LONGEST_RULE, required=False) for side in ("old", "new")}
    old, new = (_phase(name, rule) for rule in sent.values())
    reason = " ".join(text_field("reason", max_length=500, required=False).split())
    if old == new:
        raise BadInput("new", message="This changes nothing.")
    mandates.check_phase(name, old)
    if not MIN_REASON <= len(reason) <= MAX_REASON:
        looked, wrong = _looked(name, old, new), f"Give a reason of {MIN_REASON} to {MAX_REASON} characters."
        page = _form(
            old, typed_of(new or old), looked=looked, away=new is None, reason=reason, errors={"reason": wrong}
        )
        return page, 422
    return access.step_up(
        Action.CHANGE_MANDATE_PHASES,
        params={"decision": "propose", "name": name, "reason": reason, **sent},
        words=f"{'Take away' if new is None else 'Change' if old else 'Add'} the phase {name}",
        details=[*_details(old, new), ("Reason", reason)],
        back=url_for("staff.phases"),
    )


@bp.get(PROPOSAL)
@requires(Action.READ_STAFF)
@limited("account")
def phase_proposal(proposal_id: int) -> ResponseReturnValue:
    """A change that waits, with what it would bring today."""
    one = _proposal(proposal_id)
    stands = mandates.phase(one.phase) == one.old
    return render_template(
        "staff/phase_proposal.html",
        one=one,
        lines=difference_words(one.old, one.new),
        what=mandates.what_if(one.phase, one.new, now=request_time(), most=PEOPLE_SHOWN) if stands else None,
        no_vote=NO_VOTES[one.no_vote] if one.no_vote else None,
        file_decides=mandates.file_decides(),
    )


@bp.post(PROPOSAL)
@requires(Action.CHANGE_MANDATE_PHASES)
@limited("account")
def decide_phase(proposal_id: int) -> ResponseReturnValue:
    """Ask for the step-up, which is bound to this proposal, which never changes, and this decision."""
    decision, one = text_field("decision", max_length=10), _proposal(proposal_id)
    if decision not in {"approve", "refuse"}:
        raise BadInput("decision", message="Please choose whether to approve or to refuse.")
    if decision == "approve":
        _refuse_file()
        _refuse(one.no_vote, proposal_id)
    return access.step_up(
        Action.CHANGE_MANDATE_PHASES,
        params={"decision": decision, "proposal": str(proposal_id)},
        words=f"{'Approve' if decision == 'approve' else 'Refuse'} the change of the phase {one.phase}",
        details=[*_details(one.old, one.new), ("Reason", one.reason), ("Proposed by", one.proposed_by)],
        back=url_for("staff.phases"),
    )


@access.carries_out(Action.CHANGE_MANDATE_PHASES)
def _change(who: Principal, params: dict[str, str]) -> Response:
    now, staff_id, decision = request_time(), who.account_id, params["decision"]
    _refuse_file()
    if decision == "propose":
        name = params["name"]
        old, new = (_phase(name, params[side]) for side in ("old", "new"))
        at_once = mandates.propose_phase(name, old=old, new=new, reason=params["reason"], staff_id=staff_id, now=now)
        done = "changed" if at_once else "alone" if mandates.is_alone(staff_id, now=now) else "proposed"
    else:
        number, approve = int(params["proposal"]), decision == "approve"
        _refuse(mandates.decide_phase(number, staff_id=staff_id, approve=approve, now=now), number)
        done = "changed" if approve else "refused"
    return make_response(redirect(url_for("staff.phases", done=done), code=303))


def _form(
    old: Phase | None,
    typed: dict[str, str],
    *,
    looked: Looked | None = None,
    away: bool = False,
    reason: str = "",
    errors: dict[str, str] | None = None,
) -> str:
    _refuse_file()
    who, now = access.require_principal(), request_time()
    return render_template(
        "staff/phase_change.html",
        old=old,
        away=away,
        typed=typed,
        looked=looked,
        reason=reason,
        alone=mandates.is_alone(who.account_id, now=now),
        strengths=mandates.STRENGTH_WORDS,
        by=BY,
        errors=errors or {},
    )


def _looked(name: str, old: Phase | None, new: Phase | None) -> Looked:
    now = request_time()
    return Looked(
        name=name,
        old=old,
        new=new,
        what=mandates.what_if(name, new, now=now, most=PEOPLE_SHOWN),
        lines=difference_words(old, new),
        second=mandates.second_person(name, old, new, now=now),
    )


def _named(name: str) -> Phase | None:
    _refuse_file()
    phase = mandates.phase(name) if name else None
    if name and phase is None:
        raise NotFound(f"phase {name}", message="There is no phase of this name any more.")
    return phase


def _proposal(proposal_id: int) -> PhaseProposal:
    return mandates.phase_proposal(proposal_id, staff_id=access.require_principal().account_id, now=request_time())


def _details(old: Phase | None, new: Phase | None) -> list[tuple[str, str]]:
    return [
        (label, f"{becomes} (was: {was})" if old and new else becomes if new else was)
        for label, was, becomes in difference_words(old, new)
    ]


def _refuse(problem: NoVote | None, proposal_id: int) -> None:
    if problem is not None:
        raise Forbidden(f"phase proposal {proposal_id}: {problem}", message=NO_VOTES[problem])


def _refuse_file() -> None:
    if mandates.file_decides():
        raise Forbidden("mandates.toml is there", message=FILE_DECIDES)


def _json(phase: Phase | None) -> str:
    return json.dumps(mandates.to_rule(phase), sort_keys=True) if phase else ""


def _phase(name: str, rule: str) -> Phase | None:
    try:
        return mandates.of_rule(name, json.loads(rule)) if rule else None
    except (ValueError, OverflowError, RecursionError) as error:  # BadPhases is a ValueError, a long number as well
        raise BadInput(f"phase {name}: {error}") from error
