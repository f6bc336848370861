"""What a look at a domain means for one address there."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import select

from authsvc import accounts, adapters
from authsvc.accounts import AddressView
from authsvc.core import db
from authsvc.core.evidence import DnsFault, RdapOutcome
from authsvc.domains.looks import Look, last_look
from authsvc.domains.models import AddressBaseline, Domain
from authsvc.policy.continuity import Renewals, continuity_shown
from authsvc.policy.domain_verdict import REGISTRATION_SLACK, Baseline, Impact, Judgement, Verdict, judge
from authsvc.policy.login import Mailbox

REGISTRIES_SILENT_AFTER = timedelta(days=1)  # without an answer of any registry about any domain, the fault is ours
_TAKES_AWAY = frozenset({Verdict.LAPSED, Verdict.REREGISTERED})


def judge_address(look: Look, address: AddressView, *, impact: Impact = Impact.NORMAL) -> Judgement:
    """What a look means for one address: when its owner proved it, and what was seen then."""
    if look.evidence is None:
        return look.judgement
    found = judge(
        look.evidence,
        look.before,
        _baseline(address),
        verified_at=address.verified_at,
        impact=impact,
        lists=adapters.current().lists,
        now=look.checked_at,
    )
    return replace(found, verdict=Verdict.SUSPECT) if look.held and found.verdict in _TAKES_AWAY else found


def _baseline(address: AddressView) -> Baseline:
    row = db.session().get(AddressBaseline, address.id)
    return Baseline() if row is None else row.seen()


def continuous(look: Look, address: AddressView) -> bool:
    """Whether the look shows that the domain never left its owner's hands since the address was proved (POLICY 8)."""
    if look.evidence is None:
        return True  # a reserved name on one's own machine
    row = db.session().scalar(select(Domain).where(Domain.name == look.domain))
    if row is None or address.verified_at is None:
        return False
    return continuity_shown(
        look.evidence,
        _baseline(address),
        Renewals(paid_until=row.paid_until, unbroken_since=row.unbroken_since),
        verified_at=address.verified_at,
        now=look.checked_at,
    )


def comparable(look: Look, address: AddressView) -> bool:
    """Whether a healthy look says anything: there is a baseline or a registration date, or nobody is asked at all."""
    if look.evidence is None or look.evidence.rdap.registered_at is not None:
        return True
    return db.session().get(AddressBaseline, address.id) is not None


def mailbox_worth(address: AddressView | None) -> Mailbox:
    """What the address may be used for at sign-in, by the last look (POLICY 8, second column).

    The stored verdict is the domain's, or worse by what was seen when this address was proved. The last look may be
    newer than what that was found by (`own_verdicts.py`), so the address is judged here again. An
    unknown verdict says something about the domain only where our own resolvers and some registry answer.
    """
    if address is None or address.blocked_at is not None:
        return Mailbox.LOST
    if address.verified_at is not None and address.generation != address.domain_generation:
        return Mailbox.LOST
    if address.verdict in accounts.LOST_VERDICTS:
        return Mailbox.LOST
    if address.verdict == Verdict.SUSPECT.value:
        return Mailbox.DOUBTFUL
    look = last_look(address.domain)
    seen = judge_address(look, address).verdict if look is not None and address.verified_at is not None else None
    if seen in _TAKES_AWAY:
        return Mailbox.LOST
    if seen is Verdict.SUSPECT:
        return Mailbox.DOUBTFUL
    unknown = address.verdict == Verdict.UNKNOWN.value
    return Mailbox.DOUBTFUL if unknown and _is_the_domains_fault(address.domain) else Mailbox.GOOD


def _is_the_domains_fault(name: str) -> bool:
    """Whether a domain of unknown verdict was looked at, by resolvers and registries that answer for others."""
    row = db.session().scalar(select(Domain).where(Domain.name == name))
    if row is None or row.checked_at is None or row.reason == DnsFault.OURS:
        return False
    if row.reason != "RDAP_STALE":
        return True
    answered = Domain.rdap["outcome"].as_string().in_([RdapOutcome.FOUND.value, RdapOutcome.NOT_FOUND.value])
    lately = Domain.rdap_checked_at > row.checked_at - REGISTRIES_SILENT_AFTER
    return db.session().scalar(select(Domain.id).where(answered, lately).limit(1)) is not None


def seen_while_healthy(address: AddressView | None, first_seen_at: datetime, *, now: datetime) -> bool:
    """True for a senior browser known before the domain was last seen healthy, before the doubt began (POLICY 8).

    Healthy looks since then are those of whoever holds the domain now.
    """
    if address is None or now - first_seen_at < accounts.SENIOR_AFTER:
        return False
    row = db.session().scalar(select(Domain).where(Domain.name == address.domain))
    if row is None:
        return False
    began = _another_s_since(address, row)
    baseline = db.session().get(AddressBaseline, address.id)
    healthy = {row.last_healthy_at, row.healthy_before_doubt_at, baseline.recorded_at if baseline else None}
    if row.verdict == Verdict.HEALTHY.value:
        healthy.add(row.checked_at)
    return any(at is not None and (began is None or at < began) and first_seen_at < at for at in healthy)


def _another_s_since(address: AddressView, row: Domain) -> datetime | None:
    """From when on somebody else may have held the domain, or that of a mail host; None: nothing says so."""
    evidence = row.evidence()
    answers = [evidence.rdap, *evidence.hosts_rdap.values()] if evidence is not None else []
    proved = address.verified_at
    dates = {row.registered_at, *(answer.registered_at for answer in answers)}
    began = [at for at in dates if at is not None and proved is not None and at > proved + REGISTRATION_SLACK]
    return min([*began, *([address.doubted_at] if address.doubted_at else [])], default=None)


REASONS = {
    "NOT_REGISTERED": "its domain is not registered any more.",
    "REDEMPTION_PERIOD": "its domain has expired.",
    "PENDING_DELETE": "its domain has expired and is about to be deleted.",
    "REGISTERED_AFTER_VERIFICATION": "its domain was registered anew after you confirmed the address.",
    "MX_HOST_DOMAIN_LAPSED": "the domain of one of its mail servers is not registered any more.",
    "MX_HOST_DOMAIN_REREGISTERED": "the domain of one of its mail servers was registered anew.",
    "GENERATION_CHANGED": "its domain lapsed or was registered anew after you confirmed the address.",
    "STICKY_BLOCK": "it was blocked earlier, when its domain lapsed or changed hands.",
}


def reason_words(reason: str) -> str:
    """Why an address is lost, for its owner: the end of a sentence about it."""
    return REASONS.get(reason, "its domain cannot receive mail any more.")


def health_words(address: AddressView) -> tuple[str, str]:
    """How the address stands, for its owner: good, warn or bad, and a sentence."""
    if address.blocked_at is not None:
        return "bad", "Password resets to it are blocked, because its domain lapsed or changed hands."
    worth = mailbox_worth(address)
    if worth is Mailbox.LOST:
        return "bad", "Its domain has expired or changed hands. Nothing is mailed there."
    if worth is Mailbox.DOUBTFUL:
        return "warn", "Its domain cannot receive mail properly at the moment."
    if address.verdict == Verdict.HEALTHY.value:
        return "good", "Its domain is in order."
    return "warn", "Its domain could not be checked yet."
