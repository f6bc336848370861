"""The security log as sentences for people."""

from authsvc.audit import EventType, EventView

PROOFS = {
    "password": "password",
    "totp": "code from your app",
    "security_key": "security key",
    "passkey": "passkey",
    "recovery_code": "recovery code",
}

SENTENCES: dict[EventType, str] = {
    EventType.ACCOUNT_CREATED: "Account created",
    EventType.ADDRESS_ADDED: "Address {email} added",
    EventType.ADDRESS_VERIFIED: "Address {email} confirmed",
    EventType.ADDRESS_REMOVED: "Address {email} removed",
    EventType.ADDRESS_MADE_PRIMARY: "{email} made the main address",
    EventType.ADDRESS_BLOCKED: "Password resets to {email} blocked: {reason}",
    EventType.ADDRESS_UNBLOCKED: "Password resets to {email} possible again",
    EventType.LOGIN_FAILED: "A sign-in failed: wrong password",
    EventType.LOGIN_UNFINISHED: "Somebody typed the right password and went no further",
    EventType.TRIES_USED_UP: "Sign-ins failed so often that new browsers have to wait",
    EventType.TRIES_RENEWED: "A browser was given tries of its own by a mailed link",
    EventType.LOGIN_CODE_SENT: "A sign-in code was mailed",
    EventType.LOGIN_CODE_FAILED: "A wrong sign-in code was typed",
    EventType.SECOND_FACTOR_FAILED: "A second step failed",
    EventType.BROWSER_ADDED: "New browser",
    EventType.BROWSER_FORGOTTEN: "A known browser was forgotten",
    EventType.SESSION_ENDED: "Signed out",
    EventType.SESSIONS_ENDED: "Signed out everywhere else",
    EventType.SESSION_STEPPED_DOWN: "A session was stopped until it signs in again: {why}",
    EventType.SESSION_BOUND: "A session was bound to its device",
    EventType.SESSION_STEPPED_DOWN: "A session was stopped until it signs in again: {why}",
    EventType.SESSION_BOUND: "A session was bound to its device",
    EventType.AUTHENTICATOR_ENROLLED: "Added “{label}”",
    EventType.AUTHENTICATOR_RENAMED: "Renamed “{was}” to “{label}”",
    EventType.AUTHENTICATOR_REVOKED: "Removed “{label}”",
    EventType.AUTHENTICATOR_COUNTER_BACK: "A key was refused: it may have been copied",
    EventType.RECOVERY_CODES_RENEWED: "New recovery codes made",
    EventType.RECOVERY_CODE_USED: "A recovery code was used; {left} left",
    EventType.WEAKER_WAYS_SWITCHED_OFF: "Only keys and passkeys accepted from now on",
    EventType.WEAKER_WAYS_SWITCHED_ON: "Codes from an app accepted again",
    EventType.PASSWORD_CHANGED: "Password changed",
    EventType.PASSWORD_FOUND_BREACHED: "Your password was found in a leak",
    EventType.PASSWORD_FOUND_SPRAYED: "Your password is being tried on many accounts",
    EventType.RESET_REQUESTED: "A password reset was asked for",
    EventType.RESET_SENT: "A reset link was mailed",
    EventType.RESET_DEFERRED: "No reset link was mailed: the mail domain could not be checked",
    EventType.RESET_REFUSED: "A password reset was refused: {reason}",
    EventType.RESET_COMPLETED: "Password reset by mail",
    EventType.STEP_UP_PROVED: "Confirmed a change",
    EventType.STEP_UP_FAILED: "A change could not be confirmed",
    EventType.HOLD_BEGUN: "Some actions wait",
    EventType.HOLD_ENDED: "Actions no longer wait",
    EventType.ACCOUNT_FROZEN: "Account frozen",
    EventType.ACCOUNT_UNFROZEN: "Account open again",
    EventType.ACCOUNT_DELETED: "Account deleted",
    EventType.DISPUTED_ITEM_KEPT: "“{item}” kept after the freeze",
    EventType.DISPUTED_ITEM_DROPPED: "“{item}” not kept after the freeze",
    EventType.UNFREEZING_VETOED: "Opening the account was objected to",
    EventType.REMOVAL_BEGUN: "“{label}” is to be removed in three days",
    EventType.REMOVAL_STOPPED: "Removal of “{label}” was stopped",
    EventType.AUTHENTICATOR_REPLACED: "Lost “{label}” replaced with a recovery code",
    EventType.ACCOUNT_DISABLED: "Account disabled",
    EventType.ACCOUNT_ENABLED: "Account enabled",
    EventType.MANDATE_BEGUN: "A second step became required",
    EventType.MANDATE_ENDED: "A second step is no longer required",
    EventType.TOKEN_ISSUED: "A token was issued to {label}",
    EventType.TOKEN_REVOKED: "A token was revoked",
    EventType.TOKEN_REUSED: "A used token of {label} was shown again, so its access was ended",
    EventType.GRANT_APPROVED: "{label} was given access",
    EventType.GRANT_DENIED: "{label} was denied access",
    EventType.CLIENT_SIGNED_IN: "Signed in to {label}",
}


class _Blank(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "unknown"


def sentence(event: EventView) -> str:
    """One event as a sentence: what, from which browser, from where."""
    where = ", ".join(part for part in (event.browser, event.ip) if part)
    if event.type is EventType.LOGIN_SUCCEEDED:
        ways = " and ".join(PROOFS.get(str(word), str(word)) for word in event.detail.get("proved", []))
        text = f"Signed in with {ways}"
    else:
        text = SENTENCES[event.type].format_map(_Blank(event.detail))
    return f"{text} · {where}" if where else text
