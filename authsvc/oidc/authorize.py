"""An authorization request: what is wrong with it, what it asks for, and what has to happen before it is granted.

Pure: parameters and facts in, decision out. `views` gathers the facts and carries the decision out.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from authsvc.core.assurance import Acr, Lack, Principal
from authsvc.oidc.clients import CODE, ClientView

PARAMETERS = (
    "client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
    "code_challenge_method", "prompt", "max_age", "acr_values", "claims", "id_token_hint", "login_hint",
)  # fmt: skip
NOT_SERVED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
CLAIMS = frozenset({"preferred_username", "email", "email_verified"})  # besides those every ID token holds
S256 = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 7636, 4.2: SHA-256 in base64url
MAX_AGE = re.compile(r"[0-9]{1,9}")

Sent = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Problem:
    """What is wrong: the standard's name for it, and words for the people who run the client."""

    error: str
    description: str


def one(sent: Sent, name: str) -> str:
    """The value of a parameter, empty when it was not sent."""
    values = sent.get(name, ())
    return values[0] if values else ""


# The checks, in order. The first two come before anybody is sent back: until both hold, the mistake is shown on a page
# of ours, so that this endpoint redirects to nobody's address of choice (RFC 6749, 4.1.2.1; attacks O01, O21).


def client_is_known(sent: Sent, client: ClientView | None) -> Problem | None:
    """One client, and one we know."""
    if client is None or len(sent.get("client_id", ())) != 1:
        return Problem("invalid_client", "The site that sent you here is not registered with this service.")
    return None


def redirect_uri_is_registered(sent: Sent, client: ClientView) -> Problem | None:
    """The address to go back to, equal to a registered one. Always asked for, also where one alone is registered."""
    if len(sent.get("redirect_uri", ())) != 1 or not client.redirects_to(one(sent, "redirect_uri")):
        return Problem("invalid_redirect_uri", "The address to go back to is missing, or not one that was registered.")
    return None


def nothing_is_doubled(sent: Sent, client: ClientView) -> Problem | None:
    """RFC 6749, 3.1."""
    doubled = [name for name in (*PARAMETERS, *NOT_SERVED) if len(sent.get(name, ())) > 1]
    return Problem("invalid_request", f"{doubled[0]} was sent more than once") if doubled else None


def nothing_holds_nul(sent: Sent, client: ClientView) -> Problem | None:
    """NUL has no meaning in any parameter, and not every database takes it."""
    bad = [name for name in PARAMETERS if "\x00" in one(sent, name)]
    return Problem("invalid_request", f"{bad[0]} holds a NUL character") if bad else None


def nothing_is_asked_that_is_not_served(sent: Sent, client: ClientView) -> Problem | None:
    """Request objects and registration on the fly (OpenID Connect Core, 3.1.2.6)."""
    found = next((name for name in NOT_SERVED if one(sent, name)), None)
    return Problem(NOT_SERVED[found], f"{found} is not served here") if found else None


def response_type_is_code(sent: Sent, client: ClientView) -> Problem | None:
    """Nothing but the code flow (RFC 9700, 2.1.2)."""
    response_type = one(sent, "response_type")
    if not response_type:
        return Problem("invalid_request", "response_type is missing")
    if response_type != "code":
        return Problem("unsupported_response_type", "response_type must be code")
    if CODE not in client.grant_types:
        return Problem("unauthorized_client", "this client is not registered for the authorization code flow")
    return None


def response_mode_is_query(sent: Sent, client: ClientView) -> Problem | None:
    """The one mode that is served."""
    if one(sent, "response_mode") not in {"", "query"}:
        return Problem("invalid_request", "response_mode must be query")
    return None


def challenge_is_s256(sent: Sent, client: ClientView) -> Problem | None:
    """PKCE for every client; a missing method would mean `plain` (RFC 7636, 4.3; RFC 9700, 2.1.1; attacks O08, O10)."""
    if one(sent, "code_challenge_method") != "S256" or not S256.fullmatch(one(sent, "code_challenge")):
        return Problem("invalid_request", "PKCE is needed: code_challenge with code_challenge_method=S256 (RFC 7636)")
    return None


def scope_holds_something(sent: Sent, client: ClientView) -> Problem | None:
    """Scopes that are unknown, or not the client's to ask for, are ignored; one at least has to be left."""
    if not client.allowed(frozenset(one(sent, "scope").split())):
        return Problem("invalid_scope", "scope holds nothing that this client may ask for")
    return None


def prompt_makes_sense(sent: Sent, client: ClientView) -> Problem | None:
    """`none` stands alone (OpenID Connect Core, 3.1.2.1)."""
    prompts = frozenset(one(sent, "prompt").split())
    if not prompts <= PROMPTS or ("none" in prompts and len(prompts) > 1):
        return Problem("invalid_request", "prompt is unknown, or holds none beside another value")
    return None


def max_age_is_a_number(sent: Sent, client: ClientView) -> Problem | None:
    """Whole seconds."""
    if one(sent, "max_age") and not MAX_AGE.fullmatch(one(sent, "max_age")):
        return Problem("invalid_request", "max_age must be a number of seconds")
    return None


def claims_are_an_object(sent: Sent, client: ClientView) -> Problem | None:
    """OpenID Connect Core, 5.5."""
    if one(sent, "claims") and _id_token_claims(one(sent, "claims")) is None:
        return Problem("invalid_request", "claims must be a JSON object of objects")
    return None


