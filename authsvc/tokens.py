"""Every bearer row: what an account granted to a program, and the access and refresh tokens issued under that grant.

A grant holds what never changes (who, to which client, how it was proved), so revoking it is one statement that no
rotation can outrun. Tokens are opaque; the database holds their SHA-256. Which grant may be made is decided above; what
it is worth at a moment, here: scopes that write do not count while the account has to wait.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts, holds, mandates, sessions
from authsvc.accounts import AccountRow
from authsvc.core import crypto, db
from authsvc.core.assurance import Acr, Principal, Program, strength_now
from authsvc.core.db import BigId, Row

ACCESS_LIFE = timedelta(hours=1)
REFRESH_IDLE = timedelta(days=14)  # RFC 9700, 4.14.2 asks for an end when unused; both figures are ours
REFRESH_LIFE = timedelta(days=30)


class Kind(StrEnum):
    """What a token can be used for; its prefix says so, and lets secret scanners find it."""

    ACCESS = "access"
    REFRESH = "refresh"


PREFIXES = {Kind.ACCESS: "authsvc_at_", Kind.REFRESH: "authsvc_rt_"}


@dataclass(frozen=True)
class Scope:
    """What a scope allows, in words for people; `writes`: its grant takes a step-up (POLICY 4)."""

    words: str
    writes: bool = False


SCOPES = {
    "openid": Scope("Know which account of this service you use"),
    "profile": Scope("See your user name"),
    "email": Scope("See your e-mail address"),
    "offline_access": Scope(f"Stay connected for up to {REFRESH_LIFE.days} days while you are away"),
    "packages:read": Scope("Read your packages even when they are not public"),
    "packages:publish": Scope("Publish new versions of your packages", writes=True),
}


# What programs may ask for themselves, without an account; people are never asked for these.
PROGRAM_SCOPES = {
    "impact:write": Scope("Say what packages are used by how many, and who maintains them", writes=True),
    "mandates:read": Scope("Read who must have a second factor"),
}
PROGRAM_PREFIX = "authsvc_ct_"


class Grant(Row):
    """What an account gave to one program in one approval. Dead when revoked or of an earlier epoch (POLICY 6)."""

    __tablename__ = "grants"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    client_id: Mapped[str | None] = mapped_column(ForeignKey("clients.id"))
    label: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[str] = mapped_column(String(400))  # space-separated
    writes_from: Mapped[datetime | None]  # scopes that write count from then on (POLICY 11)
    epoch: Mapped[int]
    acr: Mapped[str] = mapped_column(String(8))
    amr: Mapped[str] = mapped_column(String(80))  # space-separated
    auth_time: Mapped[datetime]
    session_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id"))
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Token(Row):
    """One access or refresh token. `spent_at`: rotated (refresh) or revoked on its own (access)."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    grant_id: Mapped[int] = mapped_column(ForeignKey("grants.id"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[str] = mapped_column(String(400))  # of the grant, or fewer
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]


class ClientToken(Row):
    """What a program holds that acts for itself and for no account (RFC 6749, 4.4)."""

    __tablename__ = "client_tokens"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[str] = mapped_column(String(400))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


@dataclass(frozen=True, kw_only=True)
class TokenView:
    """A live token, its grant and its account, from one SELECT. `acr` and `scopes`: what they count for now."""

    id: int
    kind: Kind
    grant_id: int
    account_id: int
    sub: str
    username: str
    client_id: str | None
    scopes: frozenset[str]
    acr: Acr
    proved_acr: Acr  # what it counted for at `auth_time`
    amr: frozenset[str]
    auth_time: datetime
    session_id: int | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Issued:
    """Fresh tokens, in clear for the only time."""

    access_token: str
    refresh_token: str | None
    view: TokenView  # of the access token


@dataclass(frozen=True, kw_only=True)
class Reused:
    """A refresh token was shown that is not the caller's to use any more; its grant is revoked now."""

    account_id: int
    label: str


@dataclass(frozen=True)
class Refused:
    """Nothing was issued; `error` is the standard's name for why (RFC 6749, section 5.2)."""

    error: str


@dataclass(frozen=True, kw_only=True)
class GrantView:
    """A grant as its owner sees it. `scopes` are words; `too_weak`: it writes nothing until it is approved again."""

    id: int
    label: str
    client_name: str | None
    scopes: list[str]
    too_weak: bool
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


