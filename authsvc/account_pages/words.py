"""The security log as sentences for people."""

from authsvc import holds
from authsvc.audit import EventType, Line
from authsvc.core.assurance import PROOF_WORDS
from authsvc.core.templating import date_words
from authsvc.policy.hold import HoldCause

PROOFS = {factor.value: words for factor, words in PROOF_WORDS.items()} | {"webauthn": "a security key or passkey"}
SERVICE = {
    "operator": "by the people who run this service",
    "staff": "by the people who run this service",
    "import": "by the rules for much-used packages",
}
CHANGES = {  # by the name of the action
    "authenticator:add": "a second step to add",
    "authenticator:remove": "a second step to remove",
    "authenticator:replace": "a lost second step to replace",
    "recovery_codes:renew": "new recovery codes",
    "password:change": "a new password",
    "address:add": "an address to add",
    "address:remove": "an address to remove",
    "address:make_primary": "another main address",
    "address:mark_backup": "a backup address",
    "proof_place:link": "a proof place to link",
    "proof_place:unlink": "a proof place to unlink",
    "package:accept": "a package to maintain",
    "grant:write": "a program that may write",
    "consent:write": "a site that may write",
    "hold:end": "waiting to end early",
    "account:delete": "the account to delete",
    "recovery:vouch": "vouching for somebody",
    "recovery:decide": "a decision about a recovery",
    "mandate:exempt": "an exemption from a second step",
    "weaker_ways:switch": "which second steps count",
}
RECOVERY_PROOFS = {  # by their name in `policy/recovery.py`
    "password": "the password",
    "mailbox": "that they read one of its addresses",
    "browser": "a known browser",
    "session": "a session",
    "published_proof": "a published proof",
    "vouch": "the word of a co-owner",
}
OBJECTORS = {
    "address": "a reader of a trusted address",
    "session": "somebody signed in",
    "co_owner": "a co-owner",
}
UNUSUAL = frozenset(
    {
        EventType.LOGIN_FAILED,
        EventType.LOGIN_UNFINISHED,
        EventType.TRIES_USED_UP,
        EventType.LOGIN_CODE_FAILED,
        EventType.SECOND_FACTOR_FAILED,
        EventType.STEP_UP_FAILED,
        EventType.BROWSER_ADDED,
        EventType.SESSION_STEPPED_DOWN,
        EventType.RECOVERY_CODE_USED,
        EventType.RESET_REFUSED,
        EventType.RESET_POSTPONED,
        EventType.ADDRESS_DOUBTED,
        EventType.ADDRESS_BLOCKED,
        EventType.AUTHENTICATOR_COUNTER_BACK,
        EventType.AUTHENTICATOR_REPLACED,
        EventType.PASSWORD_FOUND_BREACHED,
        EventType.PASSWORD_FOUND_SPRAYED,
        EventType.REMOVAL_BEGUN,
        EventType.TOKEN_REUSED,
        EventType.ACCOUNT_FROZEN,
        EventType.UNFREEZING_VETOED,
        EventType.RECOVERY_OPENED,
        EventType.RECOVERY_PROOF_SHOWN,
        EventType.RECOVERY_BEGUN,
        EventType.RECOVERY_OBJECTED,
        EventType.RECOVERY_COMPLETED,
        EventType.ACCOUNT_DISABLED,
    }
)

