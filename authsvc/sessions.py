"""Browser sessions: issued, found, listed, ended. They live here; the browser holds a random name alone.

Where the browser offered it, a session is bound to a key in the device (decision 0016): beside the name it then needs a
short cookie, which `device_bound` renews for whoever proves that key. One SELECT compares both.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Select, String, and_, bindparam, func, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.accounts import AccountRow
from authsvc.core import crypto, db
from authsvc.core.assurance import Acr
from authsvc.core.db import BigId, Row
from authsvc.core.web import Client

COOKIE = "session"
SHORT_COOKIE = "bound"  # beside it where the session is bound to a key in the device
IDLE = timedelta(hours=12)
LIFE = timedelta(days=30)
MAX_LIVE = 20  # the least used one leaves
SHORT_LIFE = timedelta(minutes=10)  # of the short cookie, so of a copy of both
UNDER_WAY = timedelta(minutes=1)  # requests sent before the browser had its first short cookie
TOUCH_EVERY = timedelta(minutes=5)  # so that reading a page does not write each time
PASSWORD_ALONE = "pwd"  # the `amr` of a session that rests on password and mailbox
MAX_COUNTRIES = 8  # of one session and those it replaced


class Session(Row):
    """One signed-in browser. Dead when ended, idle, old, or of an earlier epoch of its account."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    epoch: Mapped[int]
    acr: Mapped[str] = mapped_column(String(8))
    amr: Mapped[str] = mapped_column(String(80))  # space-separated
    auth_time: Mapped[datetime]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    browser_id: Mapped[int | None] = mapped_column(ForeignKey("browsers.id"))
    ip: Mapped[str] = mapped_column(String(45))
    browser: Mapped[str] = mapped_column(String(60))
    countries: Mapped[str] = mapped_column(String(40), server_default="")  # proved from there; codes, newest first
    stepped_down: Mapped[str | None] = mapped_column(String(20))  # why; None while it counts
    bound_key: Mapped[dict[str, Any] | None]  # public JWK of the device, with its `alg`
    bound_digest: Mapped[bytes | None]  # the short cookie; None: not bound
    bound_until: Mapped[datetime | None]
    bound_before: Mapped[bytes | None]  # the short cookie before it, for requests under way
    bound_before_until: Mapped[datetime | None]
    bound_proved: Mapped[datetime | None]  # when the newest challenge that was answered had been made


@dataclass(frozen=True, kw_only=True)
class SessionView:
    """A live session and the account it belongs to, from one SELECT."""

    id: int
    account_id: int
    sub: str
    username: str
    is_staff: bool
    acr: Acr
    amr: frozenset[str]
    auth_time: datetime
    last_used_at: datetime
    created_at: datetime
    browser_id: int | None
    ip: str
    browser: str
    countries: tuple[str, ...]
    stepped_down: str | None
    bound: bool


_LIVE = (
    select(
        Session.id,
        Session.account_id,
        AccountRow.sub,
        AccountRow.username,
        AccountRow.is_staff,
        Session.acr,
        Session.amr,
        Session.auth_time,
        Session.last_used_at,
        Session.created_at,
        Session.browser_id,
        Session.ip,
        Session.browser,
        Session.countries,
        Session.stepped_down,
        Session.bound_digest.is_not(None).label("bound"),
    )
    .join(AccountRow, AccountRow.id == Session.account_id)
    .where(
        Session.ended_at.is_(None),
        Session.epoch == AccountRow.epoch,
        AccountRow.disabled_at.is_(None),
        AccountRow.frozen_at.is_(None),
        Session.last_used_at > bindparam("idle_since"),
        Session.created_at > bindparam("created_after"),
    )
)
_NAMED = _LIVE.where(Session.digest == bindparam("digest"))
_BY_DIGEST = _NAMED.where(
    or_(
        Session.bound_digest.is_(None),
        and_(Session.bound_digest == bindparam("short"), Session.bound_until > bindparam("now")),
        and_(Session.bound_before == bindparam("short"), Session.bound_before_until > bindparam("now")),
    )
)
_KEY = _LIVE.with_only_columns(Session.bound_key).where(
    Session.id == bindparam("id"), Session.bound_digest.is_not(None)
)
_OF_ACCOUNT = _LIVE.where(Session.account_id == bindparam("account_id")).order_by(
    Session.last_used_at.desc(), Session.id.desc()
)


