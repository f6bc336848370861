"""The applicant's pages. They answer alike for every name until a kind of evidence was verified."""

from typing import assert_never

from flask import make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import login, proof_places
from authsvc.cases import completion, service
from authsvc.cases.blueprint import bp
from authsvc.cases.reading import LIFE, CaseGone, Open, find
from authsvc.cases.telling import PROOF_WORDS
from authsvc.core.rate_limits import limited
from authsvc.core.web import (
    client,
    code_field,
    cookie,
    drop_cookie,
    public,
    query_field,
    request_time,
    set_cookie,
    settings,
    text_field,
)
from authsvc.policy import recovery as policy
from authsvc.policy.recovery import Strength

COOKIE = "case"
NEW_COOKIE = "case-new"  # for one page: the link to come back by is shown once
LIFE_SECONDS = int((LIFE + policy.UNCONFIRMED_WAIT).total_seconds())
NEW_SECONDS = 600


def _case() -> Open:
    return find(cookie(COOKIE), now=request_time())


def _browser() -> str:
    return cookie(login.BROWSER_COOKIE)


@bp.get("/recovery/case")
@public
def case() -> ResponseReturnValue:
    """What the case in this browser still needs, or the form that opens one."""
    if not cookie(COOKIE):
        return render_template("cases/open.html")
    try:
        found = _case()
    except CaseGone as gone:
        response = make_response(render_template("cases/over.html", why=gone.message), 410)
        drop_cookie(response, COOKIE)
        return response
    response = make_response(_page(found, {}))
    drop_cookie(response, NEW_COOKIE)
    return response


def _page(found: Open, errors: dict[str, str]) -> str:
    now, begun = request_time(), found.strength is not Strength.NONE
    no_slot = begun and found.begun_at is None
    decision = found.decision(now)
    match decision:
        case policy.Prove() | policy.AskStaff() | policy.Refused():
            until = None
        case policy.Wait():
            until = decision.until
        case policy.Complete():
            until = now
        case _:
            assert_never(decision)
    return render_template(
        "cases/case.html",
        typed=found.typed,
        opened_at=found.created_at,
        opened_from=f"{found.browser}, {found.ip}",
        expires_at=found.expires_at,
        link=f"{settings().base_url}/recovery/case/{cookie(COOKIE)}" if cookie(NEW_COOKIE) else None,
        vouch_link=f"{settings().base_url}/account/vouch/{found.id}",
        line=proof_places.line(found.proof_token),
        asked_for=found.asked_for,
        checked=bool(query_field("checked")),
        answer=proof_places.REFUSED_WORDS[proof_places.Reason(found.answer)] if begun and found.answer else None,
        begun=begun,
        no_slot=no_slot,
        shown=sorted({PROOF_WORDS[one.proof] for one in found.facts.shown}) if begun else [],
        vouches=sum(one.proof is policy.Proof.VOUCH for one in found.facts.shown) if begun else 0,
        needed=policy.vouches_needed(found.facts.co_owners),
        independent=isinstance(decision, policy.Prove) and begun,
        with_staff=isinstance(decision, policy.AskStaff) and begun,
        asked_staff=found.asked_staff_at is not None,
        statement=found.statement,
        until=None if no_slot else until,
        complete=isinstance(decision, policy.Complete),
        new_email=found.new_email,
        new_email_proved=found.new_email_proved_at is not None,
        min_length=settings().password_min_length,
        errors=errors,
    )


def _back(anchor: str | None = None, *, checked: bool = False) -> ResponseReturnValue:
    """To the case's page, where browsers unfold what holds the anchor. `checked` says that a proof was looked at."""
    return redirect(url_for("cases.case", checked=1 if checked else None, _anchor=anchor), code=303)


@bp.post("/recovery/case")
@public
@limited("reset")
def open_case() -> ResponseReturnValue:
    """Open a case; the same page follows whatever was typed."""
    typed, now = text_field("username", max_length=320), request_time()
    token = service.open_case(typed, browser_token=_browser(), client=client(), now=now)
    service.note_browser(find(token, now=now), browser_token=_browser(), client=client(), now=now)
    response = make_response(_back())
    set_cookie(response, COOKIE, token, max_age_seconds=LIFE_SECONDS)
    set_cookie(response, NEW_COOKIE, "1", max_age_seconds=NEW_SECONDS)
    return response


