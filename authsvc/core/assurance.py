"""The vocabulary everything else shares: how something was proved, how strongly, by whom, to do what."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

SENIOR_AFTER = timedelta(hours=72)  # POLICY 3
STRENGTH_LASTS = timedelta(hours=24)  # POLICY 1: aal2 and higher, then aal1 until proved again


class Factor(StrEnum):
    """The kinds of proof (POLICY 1). A mailed code is a check of the mailbox and never stands here."""

    PASSWORD = "password"
    TOTP = "totp"
    SECURITY_KEY = "security_key"  # a WebAuthn assertion without user verification
    PASSKEY = "passkey"  # a WebAuthn assertion with user verification in this very assertion
    RECOVERY_CODE = "recovery_code"


PROOF_WORDS = {
    Factor.PASSWORD: "a password",
    Factor.TOTP: "a code from your app",
    Factor.SECURITY_KEY: "a security key",
    Factor.PASSKEY: "a passkey",
    Factor.RECOVERY_CODE: "a recovery code",
}
FIRST_FACTORS = frozenset({Factor.PASSWORD, Factor.PASSKEY})
AUTHENTICATORS = frozenset({Factor.TOTP, Factor.SECURITY_KEY, Factor.PASSKEY})
PHISHING_RESISTANT = frozenset({Factor.SECURITY_KEY, Factor.PASSKEY})


class Acr(StrEnum):
    """How strongly a session or token was proved. Order of definition is order of strength."""

    AAL1 = "aal1"
    AAL2 = "aal2"
    PHR = "phr"  # phishing-resistant
    PHRH = "phrh"  # phishing-resistant with verified hardware

    def satisfies(self, asked: "Acr") -> bool:
        """True when this strength is at least the one asked for."""
        order = list(Acr)
        return order.index(self) >= order.index(asked)


def amr_values(proved: Iterable[Factor], *, hardware: bool) -> frozenset[str]:
    """The `amr` of what was proved (RFC 8176, 2; POLICY 1). `hardware`: the key cannot leave its device."""
    factors = frozenset(proved)
    values: set[str] = set()
    if Factor.PASSWORD in factors:
        values.add("pwd")
    if factors & {Factor.TOTP, Factor.RECOVERY_CODE}:
        values.add("otp")
    if factors & PHISHING_RESISTANT:
        values.add("hwk" if hardware else "swk")
    if Factor.PASSKEY in factors:
        values.add("user")
    if Factor.PASSKEY in factors or len(factors) > 1:
        values.add("mfa")
    return frozenset(values)


class Lack(StrEnum):
    """What keeps a caller from the rights of an account under a mandate in force; `policy.mandate.lack` decides."""

    AUTHENTICATOR = "mandate_unmet"  # nothing that meets it is enrolled
    PROOF = "mandate_unproved"  # this session or grant was begun without such a proof
    SENIORITY = "mandate_too_new"  # what meets it, or was shown, is a recovery code or younger than 72 hours


class Action(StrEnum):
    """Everything a caller can ask for; `policy/permission.py` says what each one takes."""

    READ_ACCOUNT = "account:read"
    SIGN_OUT = "session:end"
    END_SESSIONS = "sessions:end"
    FORGET_BROWSER = "browser:forget"
    RENAME_AUTHENTICATOR = "authenticator:rename"
    ADD_AUTHENTICATOR = "authenticator:add"
    REMOVE_AUTHENTICATOR = "authenticator:remove"
    RENEW_RECOVERY_CODES = "recovery_codes:renew"
    SWITCH_WEAKER_WAYS = "weaker_ways:switch"
    CHANGE_PASSWORD = "password:change"
    ADD_ADDRESS = "address:add"
    VERIFY_ADDRESS = "address:verify"
    REMOVE_ADDRESS = "address:remove"
    CHANGE_PRIMARY_ADDRESS = "address:make_primary"
    MARK_BACKUP_ADDRESS = "address:mark_backup"
    LINK_PROOF_PLACE = "proof_place:link"
    UNLINK_PROOF_PLACE = "proof_place:unlink"
    ACCEPT_PACKAGE = "package:accept"
    DECLINE_PACKAGE = "package:decline"
    REVOKE_TOKEN = "token:revoke"
    STEP_UP = "step_up:prove"
    END_HOLD = "hold:end"
    FREEZE_ACCOUNT = "account:freeze"
    DELETE_ACCOUNT = "account:delete"
    REPLACE_AUTHENTICATOR = "authenticator:replace"
    STOP_REMOVAL = "removal:stop"
    VOUCH = "recovery:vouch"
    OBJECT_TO_RECOVERY = "recovery:object"
    READ_STAFF = "staff:read"
    DECIDE_RECOVERY = "recovery:decide"
    EXEMPT_FROM_MANDATE = "mandate:exempt"
    CHANGE_MANDATE_PHASES = "mandate:phases"
    SIGN_IN_TO_CLIENT = "client:sign_in"
    GRANT_READ = "grant:read"
    GRANT_WRITE = "grant:write"
    CONSENT_TO_WRITE = "consent:write"
    READ_USERINFO = "userinfo:read"
    WRITE_IMPACT = "impact:write"
    READ_MANDATES = "mandates:read"


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks: the account, how it was proved and through what (a session or a token)."""

    account_id: int
    sub: str
    username: str
    acr: Acr  # what it counts for now
    amr: frozenset[str]
    auth_time: datetime
    proved_acr: Acr = Acr.AAL1  # what it counted for at `auth_time`
    session_id: int | None = None
    token_id: int | None = None
    client_id: str | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)
    browser_id: int | None = None
    in_hold: bool = False
    is_staff: bool = False
    mandate_lack: Lack | None = None  # under a mandate in force
    proved: frozenset[int] = field(default_factory=frozenset)  # authenticators shown for this very action (step-up)

    # What Flask-Login asks of a user object.
    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        """The stable name of the account (Flask-Login asks for it)."""
        return self.sub


@dataclass(frozen=True, kw_only=True)
class Program:
    """A client that asks for itself and for no account, by a token of its own (RFC 6749, 4.4)."""

    client_id: str
    scopes: frozenset[str]


def strength_now(acr: Acr, proved_at: datetime, now: datetime) -> Acr:
    """What a strength proved earlier still counts for (POLICY 1)."""
    return acr if now - proved_at < STRENGTH_LASTS else Acr.AAL1
