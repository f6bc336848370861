"""Authorization requests put down while their person signs in or consents, and the consents they lead to."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import delete, select, update

from authsvc import accounts
from authsvc.core import crypto, db
from authsvc.oidc.authorize import Asked, Sent
from authsvc.oidc.models import AuthorizationCode, AuthorizationRequest, Consent
from authsvc.tokens import writing

LIFE = timedelta(hours=1)  # time for a sign-in with an enrolment inside
URN = "urn:ietf:params:oauth:request_uri:"  # RFC 9126, 2.2


@dataclass(frozen=True, kw_only=True)
class PutDown:
    """A request that waits."""

    id: int
    client_id: str
    sent: dict[str, list[str]]
    created_at: datetime


def put_down(asked: Asked, sent: Sent, names: tuple[str, ...], *, now: datetime) -> str:
    """Keep a request and return the path that goes on with it.

    `redirect_uri` stands there for the sign-in page alone, which tells the browser where its form may end.
    """
    handle = crypto.random_token()
    row = AuthorizationRequest(
        digest=crypto.digest(handle),
        client_id=asked.client.id,
        parameters={name: list(sent[name]) for name in names if sent.get(name)},
        created_at=now,
        expires_at=now + LIFE,
    )
    db.session().add(row)
    db.session().flush()
    return path_of(handle, asked)


def path_of(handle: str, asked: Asked) -> str:
    """Where a request that was put down goes on."""
    query = {"client_id": asked.client.id, "request_uri": URN + handle, "redirect_uri": asked.redirect_uri}
    return "/oauth2/authorize?" + urlencode(query)


def find(handle: str, *, now: datetime) -> PutDown | None:
    """The live request of a handle."""
    return _find(AuthorizationRequest.digest == crypto.digest(handle), now)


def by_id(request_id: int, *, now: datetime) -> PutDown | None:
    """The live request of this id."""
    return _find(AuthorizationRequest.id == request_id, now)


def _find(condition: Any, now: datetime) -> PutDown | None:
    query = select(AuthorizationRequest).where(
        condition, AuthorizationRequest.finished_at.is_(None), AuthorizationRequest.expires_at > now
    )
    row = db.session().scalar(query)
    if row is None:
        return None
    return PutDown(id=row.id, client_id=row.client_id, sent=row.parameters, created_at=row.created_at)


def finish(request_id: int, *, now: datetime) -> bool:
    """Spend a request. False when a rival did (attack O35)."""
    change = update(AuthorizationRequest).where(
        AuthorizationRequest.id == request_id, AuthorizationRequest.finished_at.is_(None)
    )
    return db.session().scalar(change.values(finished_at=now).returning(AuthorizationRequest.id)) is not None


def consented(account_id: int, asked: Asked) -> bool:
    """True when the account allowed this client these scopes before.

    Never for public clients, which anybody can pretend to be (attack O22), nor for scopes that write, nor for what was
    confirmed before the account had to confirm everything anew (POLICY 6).
    """
    if asked.client.public or writing(asked.scopes):
        return False
    row = db.session().get(Consent, (account_id, asked.client.id))
    if row is None or not asked.scopes <= frozenset(row.scopes.split()):
        return False
    confirm_after = accounts.get(account_id).confirm_after
    return confirm_after is None or row.confirmed_at > confirm_after


def remember_consent(account_id: int, asked: Asked, *, now: datetime) -> None:
    """Remember what was allowed; earlier scopes stay while they still count."""
    if asked.client.public:
        return
    row = db.session().get(Consent, (account_id, asked.client.id))
    if row is None:
        row = Consent(account_id=account_id, client_id=asked.client.id, scopes="", confirmed_at=now)
        db.session().add(row)
    confirm_after = accounts.get(account_id).confirm_after
    earlier = "" if confirm_after is not None and row.confirmed_at <= confirm_after else row.scopes
    row.scopes = " ".join(sorted(asked.scopes - writing(asked.scopes) | frozenset(earlier.split())))
    row.confirmed_at = now
    db.session().flush()


def purge(*, before: datetime) -> None:
    """Delete requests and codes that ended before the time."""
    db.session().execute(delete(AuthorizationRequest).where(AuthorizationRequest.expires_at < before))
    db.session().execute(delete(AuthorizationCode).where(AuthorizationCode.expires_at < before))