# Tables, not row classes: this runs for every request of every registry, and the ORM's part of it costs as much again.
_t, _g, _a = Token.__table__.c, Grant.__table__.c, AccountRow.__table__.c
_VIEW = (
    select(
        _t.id,
        _t.kind,
        _t.grant_id,
        _g.account_id,
        _a.sub,
        _a.username,
        _g.client_id,
        _t.scopes,
        _g.writes_from,
        _g.acr,
        _g.amr,
        _g.auth_time,
        _g.session_id,
        _t.created_at,
        _t.expires_at,
    )
    .join_from(Token.__table__, Grant.__table__, _g.id == _t.grant_id)
    .join(AccountRow.__table__, _a.id == _g.account_id)
    .where(
        _t.spent_at.is_(None),
        _t.expires_at > bindparam("now"),
        _g.revoked_at.is_(None),
        _g.epoch == _a.epoch,
        _a.disabled_at.is_(None),
        _a.frozen_at.is_(None),
    )
)
_BY_DIGEST = _VIEW.where(_t.digest == bindparam("digest"))
_BY_ID = _VIEW.where(_t.id == bindparam("id"))
_OWNER = (
    select(Token.grant_id, Token.kind, Grant.account_id, Grant.client_id, Grant.label)
    .join(Grant, Grant.id == Token.grant_id)
    .where(Token.digest == bindparam("digest"))
)
_SPEND = (
    update(Token).where(Token.id == bindparam("token_id"), Token.spent_at.is_(None)).values(spent_at=bindparam("now"))
)
_INSERT = insert(Token)


def writing(scopes: Iterable[str]) -> frozenset[str]:
    """Those of the scopes that change something and so take a step-up."""
    return frozenset(s for s in scopes if SCOPES[s].writes)


def words(scopes: Iterable[str]) -> list[str]:
    """The scopes as people read them, in the table's order."""
    held = frozenset(scopes)
    return [scope.words for name, scope in SCOPES.items() if name in held]


def may_hold(account_id: int, *, epoch: int) -> bool:
    """True when the account may be issued something now: open, an address proved, its epoch unchanged (attack E18)."""
    account = accounts.get(account_id)
    if account.disabled or account.frozen or account.epoch != epoch:
        return False
    return any(a.verified_at is not None for a in accounts.addresses(account_id))


def epoch_for(who: Principal) -> int | None:
    """The epoch of what this session approves now; None when the account may hold nothing, or a reset was first.

    Locks the account, so that its epoch cannot rise before the approval is put down.
    """
    account = accounts.lock(who.account_id)
    live = sessions.is_live(who.session_id, epoch=account.epoch)
    return account.epoch if live and may_hold(account.id, epoch=account.epoch) else None


def open_grant(
    account_id: int,
    *,
    client_id: str | None,
    label: str,
    scopes: frozenset[str],
    writes_from: datetime | None,
    epoch: int,
    acr: Acr,
    amr: frozenset[str],
    auth_time: datetime,
    session_id: int | None,
    now: datetime,
) -> int | None:
    """Put down what an account granted; its id, or None when the account may hold nothing."""
    if not may_hold(account_id, epoch=epoch):
        return None
    row = Grant(
        account_id=account_id,
        client_id=client_id,
        label=label,
        scopes=" ".join(sorted(scopes)),
        writes_from=writes_from,
        epoch=epoch,
        acr=acr.value,
        amr=" ".join(sorted(amr)),
        auth_time=auth_time,
        session_id=session_id,
        created_at=now,
    )
    db.session().add(row)
    db.session().flush()
    return row.id


def issue(grant_id: int, *, with_refresh: bool, now: datetime) -> Issued | Refused:
    """The first tokens of a grant that `open_grant` made in this transaction."""
    grant = db.session().get_one(Grant, grant_id)
    return _issue(grant_id, grant.scopes, grant.scopes, REFRESH_IDLE if with_refresh else None, now)


def _issue(
    grant_id: int, scopes: str, all_scopes: str, refresh_life: timedelta | None, now: datetime
) -> Issued | Refused:
    refresh = _mint(grant_id, Kind.REFRESH, all_scopes, refresh_life, now)[0] if refresh_life else None
    access, token_id = _mint(grant_id, Kind.ACCESS, scopes, ACCESS_LIFE, now)
    row = db.session().connection().execute(_BY_ID, {"id": token_id, "now": now}).first()
    if row is None:  # the account was frozen this very moment
        return Refused("invalid_grant")
    return Issued(access_token=access, refresh_token=refresh, view=_view(row, now))