def _view(row: object) -> SessionView:
    values = dict(row._mapping)  # type: ignore[attr-defined]  # a Row of the select above
    values["acr"] = Acr(values["acr"])
    values["amr"] = frozenset(values["amr"].split())
    values["countries"] = tuple(values["countries"].split())
    return SessionView(**values)


def issue(
    account_id: int,
    *,
    epoch: int,
    acr: Acr,
    amr: frozenset[str],
    auth_time: datetime,
    browser_id: int | None,
    client: Client,
    now: datetime,
    replaces: SessionView | None = None,
) -> tuple[int, str]:
    """Start a session; returns its id and the token for its cookie. Called by the sign-in door alone.

    From the session it replaces it takes the countries, so that somebody who goes back and forth is asked once.
    """
    live = of_account(account_id, now=now)
    for surplus in live[MAX_LIVE - 1 :]:
        end(account_id, surplus.id, now=now)
    token = crypto.random_token()
    before = replaces.countries if replaces and replaces.account_id == account_id else ()
    countries = dict.fromkeys(code for code in (client.country, *before) if code)
    row = Session(
        digest=crypto.digest(token),
        account_id=account_id,
        epoch=epoch,
        acr=acr.value,
        amr=" ".join(sorted(amr)),
        auth_time=auth_time,
        created_at=now,
        last_used_at=now,
        browser_id=browser_id,
        ip=client.ip,
        browser=client.browser,
        countries=" ".join(list(countries)[:MAX_COUNTRIES]),
    )
    db.session().add(row)
    db.session().flush()
    return row.id, token


def find(token: str, *, short: str, now: datetime) -> SessionView | None:
    """The live session of a cookie. `short` is the short cookie, which counts where the session is bound to a key."""
    values = {"digest": crypto.digest(token), "idle_since": now - IDLE, "created_after": now - LIFE}
    row = db.execute(_BY_DIGEST, {**values, "short": crypto.digest(short), "now": now}).first()
    return _view(row) if row else None


def find_named(token: str, *, now: datetime) -> SessionView | None:
    """The live session of a cookie, key or no key: to end it, or to let its device prove the key. Gives no rights."""
    if not token:
        return None
    values = {"digest": crypto.digest(token), "idle_since": now - IDLE, "created_after": now - LIFE}
    row = db.execute(_NAMED, values).first()
    return _view(row) if row else None


def of_account(account_id: int, *, now: datetime) -> list[SessionView]:
    """The account's live sessions, last used first."""
    values = {"account_id": account_id, "idle_since": now - IDLE, "created_after": now - LIFE}
    return [_view(row) for row in db.execute(_OF_ACCOUNT, values)]


def was_ended(account_id: int, session_id: int) -> bool:
    """True when somebody ended the account's session; one that is idle or old was not."""
    query = select(Session.id).where(Session.id == session_id, Session.account_id == account_id)
    return db.session().scalar(query.where(Session.ended_at.is_(None))) is None


def touch(session_id: int, *, now: datetime) -> None:
    """Remember that the session was used."""
    db.session().execute(update(Session).where(Session.id == session_id).values(last_used_at=now))


def bind(session_id: int, *, key: dict[str, Any], short: str, held: str, made_at: datetime, now: datetime) -> bool:
    """From now on the session needs a short cookie as well: `short`, or for a minute still what the browser `held`.

    `made_at`: when the challenge that was answered had been made. False when it has a key already.
    """
    change = update(Session).where(Session.id == session_id, Session.bound_digest.is_(None), Session.ended_at.is_(None))
    change = change.values(
        bound_key=key,
        bound_digest=crypto.digest(short),
        bound_until=now + SHORT_LIFE,
        bound_before=crypto.digest(held),
        bound_before_until=now + UNDER_WAY,
        bound_proved=made_at,
    )
    return db.session().scalar(change.returning(Session.id)) is not None


