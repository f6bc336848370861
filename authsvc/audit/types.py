"""The kinds of events, and how the log sorts them for its reader."""

from enum import StrEnum


class EventType(StrEnum):
    """`subject:object:action`, the action in the past tense. Stored for ever, so never reworded."""

    ACCOUNT_CREATED = "account:account:created"
    ADDRESS_ADDED = "account:address:added"
    ADDRESS_VERIFIED = "account:address:verified"
    ADDRESS_REMOVED = "account:address:removed"
    ADDRESS_MADE_PRIMARY = "account:address:made_primary"
    ADDRESS_DOUBTED = "account:address:doubted"
    ADDRESS_MARKED_BACKUP = "account:address:marked_backup"
    ADDRESS_UNMARKED_BACKUP = "account:address:unmarked_backup"
    ADDRESS_BLOCKED = "account:address:blocked"
    ADDRESS_UNBLOCKED = "account:address:unblocked"
    PROOF_PLACE_LINKED = "account:proof_place:linked"
    PROOF_PLACE_CONFIRMED = "account:proof_place:confirmed"
    PROOF_PLACE_UNLINKED = "account:proof_place:unlinked"
    PACKAGE_ACCEPTED = "account:package:accepted"
    PACKAGE_DECLINED = "account:package:declined"
    LOGIN_SUCCEEDED = "account:login:succeeded"
    LOGIN_FAILED = "account:login:failed"
    LOGIN_UNFINISHED = "account:login:unfinished"
    TRIES_USED_UP = "account:tries:used_up"
    TRIES_RENEWED = "account:tries:renewed"
    LOGIN_CODE_SENT = "account:login_code:sent"
    LOGIN_CODE_FAILED = "account:login_code:failed"
    SECOND_FACTOR_FAILED = "account:second_factor:failed"
    BROWSER_ADDED = "account:browser:added"
    BROWSER_FORGOTTEN = "account:browser:forgotten"
    SESSION_ENDED = "account:session:ended"
    SESSIONS_ENDED = "account:sessions:ended"
    SESSION_STEPPED_DOWN = "account:session:stepped_down"
    SESSION_BOUND = "account:session:bound"
    AUTHENTICATOR_ENROLLED = "account:authenticator:enrolled"
    AUTHENTICATOR_RENAMED = "account:authenticator:renamed"
    AUTHENTICATOR_REVOKED = "account:authenticator:revoked"
    AUTHENTICATOR_COUNTER_BACK = "account:authenticator:counter_went_back"
    RECOVERY_CODES_RENEWED = "account:recovery_codes:renewed"
    RECOVERY_CODE_USED = "account:recovery_code:used"
    WEAKER_WAYS_SWITCHED_OFF = "account:weaker_ways:switched_off"
    WEAKER_WAYS_SWITCHED_ON = "account:weaker_ways:switched_on"
    PASSWORD_CHANGED = "account:password:changed"
    PASSWORD_FOUND_BREACHED = "account:password:found_breached"
    PASSWORD_FOUND_SPRAYED = "account:password:found_sprayed"
    RESET_REQUESTED = "account:password_reset:requested"
    RESET_SENT = "account:password_reset:sent"
    RESET_DEFERRED = "account:password_reset:deferred"
    RESET_REFUSED = "account:password_reset:refused"
    RESET_POSTPONED = "account:password_reset:postponed"
    RESET_COMPLETED = "account:password_reset:completed"
    STEP_UP_PROVED = "account:step_up:proved"
    STEP_UP_FAILED = "account:step_up:failed"
    HOLD_BEGUN = "account:hold:begun"
    HOLD_ENDED = "account:hold:ended"
    ACCOUNT_FROZEN = "account:account:frozen"
    ACCOUNT_UNFROZEN = "account:account:unfrozen"
    ACCOUNT_DELETED = "account:account:deleted"
    DISPUTED_ITEM_KEPT = "account:disputed_item:kept"
    DISPUTED_ITEM_DROPPED = "account:disputed_item:dropped"
    UNFREEZING_VETOED = "account:unfreezing:vetoed"
    RECOVERY_OPENED = "account:recovery:opened"
    RECOVERY_CODE_SENT = "account:recovery_code_by_mail:sent"
    RECOVERY_PROOF_SHOWN = "account:recovery_proof:shown"
    RECOVERY_PROOF_FAILED = "account:recovery_proof:failed"
    RECOVERY_BEGUN = "account:recovery:begun"
    RECOVERY_VOUCHED = "account:recovery:vouched"
    RECOVERY_OBJECTED = "account:recovery:objected"
    RECOVERY_ASKED_STAFF = "account:recovery:asked_staff"
    RECOVERY_VIEWED = "account:recovery:viewed"
    RECOVERY_APPROVED = "account:recovery:approved"
    RECOVERY_REFUSED = "account:recovery:refused"
    RECOVERY_ADDRESS_PROVED = "account:recovery_address:proved"
    RECOVERY_COMPLETED = "account:recovery:completed"
    RECOVERY_ENDED = "account:recovery:ended"
    REMOVAL_BEGUN = "account:removal:begun"
    REMOVAL_STOPPED = "account:removal:stopped"
    AUTHENTICATOR_REPLACED = "account:authenticator:replaced"
    ACCOUNT_DISABLED = "account:account:disabled"
    ACCOUNT_ENABLED = "account:account:enabled"
    MANDATE_BEGUN = "account:mandate:begun"
    MANDATE_ENDED = "account:mandate:ended"
    MANDATE_EXEMPTED = "account:mandate:exempted"
    MANDATE_EXEMPTION_PROPOSED = "account:mandate_exemption:proposed"
    MANDATE_EXEMPTION_REFUSED = "account:mandate_exemption:refused"
    MANDATE_EXEMPTION_ENDED = "account:mandate_exemption:ended"
    MANDATE_PHASE_CHANGED = "service:mandate_phase:changed"
    MANDATE_PHASE_PROPOSED = "service:mandate_phase:proposed"
    MANDATE_PHASE_REFUSED = "service:mandate_phase:refused"
    TOKEN_ISSUED = "account:token:issued"
    TOKEN_REVOKED = "account:token:revoked"
    TOKEN_REUSED = "account:token:reused"
    GRANT_APPROVED = "account:grant:approved"
    GRANT_DENIED = "account:grant:denied"
    CLIENT_SIGNED_IN = "account:client:signed_in"


