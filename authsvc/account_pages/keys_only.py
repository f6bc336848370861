"""The switch "Only keys and passkeys": second steps that can be phished are refused from then on (decision 0018)."""

from flask import Response, make_response, redirect, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, accounts, audit, mail, sessions
from authsvc.account_pages.blueprint import bp
from authsvc.audit import EventType
from authsvc.core.assurance import PHISHING_RESISTANT, Action, Factor, Principal
from authsvc.core.errors import Forbidden
from authsvc.core.rate_limits import limited
from authsvc.core.web import client, query_field, request_time, requires

WORDS = {
    "keys": "Accept only keys and passkeys, and sign out everywhere else",
    "all": "Accept codes from an app again",
}


class NoSeniorKey(Forbidden):
    """Without a key that may confirm changes, nobody could confirm any."""

    code = "no_senior_key"
    title = "A key comes first"
    message = "Add a key or passkey first. Three days later it can confirm changes, and then this can be switched on."


class LastKey(Forbidden):
    """The account accepts keys and passkeys alone, and the last of them was to be removed."""

    code = "last_key"
    title = "This one has to stay"
    message = (
        "Your account accepts only keys and passkeys, and this is the last one. Add another first, or let codes from "
        "an app be accepted again on your security page; then this one can go."
    )


class KeysOnly(Forbidden):
    """An app was to be enrolled that would be refused everywhere."""

    code = "keys_only"
    title = "Only keys and passkeys"
    message = "Your account accepts only keys and passkeys, so a code from an app would do nothing. Add a key instead."


def check_way(account_id: int, way: str) -> None:
    """Check that what is to be enrolled would count. Raises KeysOnly."""
    if way == "totp" and accounts.get(account_id).keys_only:
        raise KeysOnly(f"account {account_id}")


def may_keep_only(account_id: int, kinds_left: frozenset[Factor]) -> bool:
    """May the account remove an authenticator and be left with these kinds?"""
    return bool(kinds_left & PHISHING_RESISTANT) or not accounts.get(account_id).keys_only


@bp.post("/account/keys-only")
@requires(Action.SWITCH_WEAKER_WAYS)
@limited("account")
def switch_keys_only() -> ResponseReturnValue:
    """Ask for the step-up; the switch is turned once it is given."""
    to = "keys" if query_field("to", max_length=10) == "keys" else "all"
    _check(access.require_principal(), to)
    return access.step_up(Action.SWITCH_WEAKER_WAYS, params={"to": to}, words=WORDS[to])


def _check(who: Principal, to: str) -> None:
    own = accounts.enrolled(who.account_id, now=request_time())
    if to == "keys" and not any(a.senior and a.kind in PHISHING_RESISTANT for a in own):
        raise NoSeniorKey(f"account {who.account_id}")


@access.carries_out(Action.SWITCH_WEAKER_WAYS)
def _switch(who: Principal, params: dict[str, str]) -> Response:
    """Turn the switch. Other sessions may rest on what is refused now, so they end."""
    now, keys_only = request_time(), params["to"] == "keys"
    _check(who, params["to"])
    accounts.set_keys_only(who.account_id, now=now if keys_only else None)
    if keys_only:
        sessions.end_all(who.account_id, now=now, but=who.session_id)
    done = EventType.WEAKER_WAYS_SWITCHED_OFF if keys_only else EventType.WEAKER_WAYS_SWITCHED_ON
    audit.record(done, account_id=who.account_id, at=now, client=client())
    mail.notify(
        who.account_id,
        "keys_only",
        subject=f"Ways to sign in changed for {who.username}",
        now=now,
        username=who.username,
        keys_only=keys_only,
        client=client(),
    )
    return make_response(redirect(url_for("account_pages.security", _anchor="ways"), code=303))