def bound_key(session_id: int, *, now: datetime) -> dict[str, Any] | None:
    """The key of a live session that is bound to one."""
    values = {"id": session_id, "idle_since": now - IDLE, "created_after": now - LIFE}
    return db.session().scalar(_KEY, values)


def renew(session_id: int, *, short: str, made_at: datetime, now: datetime) -> bool:
    """A new short cookie for whoever answered the challenge made then; the one before keeps the rest of its time.

    Spends the challenge: False when this one, or one made later, was answered before.
    """
    change = update(Session).where(Session.id == session_id, Session.bound_proved < made_at, Session.ended_at.is_(None))
    change = change.values(
        bound_before=Session.bound_digest,
        bound_before_until=Session.bound_until,
        bound_digest=crypto.digest(short),
        bound_until=now + SHORT_LIFE,
        bound_proved=made_at,
    )
    return db.session().scalar(change.returning(Session.id)) is not None


def step_down(session_id: int, *, why: str) -> bool:
    """From now on it counts `aal1`, and its browser is asked to sign in again. False when it had already."""
    change = update(Session).where(Session.id == session_id, Session.stepped_down.is_(None))
    change = change.values(stepped_down=why, acr=Acr.AAL1.value)
    return db.session().scalar(change.returning(Session.id)) is not None


def rotate(session_id: int, *, epoch: int | None = None) -> str:
    """Give the session a new token after a change of rights (attack S01), and carry it into a new epoch where given."""
    token = crypto.random_token()
    values: dict[str, object] = {"digest": crypto.digest(token)}
    if epoch is not None:
        values["epoch"] = epoch
    db.session().execute(update(Session).where(Session.id == session_id).values(values))
    return token


def is_live(session_id: int | None, *, epoch: int) -> bool:
    """True while the session was not ended and belongs to this epoch."""
    query = select(Session.id).where(Session.id == session_id, Session.epoch == epoch, Session.ended_at.is_(None))
    return db.session().scalar(query) is not None


def end(account_id: int, session_id: int, *, now: datetime) -> bool:
    """End one session of the account. False when it has no such live session."""
    change = update(Session).where(
        Session.id == session_id, Session.account_id == account_id, Session.ended_at.is_(None)
    )
    return db.session().scalar(change.values(ended_at=now).returning(Session.id)) is not None


def end_all(account_id: int, *, now: datetime, but: int | None = None) -> int:
    """End the account's sessions, but for one where given; returns how many."""
    change = update(Session).where(Session.account_id == account_id, Session.ended_at.is_(None))
    if but is not None:
        change = change.where(Session.id != but)
    return len(db.session().scalars(change.values(ended_at=now).returning(Session.id)).all())


def end_resting_on_mail(account_ids: Select[int], *, since: datetime | None, now: datetime) -> int:
    """End sessions of these accounts that began after `since` with nothing but password and mailbox (POLICY 8).

    Returns how many.
    """
    began = [Session.created_at > since] if since is not None else []
    change = update(Session).where(
        Session.account_id.in_(account_ids), Session.ended_at.is_(None), Session.amr == PASSWORD_ALONE, *began
    )
    return len(db.session().scalars(change.values(ended_at=now).returning(Session.id)).all())


def end_of_browser(account_id: int, browser_id: int, *, now: datetime) -> int:
    """End the account's sessions in one browser; returns how many."""
    change = update(Session).where(
        Session.account_id == account_id, Session.browser_id == browser_id, Session.ended_at.is_(None)
    )
    return len(db.session().scalars(change.values(ended_at=now).returning(Session.id)).all())


def live_count(*, now: datetime) -> int:
    """How many sessions are live, for figures."""
    query = select(func.count()).select_from(Session)
    return db.session().scalar(query.where(Session.ended_at.is_(None), Session.last_used_at > now - IDLE)) or 0
