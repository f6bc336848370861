"""Mandates and forgotten passwords as people meet them, in a real Chromium."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyotp
from playwright.sync_api import expect

from authsvc import recovery
from authsvc.adapters import HttpClient
from authsvc.adapters.dns import DnsClient
from authsvc.adapters.rdap import RdapClient
from authsvc.app import utc_now
from tests import servers
from tests.journeys.conftest import Site, Visit
from tests.people import PASSWORD, make_person

EXAMPLES = Path(__file__).parents[2] / "examples" / "impact"
NEW = "seven quiet otters paint the harbour"
ALIVE = [
    ["corp.org", "NS", "ns1.host.net."],
    ["corp.org", "MX", "10 mx.mail.net."],
    ["mx.mail.net", "A", "203.0.113.1"],
    ["ns1.host.net", "A", "203.0.113.53"],
]


def command(site: Site, *words: str, **environ: str) -> str:
    """Run the real `authsvc` command on the site's database; its output."""
    settings = site.app.extensions["authsvc.settings"]
    environment = {
        **os.environ,
        "AUTHSVC_INSTANCE_PATH": settings.instance_path,
        "AUTHSVC_BASE_URL": settings.base_url,
        "AUTHSVC_HIBP_BASE_URL": "off",
        **environ,
    }
    done = subprocess.run(
        [sys.executable, "-m", "authsvc.cli", *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_maintainer_of_a_much_used_package_cannot_finish_a_sign_in_without_a_second_step(
    site: Site, visit: Visit
) -> None:
    address = visit.register("alice")
    command(site, "impact", "import", str(EXAMPLES / "packages.csv.gz"), str(EXAMPLES / "maintainers.csv"))
    assert command(site, "mandates", "apply") == "1 mandate given or brought forward.\n"
    visit.sign_out()
    visit.fill(username="alice", password=PASSWORD)
    visit.press("Sign in")
    visit.type_mailed_code(address)
    visit.page.get_by_role("heading", name="Add a second step").wait_for()
    expect(visit.page.get_by_text("The npm package semver, which you maintain")).to_be_visible()
    visit.look()
    visit.page.goto(f"{site.origin}/account")
    visit.page.wait_for_url("**/login?next=/account")  # nothing is open yet
    visit.page.goto(f"{site.origin}/login/next")
    visit.page.locator("button[name=way][value=totp]").click()
    visit.page.get_by_text("Cannot scan it?").click()
    seed = visit.page.locator("#secret").inner_text().replace(" ", "")
    visit.page.locator("input[name=code]").fill(pyotp.TOTP(seed).at(utc_now()))
    visit.page.locator("#codes").wait_for()
    visit.fill(code=visit.page.locator("#codes code").first.inner_text())
    visit.press("I have saved them")
    visit.expect("/account")
    visit.page.get_by_role("button", name="Remove Authenticator app").click()
    expect(visit.page.get_by_text("this is the last one")).to_be_visible()
    visit.look()


def test_a_link_is_mailed_to_a_healthy_domain_and_never_to_one_that_lapsed(
    site: Site, visit: Visit, dns_server: servers.Dns, web_server: servers.Web
) -> None:
    registered = {"eventAction": "registration", "eventDate": "2014-03-02T00:00:00Z"}
    answer: dict[str, Any] = {"objectClassName": "domain", "handle": "D1", "events": [registered]}
    parts = site.app.extensions["authsvc.adapters"]
    site.app.extensions["authsvc.adapters"] = replace(
        parts, dns=DnsClient(dns_server.setting), rdap=RdapClient(HttpClient(), web_server.url)
    )
    dns_server.zone = servers.Zone(ALIVE)
    web_server.add_rdap({"corp.org": {"http": 200, "body": answer}})
    dana = make_person(site.app, "dana", email="dana@corp.org", now=utc_now(), age=timedelta(days=1))

    def ask() -> str:
        visit.open("/recovery")
        visit.fill(username="dana")
        visit.press("Send a link")
        visit.expect("/recovery/sent")
        with site.app.app_context():
            recovery.process_resets(now=utc_now())
        return visit.page.locator("main").inner_text()

    told = ask()
    (mail,) = [m for m in site.outbox.to("dana@corp.org") if m["Subject"].startswith("Set a new password")]
    link = re.search(r"http://\S+/recovery/reset/\S+", mail.get_content())
    assert link
    visit.page.goto(link[0])
    visit.expect("/recovery/reset")
    visit.fill(new_password=NEW)
    visit.press("Save new password")
    visit.expect("/login")
    visit.page.goto(link[0])
    expect(visit.page.get_by_role("heading", name="This link no longer works")).to_be_visible()
    visit.look()
    visit.open("/login")
    visit.fill(username="dana", password=NEW)
    visit.press("Sign in")
    visit.type_mailed_code(dana.email)
    visit.expect("/account")
    expect(visit.page.get_by_text("Your password was reset by mail.")).to_be_visible()
    visit.sign_out()
    # The domain is dropped: the next request is refused, and the page says what it always says.
    dns_server.zone = servers.Zone([])
    web_server.answers.clear()
    outside = {"AUTHSVC_DNS_RESOLVERS": dns_server.setting, "AUTHSVC_RDAP_BASE_URL": web_server.url}
    assert "lapsed: NOT_REGISTERED" in command(site, "domains", "check", "corp.org", **outside)
    assert ask() == told
    assert len([m for m in site.outbox.to("dana@corp.org") if m["Subject"].startswith("Set a new password")]) == 1
