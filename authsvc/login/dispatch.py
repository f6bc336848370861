"""The dispatcher: every step of a sign-in returns here, the policy decides, and the decision is carried out once."""

from datetime import datetime
from typing import assert_never

from flask import Response, make_response, redirect, url_for
from sqlalchemy import update

from authsvc import (
    accounts,
    audit,
    budgets,
    device_bound,
    devices,
    domains,
    email_codes,
    holds,
    mail,
    recovery_codes,
    sessions,
)
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import PROOF_WORDS, Acr, Factor, amr_values
from authsvc.core.web import client, cookie, drop_cookie, local_path, request_time, set_cookie
from authsvc.login import passes, service
from authsvc.login.models import PendingLogin
from authsvc.login.service import BROWSER_COOKIE, COOKIE, LoginExpired, Pending, Situation
from authsvc.policy.login import (
    AskEmailCode,
    AskFirstFactor,
    AskSecondFactor,
    Complete,
    EnrolFactor,
    ExplainFreeze,
    GoToRecovery,
    Mailbox,
    ReplacePassword,
    Step,
    next_step,
)

SESSION_COOKIE = sessions.COOKIE
HOME = "/account"


def decide(pending: Pending, *, now: datetime) -> tuple[Step, Situation | None]:
    """Gather the facts and ask the policy."""
    situation = service.gather(pending, now=now)
    return (next_step(situation.facts) if situation else AskFirstFactor()), situation


def advance(token: str) -> Response:
    """Carry out what the pending login of `token` needs next, and lead there. Called after every POST of a sign-in."""
    now = request_time()
    pending = service.find(token, now=now)
    if pending is None:
        raise LoginExpired("no live pending login")
    step, situation = decide(pending, now=now)
    match step:
        case Complete() if situation is not None:
            return _complete(pending, situation, step, now)
        case AskEmailCode() if situation is not None:
            if email_codes.sent(pending.bound_to) is None:
                send_code(pending, situation, now=now)
            return _to("login.next_step", token)
        case GoToRecovery():
            return _to("recovery.help", token)
        case AskFirstFactor():
            return _to("login.start", token)
        case Complete() | AskEmailCode() | ExplainFreeze() | AskSecondFactor() | ReplacePassword() | EnrolFactor():
            return _to("login.next_step", token)
    assert_never(step)


def _to(endpoint: str, token: str) -> Response:
    response = make_response(redirect(url_for(endpoint), code=303))
    set_cookie(response, COOKIE, token, max_age_seconds=int(service.LIFE.total_seconds()))
    return response


def finish(token: str) -> Response:
    """`advance`, for slices that began a pending login themselves (registration)."""
    return advance(token)


def frozen_account() -> tuple[int, bool]:
    """The account whose freeze this sign-in met, and whether its password was right. Raises LoginExpired."""
    pending = service.current()
    step, situation = decide(pending, now=request_time())
    if not isinstance(step, ExplainFreeze) or situation is None:
        raise LoginExpired("no freeze was met")
    return situation.account.id, Factor.PASSWORD in pending.proved


def send_code(pending: Pending, situation: Situation, *, now: datetime) -> bool:
    """Mail this sign-in's code. False when the budget for codes is empty."""
    if situation.address is None or domains.mailbox_worth(situation.address) is Mailbox.LOST:
        return False
    handed_over = email_codes.hand_over(
        pending.bound_to,
        situation.address.email,
        kind="login_code",
        subject=f"Your sign-in code for {situation.account.username}",
        account_id=situation.account.id,
        browser_id=situation.share,
        now=now,
        username=situation.account.username,
        client=client(),
    )
    if handed_over:
        audit.record(EventType.LOGIN_CODE_SENT, account_id=situation.account.id, at=now, client=client())
    else:
        passes.offer(situation.account, situation.share, now=now)
    return handed_over


def _complete(pending: Pending, situation: Situation, step: Complete, now: datetime) -> Response:
    """Consume the pending login and issue the session. Of two at once one wins (attack T06)."""
    account, caller = accounts.lock(situation.account.id), client()
    if account.epoch != pending.epoch or account.disabled or account.frozen:
        raise LoginExpired("the account changed while this sign-in completed")
    consumed = update(PendingLogin).where(
        PendingLogin.id == pending.id, PendingLogin.consumed_at.is_(None), PendingLogin.expires_at > now
    )
    if db.session().scalar(consumed.values(consumed_at=now).returning(PendingLogin.id)) is None:
        raise LoginExpired("a rival request was first")
    if pending.recovery_code_id is not None and Factor.RECOVERY_CODE in pending.proved:
        if not recovery_codes.spend(pending.recovery_code_id, now=now):
            raise LoginExpired("the recovery code was spent meanwhile")
        left = recovery_codes.left(account.id)
        audit.record(EventType.RECOVERY_CODE_USED, account_id=account.id, at=now, client=caller, left=left)
        mail.notify(
            account.id,
            "recovery_code_used",
            subject=f"Recovery code used for {account.username}",
            now=now,
            username=account.username,
            left=left,
            client=caller,
        )
    browser = devices.remember(cookie(BROWSER_COOKIE), account.id, epoch=account.epoch, client=caller, now=now)
    if browser.is_new:
        audit.record(EventType.BROWSER_ADDED, account_id=account.id, at=now, client=caller)
        if account.last_sign_in_at is not None:  # the very first browser is no news
            mail.notify(
                account.id,
                "new_browser",
                subject=f"New browser signed in to {account.username}",
                now=now,
                username=account.username,
                how=" and ".join(PROOF_WORDS[factor] for factor in sorted(pending.proved)),
                client=caller,
            )
    if step.hold is not None:
        holds.begin(account.id, step.hold, client=caller, now=now)
    budgets.clear("second_factor", budgets.subject_of(account.id, ""), situation.share)
    # Never by a recovery code, nor by what this very sign-in enrolled (POLICY 8).
    strong = step.acr is not Acr.AAL1 and not situation.facts.all_enrolled_here
    accounts.note_sign_in(account.id, strong=strong, now=now)
    replaced = sessions.find_named(cookie(SESSION_COOKIE), now=now)
    if replaced is not None:  # a new identifier at every sign-in (attack S01)
        sessions.end(replaced.account_id, replaced.id, now=now)
    amr = amr_values(pending.proved, hardware=pending.hardware)
    session_id, token = sessions.issue(
        account.id,
        epoch=account.epoch,
        acr=step.acr,
        amr=amr,
        auth_time=now,
        browser_id=browser.id,
        client=caller,
        now=now,
        replaces=replaced,
    )
    proved = sorted(f.value for f in pending.proved)
    audit.record(
        EventType.LOGIN_SUCCEEDED,
        account_id=account.id,
        at=now,
        client=caller,
        proved=proved,
        acr=step.acr.value,
    )
    response = make_response(redirect(local_path(pending.next_path, HOME), code=303))
    set_cookie(response, SESSION_COOKIE, token, max_age_seconds=int(sessions.LIFE.total_seconds()))
    set_cookie(response, BROWSER_COOKIE, browser.token, max_age_seconds=int(devices.COOKIE_LIFE.total_seconds()))
    drop_cookie(response, COOKIE)
    device_bound.offer(response, session_id)
    return response
