"""Other programs: the example site and the example command-line client, driven through Chromium against the service."""

import importlib.util
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import expect

from authsvc.app import utc_now
from authsvc.core import db
from authsvc.oidc import clients
from tests import servers
from tests.journeys.conftest import Site, VirtualKey, Visit
from tests.journeys.test_browser import enrol, keep_codes
from tests.people import PASSWORD

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(path: str) -> ModuleType:
    """A script of `examples/`, loaded."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def register(site: Site, **metadata: Any) -> tuple[str, str]:
    """A client and its secret, empty for public ones."""
    with site.app.app_context(), db.transaction():
        client_id, secret = clients.put(None, clients.read_metadata(metadata), secret=None, now=utc_now())
    return client_id, secret or ""


@pytest.fixture
def shop(site: Site) -> Iterator[str]:
    """The example site, registered and served; where it is."""

    def make(origin: str) -> Any:
        client_id, secret = register(
            site,
            client_name="Example shop",
            redirect_uris=[f"{origin}/callback"],
            post_logout_redirect_uris=[f"{origin}/"],
        )
        return example("relying_party/app.py").create_app(client_id, secret, site.origin)

    with servers.live(make) as origin:
        yield origin


def sign_in(visit: Visit, address: str) -> None:
    """Type password and mailed code."""
    expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()
    visit.fill(username="alice", password=PASSWORD)
    visit.press("Sign in")
    expect(visit.page.get_by_role("heading", name="Check your mail")).to_be_visible()
    visit.type_mailed_code(address)


def test_a_site_signs_a_person_in_and_out(visit: Visit, shop: str) -> None:
    address = visit.register()
    visit.sign_out()
    # The site leads here, and after sign-in and consent the person is back
    visit.page.goto(shop)
    visit.page.get_by_role("link", name="Sign in with authsvc").click()
    sign_in(visit, address)
    expect(visit.page.get_by_role("heading", name="Continue to Example shop?")).to_be_visible()
    visit.look()
    visit.page.get_by_role("button", name="Continue").click()
    expect(visit.page.get_by_text("Hello alice")).to_be_visible()
    table = visit.page.locator("table").inner_text()
    assert re.search(rf"email\s+{address}", table)
    assert re.search(r"acr\s+aal1", table)
    # Signing out there signs out here, after a question
    visit.page.get_by_role("button", name="Sign out").click()
    expect(visit.page.get_by_role("heading", name="Sign out?")).to_be_visible()
    visit.look()
    visit.page.get_by_role("button", name="Sign out", exact=True).last.click()
    expect(visit.page.get_by_text("You are nobody yet.")).to_be_visible()
    visit.open("/account")
    expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_site_asks_for_a_key_and_gets_one(visit: Visit, shop: str) -> None:
    address = visit.register()
    VirtualKey(visit.page)
    enrol(visit, "key")
    visit.fill(label="Laptop")
    visit.press("Continue")
    keep_codes(visit)
    visit.page.goto(f"{shop}/sign-in")
    visit.page.get_by_role("button", name="Continue").click()
    expect(visit.page.get_by_text("Hello alice")).to_be_visible()
    visit.page.get_by_role("link", name="Open the vault").click()
    expect(visit.page.get_by_text("you may open the vault")).to_be_visible()  # by autofill, which the key answers
    assert address in visit.page.locator("table").inner_text()


def test_a_command_line_program_is_let_in_from_the_browser(
    visit: Visit, site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    visit.register()
    client_id, _ = register(
        site,
        client_name="Example tool",
        token_endpoint_auth_method="none",
        grant_types=["urn:ietf:params:oauth:grant-type:device_code"],
        scope="openid profile packages:read",
    )
    tool = example("device_client/login.py")
    asked, decided = threading.Event(), threading.Event()
    answers: list[str] = []

    def wait(_seconds: float) -> None:
        asked.set()
        assert decided.wait(60)

    monkeypatch.setattr(tool, "ISSUER", site.origin)
    monkeypatch.setattr(tool.time, "sleep", wait)
    running = threading.Thread(
        target=lambda: answers.append(tool.main(client_id, ["openid", "profile", "packages:read"]))
    )
    running.start()
    assert asked.wait(30)
    said = capsys.readouterr().out
    code, phrase = re.search(r"type (\S+)", said), re.search(r"the words “(.+)”", said)
    assert code is not None
    assert phrase is not None
    visit.open(f"/device?user_code={code[1]}")
    visit.press("Continue")
    expect(visit.page.get_by_role("heading", name="Is this you?")).to_be_visible()
    expect(visit.page.get_by_text(phrase[1])).to_be_visible()
    visit.press("Approve")
    expect(visit.page.get_by_role("heading", name="Approved")).to_be_visible()
    decided.set()
    running.join(timeout=30)
    assert answers[0].startswith("authsvc_at_")
    assert "Signed in as alice, for: openid profile packages:read" in capsys.readouterr().out
