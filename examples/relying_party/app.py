"""A small site that signs people in through authsvc, with Authlib as its OpenID Connect client.

    python examples/relying_party/app.py

registers itself on first start (with the `authsvc` command beside this Python), then serves http://localhost:5000.
Elsewhere, register it by hand and set RP_CLIENT_ID, RP_CLIENT_SECRET and RP_ISSUER.
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

from authlib.integrations.flask_client import OAuth
from authlib.integrations.flask_client.apps import FlaskOAuth2App
from flask import Flask, abort, redirect, render_template_string, request, session, url_for
from werkzeug.wrappers import Response

ISSUER = os.environ.get("RP_ISSUER", "http://localhost:8000")
SITE = os.environ.get("RP_SITE", "http://localhost:5000")
REMEMBERED = Path(__file__).parents[2] / "instance" / "relying-party.json"

PAGE = """<!doctype html>
<html lang="en-GB"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Example shop</title>
<style>
body { font: 1rem/1.5 system-ui; max-width: 40rem; margin: 10vh auto; padding: 0 1rem }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; overflow-wrap: anywhere }
button { font: inherit; padding: .4rem 1rem }
</style></head>
<body><h1>Example shop</h1>
{% if who %}
<p>Hello <strong>{{ who.preferred_username or who.sub }}</strong>, authsvc says this about you:</p>
<table>{% for name, value in who.items() %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>{% endfor %}</table>
<p>{% if who.acr in ('phr', 'phrh') %}You used a key or passkey, so you may open the vault.
{% else %}<a href="{{ url_for('sign_in', strong=1) }}">Open the vault</a> (asks for a key or passkey){% endif %}</p>
<form method="post" action="{{ url_for('sign_out') }}"><button>Sign out</button></form>
{% else %}
<p>You are nobody yet.</p><p><a href="{{ url_for('sign_in') }}">Sign in with authsvc</a></p>
{% endif %}</body></html>"""


def credentials() -> tuple[str, str]:
    """Client id and secret: from the environment, remembered, or registered now."""
    if "RP_CLIENT_ID" in os.environ:
        return os.environ["RP_CLIENT_ID"], os.environ["RP_CLIENT_SECRET"]
    if not REMEMBERED.exists():
        authsvc = str(Path(sys.executable).with_name("authsvc"))
        words = ["clients", "create", "Example shop", "--redirect-uri", f"{SITE}/callback"]
        words += ["--post-logout-redirect-uri", f"{SITE}/", "--json"]
        made = subprocess.run([authsvc, *words], check=True, capture_output=True, text=True).stdout  # noqa: S603
        REMEMBERED.touch(mode=0o600)
        REMEMBERED.write_text(made)
    found = json.loads(REMEMBERED.read_text())
    return found["client_id"], found["client_secret"]


def create_app(client_id: str, client_secret: str, issuer: str = ISSUER) -> Flask:
    """The site. It keeps what the ID token said in its own signed cookie."""
    app = Flask(__name__)
    app.secret_key = secrets.token_bytes(32)
    app.config["SESSION_COOKIE_NAME"] = "example-shop"  # cookies of one host are shared by all its ports
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    authsvc: FlaskOAuth2App = OAuth(app).register(
        "authsvc",
        client_id=client_id,
        client_secret=client_secret,
        server_metadata_url=f"{issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256"},
    )

    @app.get("/")
    def home() -> str:
        return render_template_string(PAGE, who=session.get("who"))

    @app.get("/sign-in")
    def sign_in() -> Response:
        """Authlib keeps state, nonce and the PKCE verifier in the session."""
        wish = {"acr_values": "phr", "max_age": "300"} if "strong" in request.args else {}
        answer: Response = authsvc.authorize_redirect(url_for("callback", _external=True), **wish)
        return answer

    @app.get("/callback")
    def callback() -> Response:
        """Only an answer of our issuer counts (RFC 9207); Authlib checks state, signature, audience and nonce."""
        if request.args.get("iss") != issuer:
            abort(400)
        if "error" in request.args:
            abort(400, request.args.get("error_description"))
        token = authsvc.authorize_access_token()
        told = {**token["userinfo"], **authsvc.userinfo(token=token)}
        shown = ("sub", "preferred_username", "email", "acr", "amr", "auth_time")
        session["who"] = {name: told[name] for name in shown if name in told}
        session["id_token"] = token["id_token"]
        return redirect(url_for("home"), code=303)

    @app.post("/sign-out")
    def sign_out() -> Response:
        """Here, and at authsvc if the person agrees there."""
        hint = session.pop("id_token", "")
        session.clear()
        after = {"id_token_hint": hint, "post_logout_redirect_uri": url_for("home", _external=True)}
        end_session = authsvc.load_server_metadata()["end_session_endpoint"]
        return redirect(f"{end_session}?{urlencode(after)}", code=303)

    return app


if __name__ == "__main__":
    create_app(*credentials()).run(port=int(SITE.rpartition(":")[2]))
