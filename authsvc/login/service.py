"""The pending login: started, found, its facts gathered, its proofs checked and noted."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, insert, select, update

from authsvc import (
    accounts,
    audit,
    budgets,
    devices,
    domains,
    email_codes,
    mail,
    mandates,
    passwords,
    recovery_codes,
    totp,
    webauthn,
)
from authsvc.accounts import AccountRow, AccountView, AddressView, AuthenticatorView
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.core.assurance import PHISHING_RESISTANT, Factor
from authsvc.core.errors import AuthError
from authsvc.core.web import client, cookie, local_path, request_time, settings
from authsvc.login import enrolment, passes
from authsvc.login.models import Enrolment, PendingLogin
from authsvc.policy.budget import STREAK_IS_TOLD, STREAK_NEEDS_CODE
from authsvc.policy.hold import ABSENCE
from authsvc.policy.login import LoginFacts

LIFE = timedelta(minutes=15)
COOKIE = "login"
PASSKEY_COOKIE = "passkey"  # its own, so that opening the sign-in page never ends a sign-in in another tab
BROWSER_COOKIE = "browser"


class LoginExpired(AuthError):
    """The pending login is older than LIFE, was used, or died with the account's epoch."""

    status = 401
    code = "login_expired"
    title = "This sign-in has ended"
    message = "It took too long, or was finished in another tab. Please start again."


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A live pending login, as loaded for this request."""

    id: int
    account_id: int | None
    epoch: int
    proved: frozenset[Factor]
    senior: frozenset[Factor]
    hardware: bool
    attested: bool
    created_at: datetime
    mailbox_checked: bool
    password_replaced: bool
    postponed: bool
    recovery_code_id: int | None
    challenge: bytes | None
    challenge_for: str
    next_path: str

    @property
    def bound_to(self) -> str:
        """What codes and enrolments of this sign-in are bound to."""
        return f"login:{self.id}"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """The facts for the policy, and what pages and mails say about them."""

    facts: LoginFacts
    account: AccountView
    address: AddressView | None
    authenticators: list[AuthenticatorView]
    browser: devices.BrowserView | None
    share: budgets.Share  # whose budget tries are charged to


_COLUMNS = [getattr(PendingLogin, name) for name in Pending.__dataclass_fields__]
_FIND = (
    select(*_COLUMNS)
    .outerjoin(AccountRow, AccountRow.id == PendingLogin.account_id)
    .where(
        PendingLogin.digest == bindparam("digest"),
        PendingLogin.consumed_at.is_(None),
        PendingLogin.expires_at > bindparam("now"),
        (PendingLogin.account_id.is_(None))
        | ((PendingLogin.epoch == AccountRow.epoch) & AccountRow.disabled_at.is_(None)),
    )
)

_INSERT = insert(PendingLogin)


def _factors(text: str) -> frozenset[Factor]:
    return frozenset(Factor(word) for word in text.split())


def _words(factors: frozenset[Factor]) -> str:
    return " ".join(sorted(factors))


def find(token: str, *, now: datetime) -> Pending | None:
    """The live pending login of a cookie."""
    row = db.execute(_FIND, {"digest": crypto.digest(token), "now": now}).first() if token else None
    if row is None:
        return None
    values = dict(row._mapping)
    values["proved"], values["senior"] = _factors(values["proved"]), _factors(values["senior"])
    return Pending(**values)


def current(name: str = COOKIE) -> Pending:
    """The pending login that this browser's cookie names. Raises LoginExpired."""
    found = find(cookie(name), now=request_time())
    if found is None:
        raise LoginExpired("no live pending login")
    return found


def begin_for(
    account: AccountView | None,
    *,
    proved: frozenset[Factor] = frozenset(),
    mailbox_checked: bool = False,
    new_browser: bool = False,
    next_path: str,
    now: datetime,
) -> str:
    """Start a pending login and return the token for its cookie. `new_browser`: the owner hears when it ends here."""
    token = crypto.random_token()
    values = {
        "digest": crypto.digest(token),
        "account_id": account.id if account else None,
        "epoch": account.epoch if account else 0,
        "created_at": now,
        "expires_at": now + LIFE,
        "proved": _words(proved),
        "mailbox_checked": mailbox_checked,
        "next_path": local_path(next_path, ""),
        "new_browser": new_browser,
        "ip": client().ip if new_browser else "",
        "browser": client().browser if new_browser else "",
    }
    db.execute(_INSERT, values)
    return token


