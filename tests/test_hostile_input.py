"""Hostile input at every route of the URL map: a clear answer with the right status, never a 500."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.routing import Rule

from tests.conftest import Clock
from tests.people import BASE_URL, Person, Visitor

FIELDS = (
    "username", "email", "password", "new_password", "code", "user_code", "label", "way", "credential", "decision",
    "next", "token", "client_id", "client_secret", "redirect_uri", "response_type", "scope", "state", "nonce",
    "code_challenge", "code_challenge_method", "code_verifier", "grant_type", "device_code", "refresh_token",
    "prompt", "max_age", "acr_values", "claims", "request", "request_uri", "id_token_hint", "token_type_hint",
    "post_logout_redirect_uri", "response_mode", "login_hint", "csrf_token",
)  # fmt: skip

NASTY = st.sampled_from(
    [
        "", " ", "\x00", "a" * 5000, "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "' OR 1=1 --",
        "<script>alert(1)</script>", "../../etc/passwd", "%00", "{}", "[]", "null", "-1", "0", "99999999999999999999",
        "ａｌｉｃｅ", "alice\u202e", "ı", "ß@straße.de", "a@b@c", "@", "a@", "a@[127.0.0.1]", "true", "key", "totp",
        "authorization_code", "refresh_token", "openid", "code", "S256", "none", "login", "http://localhost/cb",
        '{"id":"","rawId":"","type":"public-key","response":{}}', '{"id":1,"response":[]}',
        '{"response":{"clientDataJSON":"e30"}}',
    ]
)  # fmt: skip
VALUES = st.one_of(NASTY, st.text(max_size=40))
FORMS = st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), max_size=8)
HEADERS = st.sampled_from(
    [
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + "Og=="},
        {"Authorization": "\u00e9"},
        {"Accept": "application/json"},
        {"Accept": "///"},
        {"Range": "bytes=a"},
        {"X-Forwarded-For": "1.2.3.4, evil"},
        {"Content-Type": "application/json"},
        {"Content-Type": "multipart/form-data"},
        {"Content-Type": "text/plain; charset=nope"},
        {"Cookie": "authsvc-session=; authsvc-session=x; authsvc-login=\u00ff; authsvc-csrf"},
        {"User-Agent": "\u00ff" * 400},
    ]
)
BODIES = st.sampled_from(
    [None, b"", b"\xff\xfe", b"{", b"[" * 2000, b"a=1&a=2&=%ff%00", json.dumps({"username": []}).encode()]
)


def routes(app: Flask) -> list[tuple[Rule, str]]:
    """Every rule with every method it takes."""
    return [
        (rule, method)
        for rule in sorted(app.url_map.iter_rules(), key=str)
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
        if rule.endpoint != "static"
    ]


def fill(rule: Rule, value: str) -> str:
    """The rule's path with `value` in every place."""
    from urllib.parse import quote

    path = rule.rule
    for name in rule.arguments:
        for kind in ("int:", "path:", ""):
            filler = value if kind != "int:" else "".join(c for c in value if c in "0123456789") or "1"
            path = path.replace(f"<{kind}{name}>", quote(filler or "x", safe=""))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("signed_in", [False, True])
def test_no_input_makes_any_route_fail(
    app: Flask, client: Visitor, make_account: Callable[..., Person], clock: Clock, signed_in: bool
) -> None:
    app.config["RATELIMIT_ENABLED"] = False
    bob = make_account("bob", totp_app=True)
    if signed_in:
        client.sign_in(bob, now=clock.now)
    token = client.csrf()
    failures: list[Any] = []

    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(form=FORMS, headers=HEADERS, body=BODIES, value=VALUES, with_token=st.booleans(), pending=st.booleans())
    def throw(
        form: list[tuple[str, str]],
        headers: dict[str, str],
        body: bytes | None,
        value: str,
        with_token: bool,
        pending: bool,
        rule: Rule,
        method: str,
    ) -> None:
        sent: dict[str, list[str]] = {}
        for name, text in form:
            sent.setdefault(name, []).append(text)
        if with_token:
            sent["csrf_token"] = [token]
        if pending:
            client.post("/login", username="bob", password=bob.password)
        options: dict[str, Any] = {"base_url": BASE_URL, "headers": headers}
        if method == "GET":
            options["query_string"] = sent
        elif body is not None and not with_token:
            options["data"] = body
        else:
            options["data"] = sent
        answer = client.http.open(fill(rule, value), method=method, **options)
        if answer.status_code >= 500 or "Traceback" in answer.text:
            failures.append((method, rule.rule, answer.status_code, form, headers, value))
        assert not failures

    for rule, method in routes(app):
        if rule.rule == "/logout":
            continue
        throw(rule=rule, method=method)
    assert failures == []
