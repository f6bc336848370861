"""What the registry's answers turn into, against a real HTTP server."""

from datetime import UTC, datetime
from typing import Any

import pytest

from authsvc.adapters import rdap
from authsvc.adapters.http import HttpClient
from authsvc.adapters.rdap import RdapClient
from authsvc.core.evidence import RdapEvidence, RdapOutcome
from tests import servers

BODY: dict[str, Any] = {
    "objectClassName": "domain",
    "handle": "D1-ORG",
    "ldhName": "CORP.ORG.",
    "status": ["client transfer prohibited", "autoRenewPeriod"],
    "events": [
        {"eventAction": "registration", "eventDate": "2014-03-02T10:10:11+01:00"},
        {"eventAction": "Reregistration", "eventDate": "2019-01-01"},
        {"eventAction": "expiration", "eventDate": "2027-03-02t09:10:11.123z"},
        {"eventAction": "transfer", "eventDate": "2020-02-30T00:00:00Z"},  # no such day
        {"eventAction": "last changed"},
        "noise",
    ],
    "nameservers": [{"ldhName": "NS2.host.net"}, {"ldhName": "ns1.host.net"}],
    "entities": [
        {"roles": ["abuse"], "handle": "x"},
        {
            "roles": ["registrar"],
            "vcardArray": ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", "One"]]],
        },
    ],
}


def ask(web: servers.Web, domain: str, **answer: Any) -> RdapEvidence:
    """Ask about a domain of which the registry says this."""
    web.add_rdap({domain: answer} if answer else {})
    return RdapClient(HttpClient(total_seconds=1), web.url).look_up(domain)


def test_a_registration_is_read_whole(web_server: servers.Web) -> None:
    assert ask(web_server, "corp.org", http=200, body=BODY) == RdapEvidence(
        outcome=RdapOutcome.FOUND,
        statuses=frozenset({"clienttransferprohibited", "autorenewperiod"}),
        registered_at=datetime(2019, 1, 1, tzinfo=UTC),
        expires_at=datetime(2027, 3, 2, 9, 10, 11, 123000, tzinfo=UTC),
        handle="D1-ORG",
        registrar="One",
        name_servers=("ns1.host.net", "ns2.host.net"),
    )


def test_only_the_registered_part_is_asked_about(web_server: servers.Web) -> None:
    ask(web_server, "lists.eng.corp.co.uk")
    assert web_server.asked == ["/domain/corp.co.uk"]


def test_not_found_is_an_answer(web_server: servers.Web) -> None:
    assert ask(web_server, "gone.org").outcome is RdapOutcome.NOT_FOUND


@pytest.mark.parametrize("domain", ["someone.github.io", "github.io", "corp.zz", "org"])
def test_names_no_registry_registers_are_not_asked_about(web_server: servers.Web, domain: str) -> None:
    assert ask(web_server, domain).outcome is RdapOutcome.NO_SERVICE
    assert web_server.asked == []


@pytest.mark.parametrize(
    ("answer", "detail", "wait"),
    [
        ({"http": 429, "retry_after": 3600}, "status 429", 3600),
        ({"http": 503, "retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, "status 503", None),
        ({"http": "timeout"}, "timeout", None),
        ({"http": 200, "raw": "<html>"}, "not JSON", None),
        ({"http": 200, "raw": "[" * 100_000}, "not JSON", None),
        ({"http": 200, "raw": "[]"}, "not a domain object", None),
        ({"http": 200, "body": {"objectClassName": "entity"}}, "not a domain object", None),
        ({"http": 200, "body": BODY | {"ldhName": "other.org"}}, "about another domain", None),
        ({"http": 200, "raw": "x" * (rdap.MAX_BODY_BYTES + 1)}, "too_large", None),
        ({"http": 302, "location": "http://169.254.169.254/"}, "refused", None),
        ({"http": 204}, "status 204", None),
    ],
)
def test_an_unusable_answer_is_evidence_that_says_why(
    web_server: servers.Web, answer: dict[str, Any], detail: str, wait: int | None
) -> None:
    found = ask(web_server, "corp.org", **answer)
    assert found.outcome is RdapOutcome.UNAVAILABLE
    assert (found.detail, found.retry_after_seconds) == (detail, wait)


@pytest.mark.parametrize(
    "oddity",
    [
        {"status": "active", "events": {}, "nameservers": None, "entities": 7, "handle": 5},
        {
            "events": [{"eventAction": 5, "eventDate": 5}],
            "status": [None],
            "nameservers": [{"ldhName": ".."}],
        },
        {"entities": [{"roles": ["registrar"], "vcardArray": ["vcard", [["fn"], "fn"]]}]},
        {"entities": [{"roles": ["registrar"], "vcardArray": {}}]},
    ],
)
def test_odd_parts_of_an_answer_are_left_out(web_server: servers.Web, oddity: dict[str, Any]) -> None:
    body = {"objectClassName": "domain", **oddity}
    found = ask(web_server, "corp.org", http=200, body=body)
    assert (found.outcome, found.registered_at, found.handle, found.registrar) == (
        RdapOutcome.FOUND,
        None,
        "",
        "",
    )


def test_a_registry_may_send_us_on(web_server: servers.Web) -> None:
    web_server.answers["/moved/corp.org"] = {"http": 200, "body": BODY}
    found = ask(web_server, "corp.org", http=301, location="/moved/corp.org")
    assert found.outcome is RdapOutcome.FOUND


def test_the_shipped_bootstrap_file_names_https_servers() -> None:
    servers_by_tld = rdap._servers()
    assert {"com", "org", "net", "uk", "dev"} <= servers_by_tld.keys()
    assert all(url.startswith("https://") and url.endswith("/") for url in servers_by_tld.values())


def test_a_top_level_domain_that_is_not_in_the_file_has_no_service() -> None:
    found = RdapClient(HttpClient()).look_up("corp.tm")
    assert found.outcome is RdapOutcome.NO_SERVICE
