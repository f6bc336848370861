"""Domains that mail hosts stand in: what registries say about them, kept once for all mail domains that use them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import String, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.evidence import DnsEvidence, RdapEvidence, RdapOutcome, host_domains
from authsvc.domains import registries
from authsvc.policy.domain_verdict import Impact
from authsvc.policy.registry_schedule import Purpose, RegistryFacts, due

MAX_ASKED = 6  # for one mail domain; nobody has mail at more companies, a hostile domain could


class HostDomain(Row):
    """The registrable domain of a mail host, and the registry's last answer."""

    __tablename__ = "host_domains"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)  # A-label
    rdap: Mapped[dict[str, Any]]
    asked_at: Mapped[datetime]


def ask(
    domain: str, dns: DnsEvidence, *, purpose: Purpose, impact: Impact, now: datetime
) -> Mapping[str, RdapEvidence]:
    """What the registries say about the domains of the hosts that take mail for `domain`, those without DNS first.

    A registry is asked when its answer is due, or DNS does not know the name any more; where it may not be asked now,
    the last answer stands, if there is one. Ends the present transaction.
    """
    names = sorted(host_domains(domain, dns), key=lambda name: (name not in dns.missing, name))
    answers = {
        name: _answer(name, is_gone=name in dns.missing, purpose=purpose, impact=impact, now=now)
        for name in names[:MAX_ASKED]
    }
    return {name: answer for name, answer in answers.items() if answer is not None}


def _answer(name: str, *, is_gone: bool, purpose: Purpose, impact: Impact, now: datetime) -> RdapEvidence | None:
    row = db.session().scalar(select(HostDomain).where(HostDomain.name == name))
    last = RdapEvidence.from_json(row.rdap) if row else None
    db.commit()
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
    answer = registries.ask(name, purpose=purpose, now=now)
    if answer is None:
        return last
    _store(name, answer, now=now)
    return answer


def _store(name: str, answer: RdapEvidence, *, now: datetime) -> None:
    values = {"rdap": answer.as_json(), "asked_at": now}
    known = update(HostDomain).where(HostDomain.name == name).values(values)
    if db.session().scalar(known.returning(HostDomain.id)) is None:
        try:
            with db.session().begin_nested():
                db.session().execute(insert(HostDomain).values(name=name, **values))
        except IntegrityError:  # a rival was first, with the same answer
            pass
    db.commit()
