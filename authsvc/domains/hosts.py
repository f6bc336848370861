"""Domains that mail hosts stand in: what registries say about them, kept once for all mail domains that use them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import String, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import adapters
from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.evidence import DnsEvidence, RdapEvidence, RdapOutcome, host_domains

MAX_ASKED = 6  # for one mail domain; nobody has mail at more companies, a hostile domain could


class HostDomain(Row):
    """The registrable domain of a mail host, and the registry's last answer."""

    __tablename__ = "host_domains"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)  # A-label
    rdap: Mapped[dict[str, Any]]
    asked_at: Mapped[datetime]


def ask(domain: str, dns: DnsEvidence, *, max_age: timedelta, now: datetime) -> Mapping[str, RdapEvidence]:
    """What the registries say about the domains of the hosts that take mail for `domain`, those without DNS first.

    A registry is asked where its last answer is older than `max_age`, or DNS does not know the name any more. Ends the
    present transaction.
    """
    names = sorted(host_domains(domain, dns), key=lambda name: (name not in dns.missing, name))
    return {
        name: _answer(name, max_age=timedelta(0) if name in dns.missing else max_age, now=now)
        for name in names[:MAX_ASKED]
    }


def _answer(name: str, *, max_age: timedelta, now: datetime) -> RdapEvidence:
    row = db.session().scalar(select(HostDomain).where(HostDomain.name == name))
    last, age = (RdapEvidence.from_json(row.rdap), now - row.asked_at) if row else (None, timedelta.max)
    db.commit()
    if last is not None:
        told_to_wait = age < timedelta(seconds=last.retry_after_seconds or 0)
        usable = last.outcome in {RdapOutcome.FOUND, RdapOutcome.NO_SERVICE}
        if told_to_wait or (usable and age <= max_age):
            return last
    answer = adapters.current().rdap.look_up(name)
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
