"""When a registry is asked again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from authsvc.core.evidence import DnsEvidence, DnsFault, MailHost
from authsvc.policy.domain_verdict import Impact
from authsvc.policy.registry_schedule import Purpose, RegistryFacts, due, due_at, same_servers

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
ANSWERED = RegistryFacts(answered_at=NOON)
OTHER = MailHost(name="mx.provider.net", addresses=("203.0.113.10",))
OWN = MailHost(name="mx.corp.org", addresses=("203.0.113.20",))
SEEN = DnsEvidence(mail_hosts=(OTHER, OWN), name_servers=("ns1.host.net", "ns2.host.net"))


@pytest.mark.parametrize(
    ("facts", "age"),
    [
        (ANSWERED, 30 * DAY),
        (replace(ANSWERED, impact=Impact.HIGH), 7 * DAY),
        (replace(ANSWERED, purpose=Purpose.RESET), DAY),
        (replace(ANSWERED, purpose=Purpose.RESET, impact=Impact.HIGH), DAY),
        (replace(ANSWERED, purpose=Purpose.PROOF), timedelta(minutes=10)),
        (replace(ANSWERED, renewed_by_itself=True), 7 * DAY),
        (replace(ANSWERED, renewed_by_itself=True, purpose=Purpose.RESET), DAY),
        (replace(ANSWERED, expires_at=NOON + 300 * DAY), 30 * DAY),
        (replace(ANSWERED, expires_at=NOON - 300 * DAY), 30 * DAY),
    ],
)
def test_an_answer_is_good_until_it_has_this_age(facts: RegistryFacts, age: timedelta) -> None:
    assert not due(facts, now=NOON + age - SECOND)
    assert due(facts, now=NOON + age)


@pytest.mark.parametrize("facts", [RegistryFacts(answered_at=None), replace(ANSWERED, changed=True)])
def test_without_an_answer_to_lean_on_or_after_a_change_the_registry_is_asked_at_once(facts: RegistryFacts) -> None:
    assert due(facts, now=NOON)


def test_around_the_expiry_date_it_is_asked_before_after_and_then_weekly_for_eighty_days() -> None:
    expires_at, answered_at = NOON + 20 * DAY, NOON
    asked: list[int] = []
    while (at := due_at(RegistryFacts(answered_at=answered_at, expires_at=expires_at))) is not None and len(asked) < 15:
        asked.append((at - expires_at) // DAY)
        answered_at = at
    assert asked == [-2, -1, 1, 8, 15, 22, 29, 36, 43, 50, 57, 64, 71, 78, 78 + 30]


def test_a_look_once_a_day_that_comes_an_hour_late_sees_a_renewal_of_the_second_last_day() -> None:
    # Given daily looks of which each is an hour later than the one before, at every hour the date may fall on
    for hour in range(24):
        expires_at, answered_at, asked = NOON + 10 * DAY + timedelta(hours=hour), NOON, []
        for look in range(1, 15):
            now = NOON + look * (DAY + timedelta(hours=1))
            if due(RegistryFacts(answered_at=answered_at, expires_at=expires_at), now=now):
                answered_at = now
                asked.append(now)
        # Then one of them asks before the date, and not much more than a day before
        assert any(timedelta(0) < expires_at - at <= DAY + timedelta(hours=1) for at in asked)


def test_an_expiry_date_takes_nothing_from_a_reset_s_day() -> None:
    facts = replace(ANSWERED, purpose=Purpose.RESET, expires_at=NOON + 10 * DAY)
    assert due_at(facts) == NOON + DAY


@pytest.mark.parametrize(
    "later",
    [
        SEEN,
        replace(SEEN, mail_hosts=(OWN, OTHER)),
        replace(SEEN, mail_hosts=(replace(OTHER, addresses=("203.0.113.11", "203.0.113.12")), OWN)),
    ],
)
def test_another_address_of_a_mail_company_is_no_change(later: DnsEvidence) -> None:
    assert same_servers("lists.corp.org", SEEN, later)


@pytest.mark.parametrize(
    "later",
    [
        replace(SEEN, mail_hosts=(OTHER, replace(OWN, addresses=("203.0.113.21",)))),
        replace(SEEN, mail_hosts=(replace(OTHER, addresses=()), OWN)),
        replace(SEEN, mail_hosts=(OTHER,)),
        replace(SEEN, name_servers=("ns1.host.net",)),
        replace(SEEN, missing=("host.net",)),
        DnsEvidence(fault=DnsFault.TIMEOUT),
        DnsEvidence(exists=False),
    ],
)
def test_everything_else_that_dns_says_anew_is_a_change(later: DnsEvidence) -> None:
    assert not same_servers("lists.corp.org", SEEN, later)