class Kind(StrEnum):
    """What a reader looks for. Acts of staff and operators are found by `by` in their detail, whatever their kind."""

    SIGN_IN = "sign-ins"
    FAILURE = "failures"
    CHANGE = "changes"


SIGN_INS = frozenset(
    {
        EventType.LOGIN_SUCCEEDED,
        EventType.BROWSER_ADDED,
        EventType.SESSION_ENDED,
        EventType.SESSIONS_ENDED,
        EventType.SESSION_STEPPED_DOWN,
        EventType.SESSION_BOUND,
        EventType.CLIENT_SIGNED_IN,
        EventType.STEP_UP_PROVED,
    }
)
# What somebody without any rights in the account can bring about, as often as they like.
FAILURES = frozenset(
    {
        EventType.LOGIN_FAILED,
        EventType.LOGIN_UNFINISHED,
        EventType.TRIES_USED_UP,
        EventType.LOGIN_CODE_SENT,
        EventType.LOGIN_CODE_FAILED,
        EventType.SECOND_FACTOR_FAILED,
        EventType.STEP_UP_FAILED,
        EventType.RESET_REQUESTED,
        EventType.RESET_SENT,
        EventType.RESET_DEFERRED,
        EventType.RESET_REFUSED,
        EventType.RECOVERY_OPENED,
        EventType.RECOVERY_CODE_SENT,
        EventType.RECOVERY_PROOF_FAILED,
        EventType.RECOVERY_ASKED_STAFF,
    }
)


def kind_of(type_: EventType) -> Kind:
    """Where the reader of the log finds it; what is neither a sign-in nor a failure is a change."""
    if type_ in FAILURES:
        return Kind.FAILURE
    return Kind.SIGN_IN if type_ in SIGN_INS else Kind.CHANGE