def try_password(name: str, password: str, *, next_path: str, now: datetime) -> str | None:
    """Check a first factor; the token of a new pending login, or None, alike for every cause (POLICY 2, rule 1).

    For a disabled account nothing is compared, so a right password does no more work than a wrong one (attack L09).
    """
    db.reading()  # most of a storm is turned away, and need not wait for the one writer that SQLite allows
    account = accounts.find(name)
    live = account if account is not None and not account.disabled else None
    whose = browser_share(live.id, now=now) if live else None
    verified = passwords.verify(live.id if live else None, password, name=name, browser_id=whose, now=now)
    if live is None or not verified.ok:
        if verified.charged:  # tries that were not even compared must not push everything else out of the log
            account_id = account.id if account else None
            audit.record(EventType.LOGIN_FAILED, account_id=account_id, at=now, client=client())
        elif live is not None:
            passes.offer(live, whose, now=now)
        return None
    proved = frozenset({Factor.PASSWORD})
    return begin_for(live, proved=proved, new_browser=whose is None, next_path=next_path, now=now)


def browser_share(account_id: int, *, now: datetime) -> budgets.Share:
    """Whose budget the tries of this request's browser are charged to."""
    return passes.share(account_id, devices.find(cookie(BROWSER_COOKIE), account_id), now=now)


def gather(pending: Pending, *, now: datetime) -> Situation | None:
    """Read what the policy needs to know; None while no account is named yet."""
    if pending.account_id is None:
        return None
    account = accounts.get(pending.account_id)
    authenticators = accounts.enrolled(account.id, now=now)
    address = accounts.mail_address(account.id)
    browser = devices.find(cookie(BROWSER_COOKIE), account.id)
    share = passes.share(account.id, browser, now=now)
    subject = budgets.subject_of(account.id, "")
    streak = budgets.streak("second_factor", subject, share) if authenticators else 0
    absent = account.last_sign_in_at is not None and now - account.last_sign_in_at > ABSENCE
    facts = LoginFacts(
        proved=pending.proved,
        senior=pending.senior,
        frozen=account.frozen,
        enrolled=tuple(a.kind for a in authenticators),
        code_also_needed=streak >= STREAK_NEEDS_CODE,
        mailbox=domains.mailbox_worth(address),
        mailbox_checked=pending.mailbox_checked,
        code_waived=settings().mailed_code == "new-browsers" and browser is not None,
        senior_browser=browser is not None and domains.seen_while_healthy(address, browser.first_seen_at, now=now),
        password_must_change=account.password_must_change is not None,
        password_replaced=pending.password_replaced,
        all_enrolled_here=all(a.created_at >= pending.created_at for a in authenticators),
        mandate=mandates.in_force(account.id, now=now),
        rehearsal=mandates.rehearsal(account.id, now=now),
        postponed=pending.postponed,
        keys_only=account.keys_only,
        attested=pending.attested,
        long_absent=absent,
    )
    return Situation(
        facts=facts, account=account, address=address, authenticators=authenticators, browser=browser, share=share
    )


def _note(pending: Pending, **values: object) -> None:
    db.session().execute(update(PendingLogin).where(PendingLogin.id == pending.id).values(values))


def _prove(pending: Pending, factor: Factor, *, senior: bool, **values: object) -> None:
    proved = pending.proved | {factor}
    strong = pending.senior | {factor} if senior else pending.senior
    _note(pending, proved=_words(proved), senior=_words(strong), **values)


