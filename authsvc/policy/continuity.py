"""Continuity: is a healthy domain still in the hands it was in when the owner proved the address?

A domain can change hands without lapsing, or lapse between two looks. Where anything speaks of that, a new password
set by mail alone waits (`policy/reset_gate.py`), so that the owner can object.
"""

from dataclasses import dataclass
from datetime import datetime

from authsvc.core.evidence import Evidence, RdapOutcome
from authsvc.policy.domain_verdict import Baseline, moved


@dataclass(frozen=True, kw_only=True)
class Renewals:
    """Until when the domain was paid for at the last look, and the look since which no date passed unrenewed."""

    paid_until: datetime | None = None
    unbroken_since: datetime | None = None

    def after(self, expires_at: datetime | None, *, now: datetime) -> "Renewals":
        """The same, once a look found this date. A date that passed before its renewal was seen begins it anew.

        Registries renew by themselves at the date and take it back later when nobody pays, so a renewal seen only
        afterwards may be anybody's, or nobody's.
        """
        if expires_at is None:
            return self
        if self.paid_until is None or (now >= self.paid_until and expires_at > self.paid_until):
            return Renewals(paid_until=expires_at, unbroken_since=now)
        return Renewals(paid_until=expires_at, unbroken_since=self.unbroken_since)

    def cover(self, expired_at: datetime, *, now: datetime) -> bool:
        """Whether the domain was renewed each time before its date, from before that old date until now."""
        since, until = self.unbroken_since, self.paid_until
        return since is not None and until is not None and since < expired_at and now < until


def continuity_shown(
    evidence: Evidence, baseline: Baseline, renewals: Renewals, *, verified_at: datetime, now: datetime
) -> bool:
    """True when nothing known about the domain speaks of another owner since `verified_at`, and the registry answers.

    Servers are compared only where a baseline was ever seen. Raises nothing.
    Source: POLICY 8, "Continuity is not shown when".
    """
    dns, rdap = evidence.dns, evidence.rdap
    mail_then = baseline.mx or frozenset({evidence.domain})  # without MX the domain itself took the mail
    expired_at = baseline.expires_at
    return (
        rdap.outcome is RdapOutcome.FOUND
        and not rdap.overdue
        and rdap.registered_at is not None
        and not moved(baseline.ns, dns.name_servers)
        and not dns.missing  # whoever registers the domain of a name server answers for all names there
        and not (baseline.ns and moved(mail_then, (host.name for host in dns.mail_hosts)))
        and not (baseline.registrar and rdap.registrar != baseline.registrar)
        and not (rdap.transferred_at is not None and rdap.transferred_at > verified_at)
        and "autorenewperiod" not in rdap.statuses  # its date passed, and nobody need have paid
        and (expired_at is None or now < expired_at or renewals.cover(expired_at, now=now))
    )
