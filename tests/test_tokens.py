"""Bearer rows below the endpoints: what a grant is worth, and to whom."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from authsvc import accounts, holds, mandates, tokens
from authsvc.core import db
from authsvc.core.assurance import Acr
from authsvc.policy.hold import HoldCause
from authsvc.tokens import SCOPES, Issued, Kind, Refused
from tests.conftest import Clock
from tests.people import make_person


def grant(
    account_id: int,
    now: datetime,
    *,
    scopes: str = "openid packages:publish",
    writes_after: timedelta = timedelta(hours=24),
    epoch: int = 0,
) -> int | None:
    """A grant to nobody in particular, as an API token will be."""
    return tokens.open_grant(
        account_id,
        client_id=None,
        label="Laptop",
        scopes=frozenset(scopes.split()),
        writes_from=now + writes_after,
        epoch=epoch,
        acr=Acr.PHR,
        amr=frozenset({"hwk", "user", "mfa"}),
        auth_time=now,
        session_id=None,
        now=now,
    )


def issued(
    account_id: int, now: datetime, *, with_refresh: bool = False, writes_after: timedelta = timedelta(hours=24)
) -> Issued:
    grant_id = grant(account_id, now, writes_after=writes_after)
    assert grant_id is not None
    found = tokens.issue(grant_id, with_refresh=with_refresh, now=now)
    assert isinstance(found, Issued)
    return found


@pytest.fixture
def alice(app: Flask, clock: Clock) -> int:
    """An account with a proved address."""
    return make_person(app, "alice", now=clock.now).id


def test_a_token_acts_for_its_account_as_strongly_as_it_was_proved(app: Flask, alice: int, clock: Clock) -> None:
    with app.app_context(), db.transaction():
        token = issued(alice, clock.now).access_token
        who = tokens.principal(token, now=clock.now)
    assert who is not None
    assert (who.account_id, who.username, who.acr, who.session_id) == (alice, "alice", Acr.PHR, None)
    assert who.token_id is not None


@pytest.mark.attack("O15")
def test_a_refresh_token_acts_for_nobody(app: Flask, alice: int, clock: Clock) -> None:
    with app.app_context(), db.transaction():
        refresh = issued(alice, clock.now, with_refresh=True).refresh_token
        assert refresh is not None
        assert tokens.principal(refresh, now=clock.now) is None
        found = tokens.find(refresh, now=clock.now)
    assert found is not None
    assert found.kind is Kind.REFRESH


def test_scopes_that_write_count_from_their_time_on(app: Flask, alice: int, clock: Clock) -> None:
    with app.app_context(), db.transaction() as session:
        token = issued(alice, clock.now).access_token
        session.execute(update(tokens.Token).values(expires_at=clock.now + timedelta(days=2)))
        for hours, seconds, scopes in ((24, -1, {"openid"}), (24, 0, {"openid", "packages:publish"})):
            found = tokens.find(token, now=clock.now + timedelta(hours=hours, seconds=seconds))
            assert found is not None
            assert found.scopes == scopes


@pytest.mark.attack("T21")
@pytest.mark.parametrize("state", ["hold", "mandate"])
def test_in_a_hold_or_under_an_unmet_mandate_what_writes_counts_neither_for_old_tokens_nor_for_new_ones(
    app: Flask, clock: Clock, state: str
) -> None:
    bob = make_person(app, "bob", now=clock.now).id
    now = clock.now + timedelta(seconds=1)

    def worth(token: str) -> frozenset[str]:
        who = tokens.principal(token, now=now)
        assert who is not None
        return who.scopes

    with app.test_request_context(), db.transaction():
        old = issued(bob, clock.now, writes_after=timedelta(0)).access_token
        approved = grant(bob, clock.now, writes_after=timedelta(0))
        assert approved is not None
        assert worth(old) == {"openid", "packages:publish"}
        if state == "hold":
            holds.begin(bob, HoldCause.OPERATOR, client=None, now=clock.now)
        else:
            mandates.require(bob, from_=now, reason="Many use it.", set_by="operator", now=clock.now)
        new = tokens.issue(approved, with_refresh=False, now=now)
        assert isinstance(new, Issued)
        assert new.view.scopes == worth(new.access_token) == worth(old) == {"openid"}


@pytest.mark.attack("E18")
def test_an_account_that_may_hold_nothing_is_granted_nothing(app: Flask, alice: int, clock: Clock) -> None:
    with app.app_context(), db.transaction():
        unproved = accounts.create(username="newcomer", now=clock.now)
        accounts.add_address(unproved, "new@example.test", is_primary=True, verified_at=None, now=clock.now)
        assert grant(unproved, clock.now) is None
        assert grant(alice, clock.now, epoch=1) is None
        accounts.set_frozen(alice, now=clock.now)
        assert grant(alice, clock.now) is None
        accounts.set_frozen(alice, now=None)
        accounts.set_disabled(alice, now=clock.now)
        assert grant(alice, clock.now) is None
        accounts.set_disabled(alice, now=None)
        assert grant(alice, clock.now) is not None


def test_an_account_frozen_between_grant_and_issue_is_issued_nothing(app: Flask, alice: int, clock: Clock) -> None:
    with app.app_context(), db.transaction():
        grant_id = grant(alice, clock.now)
        accounts.set_frozen(alice, now=clock.now)
        assert grant_id is not None
        assert tokens.issue(grant_id, with_refresh=False, now=clock.now) == Refused("invalid_grant")


@pytest.mark.parametrize("change", ["epoch", "frozen", "disabled", "revoked"])
def test_a_token_is_dead_with_its_grant_or_account(app: Flask, alice: int, clock: Clock, change: str) -> None:
    with app.app_context(), db.transaction():
        made = issued(alice, clock.now)
        other = issued(alice, clock.now)
        if change == "epoch":
            accounts.raise_epoch(alice)
        elif change == "frozen":
            accounts.set_frozen(alice, now=clock.now)
        elif change == "disabled":
            accounts.set_disabled(alice, now=clock.now)
        else:
            assert tokens.revoke(alice, made.view.grant_id, now=clock.now)
            assert not tokens.revoke(alice, made.view.grant_id, now=clock.now)
        assert tokens.find(made.access_token, now=clock.now) is None
        if change in {"epoch", "revoked"}:
            left = [g.id for g in tokens.of_account(alice, now=clock.now)]
            assert left == ([other.view.grant_id] if change == "revoked" else [])


def test_grants_are_listed_in_words_with_when_they_end_and_were_used(app: Flask, alice: int, clock: Clock) -> None:
    with app.app_context(), db.transaction():
        issued(alice, clock.now)
        (found,) = tokens.of_account(alice, now=clock.now)
        assert found == replace(
            found,
            label="Laptop",
            scopes=[SCOPES["openid"].words, SCOPES["packages:publish"].words],
            created_at=clock.now,
            expires_at=clock.now + tokens.ACCESS_LIFE,
            last_used_at=None,
        )
        assert tokens.of_account(alice, now=clock.now + tokens.ACCESS_LIFE) == []


def test_ended_tokens_are_purged(app: Flask, alice: int, clock: Clock) -> None:
    with app.app_context(), db.transaction() as session:
        issued(alice, clock.now, with_refresh=True)
        tokens.purge(before=clock.now + tokens.ACCESS_LIFE + timedelta(seconds=1))
        assert session.scalars(select(tokens.Token.kind)).all() == [Kind.REFRESH]


def test_only_scopes_that_publish_write() -> None:
    assert tokens.writing(SCOPES) == {"packages:publish"}
