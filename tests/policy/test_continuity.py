"""Continuity: what speaks of another owner at a domain that is healthy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authsvc.core.evidence import DnsEvidence, Evidence, MailHost, RdapEvidence, RdapOutcome
from authsvc.policy.continuity import Renewals, continuity_shown
from authsvc.policy.domain_verdict import Baseline

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
VERIFIED = NOON - timedelta(days=400)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

SEEN = Evidence(
    domain="maintainer.org",
    dns=DnsEvidence(
        mail_hosts=(MailHost(name="mx.provider.net", addresses=("203.0.113.10",)),),
        name_servers=("ns1.dnshost.net",),
    ),
    rdap=RdapEvidence(
        outcome=RdapOutcome.FOUND,
        registered_at=VERIFIED - 2000 * DAY,
        expires_at=NOON + 100 * DAY,
        registrar="Registrar One",
    ),
)
THEN = Baseline.of(SEEN)


def shown(
    *,
    dns: dict[str, Any] | None = None,
    rdap: dict[str, Any] | None = None,
    baseline: Baseline = THEN,
    renewals: Renewals = Renewals(),  # noqa: B008 -- immutable
) -> bool:
    """Whether continuity is shown at noon, with some of the evidence changed."""
    evidence = replace(SEEN, dns=replace(SEEN.dns, **dns or {}), rdap=replace(SEEN.rdap, **rdap or {}))
    return continuity_shown(evidence, baseline, renewals, verified_at=VERIFIED, now=NOON)


def test_a_domain_as_it_was_shows_continuity() -> None:
    assert shown()
    assert shown(dns={"name_servers": ("ns9.dnshost.net",)})  # the same company


@pytest.mark.parametrize(
    "changed",
    [
        {"dns": {"name_servers": ("ns.other.com",)}},
        {"dns": {"missing": ("dnshost.net",)}},
        {"dns": {"mail_hosts": (MailHost(name="mx.other.com", addresses=("203.0.113.9",)),)}},
        {"baseline": replace(THEN, mx=frozenset())},  # the domain itself took the mail
        {"rdap": {"registrar": "Registrar Two"}},
        {"rdap": {"registrar": ""}},
        {"rdap": {"transferred_at": VERIFIED + SECOND}},
        {"rdap": {"outcome": RdapOutcome.UNAVAILABLE}},
        {"rdap": {"overdue": True}},
        {"rdap": {"outcome": RdapOutcome.NO_SERVICE}},
        {"rdap": {"registered_at": None}},
        {"rdap": {"statuses": frozenset({"autorenewperiod"})}},
    ],
    ids=repr,
)
def test_one_sign_of_another_owner_is_enough(changed: dict[str, Any]) -> None:
    assert not shown(**changed)


def test_without_a_baseline_the_registry_alone_decides() -> None:
    assert shown(baseline=Baseline())
    assert not shown(baseline=Baseline(), rdap={"transferred_at": VERIFIED + SECOND})
    assert not shown(baseline=Baseline(), rdap={"registered_at": None})


def test_a_transfer_from_before_the_proof_and_mail_at_the_domain_itself_are_no_signs() -> None:
    assert shown(rdap={"transferred_at": VERIFIED})
    own = (MailHost(name="mail.maintainer.org", addresses=("203.0.113.9",)),)
    assert shown(dns={"mail_hosts": own}, baseline=replace(THEN, mx=frozenset()))


@pytest.mark.parametrize(("ahead", "expected"), [(SECOND, True), (timedelta(0), False)])
def test_an_old_expiry_date_counts_from_its_second_on(ahead: timedelta, expected: bool) -> None:
    assert shown(baseline=replace(THEN, expires_at=NOON + ahead)) == expected


EXPIRY = NOON - 30 * DAY


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(EXPIRY - 60 * DAY, EXPIRY), (EXPIRY - SECOND, EXPIRY + 365 * DAY)], True),
        ([(EXPIRY - 60 * DAY, EXPIRY), (EXPIRY, EXPIRY + 365 * DAY)], False),  # by itself, it may be
        ([(EXPIRY + SECOND, EXPIRY + 365 * DAY)], False),  # nobody looked before
        ([(EXPIRY - SECOND, EXPIRY + 365 * DAY)], True),
        ([(EXPIRY - 60 * DAY, EXPIRY), (EXPIRY + DAY, None)], False),
        ([(EXPIRY - DAY, EXPIRY + 3 * DAY), (EXPIRY + 4 * DAY, EXPIRY + 365 * DAY)], False),  # the next date passed
        ([], False),
    ],
)
def test_an_old_expiry_date_that_passed_takes_a_renewal_seen_before_it(
    looks: list[tuple[datetime, datetime | None]], expected: bool
) -> None:
    renewals = Renewals()
    for at, expires_at in looks:
        renewals = renewals.after(expires_at, now=at)
    assert shown(baseline=replace(THEN, expires_at=EXPIRY), renewals=renewals) == expected