SENTENCES: dict[EventType, str] = {
    EventType.ACCOUNT_CREATED: "Account created",
    EventType.ADDRESS_ADDED: "Address {email} added",
    EventType.ADDRESS_VERIFIED: "Address {email} confirmed",
    EventType.ADDRESS_REMOVED: "Address {email} removed",
    EventType.ADDRESS_MADE_PRIMARY: "{email} made the main address",
    EventType.ADDRESS_DOUBTED: "{email} may be in other hands: {reason}",
    EventType.ADDRESS_MARKED_BACKUP: "{email} marked as backup",
    EventType.ADDRESS_UNMARKED_BACKUP: "{email} is no backup any more",
    EventType.ADDRESS_BLOCKED: "Password resets to {email} blocked: {reason}",
    EventType.ADDRESS_UNBLOCKED: "Password resets to {email} possible again",
    EventType.PROOF_PLACE_LINKED: "Proof place linked: {place}",
    EventType.PROOF_PLACE_CONFIRMED: "Proof place confirmed again: {place}",
    EventType.PROOF_PLACE_UNLINKED: "Proof place unlinked: {place}",
    EventType.PACKAGE_ACCEPTED: "Accepted to maintain the {ecosystem} package {package}",
    EventType.PACKAGE_DECLINED: "Declined to maintain the {ecosystem} package {package}",
    EventType.LOGIN_SUCCEEDED: "Signed in with {proved}",
    EventType.LOGIN_FAILED: "A wrong password was tried",
    EventType.LOGIN_UNFINISHED: "Somebody typed the right password and went no further",
    EventType.TRIES_USED_UP: "Sign-ins failed so often that new browsers have to wait",
    EventType.TRIES_RENEWED: "A browser was given tries of its own by a mailed link",
    EventType.LOGIN_CODE_SENT: "A sign-in code was mailed after the right password",
    EventType.LOGIN_CODE_FAILED: "A wrong sign-in code was typed",
    EventType.SECOND_FACTOR_FAILED: "A second step failed: {factor}",
    EventType.BROWSER_ADDED: "Signed in for the first time",
    EventType.BROWSER_FORGOTTEN: "A known browser was forgotten",
    EventType.SESSION_ENDED: "Signed out",
    EventType.SESSIONS_ENDED: "Signed out everywhere else",
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
    EventType.RESET_POSTPONED: "A new password was typed by a mailed link, and waits for three days",
    EventType.RESET_COMPLETED: "Password reset by mail",
    EventType.STEP_UP_PROVED: "Confirmed a change: {action}",
    EventType.STEP_UP_FAILED: "A change could not be confirmed: {action}",
    EventType.HOLD_BEGUN: "Some actions wait: {cause}",
    EventType.HOLD_ENDED: "Actions no longer wait",
    EventType.ACCOUNT_FROZEN: "Account frozen",
    EventType.ACCOUNT_UNFROZEN: "Account open again",
    EventType.ACCOUNT_DELETED: "Account deleted",
    EventType.DISPUTED_ITEM_KEPT: "“{item}” kept after the freeze",
    EventType.DISPUTED_ITEM_DROPPED: "“{item}” not kept after the freeze",
    EventType.UNFREEZING_VETOED: "Opening the account was objected to",
    EventType.RECOVERY_OPENED: "Somebody asked to recover this account",
    EventType.RECOVERY_CODE_SENT: "Whoever asked to recover this account had a code mailed to {email}",
    EventType.RECOVERY_PROOF_SHOWN: "Whoever asked to recover this account showed {proof}",
    EventType.RECOVERY_PROOF_FAILED: "Whoever asked to recover this account could not show {proof}",
    EventType.RECOVERY_BEGUN: "A request to recover this account showed enough for everybody to be told",
    EventType.RECOVERY_VOUCHED: "Vouched for {whom}, who asked to recover their account",
    EventType.RECOVERY_OBJECTED: "The request to recover this account was objected to by {who}",
    EventType.RECOVERY_ASKED_STAFF: "Whoever asked to recover this account asked for people to look",
    EventType.RECOVERY_VIEWED: "A request to recover this account was looked at",
    EventType.RECOVERY_APPROVED: "A request to recover this account was approved",
    EventType.RECOVERY_REFUSED: "A request to recover this account was refused",
    EventType.RECOVERY_ADDRESS_PROVED: "Whoever asked to recover this account confirmed the new address {email}",
    EventType.RECOVERY_COMPLETED: "Account recovered; {email} is its main address",
    EventType.RECOVERY_ENDED: "A request to recover this account is over: {outcome}",
    EventType.REMOVAL_BEGUN: "“{label}” is to be removed in three days",
    EventType.REMOVAL_STOPPED: "Removal of “{label}” was stopped",
    EventType.AUTHENTICATOR_REPLACED: "Lost “{label}” replaced with a recovery code",
    EventType.ACCOUNT_DISABLED: "Account disabled",
    EventType.ACCOUNT_ENABLED: "Account enabled",
    EventType.MANDATE_BEGUN: "A second step is required: {reason}",
    EventType.MANDATE_ENDED: "A second step is no longer required",
    EventType.MANDATE_EXEMPTED: "A second step is not asked for, for a while: {reason}",
    EventType.MANDATE_EXEMPTION_PROPOSED: "Not to ask for a second step for a while was proposed: {reason}",
    EventType.MANDATE_EXEMPTION_REFUSED: "Not to ask for a second step for a while was refused",
    EventType.MANDATE_EXEMPTION_ENDED: "A second step is asked for again",
    EventType.MANDATE_PHASE_CHANGED: "The phase {phase} was changed: {reason}",
    EventType.MANDATE_PHASE_PROPOSED: "A change of the phase {phase} was proposed: {reason}",
    EventType.MANDATE_PHASE_REFUSED: "A change of the phase {phase} was refused",
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


def _words(detail: dict[str, object]) -> _Blank:
    """Stored values as people say them."""
    words = _Blank(detail)
    proved = detail.get("proved")
    if isinstance(proved, list):
        words["proved"] = " and ".join(PROOFS.get(str(way), str(way)) for way in proved)
    if "factor" in detail:
        words["factor"] = PROOFS.get(str(detail["factor"]), str(detail["factor"]))
    if "proof" in detail:
        words["proof"] = RECOVERY_PROOFS.get(str(detail["proof"]), str(detail["proof"]))
    if "who" in detail:
        words["who"] = OBJECTORS.get(str(detail["who"]), str(detail["who"]))
    if "action" in detail:
        words["action"] = CHANGES.get(str(detail["action"]), str(detail["action"]))
    if detail.get("cause") in list(HoldCause):
        words["cause"] = holds.CAUSE_WORDS[HoldCause(str(detail["cause"]))].rstrip(".")
    return words


def sentence(line: Line) -> str:
    """A line of the log as a sentence: what, by whom, how often, from which browser and place."""
    event = line.event
    text = SENTENCES[event.type].format_map(_words(event.detail)).rstrip(".")
    by = event.detail.get("by")
    if by is not None:
        why = event.detail.get("reason")
        text += f", {SERVICE.get(str(by), str(by))}"
        if why and str(why).rstrip(".") not in text:
            text += f": {why}"
    if line.count > 1 and line.since is not None:
        text += f", {line.count:,} times since {date_words(line.since)}"
        if line.networks > 1:
            text += f" from {line.networks:,} addresses, the last time"
    where = ", ".join(part for part in (event.browser, event.place or event.ip) if part)
    return f"{text.rstrip('.')} from {where}" if where else text
