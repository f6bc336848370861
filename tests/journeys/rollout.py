"""A registry that rolls a mandate out as its operator does: phases, imports, `mandates apply` as time passes."""

import json
import re
import urllib.parse
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, expect

from authsvc import mail, mandates
from authsvc.core import db
from authsvc.oidc import clients
from tests.conftest import Clock
from tests.journeys.conftest import NewVisit, Site, Visit
from tests.people import PASSWORD, make_person

IMPACT, MANDATES = mandates.commands
PHONE: dict[str, Any] = {"color_scheme": "dark", "viewport": {"width": 320, "height": 640}}
CHECKED_ELSEWHERE = {"Sign in · authsvc", "Check your mail · authsvc"}
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Rollout:
    """What the operator of a site types."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self.site, self.clock = site, clock
        self.folder = Path(site.app.extensions["authsvc.settings"].instance_path)

    def run(self, *words: str) -> str:
        """Run `authsvc …`, with the time of the test; its output."""
        group = {"impact": IMPACT, "mandates": MANDATES}[words[0]]
        result = self.site.app.test_cli_runner().invoke(group, words[1:])
        assert result.exit_code == 0, result.output
        return result.stdout

    def phase(self, name: str = "top", *, enforced_in: timedelta, **more: str) -> datetime:
        """Write a phase down, for packages with a million downloads, from a day on; that day."""
        day = self.clock.now + enforced_in
        rule = {"weekly_downloads": "1_000_000", "enforced_from": day.isoformat(), "grace_days": "0", **more}
        lines = [f"[{name}]", *(f"{key} = {value}" for key, value in rule.items())]
        with (self.folder / "mandates.toml").open("a") as file:
            file.write("\n".join(lines) + "\n")
        return day

    def brown_out(self, *, begins_in: timedelta) -> str:
        """Three hours, as a phase has them."""
        begins = self.clock.now + begins_in
        return f"[[{begins.isoformat()}, {(begins + timedelta(hours=3)).isoformat()}]]"

    def load(self, *accounts: str, weekly_downloads: int = 2_400_000) -> None:
        """Import who maintains left-pad and how much it is used, and apply what follows."""
        packages, maintainers = self.folder / "packages.csv", self.folder / "maintainers.csv"
        packages.write_text(f"ecosystem,name,weekly_downloads\nnpm,left-pad,{weekly_downloads}\n")
        maintainers.write_text("ecosystem,package,account\n" + "".join(f"npm,left-pad,{name}\n" for name in accounts))
        self.run("impact", "import", str(packages), str(maintainers), "--even-if-many-go")
        self.apply()

    def apply(self) -> None:
        """What the worker does every hour, and what it delivers."""
        self.run("mandates", "apply")
        with self.site.app.app_context():
            mail.deliver(now=self.clock.now)

    def wait(self, **distance: float) -> None:
        """Let time pass, then apply."""
        self.clock.advance(**distance)
        self.apply()

    def mails(self, address: str) -> list[tuple[str, str]]:
        """Subject and text of every mail about mandates to the address, oldest first."""
        found = [(str(m["Subject"]), str(m.get_content())) for m in self.site.outbox.to(address)]
        return [(subject, text) for subject, text in found if "required for" in subject or "exempt" in subject]


def with_alice(site: Site, new_visit: NewVisit, clock: Clock) -> tuple[Rollout, Visit]:
    """The operator's hand, and alice: without a second step, on a phone that has been known for 40 days."""
    make_person(site.app, "alice", now=clock.now)
    alice = new_visit(**PHONE)
    alice.checked |= CHECKED_ELSEWHERE
    sign_in(alice)
    alice.page.wait_for_url("**/account")
    clock.advance(days=40)
    return Rollout(site, clock), alice


def fits(visit: Visit) -> bool:
    """Nothing has to be scrolled sideways."""
    return not visit.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def banner(visit: Visit) -> Locator:
    """What every page says about the mandate."""
    return visit.page.locator(".alert").filter(has_text=re.compile("required (since|from)"))


def sign_in(visit: Visit, username: str = "alice", *, password: str = PASSWORD, next_path: str = "/account") -> None:
    """Type password and mailed code, on the way to a page."""
    visit.open(f"/login?next={next_path}")
    visit.fill(username=username, password=password)
    visit.press("Sign in")
    expect(visit.page.get_by_role("heading", name="Check your mail")).to_be_visible()
    visit.type_mailed_code(f"{username}@example.test")


def is_asked(visit: Visit, heading: str = "Add a second step") -> None:
    """The sign-in leads to enrolment, and nothing is open."""
    expect(visit.page.get_by_role("heading", name=heading)).to_be_visible()
    visit.look()
    assert fits(visit)


def enrols_key(visit: Visit, label: str) -> None:
    """Add a key inside the sign-in, as far as the recovery codes or the page it was on the way to."""
    visit.page.locator("button[name=way][value=key]").click()
    visit.page.wait_for_url("**/login/enrol/key")
    visit.look()
    assert fits(visit)
    visit.fill(label=label)
    visit.press("Continue")


def keeps_codes(visit: Visit) -> list[str]:
    """Read the recovery codes and type one back."""
    expect(visit.page.get_by_role("heading", name="Keep your recovery codes")).to_be_visible()
    visit.look()
    assert fits(visit)
    codes = visit.page.locator("#codes code").all_inner_texts()
    visit.fill(code=codes[0])
    visit.press("I have saved them")
    return codes


class Tool:
    """A command-line program that the account let in, and the registry that asks what its token is worth."""

    def __init__(self, site: Site, now: datetime) -> None:
        self.origin = site.origin
        tool = {"grant_types": [DEVICE_GRANT], "token_endpoint_auth_method": "none", "scope": "openid packages:read"}
        registry = {"resource_server": True, "token_endpoint_auth_method": "client_secret_post"}
        with site.app.app_context(), db.transaction():
            (self.id, _), (self.registry, self.secret) = (
                clients.put(None, clients.read_metadata({"client_name": name, **sent}), secret=None, now=now)
                for name, sent in (("A program", tool), ("The registry", registry))
            )
        self.token = ""

    def connect(self, visit: Visit) -> None:
        """Have the person at the browser let it in."""
        asked = self._post("device_authorization", client_id=self.id, scope="openid packages:read")
        visit.open(f"/device?user_code={asked['user_code']}")
        visit.press("Continue")
        visit.press("Approve")
        expect(visit.page.get_by_role("heading", name="Approved")).to_be_visible()
        got = self._post("token", client_id=self.id, grant_type=DEVICE_GRANT, device_code=asked["device_code"])
        self.token = got["access_token"]

    def worth(self) -> dict[str, Any]:
        """What the registry is told of the token."""
        return self._post("introspect", token=self.token, client_id=self.registry, client_secret=self.secret or "")

    def _post(self, endpoint: str, **form: str) -> dict[str, Any]:
        sent = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"{self.origin}/oauth2/{endpoint}", sent, timeout=10) as answer:  # noqa: S310 -- loopback
            found: dict[str, Any] = json.load(answer)
        return found