CHECKS: tuple[Callable[[Sent, ClientView], Problem | None], ...] = (
    redirect_uri_is_registered,
    nothing_is_doubled,
    nothing_holds_nul,
    nothing_is_asked_that_is_not_served,
    response_type_is_code,
    response_mode_is_query,
    challenge_is_s256,
    scope_holds_something,
    prompt_makes_sense,
    max_age_is_a_number,
    claims_are_an_object,
)


@dataclass(frozen=True)
class Wrong:
    """The first problem; `shown_here`: on a page of ours, for nobody may be sent back."""

    problem: Problem
    shown_here: bool


def first_wrong(sent: Sent, client: ClientView | None) -> Wrong | None:
    """Run the checks in order."""
    unknown = client_is_known(sent, client)
    if unknown is not None or client is None:
        return Wrong(unknown or Problem("invalid_client", ""), shown_here=True)
    for check in CHECKS:
        problem = check(sent, client)
        if problem is not None:
            return Wrong(problem, shown_here=check is redirect_uri_is_registered)
    return None


# What is asked


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that passed its checks."""

    client: ClientView
    redirect_uri: str
    scopes: frozenset[str]
    state: str | None
    nonce: str | None
    code_challenge: str
    prompts: frozenset[str]
    max_age: timedelta | None
    acr_values: tuple[Acr, ...]  # any of these would do
    acr_essential: bool  # and without one of them the answer is an error
    sub: str | None  # the only account that will do
    claims: tuple[str, ...]  # wanted in the ID token by name
    id_token_hint: str


def read(sent: Sent, client: ClientView) -> Asked:
    """What a request asks that `first_wrong` found nothing wrong with."""
    claims = _id_token_claims(one(sent, "claims")) or {}
    acr_claim = claims.get("acr") or {}
    essential = acr_claim.get("essential") is True
    named = acr_claim.get("values", [acr_claim["value"]] if "value" in acr_claim else [])
    wanted = named if essential and isinstance(named, list) else one(sent, "acr_values").split()
    wanted_sub = (claims.get("sub") or {}).get("value")
    max_age = one(sent, "max_age")
    return Asked(
        client=client,
        redirect_uri=one(sent, "redirect_uri"),
        scopes=client.allowed(frozenset(one(sent, "scope").split())),
        state=sent["state"][0] if sent.get("state") else None,
        nonce=one(sent, "nonce") or None,
        code_challenge=one(sent, "code_challenge"),
        prompts=frozenset(one(sent, "prompt").split()),
        max_age=timedelta(seconds=int(max_age)) if max_age else None,
        acr_values=tuple(acr for acr in Acr if acr in wanted),
        acr_essential=essential and bool(named),
        sub=wanted_sub if isinstance(wanted_sub, str) else None,
        claims=tuple(sorted(claims.keys() & CLAIMS)),
        id_token_hint=one(sent, "id_token_hint"),
    )


def _id_token_claims(text: str) -> dict[str, dict[str, Any] | None] | None:
    """The `id_token` member of the claims parameter; None when the parameter is malformed."""
    if not text:
        return {}
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    members = parsed.get("id_token") or {}
    if not isinstance(members, dict) or not all(v is None or isinstance(v, dict) for v in members.values()):
        return None
    return members


# What has to happen first


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Who is there, and what was seen to so far. `asked_at`: when this request was put down; None at first sight."""

    who: Principal | None
    asked_at: datetime | None
    reachable: frozenset[Acr]  # strengths this account could sign in with
    hinted_sub: str | None  # whom the id_token_hint names
    consented: bool


@dataclass(frozen=True)
class SignIn:
    """Somebody has to sign in, again, or more strongly."""


@dataclass(frozen=True)
class AskConsent:
    """The person has to be asked."""


@dataclass(frozen=True)
class Proceed:
    """Nothing is in the way."""


def decide(asked: Asked, facts: Facts, *, now: datetime) -> SignIn | AskConsent | Proceed | Problem:
    """What has to happen before this request is granted. Rules run top to bottom; the first that applies decides.

    Nobody is asked twice for one request: a sign-in since `asked_at` is as good as it gets. Whether a sign-in counts,
    and how strongly, is decided at the sign-in door alone. Source: OpenID Connect Core, 3.1.2.1, 3.1.2.6; RFC 9470, 5.
    """
    who, silent = facts.who, "none" in asked.prompts
    again = Problem("login_required", "the person has to sign in") if silent else SignIn()
    if who is None:
        return again
    since_asked = facts.asked_at is not None and who.auth_time >= facts.asked_at
    if who.mandate_lack in {Lack.AUTHENTICATOR, Lack.PROOF} and not since_asked:
        return again  # a sign-in leads through enrolment where it has to
    if any(sub not in {None, who.sub} for sub in (facts.hinted_sub, asked.sub)):
        return Problem("login_required", "another account is signed in") if since_asked else again
    if not since_asked:
        too_old = asked.max_age is not None and now - who.auth_time > asked.max_age
        if asked.prompts & {"login", "select_account"} or too_old or asked.max_age == timedelta(0):
            return again
    if (asked.acr_values or asked.acr_essential) and not any(who.acr.satisfies(acr) for acr in asked.acr_values):
        could = not since_asked and any(mine.satisfies(acr) for mine in facts.reachable for acr in asked.acr_values)
        if could and not (silent and not asked.acr_essential):
            return again
        if asked.acr_essential:
            return Problem("unmet_authentication_requirements", "the account cannot sign in as strongly as asked")
    if not facts.consented or "consent" in asked.prompts:
        return Problem("consent_required", "the person has to consent") if silent else AskConsent()
    return Proceed()