def _mint(grant_id: int, kind: Kind, scopes: str, life: timedelta, now: datetime) -> tuple[str, int]:
    token = PREFIXES[kind] + crypto.random_token()
    values = {
        "grant_id": grant_id,
        "kind": kind.value,
        "digest": crypto.digest(token),
        "scopes": scopes,
        "created_at": now,
        "expires_at": now + life,
    }
    return token, db.session().scalars(_INSERT.returning(Token.id), values).one()


def find(token: str, *, now: datetime) -> TokenView | None:
    """The live token, of either kind. One SELECT, no write."""
    if not token.startswith(tuple(PREFIXES.values())):
        return None
    row = db.session().connection().execute(_BY_DIGEST, {"digest": crypto.digest(token), "now": now}).first()
    return _view(row, now) if row else None


def principal(token: str, *, now: datetime) -> Principal | None:
    """Who acts through an access token; a refresh token acts for nobody (attack O15)."""
    found = find(token, now=now)
    if found is None or found.kind is not Kind.ACCESS:
        return None
    return Principal(
        account_id=found.account_id,
        sub=found.sub,
        username=found.username,
        acr=found.acr,
        proved_acr=found.proved_acr,
        amr=found.amr,
        auth_time=found.auth_time,
        token_id=found.id,
        client_id=found.client_id,
        scopes=found.scopes,
    )


def _view(row: Any, now: datetime) -> TokenView:
    values = dict(row._mapping)
    writes_from = values.pop("writes_from")
    scopes = frozenset(values["scopes"].split())
    writes = writing(scopes)
    values["kind"] = Kind(values["kind"])
    values["proved_acr"] = Acr(values["acr"])
    values["acr"] = strength_now(values["proved_acr"], values["auth_time"], now)
    values["amr"] = frozenset(values["amr"].split())
    view = TokenView(**{**values, "scopes": scopes})
    waits = (writes_from is not None and now < writes_from) or (writes and _must_wait(view, now))
    return replace(view, scopes=scopes - writes) if waits else view


def _must_wait(view: TokenView, now: datetime) -> bool:
    """True while nothing is written: in a hold, or under a mandate that the grant does not meet (POLICY 5, T21)."""
    lack = mandates.lack(view.account_id, acr=view.proved_acr, amr=view.amr, now=now)
    return lack is not None or holds.current(view.account_id, now=now) is not None


def issue_to_program(client_id: str, scopes: frozenset[str], *, now: datetime) -> str:
    """A token for a client itself, good for `ACCESS_LIFE`. It stays within `PROGRAM_SCOPES`."""
    token = PROGRAM_PREFIX + crypto.random_token()
    values = {"client_id": client_id, "digest": crypto.digest(token), "scopes": " ".join(sorted(scopes))}
    db.session().execute(insert(ClientToken), {**values, "created_at": now, "expires_at": now + ACCESS_LIFE})
    return token


def program(token: str, *, now: datetime) -> Program | None:
    """The client that asks for itself by this token."""
    if not token.startswith(PROGRAM_PREFIX):
        return None
    live = select(ClientToken.client_id, ClientToken.scopes).where(
        ClientToken.digest == crypto.digest(token), ClientToken.expires_at > now, ClientToken.revoked_at.is_(None)
    )
    row = db.session().execute(live).first()
    return Program(client_id=row.client_id, scopes=frozenset(row.scopes.split())) if row else None


def revoke_of_program(token: str, *, client_id: str, now: datetime) -> None:
    """A client gives a token of its own back. Does nothing with others."""
    mine = update(ClientToken).where(
        ClientToken.digest == crypto.digest(token),
        ClientToken.client_id == client_id,
        ClientToken.revoked_at.is_(None),
    )
    db.session().execute(mine.values(revoked_at=now))


