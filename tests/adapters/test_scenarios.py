"""Every domain scenario from DNS packet to reset decision, through real resolvers and a real registry."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from authsvc.adapters.dns import DnsClient
from authsvc.adapters.http import HttpClient
from authsvc.adapters.rdap import RdapClient
from authsvc.core.assurance import Factor
from authsvc.core.domain_names import mail_domain, registrable_domain
from authsvc.core.evidence import Evidence, RdapEvidence, host_domains
from authsvc.policy import domain_verdict
from authsvc.policy.continuity import Renewals, continuity_shown
from authsvc.policy.domain_verdict import Baseline, Judgement, judge
from authsvc.policy.reset_gate import Allow, Block, Defer, ResetFacts, block_stands, decide
from tests import servers
from tests.scenarios import Scenario, scenarios, thresholds

HOUR = timedelta(hours=1)
ANSWERS = {"allow": Allow, "defer": Defer, "block": Block}


def decided(
    scenario: Scenario, dns: servers.Dns, web: servers.Web
) -> tuple[Judgement, ResetFacts, Allow | Defer | Block]:
    """The verdict on a scenario, and what the reset gate makes of it."""
    domain = mail_domain(scenario.email)
    dns.zone = servers.Zone(scenario.records, scenario.behaviour)
    web.answers.clear()
    web.add_rdap(scenario.rdap)
    answers, registry = DnsClient(dns.setting).look_up(domain), RdapClient(HttpClient(total_seconds=2), web.url)

    def ask(name: str) -> RdapEvidence:
        has_service = name.rpartition(".")[2] not in scenario.tlds_without_rdap
        return registry.look_up(name, registry.server_of(name) if has_service else "")

    evidence = Evidence(
        domain=domain,
        dns=answers,
        rdap=ask(domain),
        hosts_rdap={name: ask(name) for name in host_domains(domain, answers)},
    )
    verified_at = scenario.at("email_verified_at")
    judgement = judge(
        evidence,
        scenario.history,
        scenario.baseline,
        verified_at=verified_at,
        impact=scenario.impact,
        lists=scenario.lists,
        now=scenario.now,
    )
    facts = ResetFacts(
        address_verified=verified_at is not None,
        blocked=block_stands(
            scenario.blocked_at,
            verified_at=verified_at,
            last_strong_sign_in_at=scenario.at("last_strong_auth_at"),
            last_recovery_at=scenario.at("last_recovery_at"),
        ),
        generation_is_current=True,
        verdict=judgement.verdict,
        reason=judgement.reason,
        continuity=verified_at is not None
        and continuity_shown(evidence, scenario.baseline, Renewals(), verified_at=verified_at, now=scenario.now),
        comparable=scenario.baseline != Baseline() or evidence.rdap.registered_at is not None,
        looked_up_at=scenario.now,
        enrolled=frozenset({Factor.TOTP} if scenario.account["has_non_email_second_factor"] else ()),
    )
    return judgement, facts, decide(facts, scenario.now)


def conclusion(scenario: Scenario, dns: servers.Dns, web: servers.Web) -> dict[str, object]:
    """What our code makes of a scenario, in the words of its `expect`."""
    judgement, facts, decision = decided(scenario, dns, web)
    domain = mail_domain(scenario.email)
    found: dict[str, object] = {
        "ascii_domain": domain,
        "registrable_domain": registrable_domain(domain),
        "verdict": judgement.verdict.value,
        "reset": next(word for word, kind in ANSWERS.items() if isinstance(decision, kind)),
        "reason": "STICKY_BLOCK" if facts.blocked else judgement.reason,
    }
    if "block_lifted" in scenario.expect:
        found["block_lifted"] = scenario.blocked_at is not None and not facts.blocked
    if "recheck_within_hours" in scenario.expect:
        hours = (judgement.recheck_at - scenario.now).total_seconds() / 3600
        found["recheck_within_hours"] = max(hours, scenario.expect["recheck_within_hours"])
    return found


@pytest.fixture(scope="module")
def resolvers() -> Iterator[servers.Dns]:
    """One pair of resolvers for all scenarios, each with its own zone."""
    with servers.dns(servers.Zone()) as running:
        yield running


@pytest.fixture(scope="module")
def registry() -> Iterator[servers.Web]:
    """One registry for all scenarios, each with its own answers."""
    with servers.web() as running:
        yield running


@pytest.mark.parametrize("scenario", scenarios(), ids=str)
def test_a_scenario_ends_as_expected(scenario: Scenario, resolvers: servers.Dns, registry: servers.Web) -> None:
    assert conclusion(scenario, resolvers, registry) == scenario.expect


def test_the_thresholds_of_the_file_are_ours() -> None:
    ours = {
        "registration_slack_hours": domain_verdict.REGISTRATION_SLACK // HOUR,
        "confirm_failures": domain_verdict.CONFIRM_FAILURES,
        "confirm_hours": domain_verdict.CONFIRM_AFTER // HOUR,
        "transport_fault_suspect_days": domain_verdict.FAULT_SUSPECT_AFTER.days,
        "rdap_fresh_days": {impact.value: age.days for impact, age in domain_verdict.RDAP_FRESH.items()},
    }
    assert {name: value for name, value in thresholds().items() if name in ours} == ours


# Mail may go out, but something speaks of another owner, or too little is known.
WITHOUT_CONTINUITY = {
    "S09": "the date passed, and the registry renewed by itself",
    "S17": "the registry did not answer",
    "S19": "no registry to ask",
    "S27": "no date of registration",
}


@pytest.mark.parametrize("scenario", [s for s in scenarios() if s.expect["reset"] == "allow"], ids=str)
def test_a_link_completes_at_once_only_where_continuity_is_shown(
    scenario: Scenario, resolvers: servers.Dns, registry: servers.Web
) -> None:
    _, _, decision = decided(scenario, resolvers, registry)
    assert isinstance(decision, Allow)
    assert decision.at_once == (scenario.id not in WITHOUT_CONTINUITY)
