"""corp.org as the outside tells of it, and what a visitor does with a reset link."""

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from flask import Flask

from authsvc import holds
from authsvc.adapters import HttpClient
from authsvc.adapters.dns import DnsClient
from authsvc.adapters.rdap import RdapClient
from authsvc.core import db
from tests import servers
from tests.people import Outbox, Person, Visitor

NEW = "seven quiet otters paint the harbour"
LINK = re.compile(r"http://localhost:8000(/recovery/reset/\S+)")
ALIVE = [
    ["corp.org", "NS", "ns1.host.net."],
    ["corp.org", "MX", "10 mx.mail.net."],
    ["mx.mail.net", "A", "203.0.113.1"],
    ["ns1.host.net", "A", "203.0.113.53"],
]
NO_DATES: dict[str, Any] = {"http": 200, "body": {"objectClassName": "domain", "handle": "D1"}}


def registered(at: str = "2014-03-02T00:00:00Z") -> dict[str, Any]:
    """The registry's answer about a domain registered then."""
    event = {"eventAction": "registration", "eventDate": at}
    return {"http": 200, "body": {"objectClassName": "domain", "handle": "D1", "events": [event]}}


class Outside:
    """What DNS and the registry say about corp.org."""

    def __init__(self, app: Flask, dns: servers.Dns, web: servers.Web) -> None:
        self.dns, self.web = dns, web
        parts = app.extensions["authsvc.adapters"]
        app.extensions["authsvc.adapters"] = replace(
            parts,
            dns=DnsClient(dns.setting),
            rdap=RdapClient(HttpClient(), web.url),
        )
        self.says(ALIVE, registered())

    def says(self, records: list[list[str]], rdap: dict[str, Any] | None) -> None:
        """From now on; without `rdap` the name is not registered."""
        self.dns.zone = servers.Zone(records)
        self.web.answers.clear()
        if rdap is not None:
            self.web.add_rdap({"corp.org": rdap})


def links(outbox: Outbox, person: Person) -> list[str]:
    """The paths of the links mailed to a person, oldest first."""
    found = (LINK.search(message.get_content()) for message in outbox.to(person.email))
    return [match[1] for match in found if match]


def in_hold(app: Flask, person: Person, now: datetime) -> bool:
    """True while risky actions wait."""
    with app.app_context(), db.transaction():
        return holds.current(person.id, now=now) is not None


def signs_in(visitor: Visitor, person: Person, password: str) -> bool:
    """True when the password is right."""
    answer = visitor.post("/login", username=person.username, password=password)
    return answer.status_code == 303


def reset(visitor: Visitor, path: str, **fields: str) -> int:
    """Open the link and send the form; gives the status of the answer."""
    opened = visitor.get(path)
    assert opened.location == "/recovery/reset"  # the token is out of the address
    return visitor.post("/recovery/reset", new_password=NEW, **fields).status_code