def rotate(token: str, *, client_id: str, scopes: frozenset[str] | None, now: datetime) -> Issued | Reused | Refused:
    """Trade a refresh token for its successor and an access token, of fewer scopes where asked.

    One that was traded before, or that another client shows, ends its whole grant: two parties hold it, and one of
    them is not the client (attacks O11, O14). Source: RFC 9700, 4.14.2; RFC 6749, 6.
    """
    values = {"digest": crypto.digest(token)}
    owner = db.session().execute(_OWNER, values).first()
    if owner is None or owner.kind != Kind.REFRESH:
        return Refused("invalid_grant")
    reused = Reused(account_id=owner.account_id, label=owner.label)
    if owner.client_id != client_id:
        revoke_grant(owner.grant_id, now=now)
        return reused
    row = db.session().connection().execute(_BY_DIGEST, {**values, "now": now}).first()
    if row is None:
        return reused if _was_spent(values) and revoke_grant(owner.grant_id, now=now) else Refused("invalid_grant")
    grant = db.session().get_one(Grant, owner.grant_id)
    if not may_hold(grant.account_id, epoch=grant.epoch):
        return Refused("invalid_grant")
    granted = frozenset(grant.scopes.split())
    if scopes is not None and not scopes <= granted:
        return Refused("invalid_scope")
    if db.session().scalar(_SPEND.returning(Token.id), {"token_id": row.id, "now": now}) is None:
        revoke_grant(owner.grant_id, now=now)  # a rival traded the same token meanwhile
        return reused
    life = min(REFRESH_IDLE, grant.created_at + REFRESH_LIFE - now)
    return _issue(owner.grant_id, " ".join(sorted(scopes or granted)), grant.scopes, life, now)


def _was_spent(values: dict[str, bytes]) -> bool:
    query = select(Token.id).where(Token.digest == bindparam("digest"), Token.spent_at.is_not(None))
    return db.session().scalar(query, values) is not None


def revoke_grant(grant_id: int, *, now: datetime) -> bool:
    """End a grant with all its tokens. False when it was revoked already."""
    change = update(Grant).where(Grant.id == grant_id, Grant.revoked_at.is_(None))
    return db.session().scalar(change.values(revoked_at=now).returning(Grant.id)) is not None


def revoke_token(token: str, *, client_id: str, now: datetime) -> int | None:
    """A client gives a token back; its account, or None when it is not this client's or nothing was there to end.

    A refresh token takes its grant along (RFC 7009, 2.1), an access token ends alone.
    """
    owner = db.session().execute(_OWNER, {"digest": crypto.digest(token)}).first()
    if owner is None or owner.client_id != client_id:
        return None
    if owner.kind == Kind.REFRESH:
        return owner.account_id if revoke_grant(owner.grant_id, now=now) else None
    spent = update(Token).where(Token.digest == crypto.digest(token), Token.spent_at.is_(None)).values(spent_at=now)
    return owner.account_id if db.session().scalar(spent.returning(Token.id)) is not None else None


def revoke(account_id: int, grant_id: int, *, now: datetime) -> bool:
    """The owner ends a grant. False when the account has no such live grant (attack K02)."""
    change = update(Grant).where(Grant.id == grant_id, Grant.account_id == account_id, Grant.revoked_at.is_(None))
    return db.session().scalar(change.values(revoked_at=now).returning(Grant.id)) is not None


def of_account(account_id: int, *, now: datetime) -> list[GrantView]:
    """The account's live grants, newest first. `id` is what `revoke` takes."""
    newest, ends = func.max(Token.created_at).label("newest"), func.max(Token.expires_at).label("ends")
    query = (
        select(Grant.id, Grant.label, Grant.scopes, Grant.acr, Grant.amr, Grant.created_at, newest, ends)
        .join(Token, Token.grant_id == Grant.id)
        .join(AccountRow, AccountRow.id == Grant.account_id)
        .where(
            Grant.account_id == account_id,
            Grant.revoked_at.is_(None),
            Grant.epoch == AccountRow.epoch,
            Token.spent_at.is_(None),
            Token.expires_at > now,
        )
        .group_by(Grant.id, Grant.label, Grant.scopes, Grant.acr, Grant.amr, Grant.created_at)
        .order_by(Grant.id.desc())
    )
    return [
        GrantView(
            id=row.id,
            label=row.label,
            client_name=None,
            scopes=words(row.scopes.split()),
            too_weak=bool(writing(row.scopes.split()))
            and mandates.lack(account_id, acr=Acr(row.acr), amr=frozenset(row.amr.split()), now=now) is not None,
            created_at=row.created_at,
            expires_at=row.ends,
            last_used_at=row.newest if row.newest > row.created_at else None,
        )
        for row in db.session().execute(query)
    ]


def purge(*, before: datetime) -> None:
    """Delete tokens that ended before the time; grants stay, for questions afterwards."""
    db.session().execute(delete(Token).where(Token.expires_at < before))
    db.session().execute(delete(ClientToken).where(ClientToken.expires_at < before))
