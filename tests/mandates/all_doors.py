"""What somebody who is covered does at each door, with everything short of what the mandate asks for."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pyotp
from sqlalchemy import select

from authsvc import accounts, freezes, mandates
from authsvc.accounts.models import Account
from authsvc.core import db
from authsvc.core.assurance import Factor
from authsvc.core.web import Client
from authsvc.login import passes
from authsvc.policy.cohort import Cohort, Phase
from authsvc.policy.freeze import FreezeCause
from authsvc.recovery import unfreezing
from authsvc.recovery.service import _mail_link
from tests.authenticator import Authenticator
from tests.mandates.entering import APP, CODE, PUBLISH, SCOPE, Attempt
from tests.oidc.site import DEVICE_GRANT, REDIRECT, handle_of, query_of
from tests.people import BASE_URL
from tests.recovery.corp import NEW
from tests.slices import request_to

CODES = re.compile(r"\b\d{4} \d{4} \d{4} \d{4}\b")
SECRET = re.compile(r'<code id="secret">([A-Z2-7 ]+)</code>')
LINK = re.compile(r"http://localhost:8000(/(?:recovery/(?:reset|unfreeze)|login/pass)/\S+)")
HERE = Client(ip="127.0.0.1", network="127.0.0.1", browser="Firefox on Linux")

# The sign-in page


def mailed_code(a: Attempt) -> Iterator[None]:
    """Password and mailbox."""
    a.first()
    yield
    a.post("/login/code", code=a.mailed_code())
    a.press_on()


def app(a: Attempt) -> Iterator[None]:
    """Password and app."""
    if a.held.app:
        a.first()
        yield
        a.post("/login/totp", code=a.app_code())
        a.shown.add(APP)
        a.press_on()


def recovery_code(a: Attempt) -> Iterator[None]:
    """Password and recovery code; where they are left over, the mailbox as well."""
    if a.held.codes:
        a.first()
        yield
        a.post("/login/recovery-code", code=a.person.codes[0])
        a.shown.add(CODE)
        yield
        a.post("/login/code", code=a.mailed_code())
        a.press_on()


def security_key(a: Attempt) -> Iterator[None]:
    """Password and key."""
    if a.held.keys:
        a.first()
        yield
        a.key("/login/key/options", "/login/key")
        a.press_on()


def passkey(a: Attempt) -> Iterator[None]:
    """A passkey alone; with the page opened before the day."""
    if a.held.keys:
        yield
        a.key("/login/passkey/options", "/login/passkey", user_verified=True)
        a.press_on()


def new_password(a: Attempt) -> Iterator[None]:
    """A password that has to be replaced, inside the sign-in."""
    with request_to(a.app):
        accounts.require_new_password(a.person.id, "breached")
    a.first()
    a.second()
    yield
    a.post("/login/new-password", new_password=NEW)
    a.press_on()


def enrols_app(a: Attempt) -> Iterator[None]:
    """The app that a sign-in asks for, also where it asks for a key."""
    a.first()
    a.second()
    a.post("/login/enrol", way="totp")
    page = a.visitor.get("/login/enrol/totp").text
    secret = SECRET.search(page)
    if secret is None:
        return
    yield
    a.clock.advance(seconds=30)
    a.post("/login/enrol/totp", code=pyotp.TOTP(secret[1].replace(" ", "")).at(a.clock.now))
    keep_codes(a, "/login/enrol/codes", a.visitor.get("/login/enrol/totp").text)
    a.shown.add(APP)
    a.press_on()


def enrols_key(a: Attempt) -> Iterator[None]:
    """One key, the first or the second."""
    a.first()
    a.second()
    a.post("/login/enrol", way="key")
    asked = a.post("/login/enrol/key/options")
    if asked.status_code != 200:
        return
    yield
    a.post("/login/enrol/key", credential=Authenticator(origin=BASE_URL).register(asked.text), label="New")
    keep_codes(a, "/login/enrol/codes", a.visitor.get("/login/enrol/key").text)
    a.shown.add(Factor.SECURITY_KEY)
    a.press_on()


def keep_codes(a: Attempt, path: str, page: str) -> None:
    """Type one of the recovery codes back that a page shows, where it shows any."""
    codes = CODES.findall(page)
    if codes:
        a.post(path, code=codes[0])


# Other ways to the sign-in page


def registration(a: Attempt) -> Iterator[None]:
    """A name that the registry knows, registered."""
    name, email = f"{a.name}-new", f"{a.name}@new.test"
    day = a.day or a.clock.now + timedelta(seconds=1)
    phase = Phase(
        name="team",
        cohort=Cohort(accounts=frozenset({name})),
        announced=a.clock.now,
        enforced_from=day,
        strength=a.strength,
        grace=timedelta(0),
    )
    with request_to(a.app):
        mandates.change_phases([phase], reason="A test", set_by="test", now=a.clock.now)
    a.post("/register", username=name, email=email, password=NEW)
    a.person.email, a.name = email, name
    yield
    a.post("/register/confirm", code=a.mailed_code())
    a.press_on()
    with request_to(a.app):
        a.person.id = db.session().scalar(select(Account.id).where(Account.username == name)) or 0
    a.shown = {Factor.PASSWORD}


def _mailed_link(a: Attempt) -> str:
    for message in reversed(a.world.outbox.to(a.person.email)):
        found = LINK.search(message.get_content())
        if found:
            return found[1]
    raise AssertionError("no link was mailed")


def _reset_link(a: Attempt, *, at_once: bool) -> str:
    with request_to(a.app):
        account, address = accounts.get(a.person.id), accounts.mail_address(a.person.id)
        assert address is not None
        _mail_link(account, address, HERE, at_once=at_once, waits=not at_once, now=a.clock.now)
    return _mailed_link(a)


def _type_new_password(a: Attempt) -> None:
    """With the app beside it where there is one, else with the key, else alone."""
    if a.held.app:
        done = a.post("/recovery/reset", new_password=NEW, code=a.app_code())
        if done.status_code == 303:
            return
    if a.person.key is not None:
        a.key("/recovery/reset/key", "/recovery/reset", user_verified=True, new_password=NEW)
    else:
        a.post("/recovery/reset", new_password=NEW)


def reset(a: Attempt) -> Iterator[None]:
    """A reset link, with the factor it asks for, and then the sign-in page."""
    link = _reset_link(a, at_once=True)
    yield
    a.visitor.get(link)
    _type_new_password(a)
    a.password = NEW
    yield
    a.first()
    a.second()
    a.press_on()


def delayed_reset(a: Attempt) -> Iterator[None]:
    """A reset that waits for three days, and then the sign-in page."""
    if a.held.app or a.held.keys:  # proved inside, it would not wait
        return
    a.visitor.get(_reset_link(a, at_once=False))
    _type_new_password(a)
    yield
    a.clock.advance(hours=72)
    a.post("/recovery/reset/complete")
    a.password = NEW
    a.first()
    yield
    a.second()
    a.press_on()


def pass_link(a: Attempt) -> Iterator[None]:
    """The link that gives a browser tries of its own."""
    with request_to(a.app):
        passes.offer(accounts.get(a.person.id), None, now=a.clock.now)
    a.visitor.get(_mailed_link(a))
    yield
    a.post("/login/pass")
    yield from mailed_code(a)


def end_of_freeze(a: Attempt) -> Iterator[None]:
    """A freeze, opened by what is older, and then the sign-in page."""
    with request_to(a.app):
        freezes.begin(a.person.id, FreezeCause.OWNER, disputed_at=a.clock.now, client=None, now=a.clock.now)
        frozen, freeze, address = (
            accounts.get(a.person.id),
            freezes.current(a.person.id),
            accounts.mail_address(a.person.id),
        )
        assert freeze is not None
        assert address is not None
        token = unfreezing.begin(frozen, freeze, address_id=address.id, password=True, now=a.clock.now)
    a.visitor.get(f"/recovery/unfreeze/{token}")
    if a.held.app:
        a.post("/recovery/unfreeze/prove", code=a.app_code())
    else:
        a.key("/recovery/unfreeze/key", "/recovery/unfreeze/prove")
    yield
    a.post("/recovery/unfreeze", new_password=NEW)
    a.password = NEW
    yield
    a.first()
    a.second()
    a.press_on()


def recovered(a: Attempt) -> Iterator[None]:
    """A completed recovery: everything older is void. That enough was shown and waited for is tried elsewhere."""
    email = f"{a.name}@fresh.test"
    a.post("/recovery/case", username=a.name)
    a.post("/recovery/case/address", new_email=email)
    a.person.email = email
    a.post("/recovery/case/address/code", code=a.mailed_code())
    yield
    a.post("/recovery/case/complete", new_password=NEW)
    a.password = NEW
    yield
    a.first()
    a.post("/login/code", code=a.mailed_code())
    a.press_on()


# With a session


def site(a: Attempt) -> Iterator[None]:
    """A site is given access: asked, consented to, traded, and refreshed."""
    a.has_session()
    yield
    asked = a.visitor.get(a.world.site.url(scope=SCOPE)).location
    if not asked.startswith("/oauth2/"):
        return
    handle = handle_of(a.visitor.get(asked).text)
    page = a.post("/oauth2/consent", request=handle, decision="approve").location
    if not page:
        return
    yield
    answer = a.step_up(page).location or ""
    yield
    refresh = a.keep(a.world.site.exchange(query_of(answer).get("code", "none")))
    yield
    for _ in range(2):
        if refresh is not None:
            refresh = a.keep(a.world.site.refresh(refresh))


def consented_before(a: Attempt) -> Iterator[None]:
    """A site that reads alone: no step-up, and asked once."""
    a.has_session()
    for _ in range(2):
        yield
        asked = a.visitor.get(a.world.site.url(scope="openid packages:read")).location
        if asked.startswith("/oauth2/"):
            done = a.post("/oauth2/consent", request=handle_of(a.visitor.get(asked).text), decision="approve")
            asked = done.location or ""
        if asked.startswith(REDIRECT):
            a.keep(a.world.site.exchange(query_of(asked).get("code", "none")))


def program(a: Attempt) -> Iterator[None]:
    """A program on a command line, approved in the browser and polling."""
    a.has_session()
    asked = a.world.tool.app.test_client().post(
        "/oauth2/device_authorization",
        data={"client_id": a.world.tool.id, "scope": f"openid offline_access {PUBLISH}"},
        base_url=BASE_URL,
        environ_overrides={"REMOTE_ADDR": a.visitor.address},
    )
    device = asked.json or {}
    yield
    a.post("/device", user_code=device["user_code"])
    page = a.post("/device/decide", user_code=device["user_code"], decision="approve").location
    if not page:
        return
    yield
    a.step_up(page)
    yield
    polled = a.world.tool.post("/oauth2/token", grant_type=DEVICE_GRANT, device_code=device["device_code"])
    refresh = a.keep(polled)
    yield
    if refresh is not None:
        a.keep(a.world.tool.refresh(refresh))


def enrols_later(a: Attempt) -> Iterator[None]:
    """A session from before enrols what was missing: the session is none the stronger."""
    a.has_session()
    yield
    way = "key" if a.strength.for_keys else "totp"
    page = a.post("/account/enrol", way=way).location
    if not page or a.step_up(page).status_code != 303:
        return
    yield
    if way == "totp":
        secret = SECRET.search(a.visitor.get("/account/enrol/now").text)
        assert secret is not None
        a.clock.advance(seconds=30)
        a.post("/account/enrol/totp", code=pyotp.TOTP(secret[1].replace(" ", "")).at(a.clock.now))
    else:
        asked = a.post("/account/enrol/key/options")
        a.post("/account/enrol/key", credential=Authenticator(origin=BASE_URL).register(asked.text), label="New")
    keep_codes(a, "/account/enrol/codes", a.visitor.get("/account/enrol/now").text)


def session_is_renamed(a: Attempt) -> Iterator[None]:
    """An action that gives the session a new name gives it nothing else."""
    if not (a.held.app and a.held.keys):
        return
    a.has_session()
    with request_to(a.app):
        gone = next(one for one in accounts.enrolled(a.person.id, now=a.clock.now) if one.kind is APP)
    yield
    page = a.post(f"/account/authenticators/{gone.id}/remove").location
    yield
    if page:
        a.step_up(page)
