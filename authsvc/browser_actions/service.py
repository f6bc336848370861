"""The device grant (RFC 8628): begun by a program, entered and decided in a browser, polled for and delivered once."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from authsvc import audit, budgets, devices, mail, sessions, tokens
from authsvc.audit import EventType
from authsvc.browser_actions.models import DeviceRequest
from authsvc.browser_actions.phrases import phrase
from authsvc.core import crypto, db
from authsvc.core.assurance import Acr, Principal
from authsvc.core.errors import TooMany
from authsvc.core.rate_limits import network_of
from authsvc.core.templating import date_words
from authsvc.core.web import Client

LIFE = timedelta(minutes=10)
INTERVAL_SECONDS = 5  # RFC 8628, 3.2
SLOWER_BY_SECONDS = 5  # RFC 8628, 3.5
POLL_TOLERANCE = timedelta(seconds=1)  # what a network may swallow of an interval
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, 6.1: no vowels, nothing that looks alike
CODE_LENGTH = 8  # 20^8, over 34 bits (attack O26)
NEW_PLACE_WAITS = timedelta(hours=24)  # POLICY 3 and 11


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What the program that asks is told, in clear for the only time."""

    device_code: str
    user_code: str
    phrase: str
    expires_in: int
    interval: int


@dataclass(frozen=True)
class Waiting:
    """No tokens, or not yet; `error` is the standard's name for why (RFC 8628, 3.5)."""

    error: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Approval:
    """An approved request at its delivery: who approved what, and how that sign-in was proved."""

    account_id: int
    epoch: int
    acr: Acr
    amr: frozenset[str]
    auth_time: datetime
    session_id: int | None
    scopes: frozenset[str]
    writes_from: datetime | None


@dataclass(frozen=True, kw_only=True)
class Entered:
    """A live request whose code this session entered, as the page shows it."""

    id: int
    client_name: str
    client_verified: bool
    scopes: frozenset[str]
    phrase: str
    ip: str
    network: str
    browser: str
    created_at: datetime
    expires_at: datetime


_ENTERED = [getattr(DeviceRequest, name) for name in Entered.__dataclass_fields__]


def plain(user_code: str) -> str:
    """A user code without what people add to it: case, hyphens, blanks (RFC 8628, 6.1)."""
    return "".join(c for c in user_code.upper() if c in ALPHABET)


def shown(user_code: str) -> str:
    """A user code as XXXX-XXXX."""
    return f"{user_code[:4]}-{user_code[4:]}"


def begin(
    client_id: str, client_name: str, *, client_verified: bool, scopes: frozenset[str], asker: Client, now: datetime
) -> Begun:
    """Put a request down and return its codes."""
    device_code = crypto.random_token()
    user_code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
    words = phrase()
    row = DeviceRequest(
        device_digest=crypto.digest(device_code),
        user_digest=crypto.keyed_digest("user-code", user_code),
        client_id=client_id,
        client_name=client_name,
        client_verified=client_verified,
        scopes=sorted(scopes),
        phrase=words,
        ip=asker.ip,
        network=asker.network,
        browser=asker.browser,
        created_at=now,
        expires_at=now + LIFE,
        interval_seconds=INTERVAL_SECONDS,
    )
    db.session().add(row)
    db.session().flush()
    return Begun(
        device_code=device_code,
        user_code=shown(user_code),
        phrase=words,
        expires_in=int(LIFE.total_seconds()),
        interval=INTERVAL_SECONDS,
    )


# In the browser


def charge_guess(who: Principal, *, now: datetime) -> None:
    """Charge one typed code, to the account and to the whole site, before it is compared. Raises TooMany.

    One budget for all browsers of an account: it is other people's codes that are guessed here, not the owner's.
    """
    for purpose, subject in (("user_code", budgets.subject_of(who.account_id, "")), ("user_code_site", "site")):
        charge = budgets.charge(purpose, subject, None, now=now)
        if not charge.allowed:
            raise TooMany(f"{purpose} budget empty", retry_after=int(charge.retry_after.total_seconds()) + 1)


def enter(user_code: str, who: Principal, *, now: datetime) -> bool:
    """Tie the live request of this code to the session that typed it. The guess was charged before.

    False for a code that is wrong, over, decided, or typed by another account before: all alike. Only the session that
    entered the code can decide (attack O24).
    """
    change = update(DeviceRequest).where(
        DeviceRequest.user_digest.in_(crypto.keyed_digests("user-code", plain(user_code))),
        DeviceRequest.expires_at > now,
        DeviceRequest.decided_at.is_(None),
        DeviceRequest.account_id.is_(None) | (DeviceRequest.account_id == who.account_id),
    )
    values = {"account_id": who.account_id, "session_id": who.session_id}
    return db.session().scalar(change.values(values).returning(DeviceRequest.id)) is not None


def entered(who: Principal, *, now: datetime, user_code: str = "", request_id: int | None = None) -> Entered | None:
    """The undecided request that this session entered, by its code or its id."""
    named = DeviceRequest.user_digest.in_(crypto.keyed_digests("user-code", plain(user_code)))
    query = select(*_ENTERED).where(
        named if request_id is None else DeviceRequest.id == request_id,
        DeviceRequest.session_id == who.session_id,
        DeviceRequest.account_id == who.account_id,
        DeviceRequest.expires_at > now,
        DeviceRequest.decided_at.is_(None),
    )
    row = db.session().execute(query).first()
    return Entered(**{**row._mapping, "scopes": frozenset(row.scopes)}) if row else None


