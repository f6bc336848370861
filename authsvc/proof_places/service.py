"""Linking places, and asking them in a recovery. Nobody is asked inside a transaction."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, literal, select, update

from authsvc import accounts, adapters, domains
from authsvc.core import db
from authsvc.core.domain_names import registrable_domain
from authsvc.core.evidence import DnsEvidence, Evidence, RdapEvidence
from authsvc.domains import Look
from authsvc.policy.continuity import Renewals, continuity_shown
from authsvc.policy.domain_verdict import Baseline, Impact, Verdict, judge
from authsvc.policy.login import Mailbox
from authsvc.policy.proof_place import (
    CHECK_LASTS,
    NEW_FOR,
    DomainFacts,
    Kind,
    Reason,
    Standing,
    domain_problem,
    standing,
)
from authsvc.policy.registry_schedule import Purpose
from authsvc.proof_places.models import ProofPlace
from authsvc.proof_places.places import Location, fetch, new_token

MAX_PLACES = 10


@dataclass(frozen=True, kw_only=True)
class PlaceView:
    """A linked place."""

    id: int
    account_id: int
    kind: Kind
    domain: str | None  # the registrable one
    words: str
    brief: str  # for mails
    instruction: str
    linked_at: datetime
    confirmed_at: datetime
    standing: Standing

    @property
    def counts_at(self) -> datetime:
        """From when on it can be used in a recovery."""
        return self.linked_at + NEW_FOR


@dataclass(frozen=True, kw_only=True)
class Unproved:
    """A place whose line is waited for: named just now, or linked before and to be confirmed again."""

    id: int
    words: str
    instruction: str
    token: str
    linked: bool


@dataclass(frozen=True)
class Verified:
    """The line is published at a place that counts."""

    place: PlaceView


@dataclass(frozen=True)
class Refused:
    """The line proves nothing now; another try may end differently."""

    reason: Reason


def places(account_id: int, *, now: datetime) -> list[PlaceView]:
    """The linked places of an account, oldest first."""
    linked = _live(account_id).where(ProofPlace.linked_at.is_not(None)).order_by(ProofPlace.linked_at, ProofPlace.id)
    confirm_after = accounts.get(account_id).confirm_after
    return [_view(row, confirm_after, now=now) for row in db.session().scalars(linked)]


def usable(account_id: int, *, now: datetime) -> list[PlaceView]:
    """The places that may be asked in a recovery of the account, oldest first (POLICY 10)."""
    return [place for place in places(account_id, now=now) if place.standing is Standing.READY]


def name(account_id: int, location: Location, *, now: datetime) -> int | None:
    """Note a place that is to be linked, and make its token; returns its id, None when it is linked already.

    What was named before and never linked is forgotten.
    """
    same = (
        ProofPlace.kind == location.kind.value,
        ProofPlace.location == location.text,
        ProofPlace.forge == location.forge,
    )
    unlinked = (ProofPlace.account_id == account_id, ProofPlace.linked_at.is_(None))
    db.session().execute(delete(ProofPlace).where(*unlinked))
    if db.session().scalar(_live(account_id).where(*same)) is not None:
        return None
    row = ProofPlace(
        account_id=account_id,
        kind=location.kind.value,
        location=location.text,
        forge=location.forge,
        created_at=now,
        token=new_token(),
    )
    db.session().add(row)
    db.session().flush()
    return row.id


def is_full(account_id: int) -> bool:
    """True when no further place may be linked."""
    linked = _live(account_id).where(ProofPlace.linked_at.is_not(None)).subquery()
    return db.session().scalars(select(func.count()).select_from(linked)).one() >= MAX_PLACES


def renew(account_id: int, place_id: int, *, now: datetime) -> bool:
    """Make a new token for a suspended place, so that an old line that still stands there proves nothing."""
    place = next((p for p in places(account_id, now=now) if p.id == place_id), None)
    if place is None or place.standing is not Standing.SUSPENDED:
        return False
    change = update(ProofPlace).where(ProofPlace.id == place_id)
    db.session().execute(change.values(token=new_token(), checked_at=None, seen=None))
    return True


def unproved(account_id: int, place_id: int) -> Unproved | None:
    """The place with the token to be published; None when nothing is waited for there."""
    row = db.session().scalar(_live(account_id).where(ProofPlace.id == place_id))
    if row is None or row.token is None:
        return None
    at = _location(row)
    return Unproved(
        id=row.id, words=at.words, instruction=at.instruction, token=row.token, linked=row.linked_at is not None
    )


def check(account_id: int, place_id: int, *, now: datetime) -> Reason | None:
    """Look for the token of an unproved place; None when all is in order, and `link` may follow within ten minutes.

    Ends the present transaction.
    """
    row = db.session().scalar(_live(account_id).where(ProofPlace.id == place_id))
    if row is None or row.token is None:
        return Reason.NOT_USABLE
    token = row.token
    seen = _ask(_Target.of(row, now=now), token, now=now)
    if isinstance(seen, Reason):
        return seen
    change = update(ProofPlace).where(ProofPlace.id == place_id, ProofPlace.token == token)
    db.session().execute(change.values(checked_at=now, seen=seen))
    return None


def link(account_id: int, place_id: int, *, now: datetime) -> PlaceView | None:
    """Link a checked place, or confirm a linked one again, once; its age counts from the first time.

    None when it was not checked in the last ten minutes, or not since it was carried out before.
    """
    done = (
        update(ProofPlace)
        .where(
            ProofPlace.id == place_id,
            ProofPlace.account_id == account_id,
            ProofPlace.unlinked_at.is_(None),
            ProofPlace.token.is_not(None),
            ProofPlace.checked_at > now - CHECK_LASTS,
        )
        .values(
            token=None,
            checked_at=None,
            linked_at=func.coalesce(ProofPlace.linked_at, literal(now, db.UtcDateTime())),
            confirmed_at=now,
            baseline=ProofPlace.seen,
        )
        .returning(ProofPlace.id)
    )
    if db.session().scalar(done) is None:
        return None
    return next(p for p in places(account_id, now=now) if p.id == place_id)


def unlink(account_id: int, place_id: int, *, now: datetime) -> bool:
    """Let a place count no more; False when it did not."""
    gone = (
        update(ProofPlace)
        .where(ProofPlace.id == place_id, ProofPlace.account_id == account_id)
        .where(ProofPlace.unlinked_at.is_(None), ProofPlace.linked_at.is_not(None))
        .values(unlinked_at=now, token=None)
        .returning(ProofPlace.id)
    )
    return db.session().scalar(gone) is not None


def erase(account_id: int, *, now: datetime) -> None:
    """Forget where the person publishes: the account is deleted."""
    nothing = {"location": "", "forge": "", "token": None, "seen": None, "baseline": None, "unlinked_at": now}
    db.session().execute(update(ProofPlace).where(ProofPlace.account_id == account_id).values(**nothing))


def verify(place_id: int, token: str, *, account_id: int, now: datetime) -> Verified | Refused:
    """Is the recovery's token published at the place, and does the place count (POLICY 10)?

    Ends the present transaction, asks the network, and looks once more whether the place still counts.
    """
    row = db.session().scalar(_live(account_id).where(ProofPlace.id == place_id))
    if row is None or _usable(account_id, place_id, now=now) is None:
        return Refused(Reason.NOT_USABLE)
    seen = _ask(_Target.of(row, now=now), token, now=now)
    if isinstance(seen, Reason):
        return Refused(seen)
    place = _usable(account_id, place_id, now=now)
    return Verified(place) if place is not None else Refused(Reason.NOT_USABLE)


def _usable(account_id: int, place_id: int, *, now: datetime) -> PlaceView | None:
    return next((place for place in usable(account_id, now=now) if place.id == place_id), None)


@dataclass(frozen=True, kw_only=True)
class _Target:
    """What is needed of a row once its transaction has ended."""

    account_id: int
    location: Location
    linked_at: datetime
    baseline: Baseline

    @classmethod
    def of(cls, row: ProofPlace, *, now: datetime) -> "_Target":
        return cls(
            account_id=row.account_id,
            location=_location(row),
            linked_at=row.linked_at or now,
            baseline=_baseline(row.baseline),
        )


def _ask(target: _Target, token: str, *, now: datetime) -> dict[str, Any] | Reason:
    """Judge the domain, then look for the line; returns the domain as it is now, for the next time.

    The domain comes first: nothing is fetched from a place that would not count.
    """
    domain = target.location.domain
    if domain is None:
        return Reason.UNREACHABLE
    look = domains.check_now(domain, now=now, purpose=Purpose.PROOF)
    facts = DomainFacts(
        verdict=_verdict(look, target),
        registered_at=_registered_at(look),
        linked_at=target.linked_at,
        asked=look.evidence is not None,
        continuous=_continuous(look, target),
        address_in_doubt=_address_in_doubt(target.account_id, domain),
    )
    db.commit()
    return domain_problem(facts) or fetch(target.location, token) or _as_json(look.evidence)


def _registered_at(look: Look) -> datetime | None:
    """Since when the domain is registered, by an answer of today: an older one does not show who holds it now."""
    rdap = look.evidence.rdap if look.evidence else None
    return None if rdap is None or rdap.overdue else rdap.registered_at


def _verdict(look: Look, target: _Target) -> Verdict:
    """What the look means for somebody who linked a place at the domain then."""
    if look.evidence is None:
        return look.judgement.verdict
    return judge(
        look.evidence,
        look.before,
        target.baseline,
        verified_at=target.linked_at,
        impact=Impact.NORMAL,
        lists=adapters.current().lists,
        now=look.checked_at,
    ).verdict


def _continuous(look: Look, target: _Target) -> bool:
    """Whether the domain shows no sign of other hands since the place was linked (POLICY 8).

    A date of expiry counts only where the domain holds addresses too: no other is looked at in between, so nobody
    saw its renewals, and every place would be lost after a year.
    """
    if look.evidence is None:
        return True
    row = db.session().scalar(select(domains.Domain).where(domains.Domain.name == look.domain))
    seen_between = row is not None and row.unbroken_since is not None
    baseline = target.baseline if seen_between else replace(target.baseline, expires_at=None)
    renewals = Renewals(paid_until=row.paid_until, unbroken_since=row.unbroken_since) if row else Renewals()
    return continuity_shown(look.evidence, baseline, renewals, verified_at=target.linked_at, now=look.checked_at)


def _as_json(evidence: Evidence | None) -> dict[str, Any]:
    """What is kept of a look, to compare later ones with."""
    if evidence is None:
        return {}
    return {"domain": evidence.domain, "dns": evidence.dns.as_json(), "rdap": evidence.rdap.as_json()}


def _baseline(kept: dict[str, Any] | None) -> Baseline:
    if not kept:
        return Baseline()
    dns, rdap = DnsEvidence.from_json(kept["dns"]), RdapEvidence.from_json(kept["rdap"])
    return Baseline.of(Evidence(domain=kept["domain"], dns=dns, rdap=rdap))


def _address_in_doubt(account_id: int, domain: str) -> bool:
    return any(
        domains.mailbox_worth(address) is not Mailbox.GOOD
        for address in accounts.addresses(account_id)
        if registrable_domain(address.domain) == domain
    )


def _live(account_id: int) -> Select[ProofPlace]:
    return select(ProofPlace).where(ProofPlace.account_id == account_id, ProofPlace.unlinked_at.is_(None))


def _location(row: ProofPlace) -> Location:
    return Location(kind=Kind(row.kind), text=row.location, forge=row.forge)


def _view(row: ProofPlace, confirm_after: datetime | None, *, now: datetime) -> PlaceView:
    at, linked_at, confirmed_at = _location(row), row.linked_at or now, row.confirmed_at or now
    return PlaceView(
        id=row.id,
        account_id=row.account_id,
        kind=at.kind,
        domain=at.domain,
        words=at.words,
        brief=at.brief,
        instruction=at.instruction,
        linked_at=linked_at,
        confirmed_at=confirmed_at,
        standing=standing(linked_at=linked_at, confirmed_at=confirmed_at, confirm_after=confirm_after, now=now),
    )
