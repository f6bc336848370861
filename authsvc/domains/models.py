"""Rows of mail domains, and of how a domain was when an address there was proved."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row
from authsvc.core.evidence import DnsEvidence, Evidence, RdapEvidence
from authsvc.policy.domain_verdict import Baseline, Failure, History, Judgement, Verdict, next_history


class Domain(Row):
    """One mail domain that holds an address: its last look, and the history before that look.

    `generation` rises once for each lapse or new registration.
    """

    __tablename__ = "domains"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)  # A-label
    verdict: Mapped[str] = mapped_column(String(16), default=Verdict.UNKNOWN.value)
    reason: Mapped[str] = mapped_column(String(40), default="NOT_LOOKED_AT")
    generation: Mapped[int] = mapped_column(default=0)
    dns: Mapped[dict[str, Any] | None]
    rdap: Mapped[dict[str, Any] | None]
    hosts_rdap: Mapped[dict[str, Any] | None]  # by registrable domain of the mail hosts
    checked_at: Mapped[datetime | None]
    rdap_checked_at: Mapped[datetime | None] = mapped_column(index=True)
    registered_at: Mapped[datetime | None]  # the newest registration ever seen
    lapsed_at: Mapped[datetime | None]  # the lapse that no healthy look has followed yet
    consecutive_failures: Mapped[int] = mapped_column(default=0)
    first_failure_at: Mapped[datetime | None]
    failure: Mapped[str | None] = mapped_column(String(10))
    last_healthy_at: Mapped[datetime | None]
    healthy_before_doubt_at: Mapped[datetime | None]  # the last healthy look before an address there was lost last
    last_rdap_ok_at: Mapped[datetime | None]
    paid_until: Mapped[datetime | None]  # with `unbroken_since`: see `policy/continuity.py`
    unbroken_since: Mapped[datetime | None]
    changed_at: Mapped[datetime | None] = mapped_column(index=True)  # with `registrable`: see `mass_change.py`
    registrable: Mapped[str | None] = mapped_column(String(255))
    held_at: Mapped[datetime | None]  # since when a change is held back for staff to decide
    judged_at: Mapped[datetime | None]  # when each address there was judged by its own baseline: see `own_verdicts.py`
    next_check_at: Mapped[datetime] = mapped_column(index=True)
    claimed_until: Mapped[datetime | None]

    def evidence(self) -> Evidence | None:
        """What the last look saw; None before the first, and for reserved names."""
        if self.dns is None or self.rdap is None:
            return None
        dns, rdap = DnsEvidence.from_json(self.dns), RdapEvidence.from_json(self.rdap)
        hosts = {name: RdapEvidence.from_json(answer) for name, answer in (self.hosts_rdap or {}).items()}
        return Evidence(domain=self.name, dns=dns, rdap=rdap, hosts_rdap=hosts)

    def history_before(self) -> History:
        """The looks before the last one: what the last one is judged with, for whichever address."""
        return History(
            consecutive_failures=self.consecutive_failures,
            first_failure_at=self.first_failure_at,
            failure=Failure(self.failure) if self.failure else None,
            last_healthy_at=self.last_healthy_at,
            last_rdap_ok_at=self.last_rdap_ok_at,
        )

    def history(self) -> History:
        """The looks so far: what the next one is judged with."""
        evidence, before = self.evidence(), self.history_before()
        if evidence is None or self.checked_at is None:
            return before
        last = Judgement(Verdict(self.verdict), self.reason, self.next_check_at)
        asked_at = self.rdap_checked_at or self.checked_at
        return next_history(before, last, evidence, rdap_answered_at=asked_at, now=self.checked_at)


class AddressBaseline(Row):
    """What was seen of the domain when the owner proved the address."""

    __tablename__ = "address_baselines"

    address_id: Mapped[int] = mapped_column(ForeignKey("addresses.id"), primary_key=True, autoincrement=False)
    mx: Mapped[list[Any]]
    ns: Mapped[list[Any]]
    registered_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    registrar: Mapped[str] = mapped_column(String(200))
    handle: Mapped[str] = mapped_column(String(200))
    recorded_at: Mapped[datetime]

    def seen(self) -> Baseline:
        """The baseline as the rules read it."""
        return Baseline(
            mx=frozenset(self.mx),
            ns=frozenset(self.ns),
            registered_at=self.registered_at,
            expires_at=self.expires_at,
            registrar=self.registrar,
            handle=self.handle,
        )
