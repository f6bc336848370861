"""The packages page: what the account maintains, why a second step is asked for, and invitations with their answers."""

from dataclasses import dataclass
from datetime import datetime

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, accounts, login, mandates
from authsvc.account_pages.blueprint import bp
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import AuthError, Gone, NotFound
from authsvc.core.rate_limits import limited
from authsvc.core.web import client, query_field, request_time, requires
from authsvc.policy.mandate import ECOSYSTEM_NAMES

ON_A_PAGE = 50


class RegistryBusy(AuthError):
    """An import is under way, so an acceptance would be lost (see `mandates.accept`)."""

    status = 503
    code = "import_running"
    title = "Please try again in a few minutes"
    message = "The list of packages is being renewed right now. Nothing was changed, and your invitation stays."


class InvitationGone(Gone):
    """What was shown is not there any more."""

    message = "This invitation was answered already, taken back, or changed meanwhile. Please look at your packages."


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A package as the page shows it."""

    id: int
    name: str
    registry: str
    role: str
    figures: str
    much_used: bool
    since: datetime | None
    counts_from: datetime | None  # while it is new: it has no say yet


def _shown(package: mandates.Maintained, now: datetime) -> Shown:
    senior_at = package.accepted_at and package.accepted_at + accounts.SENIOR_AFTER
    return Shown(
        id=package.id,
        name=package.name,
        registry=ECOSYSTEM_NAMES.get(package.ecosystem, package.ecosystem),
        role=package.role,
        figures=mandates.figures_in_words(package.impact),
        much_used=package.impact.is_high,
        since=package.accepted_at,
        counts_from=senior_at if senior_at and senior_at > now else None,
    )


@bp.get("/account/packages")
@requires(Action.READ_ACCOUNT)
@limited("account")
def packages() -> ResponseReturnValue:
    """All of it: invitations first, since they wait for an answer; what is maintained in pages."""
    who, now = access.require_principal(), request_time()
    found = mandates.packages_and_invitations(who.account_id)
    typed = query_field("page", max_length=6)
    last = max(1, -(-len(found.maintained) // ON_A_PAGE))
    page = min(max(int(typed), 1), last) if typed.isdecimal() else 1
    first = (page - 1) * ON_A_PAGE
    state = mandates.state(who.account_id, now=now)
    return render_template(
        "account_pages/packages.html",
        invited=[_shown(package, now) for package in found.invited[:ON_A_PAGE]],
        more_invited=max(0, len(found.invited) - ON_A_PAGE),
        declined=[_shown(package, now) for package in found.declined[:ON_A_PAGE]],
        more_declined=max(0, len(found.declined) - ON_A_PAGE),
        maintained=[_shown(package, now) for package in found.maintained[first : first + ON_A_PAGE]],
        total=len(found.maintained),
        page=page,
        before=url_for("account_pages.packages", page=page - 1) if page > 1 else None,
        after=url_for("account_pages.packages", page=page + 1) if page < last else None,
        mandate=state and {"what": login.MANDATE_WORDS[state[0].strength][0], "met": state[1], "mandate": state[0]},
    )


def _invitation(package_id: int) -> mandates.Maintained:
    """One's own, declined or not (attack K02: of others' there is nothing). Raises NotFound."""
    found = mandates.invitation(access.require_principal().account_id, package_id)
    if found is None:
        raise NotFound(f"invitation {package_id}")
    return found


@bp.post("/account/packages/<int(max=9223372036854775807):package_id>/accept")
@requires(Action.ACCEPT_PACKAGE)
@limited("account")
def accept_package(package_id: int) -> ResponseReturnValue:
    """Ask for the step-up; the package is the account's as well once it is given."""
    package = _invitation(package_id)
    if not mandates.may_answer():
        raise RegistryBusy("import under way", retry_after=300)
    shown = _shown(package, request_time())
    details = [("Package", shown.name), ("Registry", shown.registry), ("Role", shown.role), ("Used", shown.figures)]
    if shown.much_used:
        details.append(("Note", "So many rely on it that a second step may be required of you"))
    return access.step_up(
        Action.ACCEPT_PACKAGE,
        params={"id": str(package.id), "role": package.role},
        words=f"Accept to maintain {mandates.in_mails(package.ecosystem, package.name)}",
        details=details,
        back=url_for("account_pages.packages"),
    )


@access.carries_out(Action.ACCEPT_PACKAGE)
def _accept(who: Principal, params: dict[str, str]) -> Response:
    try:
        accepted = mandates.accept(
            who.account_id, int(params["id"]), role=params["role"], client=client(), now=request_time()
        )
    except mandates.Running as error:
        raise RegistryBusy("import under way", retry_after=300) from error
    if not accepted:
        raise InvitationGone(f"ownership {params['id']}")
    return make_response(redirect(url_for("account_pages.packages"), code=303))


@bp.post("/account/packages/<int(max=9223372036854775807):package_id>/decline")
@requires(Action.DECLINE_PACKAGE)
@limited("account")
def decline_package(package_id: int) -> ResponseReturnValue:
    """Decline an invitation. It may be accepted later, from the same page."""
    who = access.require_principal()
    if not mandates.decline(who.account_id, package_id, client=client(), now=request_time()):
        raise NotFound(f"invitation {package_id}")
    return redirect(url_for("account_pages.packages"), code=303)
