"""A brown-out is no easier way in than a day without one."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from authsvc import accounts, holds, mandates
from authsvc.core import db
from authsvc.domains.models import Domain
from authsvc.policy.cohort import Cohort, Phase
from authsvc.policy.hold import HoldCause
from tests.conftest import NOON, Clock
from tests.people import PASSWORD, Person, Visitor
from tests.slices import request_to

DAY = timedelta(days=1)


@pytest.mark.parametrize("brown_out", [False, True])
def test_password_and_known_browser_enrol_nothing_where_the_mailbox_is_lost(
    app: Flask, client: Visitor, make_account: Callable[..., Person], clock: Clock, brown_out: bool
) -> None:
    alice = make_account()
    client.sign_in(alice)  # this browser becomes known
    client.post("/logout")
    clock.advance(days=40)
    phase = Phase(
        name="all",
        cohort=Cohort(everybody=True),
        announced=NOON,
        enforced_from=clock.now + 60 * DAY,
        brown_outs=((clock.now - DAY, clock.now + DAY),) if brown_out else (),
    )
    with request_to(app):
        mandates.change_phases([phase], reason="A test", set_by="test", now=clock.now)
    with app.app_context():
        mandates.apply(now=clock.now)
    healthy = clock.now - 2 * DAY
    with app.app_context(), db.transaction() as session:
        lapsed = {"verdict": "lapsed", "generation": 1, "last_healthy_at": healthy, "healthy_before_doubt_at": healthy}
        session.execute(update(Domain).where(Domain.name == "example.test").values(lapsed))
        accounts.set_trust("example.test", verdict="lapsed", generation=1, now=clock.now)
    client.post("/login", username=alice.username, password=PASSWORD)
    client.post("/login/enrol", way="totp")
    assert client.signed_in()
    with request_to(app):
        assert accounts.enrolled(alice.id, now=clock.now) == []
        hold = holds.current(alice.id, now=clock.now)
    assert hold is not None
    assert hold.cause is HoldCause.DOUBTFUL_MAILBOX
