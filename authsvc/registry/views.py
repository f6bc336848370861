"""Routes for registries: JSON in, JSON out, a token of the client's own, nothing for people."""

from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from authsvc import accounts, mandates
from authsvc.core.assurance import Action
from authsvc.core.errors import AuthError, BadInput
from authsvc.core.rate_limits import limited
from authsvc.core.web import machine, public, read_only, request_time, requires, settings
from authsvc.registry import openapi

bp = Blueprint("registry", __name__, url_prefix="/api/v1")

MAX_MAINTAINERS = 500  # of one package
RETRY_AFTER_SECONDS = 30


class ImportRunning(AuthError):
    """An import is under way; what is pushed meanwhile could be older or newer than what it brings."""

    status = 503
    code = "import_running"
    message = "An import is under way. Send this again later."


@bp.after_request
def challenge(response: Response) -> Response:
    """Say by which scheme to come back (RFC 6750, section 3)."""
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


@bp.get("/openapi.json")
@public
@machine
@read_only
def description() -> ResponseReturnValue:
    """What is served here, in OpenAPI 3.1."""
    return jsonify(openapi.description(settings().base_url))


@bp.put("/impact/<ecosystem>/packages/<path:name>")
@requires(Action.WRITE_IMPACT)
@machine
@limited("registry")
def put_package(ecosystem: str, name: str) -> ResponseReturnValue:
    """Store a package's figures."""
    sent = _object()
    try:
        line = mandates.package({**sent, "ecosystem": ecosystem, "name": name})
    except ValueError as error:
        raise BadInput("package", message=f"{_sentence(error)}") from error
    return _stored(lambda: mandates.put_package(line), ecosystem=line.ecosystem, package=line.name)


@bp.put("/impact/<ecosystem>/maintainers/<path:name>")
@requires(Action.WRITE_IMPACT)
@machine
@limited("registry")
def put_maintainers(ecosystem: str, name: str) -> ResponseReturnValue:
    """Store who maintains a package: those named and nobody else."""
    sent = _object().get("maintainers")
    if not isinstance(sent, list) or len(sent) > MAX_MAINTAINERS:
        raise BadInput("maintainers", message=f"maintainers must be a list of at most {MAX_MAINTAINERS} objects.")
    lines: dict[str, mandates.OwnershipLine] = {}
    key = {"ecosystem": ecosystem, "package": name}
    try:
        ecosystem, name = mandates.package_name(ecosystem, name)
        for number, entry in enumerate(sent, start=1):
            line = _maintainer(entry, key, number)
            if line.account in lines:
                raise ValueError(f"maintainer {number}: {line.account} is named twice")
            lines[line.account] = line
    except ValueError as error:
        raise BadInput("maintainers", message=_sentence(error)) from error
    return _stored(
        lambda: mandates.put_maintainers(ecosystem, name, list(lines.values())), ecosystem=ecosystem, package=name
    )


def _maintainer(entry: object, key: dict[str, str], number: int) -> mandates.OwnershipLine:
    try:
        if not isinstance(entry, dict):
            raise ValueError("not a JSON object")
        return mandates.ownership({**entry, **key}, now=request_time(), of_record=settings().is_of_record)
    except ValueError as error:
        raise ValueError(f"maintainer {number}: {error}") from error


@bp.get("/mandates/<account>")
@requires(Action.READ_MANDATES)
@machine
@limited("registry")
def read_mandate(account: str) -> ResponseReturnValue:
    """Which mandate an account is under. A name that nobody has here is under none."""
    now = request_time()
    found = accounts.find(account) if "@" not in account else None
    state = mandates.state(found.id, now=now) if found else None
    if found is None or state is None:
        return jsonify(account=account.lower(), mandate=None)
    mandate, met = state
    return jsonify(
        account=found.username,
        mandate={
            "phase": mandate.phase,
            "strength": mandate.strength.value,
            "reason": mandate.reason,
            "enforced_from": mandate.enforced_from.isoformat(),
            "in_force": mandate.in_force(now),
            "met": met,
        },
    )


def _object() -> dict[str, Any]:
    """The JSON object that was sent. Raises BadInput."""
    try:
        sent = request.get_json()
    except (BadRequest, RecursionError) as error:
        raise BadInput("body", message="The body must be a JSON object.") from error
    if not isinstance(sent, dict):
        raise BadInput("body", message="The body must be a JSON object.")
    return sent


def _sentence(error: ValueError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _stored(push: Any, **about: str) -> ResponseReturnValue:
    """Carry a push out and say what it changed. Raises ImportRunning."""
    try:
        done: mandates.Pushed = push()
    except mandates.Running as error:
        raise ImportRunning("import running", retry_after=RETRY_AFTER_SECONDS) from error
    return jsonify(**about, added=done.added, changed=done.changed, removed=done.removed)