@bp.get("/recovery/case/<token>")
@public
@limited("code")
def come_back(token: str) -> ResponseReturnValue:
    """Ask whether whoever follows the link opened the case; in the browser that holds it there is nothing to ask.

    Else a thief could mail the link of theirs to the owner, whose password and browser would count for the thief.
    """
    if token == cookie(COOKIE):
        return _back()
    try:
        found = find(token, now=request_time())
    except CaseGone as gone:
        return render_template("cases/over.html", why=gone.message), 410
    return render_template(
        "cases/yours.html",
        token=token,
        typed=found.typed,
        opened_at=found.created_at,
        browser=found.browser,
        ip=found.ip,
    )


@bp.post("/recovery/case/<token>")
@public
@limited("code")
def take_up(token: str) -> ResponseReturnValue:
    """Move the token from the address into a cookie, so that it leaks nowhere (attack R15). Raises CaseGone."""
    find(token, now=request_time())
    response = make_response(_back())
    set_cookie(response, COOKIE, token, max_age_seconds=LIFE_SECONDS)
    return response


@bp.post("/recovery/case/password")
@public
@limited("login")
def show_password() -> ResponseReturnValue:
    """Check the password."""
    found, password = _case(), text_field("password", max_length=1024, strip=False)
    service.show_password(found, password, browser_token=_browser(), client=client(), now=request_time())
    return _back(checked=True)


@bp.post("/recovery/case/browser")
@public
@limited("code")
def show_browser() -> ResponseReturnValue:
    """Count this browser, where the account knows it."""
    service.note_browser(_case(), browser_token=_browser(), client=client(), now=request_time())
    return _back(checked=True)


@bp.post("/recovery/case/mailbox")
@public
@limited("reset")
def ask_for_code() -> ResponseReturnValue:
    """Have a code mailed, if the address is one of the account's and may be trusted."""
    service.ask(_case(), "mailbox", text_field("email", max_length=320), network=client().network, now=request_time())
    return _back("code")


@bp.post("/recovery/case/code")
@public
@limited("code")
def show_code() -> ResponseReturnValue:
    """Check the code that was mailed to an address of the account."""
    service.show_code(_case(), code_field(), client=client(), now=request_time())
    return _back(checked=True)


@bp.post("/recovery/case/place")
@public
@limited("reset")
def ask_for_place() -> ResponseReturnValue:
    """Have a place looked at, if it is one that the account linked."""
    service.ask(_case(), "place", text_field("place", max_length=320), network=client().network, now=request_time())
    return _back("place")


@bp.post("/recovery/case/people")
@public
@limited("reset")
def ask_people() -> ResponseReturnValue:
    """Put it before the people who run the service."""
    statement = text_field("statement", max_length=service.MAX_STATEMENT)
    service.ask_staff(_case(), statement, client=client(), now=request_time())
    return _back()


@bp.post("/recovery/case/begin")
@public
@limited("code")
def begin() -> ResponseReturnValue:
    """Take a slot, where one became free."""
    service.begin(_case(), client=client(), now=request_time())
    return _back()


@bp.post("/recovery/case/withdraw")
@public
@limited("code")
def withdraw() -> ResponseReturnValue:
    """End the case."""
    service.withdraw(_case(), client=client(), now=request_time())
    response = make_response(_back())
    drop_cookie(response, COOKIE)
    return response


@bp.post("/recovery/case/address")
@public
@limited("reset")
def propose_address() -> ResponseReturnValue:
    """Mail a code to the new address."""
    found = _case()
    problem = completion.propose_address(
        found, text_field("new_email", max_length=320), client=client(), now=request_time()
    )
    return (_page(found, {"new_email": problem}), 422) if problem else _back()


@bp.post("/recovery/case/address/code")
@public
@limited("code")
def prove_address() -> ResponseReturnValue:
    """Check the code from the new address."""
    found = _case()
    problem = completion.prove_address(found, code_field(), client=client(), now=request_time())
    return (_page(found, {"new-code": problem}), 422) if problem else _back()


@bp.post("/recovery/case/complete")
@public
@limited("code")
def complete() -> ResponseReturnValue:
    """Put the new address and password in force; then sign in with it, through the same door as always."""
    found, new = _case(), text_field("new_password", max_length=4096, strip=False)
    problem = completion.problem_with(found, new)
    if problem is not None:
        return _page(found, {"new_password": problem}), 422
    completion.complete(found, new, client=client(), now=request_time())
    response = make_response(redirect(url_for("login.start"), code=303))
    drop_cookie(response, COOKIE)
    return response