def check_email_code(pending: Pending, code: str, *, now: datetime) -> bool:
    """Check the mailed code of this sign-in. Only after a right password (POLICY 2, rule 4)."""
    if pending.account_id is None or Factor.PASSWORD not in pending.proved:
        raise LoginExpired("code before password")
    address = email_codes.spend(pending.bound_to, code, now=now)
    if address is None:
        audit.record(EventType.LOGIN_CODE_FAILED, account_id=pending.account_id, at=now, client=client())
        return False
    domains.first_proof(pending.account_id, address, now=now)
    _note(pending, mailbox_checked=True)
    return True


@dataclass(frozen=True)
class CodeChecked:
    """The outcome of one second-factor guess; `wait` in seconds when the budget was empty."""

    ok: bool
    wait: int | None = None


def check_code(pending: Pending, factor: Factor, code: str, *, now: datetime) -> CodeChecked:
    """Check a TOTP or recovery code, charged before it is compared; both share one budget (attack L01)."""
    if pending.account_id is None or Factor.PASSWORD not in pending.proved:
        raise LoginExpired("second factor before password")
    whose = browser_share(pending.account_id, now=now)
    subject = budgets.subject_of(pending.account_id, "")
    charge = budgets.charge("second_factor", subject, whose, now=now)
    if not charge.allowed:
        passes.offer(accounts.get(pending.account_id), whose, now=now)
        drop(pending, now=now)  # the password is asked for again (attack T03)
        return CodeChecked(False, wait=int(charge.retry_after.total_seconds()) + 1)
    if factor is Factor.RECOVERY_CODE:
        code_id = recovery_codes.check(pending.account_id, code)
        if code_id is not None:
            _prove(pending, factor, senior=False, recovery_code_id=code_id)
            return CodeChecked(True)
    else:
        authenticator_id = totp.verify(pending.account_id, code, now=now)
        if authenticator_id is not None:
            _prove(pending, factor, senior=_is_senior(pending.account_id, authenticator_id, now))
            return CodeChecked(True)
    audit.record(
        EventType.SECOND_FACTOR_FAILED,
        account_id=pending.account_id,
        at=now,
        client=client(),
        factor=factor.value,
    )
    tell_wrong_codes(pending.account_id, charge.streak, now=now)
    return CodeChecked(False)


def tell_wrong_codes(account_id: int, streak: int, *, now: datetime) -> None:
    """Mail the owner of wrong second factors in a row, at most once an hour: the password is known (attack T03)."""
    if streak < STREAK_IS_TOLD:
        return
    if not budgets.charge("second_factor_mail", budgets.subject_of(account_id, ""), None, now=now).allowed:
        return
    username = accounts.get(account_id).username
    mail.notify(
        account_id,
        "second_factor_failed",
        subject=f"Wrong codes for {username}",
        now=now,
        username=username,
        client=client(),
    )


def _is_senior(account_id: int, authenticator_id: int, now: datetime) -> bool:
    return any(a.id == authenticator_id and a.senior for a in accounts.enrolled(account_id, now=now))


def key_challenge(pending: Pending, purpose: str) -> str:
    """Options for a WebAuthn assertion as JSON; the challenge is bound to this sign-in and purpose (attack W04)."""
    account_id = pending.account_id if purpose == "key" else None
    options, challenge = webauthn.begin_assertion(
        account_id, user_verification="discouraged" if purpose == "key" else "required"
    )
    _note(pending, challenge=challenge, challenge_for=purpose)
    return options


@dataclass(frozen=True)
class KeyChecked:
    """The outcome of one assertion; `signal` is what the page tells the browser about a credential of nobody."""

    ok: bool
    signal: dict[str, str] | None = None