def writes_from(scopes: frozenset[str], who: Principal, *, network: str, now: datetime) -> datetime | None:
    """When those of the scopes that write begin to count; None: at once.

    POLICY 11: the network that asks was never used by this account. POLICY 3: this browser is known for under a day.
    """
    if not tokens.writing(scopes):
        return None
    known = devices.of_account(who.account_id)
    used = {network_of(b.ip) for b in known}
    used |= {network_of(s.ip) for s in sessions.of_account(who.account_id, now=now)}
    here = next((b for b in known if b.id == who.browser_id), None)
    waits = [now + NEW_PLACE_WAITS] if network not in used else []
    since = here.first_seen_at if here is not None else now
    if now - since < NEW_PLACE_WAITS:
        waits.append(since + NEW_PLACE_WAITS)
    return max(waits, default=None)


def words(scopes: frozenset[str], who: Principal, *, network: str, now: datetime) -> list[str]:
    """The scopes as people read them, with when those that write begin to count."""
    writing = tokens.writing(scopes)
    later = writes_from(scopes, who, network=network, now=now)
    when = f" (from {date_words(later)} on)" if later else ""
    return tokens.words(scopes - writing) + [text + when for text in tokens.words(writing)]


def approve(request: Entered, who: Principal, *, asker: Client, now: datetime) -> bool:
    """Approve, once; the owner is told. False when it was decided or over already, or the account may hold nothing."""
    epoch = tokens.epoch_for(who)
    if epoch is None:
        return False
    decided = _decide(
        request,
        who,
        now=now,
        approved=True,
        epoch=epoch,
        acr=who.proved_acr.value,
        amr=" ".join(sorted(who.amr)),
        auth_time=who.auth_time,
        writes_from=writes_from(request.scopes, who, network=request.network, now=now),
    )
    if not decided:
        return False
    audit.record(
        EventType.GRANT_APPROVED,
        account_id=who.account_id,
        at=now,
        client=asker,
        label=request.client_name,
        scopes=sorted(request.scopes),
        asked_from=request.ip,
    )
    mail.notify(
        who.account_id,
        "device_approved",
        subject=f"A program was given access to {who.username}",
        now=now,
        username=who.username,
        client_name=request.client_name,
        scopes=tokens.words(request.scopes),
        asked_from=request.ip,
        asked_by=request.browser,
        client=asker,
    )
    return True


def deny(request: Entered, who: Principal, *, asker: Client, now: datetime) -> bool:
    """Deny. False when it was decided or over already."""
    if not _decide(request, who, now=now, approved=False):
        return False
    audit.record(
        EventType.GRANT_DENIED,
        account_id=who.account_id,
        at=now,
        client=asker,
        label=request.client_name,
        asked_from=request.ip,
    )
    return True


def _decide(request: Entered, who: Principal, *, now: datetime, **values: object) -> bool:
    change = update(DeviceRequest).where(
        DeviceRequest.id == request.id,
        DeviceRequest.session_id == who.session_id,
        DeviceRequest.expires_at > now,
        DeviceRequest.decided_at.is_(None),
    )
    return db.session().scalar(change.values(decided_at=now, **values).returning(DeviceRequest.id)) is not None


# In the program


def poll(device_code: str, *, client_id: str, now: datetime) -> Waiting | Approval:
    """What became of a request. An approval is delivered once; the caller issues its tokens in this transaction."""
    row = db.session().scalar(
        select(DeviceRequest).where(DeviceRequest.device_digest == crypto.digest(device_code)).with_for_update()
    )
    if row is None or row.client_id != client_id or row.delivered_at is not None:
        return Waiting("invalid_grant", "The device code is not valid.")
    if row.approved is False:
        return Waiting("access_denied", "The request was denied.")
    if row.expires_at <= now:
        return Waiting("expired_token", "The request took too long. Start again.")
    interval = timedelta(seconds=row.interval_seconds) - POLL_TOLERANCE
    too_soon = row.polled_at is not None and now - row.polled_at < interval
    row.polled_at = now
    if too_soon:
        row.interval_seconds += SLOWER_BY_SECONDS
        return Waiting("slow_down", f"Ask every {row.interval_seconds} seconds.")
    if not row.approved or row.account_id is None or row.epoch is None or row.auth_time is None:
        return Waiting("authorization_pending", "Nobody decided yet.")
    taken = update(DeviceRequest).where(DeviceRequest.id == row.id, DeviceRequest.delivered_at.is_(None))
    if db.session().scalar(taken.values(delivered_at=now).returning(DeviceRequest.id)) is None:
        return Waiting("invalid_grant", "The device code is not valid.")
    return Approval(
        account_id=row.account_id,
        epoch=row.epoch,
        acr=Acr(row.acr or Acr.AAL1),
        amr=frozenset((row.amr or "").split()),
        auth_time=row.auth_time,
        session_id=row.session_id,
        scopes=frozenset(row.scopes),
        writes_from=row.writes_from,
    )


def purge(*, before: datetime) -> None:
    """Delete requests that ended before the time."""
    db.session().execute(delete(DeviceRequest).where(DeviceRequest.expires_at < before))
