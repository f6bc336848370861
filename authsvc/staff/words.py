"""What the console says in words: why resets were held back, how a case stands, ready-made reasons."""

from dataclasses import dataclass
from typing import assert_never

from authsvc import domains
from authsvc.cases import CaseLine
from authsvc.core.assurance import Factor
from authsvc.core.templating import date_words
from authsvc.policy import recovery as policy
from authsvc.policy.mandate import Impact
from authsvc.policy.recovery import NoVote, Strength

MIN_REASON, MAX_REASON = 10, 400  # characters of a reason about mandates
DEFERRALS = {  # by reason code of `policy/domain_verdict.py` and `policy/reset_gate.py`
    "ADDRESS_UNVERIFIED": "The address was never confirmed",
    "AUTO_RENEW_NS_CHANGED": "The domain runs on borrowed time, with other name servers",
    "CHANGED_ACROSS_EXPIRY": "The domain was moved about the day it expired",
    "CLIENT_HOLD": "The registrar took the domain out of service",
    "DISPOSABLE_DOMAIN": "The domain became one of throw-away mailboxes",
    "DNSSEC_BOGUS": "The domain's signatures do not hold",
    "DNS_INCONSISTENT": "The domain's name servers contradict themselves",
    "DNS_SERVFAIL": "The domain's name servers failed",
    "DNS_TIMEOUT": "The domain's name servers did not answer",
    "EVIDENCE_TOO_OLD": "The domain could not be looked at in time",
    "HANDLE_CHANGED": "The registry has the domain under another number",
    "MX_DROPPED": "The domain has no mail servers any more",
    "MX_HOST_NXDOMAIN": "The domain's mail server is gone",
    "MX_UNROUTABLE": "The domain's mail server has no public address",
    "NO_BASELINE": "There was nothing to compare the domain with",
    "NO_MX_NO_ADDRESS": "The domain takes no mail",
    "NS_AND_MX_CHANGED": "The domain's name servers and mail servers both moved",
    "NULL_MX": "The domain takes no mail",
    "NXDOMAIN": "The domain was not found",
    "NXDOMAIN_BUT_REGISTERED": "The domain was not found, though it is registered",
    "OWN_RESOLVERS_FAIL": "Our own resolvers failed",
    "PARKED": "The domain is parked",
    "RDAP_DNS_CONFLICT": "Registry and name servers contradict each other",
    "RDAP_STALE": "The registry did not answer",
    "RESOLVERS_DISAGREE": "Our resolvers contradict each other",
    "SERVER_HOLD": "The registry took the domain out of service",
}
STRENGTHS = {
    Strength.NONE: "Nothing that counts yet",
    Strength.OWN: "What an owner knows and holds",
    Strength.INDEPENDENT: "Independent evidence",
}
NO_VOTES = {
    NoVote.TARGET: "This is about your own account, so two others decide.",
    NoVote.CO_OWNER: "You maintain a package together with this account, so two others decide.",
    NoVote.VOTED: "You have decided. It takes another person now.",
    NoVote.UNSEEN: "Somebody objected after you opened the case. Nothing was decided: please read it again.",
}
ALONE = "You have approved. As nobody else here has a key, a day takes the place of another person."
WAYS = {
    Factor.TOTP: "App",
    Factor.SECURITY_KEY: "Security key",
    Factor.PASSKEY: "Passkey",
}


@dataclass(frozen=True)
class Canned:
    """A ready-made reason, for approving or for refusing."""

    approve: bool
    text: str


CANNED = {
    "spoken": Canned(True, "I spoke to the owner, by a number or address that was known before this request."),
    "met": Canned(True, "I know the owner and met them, face to face or on video."),
    "documents": Canned(True, "What the owner showed fits what we have known of the account for long."),
    "no_contact": Canned(False, "The owner could not be reached by anything known before this request."),
    "objection": Canned(False, "The objection is from the owner."),
    "contradicts": Canned(False, "What was said does not fit what is known of the account."),
    "pressure": Canned(False, "The applicant pressed for a decision and gave nothing that can be checked."),
}


def refusal_words(code: str) -> str:
    """Why a reset was refused, or an address is blocked."""
    words = domains.reason_words(code).rstrip(".").replace(" you ", " the owner ")
    return words[0].upper() + words[1:]


def deferral_words(code: str) -> str:
    """Why a reset was put off."""
    return DEFERRALS.get(code) or refusal_words(code)


def standing(line: CaseLine) -> str:
    """How a case stands, in a few words."""
    decision = line.decision
    match decision:
        case policy.Prove() | policy.AskStaff():
            if line.approvals:
                return f"Approved by {line.approvals}, one more decides"
            return "Two people decide" if line.needs_staff else "Nothing that suffices was shown yet"
        case policy.Wait(until):
            return f"Waits until {date_words(until)}"
        case policy.Complete():
            return "The applicant may finish it"
        case policy.Refused():
            return "Refused"
    assert_never(decision)


def reach_words(impact: Impact) -> str:
    """How many use and need a package."""
    parts = []
    if impact.weekly_downloads is not None:
        parts.append(f"{impact.weekly_downloads:,} downloads a week")
    elif impact.weekly_ge_1m:
        parts.append("a million downloads a week or more")
    if impact.dependents is not None:
        parts.append(f"{impact.dependents:,} packages depend on it")
    elif impact.dependents_ge_500:
        parts.append("500 packages or more depend on it")
    return ", ".join(parts) or "reach unknown"
