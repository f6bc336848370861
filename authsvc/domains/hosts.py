"""Domains that mail hosts stand in: what registries say about them, kept once for all mail domains that use them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import String, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.domain_names import registrable_domain
from authsvc.core.evidence import DnsEvidence, RdapEvidence, RdapOutcome, host_domains
from authsvc.domains import registries
from authsvc.policy.domain_verdict import Impact
from authsvc.policy.registry_schedule import Purpose, RegistryFacts, due

MAX_ASKED = 6  # for one mail domain; nobody has mail at more companies, a hostile domain could
NEW_A_DAY = 6  # so many that we have not heard of may each registrable domain bring in a day, under whatever names
A_DAY = timedelta(days=1)
KEPT_FOR = timedelta(days=90)  # since it was asked about last; what is in use is asked about monthly


class HostDomain(Row):
    """The registrable domain of a mail host, and the registry's last answer."""

    __tablename__ = "host_domains"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)  # A-label
    rdap: Mapped[dict[str, Any]]
    asked_at: Mapped[datetime]
    # Which registrable domain had mail there first, and when; null where that was not noted yet.
    brought_by: Mapped[str | None] = mapped_column(String(255), index=True)
    brought_at: Mapped[datetime | None]


def ask(
    domain: str, dns: DnsEvidence, *, purpose: Purpose, impact: Impact, now: datetime
) -> Mapping[str, RdapEvidence]:
    """What the registries say about the domains of the hosts that take mail for `domain`, those without DNS first.

    A registry is asked when its answer is due, or DNS does not know the name any more; where it may not be asked now,
    the last answer stands, if there is one. New ones are few for each registrable domain, and never asked from what is
    kept for resets: whoever holds a domain can name others at each look. Ends the present transaction.
    """
    by = registrable_domain(domain) or domain
    names = sorted(host_domains(domain, dns), key=lambda name: (name not in dns.missing, name))
    answers = {
        name: _answer(name, by=by, is_gone=name in dns.missing, purpose=purpose, impact=impact, now=now)
        for name in names[:MAX_ASKED]
    }
    return {name: answer for name, answer in answers.items() if answer is not None}


def _answer(
    name: str, *, by: str, is_gone: bool, purpose: Purpose, impact: Impact, now: datetime
) -> RdapEvidence | None:
    row = db.session().scalar(select(HostDomain).where(HostDomain.name == name))
    last = RdapEvidence.from_json(row.rdap) if row else None
    too_many = row is None and _new_today(by, now=now) >= NEW_A_DAY
    db.commit()
    if too_many:
        return None
    if row is not None and last is not None:
        usable = last.outcome in {RdapOutcome.FOUND, RdapOutcome.NO_SERVICE}
        facts = RegistryFacts(
            answered_at=row.asked_at if usable else None,
            expires_at=last.expires_at,
            changed=is_gone,
            purpose=purpose,
            impact=impact,
        )
        if not due(facts, now=now):
            return last
    answer = registries.ask(name, purpose=purpose if row is not None else Purpose.SWEEP, now=now)
    if answer is None:
        return last
    _store(name, answer, by=by, now=now)
    return answer


def _new_today(by: str, *, now: datetime) -> int:
    query = select(func.count()).where(HostDomain.brought_by == by, HostDomain.brought_at > now - A_DAY)
    return db.session().scalar(query) or 0


def purge(*, now: datetime) -> None:
    """Forget domains that nobody has mail at any more. The worker's task."""
    db.session().execute(delete(HostDomain).where(HostDomain.asked_at < now - KEPT_FOR))


def _store(name: str, answer: RdapEvidence, *, by: str, now: datetime) -> None:
    values = {"rdap": answer.as_json(), "asked_at": now}
    known = update(HostDomain).where(HostDomain.name == name).values(values)
    if db.session().scalar(known.returning(HostDomain.id)) is None:
        try:
            with db.session().begin_nested():
                db.session().execute(insert(HostDomain).values(name=name, brought_by=by, brought_at=now, **values))
        except IntegrityError:  # a rival was first, with the same answer
            pass
    db.commit()