def check_key(pending: Pending, credential: str, purpose: str, *, now: datetime) -> KeyChecked:
    """Check an assertion: `passkey` names the account by itself, `key` stands beside the password."""
    taken = update(PendingLogin).where(
        PendingLogin.id == pending.id,
        PendingLogin.challenge == pending.challenge,
        PendingLogin.challenge_for == purpose,
    )
    if (
        pending.challenge is None
        or db.session().scalar(taken.values(challenge=None).returning(PendingLogin.id)) is None
    ):
        return KeyChecked(False)
    if purpose == "key" and (pending.account_id is None or Factor.PASSWORD not in pending.proved):
        raise LoginExpired("key before password")
    found = webauthn.verify_assertion(
        credential,
        pending.challenge,
        account_id=pending.account_id if purpose == "key" else None,
        user_verification_required=purpose == "passkey",
        now=now,
    )
    if not isinstance(found, webauthn.Assertion):
        _note_refused_key(found, now=now)
        return KeyChecked(False, found.signal)
    account = accounts.get(found.account_id)
    if account.disabled:
        return KeyChecked(False)
    factor = Factor.PASSKEY if found.user_verified else Factor.SECURITY_KEY
    senior = _is_senior(account.id, found.authenticator_id, now)
    named = {"account_id": account.id, "epoch": account.epoch} if purpose == "passkey" else {}
    attested = pending.attested or (senior and found.attested)
    _prove(pending, factor, senior=senior, hardware=found.hardware, attested=attested, **named)
    return KeyChecked(True)


def _note_refused_key(refused: webauthn.Refused, *, now: datetime) -> None:
    """Log a refused key with the account whose it is."""
    if refused.account_id is not None:
        audit.record(
            EventType.SECOND_FACTOR_FAILED,
            account_id=refused.account_id,
            at=now,
            client=client(),
            factor="webauthn",
            reason=refused.reason.value,
        )


def set_next(pending: Pending, path: str) -> None:
    """Where this sign-in leads when it completes."""
    _note(pending, next_path=local_path(path, pending.next_path))


def note_enrolled(pending: Pending, enrolled: enrolment.Enrolled, *, now: datetime) -> None:
    """What was enrolled inside this sign-in counts as proved in it (POLICY 2, rule 6)."""
    if pending.account_id is None:
        raise LoginExpired("enrolled without an account")
    senior = _is_senior(pending.account_id, enrolled.authenticator_id, now)
    attested = pending.attested or (senior and enrolled.attested)
    _prove(pending, enrolled.factor, senior=senior, hardware=enrolled.hardware, attested=attested)


def postpone(pending: Pending) -> None:
    """Say "not today" to what a brown-out asks for, for this sign-in."""
    _note(pending, postponed=True)


def drop(pending: Pending, *, now: datetime) -> None:
    """End a pending login that its owner does not want. It counts as unfinished, whoever left it."""
    _note(pending, expires_at=now)


def replace_password(pending: Pending, account: AccountView, password: str, *, now: datetime) -> str | None:
    """Set the new password that this sign-in has to have; why it is refused, or None when done.

    The epoch rises (POLICY 6) and this sign-in goes on in the new one.
    """
    problem = passwords.problem_with(password, username=account.username)
    if problem is not None:
        return problem
    if passwords.is_present(account.id, password):
        return "Choose a password that is not the present one."
    hashed = passwords.hash_new(password, known=True)
    if accounts.lock(account.id).epoch != pending.epoch:
        raise LoginExpired("the account changed while the password was hashed")
    passwords.set_hash(account.id, hashed, now=now)
    browser = devices.find(cookie(BROWSER_COOKIE), account.id)
    epoch = accounts.raise_epoch(account.id)
    if browser is not None:
        devices.carry_over(browser.id, epoch=epoch)
    audit.record(EventType.PASSWORD_CHANGED, account_id=account.id, at=now, client=client())
    mail.notify(
        account.id,
        "password_changed",
        subject=f"Password changed for {account.username}",
        now=now,
        username=account.username,
        client=client(),
    )
    _note(pending, epoch=epoch, password_replaced=True)
    return None


def ways(situation: Situation) -> list[str]:
    """The second-factor ways of the page, strongest first."""
    any_of = situation.facts.sufficient()
    found = ["key"] if any_of & PHISHING_RESISTANT else []
    if Factor.TOTP in any_of:
        found.append("totp")
    if recovery_codes.left(situation.account.id):
        found.append("recovery_code")
    return found


def purge(*, before: datetime) -> None:
    """Delete sign-ins, enrolments and passes that ended before the time."""
    passes.purge(before=before)
    db.session().execute(delete(PendingLogin).where(PendingLogin.expires_at < before))
    db.session().execute(delete(Enrolment).where(Enrolment.expires_at < before))
