"""The permission table and what a step-up takes."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from authsvc.core.assurance import AUTHENTICATORS, Acr, Action, Factor, Lack, Principal, Program
from authsvc.policy.permission import (
    TABLE,
    Allowed,
    Hidden,
    KeyNeeded,
    Refused,
    SignInNeeded,
    StepUpProofs,
    decide,
    step_up_proofs,
)

SESSION = Principal(
    account_id=1,
    sub="s",
    username="alice",
    acr=Acr.AAL1,
    amr=frozenset({"pwd"}),
    auth_time=datetime(2026, 11, 24, tzinfo=UTC),
    session_id=7,
)
STAFF = replace(SESSION, is_staff=True, acr=Acr.PHRH)
OF_STAFF = [action for action in Action if TABLE[action].staff]
OF_PROGRAMS = [action for action in Action if TABLE[action].program]
OF_ALL = [action for action in Action if action not in OF_STAFF + OF_PROGRAMS]
TOKEN = replace(SESSION, session_id=None, token_id=9, scopes=frozenset({"openid"}))


def test_every_action_has_a_rule() -> None:
    assert set(TABLE) == set(Action)


@pytest.mark.parametrize("action", Action)
def test_nobody_does_nothing(action: Action) -> None:
    assert decide(action, None) == SignInNeeded()


@pytest.mark.parametrize("action", OF_ALL)
def test_a_session_may_what_the_table_says_and_in_a_hold_only_what_protects(action: Action) -> None:
    assert decide(action, SESSION) == Allowed(step_up=TABLE[action].step_up)
    held = decide(action, replace(SESSION, in_hold=True))
    assert held == (Allowed(step_up=TABLE[action].step_up) if TABLE[action].in_hold else Refused("in_hold"))


@pytest.mark.parametrize("action", Action)
def test_a_token_may_only_what_its_scopes_cover(action: Action) -> None:
    allowed = isinstance(decide(action, TOKEN), Allowed)
    assert allowed == (TABLE[action].scope == "openid")
    assert decide(action, replace(TOKEN, scopes=frozenset())) == Refused("insufficient_scope")


@pytest.mark.parametrize("action", Action)
def test_a_program_may_for_itself_only_what_is_for_programs_and_its_scopes_cover(action: Action) -> None:
    scope = TABLE[action].scope or ""
    allowed = decide(action, Program(client_id="c", scopes=frozenset({scope})))
    assert allowed == (Allowed() if action in OF_PROGRAMS else Refused("insufficient_scope"))
    assert decide(action, Program(client_id="c", scopes=frozenset({"openid"}))) == Refused("insufficient_scope")


@pytest.mark.parametrize("action", OF_PROGRAMS)
@pytest.mark.parametrize("who", [SESSION, STAFF, TOKEN])
def test_no_account_may_what_is_for_programs_whatever_its_scopes(action: Action, who: Principal) -> None:
    scope = TABLE[action].scope or ""
    assert decide(action, replace(who, scopes=frozenset({scope}))) == Refused("insufficient_scope")


@pytest.mark.attack("A02")
@pytest.mark.parametrize("action", OF_STAFF)
def test_what_staff_do_is_hidden_from_all_others_whatever_they_proved(action: Action) -> None:
    stranger = replace(STAFF, is_staff=False)
    for caller in (stranger, replace(stranger, in_hold=True), replace(stranger, mandate_lack=Lack.PROOF)):
        assert decide(action, caller) == Hidden()


@pytest.mark.attack("A13")
@pytest.mark.parametrize("asked", [Acr.PHR, Acr.PHRH])
@pytest.mark.parametrize("acr", Acr)
@pytest.mark.parametrize("action", OF_STAFF)
def test_staff_prove_a_key_and_verified_hardware_where_it_is_asked_for(action: Action, acr: Acr, asked: Acr) -> None:
    strong = acr in {Acr.PHR, Acr.PHRH} if asked is Acr.PHR else acr is Acr.PHRH
    expected = Allowed(step_up=TABLE[action].step_up) if strong else KeyNeeded()
    assert decide(action, replace(STAFF, acr=acr), staff_acr=asked) == expected


@pytest.mark.parametrize("action", OF_STAFF)
def test_staff_wait_in_a_hold_and_before_their_mandate_is_met_and_use_no_token(action: Action) -> None:
    assert decide(action, replace(STAFF, in_hold=True)) == Refused("in_hold")
    for lack in Lack:
        assert decide(action, replace(STAFF, mandate_lack=lack)) == Refused(lack)
    token = replace(STAFF, session_id=None, token_id=9, scopes=frozenset({"openid", "staff"}))
    assert decide(action, token) == Refused("insufficient_scope")


@pytest.mark.parametrize("action", [action for action in OF_STAFF if TABLE[action].step_up])
def test_what_staff_do_is_confirmed_by_a_key_alone(action: Action) -> None:
    for senior in (set[Factor](), {Factor.TOTP}):
        assert step_up_proofs(action, senior, mailbox_usable=True, senior_browser=True).any_of == ()
    proofs = step_up_proofs(action, AUTHENTICATORS, mailbox_usable=True)
    assert proofs.met_by({Factor.PASSKEY}, mailbox_checked=False)
    assert proofs.met_by({Factor.SECURITY_KEY, Factor.PASSWORD}, mailbox_checked=False)
    for too_little in ({Factor.SECURITY_KEY}, {Factor.PASSWORD, Factor.TOTP}, {Factor.PASSWORD, Factor.RECOVERY_CODE}):
        assert not proofs.met_by(too_little, mailbox_checked=True)


def test_in_a_hold_nothing_is_taken_away_or_given() -> None:
    waiting = {a for a in Action if not TABLE[a].in_hold}
    assert {Action.CHANGE_PASSWORD, Action.REMOVE_AUTHENTICATOR, Action.GRANT_WRITE} <= waiting
    assert not {Action.END_SESSIONS, Action.REVOKE_TOKEN, Action.ADD_AUTHENTICATOR} & waiting


@pytest.mark.attack("T21")
@pytest.mark.parametrize("caller", [SESSION, TOKEN])
@pytest.mark.parametrize("lack", [Lack.AUTHENTICATOR, Lack.PROOF])
@pytest.mark.parametrize("action", Action)
def test_under_an_unmet_mandate_one_reads_ends_revokes_and_enrols_and_nothing_else(
    action: Action, lack: Lack, caller: Principal
) -> None:
    free = decide(action, caller)
    allowed = {
        Action.READ_ACCOUNT,
        Action.SIGN_OUT,
        Action.END_SESSIONS,
        Action.FORGET_BROWSER,
        Action.REVOKE_TOKEN,
        Action.STEP_UP,
        Action.ADD_AUTHENTICATOR,
        Action.RENEW_RECOVERY_CODES,
        Action.READ_USERINFO,
        Action.END_HOLD,
        Action.FREEZE_ACCOUNT,
        Action.DELETE_ACCOUNT,
        Action.REPLACE_AUTHENTICATOR,
        Action.STOP_REMOVAL,
        Action.OBJECT_TO_RECOVERY,
    }
    waits = isinstance(free, Allowed) and action not in allowed
    assert decide(action, replace(caller, mandate_lack=lack)) == (Refused(lack) if waits else free)


@pytest.mark.parametrize("caller", [SESSION, TOKEN])
@pytest.mark.parametrize("action", Action)
def test_before_what_was_enrolled_is_senior_one_may_what_one_may_in_a_hold(action: Action, caller: Principal) -> None:
    in_hold = decide(action, replace(caller, in_hold=True))
    expected = Refused(Lack.SENIORITY) if in_hold == Refused("in_hold") else in_hold
    assert decide(action, replace(caller, mandate_lack=Lack.SENIORITY)) == expected


def test_every_change_of_security_takes_a_step_up() -> None:
    named = {Action.ADD_AUTHENTICATOR, Action.REMOVE_AUTHENTICATOR, Action.RENEW_RECOVERY_CODES, Action.CHANGE_PASSWORD}
    assert named <= {a for a in Action if TABLE[a].step_up}


def test_the_strongest_senior_class_is_asked_for() -> None:
    proofs = step_up_proofs(Action.CHANGE_PASSWORD, AUTHENTICATORS, mailbox_usable=True)
    assert not proofs.met_by(frozenset({Factor.TOTP, Factor.PASSWORD}), mailbox_checked=True)
    assert proofs.met_by(frozenset({Factor.PASSKEY}), mailbox_checked=False)


@pytest.mark.attack("W03")
def test_a_key_without_user_verification_needs_the_password_beside_it() -> None:
    proofs = step_up_proofs(Action.CHANGE_PASSWORD, {Factor.PASSKEY}, mailbox_usable=True)
    assert not proofs.met_by(frozenset({Factor.SECURITY_KEY}), mailbox_checked=True)
    assert proofs.met_by(frozenset({Factor.SECURITY_KEY, Factor.PASSWORD}), mailbox_checked=False)


def test_an_app_proves_a_step_up_where_it_is_the_strongest() -> None:
    proofs = step_up_proofs(Action.CHANGE_PASSWORD, {Factor.TOTP}, mailbox_usable=False)
    assert proofs.met_by(frozenset({Factor.TOTP}), mailbox_checked=False)
    assert not proofs.met_by(frozenset({Factor.PASSWORD}), mailbox_checked=True)


def test_without_an_authenticator_password_and_mailbox_are_both_proved() -> None:
    proofs = step_up_proofs(Action.CHANGE_PASSWORD, (), mailbox_usable=True)
    assert proofs == StepUpProofs((frozenset({Factor.PASSWORD}),), mailbox=True)
    assert not proofs.met_by(frozenset({Factor.PASSWORD}), mailbox_checked=False)
    assert not proofs.met_by(frozenset(), mailbox_checked=True)
    assert proofs.met_by(frozenset({Factor.PASSWORD}), mailbox_checked=True)


def test_with_neither_nothing_will_do() -> None:
    proofs = step_up_proofs(Action.CHANGE_PASSWORD, (), mailbox_usable=False)
    assert not proofs.met_by(frozenset(Factor), mailbox_checked=True)


def test_a_recovery_code_is_never_a_step_up() -> None:
    for senior in ({Factor.TOTP}, {Factor.PASSKEY}, set[Factor]()):
        proofs = step_up_proofs(Action.CHANGE_PASSWORD, senior, mailbox_usable=True)
        assert not proofs.met_by(frozenset({Factor.RECOVERY_CODE}), mailbox_checked=True)


@pytest.mark.parametrize("keys_alone", [False, True])
@pytest.mark.parametrize("senior", [set[Factor](), {Factor.TOTP}, {Factor.PASSKEY}, {Factor.TOTP, Factor.PASSKEY}])
def test_what_is_lost_is_replaced_with_a_recovery_code_beside_whatever_proves_it(
    senior: set[Factor], keys_alone: bool
) -> None:
    proofs = step_up_proofs(Action.REPLACE_AUTHENTICATOR, senior, mailbox_usable=True, keys_alone=keys_alone)
    assert proofs.recovery_code
    alone = [{Factor.PASSWORD}, {Factor.TOTP}, {Factor.PASSKEY}, {Factor.RECOVERY_CODE}]
    assert not any(proofs.met_by(way, mailbox_checked=True) for way in alone)
    with_code = {way for way in Factor if proofs.met_by({way, Factor.RECOVERY_CODE}, mailbox_checked=False)}
    assert with_code == {Factor.PASSWORD} | senior - ({Factor.TOTP} if keys_alone else set())


@pytest.mark.parametrize("action", [Action.FREEZE_ACCOUNT, Action.STOP_REMOVAL])
def test_any_senior_authenticator_protects_and_a_code_does_not_where_keys_are_the_only_proofs(action: Action) -> None:
    both = {Factor.TOTP, Factor.PASSKEY}
    for senior in (both, {Factor.TOTP}, {Factor.PASSKEY}):
        proofs = step_up_proofs(action, senior, mailbox_usable=True)
        assert {way for way in both if proofs.met_by({way}, mailbox_checked=False)} == senior
    proofs = step_up_proofs(action, both, mailbox_usable=True, keys_alone=True)
    assert not proofs.met_by({Factor.TOTP}, mailbox_checked=True)


def test_password_and_mailbox_do_not_vouch_for_anybody() -> None:
    assert step_up_proofs(Action.VOUCH, (), mailbox_usable=True, senior_browser=True).any_of == ()
    assert step_up_proofs(Action.VOUCH, {Factor.TOTP}, mailbox_usable=True).any_of == (frozenset({Factor.TOTP}),)


def test_where_keys_alone_count_and_none_is_senior_nothing_will_do() -> None:
    assert step_up_proofs(Action.CHANGE_PASSWORD, {Factor.TOTP}, mailbox_usable=True, keys_alone=True).any_of == ()


@pytest.mark.parametrize(
    ("action", "mailbox", "browser", "packages", "enough"),
    [
        (Action.ADD_ADDRESS, False, True, False, True),
        (Action.ADD_AUTHENTICATOR, False, True, False, True),
        (Action.ADD_ADDRESS, False, False, False, False),
        (Action.ADD_ADDRESS, False, True, True, False),
        (Action.CHANGE_PASSWORD, False, True, False, False),
        (Action.END_HOLD, True, True, False, False),
    ],
)
def test_without_authenticator_and_mailbox_a_senior_browser_adds_and_does_no_more(
    action: Action, mailbox: bool, browser: bool, packages: bool, enough: bool
) -> None:
    proofs = step_up_proofs(action, (), mailbox_usable=mailbox, senior_browser=browser, owns_packages=packages)
    assert proofs.met_by({Factor.PASSWORD}, mailbox_checked=False) is enough
