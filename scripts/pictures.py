"""Make the README's pictures: drive a running `authsvc serve` in Chromium as somebody new would.

    .venv/bin/python scripts/pictures.py http://localhost:8000 docs/pictures

Registers an account (its codes are read at /dev/mailbox), enrols an app and a passkey, and asks for a device grant.
"""

import re
import sys
import time
from pathlib import Path

import pyotp
import requests
from playwright.sync_api import Browser, Page, sync_playwright

PASSWORD = "correct horse battery staple"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}


def mailed_code(page: Page, origin: str, address: str) -> str:
    """The code in the newest local mail to the address; waits for the worker."""
    for _ in range(50):
        found = page.request.get(f"{origin}/dev/mailbox").text()
        links = re.findall(r'href="(/dev/mailbox/[^"]+)"', found)
        for link in links[:1]:
            text = page.request.get(origin + link).text()
            code = re.search(r"^(\d{8})$", text, re.MULTILINE)
            if address in text and code and code[1] not in SEEN:
                SEEN.add(code[1])
                return code[1]
        time.sleep(0.2)
    raise SystemExit(f"no code arrived for {address}; is the worker running?")


SEEN: set[str] = set()


def register(page: Page, origin: str, name: str) -> str:
    """Register and confirm."""
    address = f"{name}@example.test"
    page.goto(f"{origin}/register")
    page.fill("input[name=username]", name)
    page.fill("input[name=email]", address)
    page.fill("input[name=password]", PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.fill("input[name=code]", mailed_code(page, origin, address))
    page.wait_for_url("**/account")
    return address


def enrol(page: Page, origin: str, address: str, way: str) -> None:
    """Begin an enrolment with the step-up."""
    page.goto(f"{origin}/account/enrol")
    page.locator(f"button[value={way}]").click()
    page.wait_for_url("**/step-up/*")
    page.fill("input[name=password]", PASSWORD)
    page.fill("input[name=code]", mailed_code(page, origin, address))
    page.get_by_role("button", name="Prove and do it").click()
    page.wait_for_url("**/account/enrol/now")


def device_page(page: Page, origin: str, client_id: str) -> None:
    """Ask for a device grant as a command-line client would, and open its approval page."""
    scope = "openid packages:read packages:publish"
    answer = requests.post(
        f"{origin}/oauth2/device_authorization", data={"client_id": client_id, "scope": scope}, timeout=10
    ).json()
    page.goto(f"{origin}/device")
    page.fill("input[name=user_code]", answer["user_code"])
    page.get_by_role("button", name="Continue").click()
    page.wait_for_load_state()


def main() -> None:
    """Take the pictures; a client id for the device grant may follow as third argument."""
    origin, folder = sys.argv[1], Path(sys.argv[2])
    client_id = sys.argv[3] if len(sys.argv) > 3 else ""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"alice{int(time.time()) % 100000}"
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport=DESKTOP, color_scheme="light", locale="en-GB")
        page.goto(f"{origin}/login")
        page.screenshot(path=folder / "sign-in.png")
        address = register(page, origin, name)
        enrol(page, origin, address, "totp")
        page.locator("summary").click()
        seed = page.locator("#secret").inner_text().replace(" ", "")
        page.fill("input[name=code]", pyotp.TOTP(seed).now())
        page.locator("#codes").wait_for()
        page.fill("input[name=code]", page.locator("#codes code").first.inner_text())
        page.get_by_role("button", name="I have saved them").click()
        page.wait_for_url("**/account")
        page.screenshot(path=folder / "security.png")
        if client_id:
            device_page(page, origin, client_id)
            page.screenshot(path=folder / "device.png", full_page=True)
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size(PHONE)
        page.goto(f"{origin}/account")
        page.screenshot(path=folder / "phone-dark.png")
        browser.close()


if __name__ == "__main__":
    main()
