"""Sign a command-line program in by the device grant (RFC 8628): `python login.py CLIENT_ID [SCOPE …]`.

Register the program once:
    authsvc clients create "Example tool" --public --device --scope "openid profile packages:read"
"""

import os
import sys
import time
from typing import Any

import requests

ISSUER = os.environ.get("AUTH_ISSUER", "http://localhost:8000")
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def post(url: str, **form: str) -> dict[str, Any]:
    """A form sent to the service; its JSON answer, whatever the status."""
    answer = requests.post(url, data=form, timeout=30)
    found: dict[str, Any] = answer.json()
    return found


def main(client_id: str, scopes: list[str]) -> str:
    """Ask for codes, show them, wait for the person, print who they are."""
    service = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=30).json()
    asked = post(service["device_authorization_endpoint"], client_id=client_id, scope=" ".join(scopes))
    if "error" in asked:
        sys.exit(f"{asked['error']}: {asked['error_description']}")
    print(f"Open {asked['verification_uri']} and type {asked['user_code']}")
    print(f"The page must show the words “{asked['phrase']}”. Waiting …")
    wait = asked["interval"]
    while True:
        time.sleep(wait)
        got = post(service["token_endpoint"], grant_type=GRANT, client_id=client_id, device_code=asked["device_code"])
        match got.get("error"):
            case "authorization_pending":
                continue
            case "slow_down":
                wait += 5
            case None:
                break
            case error:
                sys.exit(f"{error}: {got['error_description']}")
    headers = {"Authorization": f"Bearer {got['access_token']}"}
    who = requests.get(service["userinfo_endpoint"], headers=headers, timeout=30).json()
    print(f"Signed in as {who.get('preferred_username', who['sub'])}, for: {got['scope']}")
    return str(got["access_token"])  # a real tool keeps it where nobody else can read it


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:] or ["openid", "profile", "packages:read"])
