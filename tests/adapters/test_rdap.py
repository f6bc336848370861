"""What the registry's answers turn into, against a real HTTP server."""

from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
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
        ({"http": 503}, "status 503", 60),
        ({"http": 500}, "status 500", None),
        ({"http": 500, "retry_after": 10**12}, "status 500", 86400),
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
    servers_by_tld = rdap.shipped_servers()
    assert {"com", "org", "net", "uk", "dev"} <= servers_by_tld.keys()
    assert all(url.startswith("https://") and url.endswith("/") for url in servers_by_tld.values())


def test_a_top_level_domain_that_is_not_in_the_file_has_no_service() -> None:
    client = RdapClient(HttpClient())
    assert client.server_of("corp.tm") == ""
    assert client.look_up("corp.tm").outcome is RdapOutcome.NO_SERVICE


@pytest.mark.parametrize("domain", ["corp.org", "lists.eng.corp.org"])
def test_a_newer_file_stands_for_the_shipped_one(domain: str) -> None:
    newer = {"org": "https://rdap.new.example/"}
    assert RdapClient(HttpClient()).server_of(domain, newer) == "https://rdap.new.example/"
    assert RdapClient(HttpClient()).server_of("corp.com", newer) == ""
    assert RdapClient(HttpClient(), "http://127.0.0.1:9").server_of(domain, newer) == "http://127.0.0.1:9"


def test_a_bootstrap_file_leads_to_no_private_server(web_server: servers.Web) -> None:
    client = RdapClient(HttpClient())
    for server in (web_server.url, "https://127.0.0.1:1/", "https://10.0.0.1/"):
        assert client.look_up("corp.org", server).detail == "refused"
    assert web_server.asked == []


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://169.254.169.254/", "refused"),
        ("https://127.0.0.1:1/domain/corp.org", "refused"),
        ("https://10.0.0.1/domain/corp.org", "refused"),
        ("https://[::1]/domain/corp.org", "refused"),
        ("https://[64:ff9b::7f00:1]/domain/corp.org", "refused"),
        ("ftp://203.0.113.1/", "refused"),
        ("/domain/corp.org", "too_many_redirects"),
    ],
)
def test_a_registry_sends_us_to_no_private_place_and_round_no_circle(
    web_server: servers.Web, location: str, why: str
) -> None:
    found = ask(web_server, "corp.org", http=302, location=location)
    assert (found.outcome, found.detail) == (RdapOutcome.UNAVAILABLE, why)


SAID_AT = "Tue, 24 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        ("0", timedelta(0)),
        ("120", timedelta(minutes=2)),
        ("86400", timedelta(days=1)),
        ("86401", timedelta(days=1)),
        ("9" * 5000, timedelta(days=1)),
        ("Tue, 24 Nov 2026 12:00:01 GMT", timedelta(seconds=1)),
        ("Tuesday, 24-Nov-26 13:00:00 GMT", timedelta(hours=1)),
        ("Tue Nov 24 13:00:00 2026", None),  # without a zone, so not to be compared
        ("Wed, 25 Nov 2026 12:00:01 GMT", timedelta(days=1)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(days=1)),
        ("Tue, 24 Nov 2026 11:59:59 GMT", timedelta(0)),
        ("Tue, 99 Nov 2026 11:59:59 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("\N{SUPERSCRIPT TWO}", None),
        ("soon", None),
        ("", None),
    ],
)
def test_how_long_to_wait_is_read_in_both_forms(told: str, wait: timedelta | None) -> None:
    assert rdap.retry_after({"retry-after": told, "date": SAID_AT}) == wait


def test_a_date_to_wait_for_means_nothing_without_the_answer_s_own() -> None:
    assert rdap.retry_after({"retry-after": SAID_AT}) is None


class BusyRegistry(BaseHTTPRequestHandler):
    """Asks to be left alone until a date, by a clock that is wrong."""

    def do_GET(self) -> None:
        self.send_response(429)
        self.send_header("Retry-After", "Mon, 01 Jan 2001 01:00:00 GMT")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Mon, 01 Jan 2001 00:00:00 GMT"

    def log_message(self, *_args: object) -> None:
        """Tests need no access log."""


def test_only_the_registry_s_own_clock_counts_for_a_date_it_names() -> None:
    with HTTPServer(("127.0.0.1", 0), BusyRegistry) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        found = RdapClient(HttpClient(), f"http://127.0.0.1:{server.server_port}").look_up("corp.org")
        thread.join()
    assert (found.detail, found.retry_after_seconds) == ("status 429", 3600)
