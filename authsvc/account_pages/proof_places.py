"""Places where only the owner can publish: named, proved, linked by a step-up, confirmed anew, unlinked (POLICY 10)."""

from datetime import datetime

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, audit, mail, proof_places
from authsvc.account_pages.blueprint import bp
from authsvc.audit import EventType
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import Gone, NotFound
from authsvc.core.rate_limits import limited
from authsvc.core.web import client, request_time, requires, settings, text_field
from authsvc.proof_places import InvalidPlace, Kind, PlaceView, Unproved


class CheckGone(Gone):
    """The line was seen too long ago, or the place was linked already."""

    message = "This place was linked already, or checked too long ago. Please look at your security page."


@bp.get("/account/proof-places/add")
@requires(Action.LINK_PROOF_PLACE)
def add_proof_place() -> ResponseReturnValue:
    """The form that asks which place."""
    return _form(Kind.WEB.value, "", None)


def _form(kind: str, place: str, error: str | None) -> str:
    kinds = {Kind.WEB.value: "A web page", Kind.DNS.value: "The DNS of a domain"}
    kinds |= {forge: f"A repository at {forge}" for forge in settings().forges}
    return render_template(
        "account_pages/add_proof_place.html",
        kinds=kinds,
        kind=kind,
        place=place,
        forges=bool(settings().forges),
        errors={"place": error} if error else {},
    )


@bp.post("/account/proof-places/add")
@requires(Action.LINK_PROOF_PLACE)
@limited("account")
def submit_proof_place() -> ResponseReturnValue:
    """Note the place and go on to the page that shows what is to be published there."""
    who = access.require_principal()
    kind, typed = text_field("kind", max_length=255), text_field("place", max_length=2000)
    try:
        location = proof_places.parse(kind, typed)
    except InvalidPlace as error:
        return _form(kind, typed, str(error)), 422
    if proof_places.is_full(who.account_id):
        return _form(kind, typed, f"An account has at most {proof_places.MAX_PLACES} places."), 422
    place_id = proof_places.name(who.account_id, location, now=request_time())
    if place_id is None:
        return _form(kind, typed, "This place is linked to your account already."), 422
    return redirect(url_for("account_pages.prove_proof_place", place_id=place_id), code=303)


@bp.get("/account/proof-places/<int(max=9223372036854775807):place_id>")
@requires(Action.LINK_PROOF_PLACE)
def prove_proof_place(place_id: int) -> ResponseReturnValue:
    """The line to publish, and the button that looks for it."""
    return _prove_page(_unproved(place_id), None)


def _unproved(place_id: int) -> Unproved:
    found = proof_places.unproved(access.require_principal().account_id, place_id)
    if found is None:
        raise NotFound(f"proof place {place_id}")
    return found


def _prove_page(place: Unproved, error: str | None) -> str:
    return render_template(
        "account_pages/prove_proof_place.html",
        place_id=place.id,
        words=place.words,
        instruction=place.instruction,
        line=proof_places.line(place.token),
        error=error,
    )


@bp.post("/account/proof-places/<int(max=9223372036854775807):place_id>")
@requires(Action.LINK_PROOF_PLACE)
@limited("proof")
def check_proof_place(place_id: int) -> ResponseReturnValue:
    """Look for the line; where it stands, ask for the step-up that links the place."""
    who, place = access.require_principal(), _unproved(place_id)
    problem = proof_places.check(who.account_id, place_id, now=request_time())
    if problem is not None:
        return _prove_page(place, proof_places.REFUSED_WORDS[problem]), 422
    verb = "Confirm" if place.linked else "Link"
    return access.step_up(
        Action.LINK_PROOF_PLACE, params={"id": str(place_id)}, words=f"{verb} the proof place: {place.words}"
    )


@access.carries_out(Action.LINK_PROOF_PLACE)
def _link(who: Principal, params: dict[str, str]) -> Response:
    now, place_id = request_time(), int(params["id"])
    place = proof_places.link(who.account_id, place_id, now=now)
    if place is None:
        raise CheckGone(f"proof place {place_id}")
    if place.linked_at == now:
        return _changed(who, EventType.PROOF_PLACE_LINKED, place, "was linked to", now=now)
    return _changed(who, EventType.PROOF_PLACE_CONFIRMED, place, "was confirmed again for", now=now)


@bp.post("/account/proof-places/<int(max=9223372036854775807):place_id>/renew")
@requires(Action.LINK_PROOF_PLACE)
@limited("account")
def renew_proof_place(place_id: int) -> ResponseReturnValue:
    """A suspended place is proved again, with a new line."""
    if not proof_places.renew(access.require_principal().account_id, place_id, now=request_time()):
        raise NotFound(f"proof place {place_id}")
    return redirect(url_for("account_pages.prove_proof_place", place_id=place_id), code=303)


@bp.post("/account/proof-places/<int(max=9223372036854775807):place_id>/unlink")
@requires(Action.UNLINK_PROOF_PLACE)
@limited("account")
def unlink_proof_place(place_id: int) -> ResponseReturnValue:
    """Ask for the step-up; the place goes once it is given."""
    words = f"Unlink the proof place: {_linked(access.require_principal(), place_id).words}"
    return access.step_up(Action.UNLINK_PROOF_PLACE, params={"id": str(place_id)}, words=words)


@access.carries_out(Action.UNLINK_PROOF_PLACE)
def _unlink(who: Principal, params: dict[str, str]) -> Response:
    now, place_id = request_time(), int(params["id"])
    place = _linked(who, place_id)
    if not proof_places.unlink(who.account_id, place_id, now=now):
        raise NotFound(f"proof place {place_id}")
    return _changed(who, EventType.PROOF_PLACE_UNLINKED, place, "was unlinked from", now=now)


def _linked(who: Principal, place_id: int) -> PlaceView:
    found = next((p for p in proof_places.places(who.account_id, now=request_time()) if p.id == place_id), None)
    if found is None:
        raise NotFound(f"proof place {place_id}")
    return found


def _changed(who: Principal, event: EventType, place: PlaceView, what: str, *, now: datetime) -> Response:
    """A log line, and a mail to every trusted address: whoever is in the account prepares its recovery with this.

    The mail names the domain alone, so that nobody gets a link of their choice into a mail of ours.
    """
    audit.record(event, account_id=who.account_id, at=now, client=client(), place=place.words)
    mail.notify(
        who.account_id,
        "proof_place",
        subject=f"Proof places changed for {who.username}",
        now=now,
        username=who.username,
        place=place.brief,
        what=what,
        counts_at=place.counts_at if event is EventType.PROOF_PLACE_LINKED else None,
        client=client(),
    )
    return make_response(redirect(url_for("account_pages.security", _anchor="proof-places"), code=303))
