"""Opening a frozen account again: what was shown, judged by `policy/freeze.py`, and what is confirmed (POLICY 5).

Begun by a link to an address older than the dispute, or inside a sign-in that met the freeze.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update

from authsvc import (
    accounts,
    audit,
    budgets,
    devices,
    dispute_links,
    domains,
    freezes,
    login,
    mail,
    passwords,
    recovery_codes,
    totp,
    webauthn,
)
from authsvc.accounts import AccountRow, AccountView, AddressView, Item
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.core.assurance import PHISHING_RESISTANT, Factor
from authsvc.core.errors import Gone, TooMany
from authsvc.core.web import Client, settings
from authsvc.freezes import FreezeView
from authsvc.policy import freeze as policy
from authsvc.policy.budget import STREAK_NEEDS_CODE
from authsvc.policy.freeze import UnfreezeFacts
from authsvc.policy.reset_gate import EVIDENCE_MAX_AGE, Allow
from authsvc.recovery.gate import gate
from authsvc.recovery.models import ResetRequest, Unfreezing

LINK_LIFE = timedelta(hours=1)
MAIL_WITHIN = timedelta(minutes=10)
MAX_LIVE = 3  # links to one address
MATURE_FOR = timedelta(days=7)  # after the wait
MAILBOX_FIRST = "Too many wrong codes were typed. Ask for a link at “Forgot your password?”, and type the code there."


class UnfreezingGone(Gone):
    """The link was used, is too old, or the account is not frozen any more."""


@dataclass(frozen=True, kw_only=True)
class Open:
    """A live attempt, with the freeze it is to end and what it has shown."""

    id: int
    account: AccountView
    freeze: FreezeView
    facts: UnfreezeFacts
    older: dict[int, Factor]
    newer: dict[int, Factor]  # disputed; they may object
    challenge: bytes | None
    waits_until: datetime | None
    vetoed: bool

    @property
    def share(self) -> budgets.Share:
        """Whose budget guesses are charged to: strangers must not use up that of whoever proved the mailbox."""
        return budgets.BY_MAIL if self.facts.mailbox else None

    @property
    def may_object(self) -> frozenset[Factor]:
        """Kinds that may object, while an objection would change anything."""
        return frozenset() if self.older or self.vetoed else frozenset(self.newer.values())


def older_addresses(freeze: FreezeView, account: AccountView) -> list[AddressView]:
    """Trusted addresses that were senior when the disputed thing happened, those removed since included."""
    own = accounts.addresses(account.id, with_removed=True)
    return [
        a
        for a in own
        if a.trusted
        and a.silenced_at is None
        and a.senior(freeze.disputed_at, account_made=account.created_at)
        and (a.removed_at is None or a.removed_at >= freeze.disputed_at)
    ]


def mail_links(request_id: int, account: AccountView, client: Client, *, now: datetime) -> None:
    """Answer a reset request for a frozen account: a link to every older address that passes the reset gate."""
    with db.transaction():
        freeze = freezes.current(account.id)
        addresses = older_addresses(freeze, account) if freeze and not account.disabled else []
    passed = []
    for address in addresses:
        with db.transaction():
            look = domains.check_fresh(address.domain, max_age=EVIDENCE_MAX_AGE, now=now)
        with db.transaction():
            decision = gate(account, address, look, now=now)
            if isinstance(decision, Allow):
                passed.append((address, decision))
    with db.transaction() as session:
        end = delete(ResetRequest).where(ResetRequest.id == request_id).returning(ResetRequest.id)
        if session.scalar(end) is None or freeze is None or account.disabled:
            return
        audit.record(EventType.RESET_REQUESTED, account_id=account.id, at=now, client=client)
        for address, decision in passed:
            if _live(address.id, now=now) < MAX_LIVE:
                _mail_link(account, freeze, address, client, doubtful=not decision.at_once, now=now)


def _live(address_id: int, *, now: datetime) -> int:
    query = select(func.count()).select_from(Unfreezing)
    query = query.where(Unfreezing.address_id == address_id, Unfreezing.spent_at.is_(None), Unfreezing.expires_at > now)
    return db.session().scalar(query) or 0


def _mail_link(
    account: AccountView, freeze: FreezeView, address: AddressView, client: Client, *, doubtful: bool, now: datetime
) -> None:
    token = begin(account, freeze, address_id=address.id, doubtful=doubtful, now=now)
    mail.send(
        "unfreeze_link",
        to=address.email,
        subject=f"Open the account {account.username} again",
        account_id=account.id,
        not_after=now + MAIL_WITHIN,
        now=now,
        username=account.username,
        link=f"{settings().base_url}/recovery/unfreeze/{token}",
        client=client,
    )


def begin(
    account: AccountView,
    freeze: FreezeView,
    *,
    address_id: int | None = None,
    doubtful: bool = False,
    password: bool = False,
    now: datetime,
) -> str:
    """Start an attempt and return its token: with the link to an older address, or with the password from then.

    `doubtful`: the domain of the address is healthy and shows no continuity.
    """
    token = crypto.random_token()
    db.session().add(
        Unfreezing(
            digest=crypto.digest(token),
            account_id=account.id,
            freeze_id=freeze.id,
            epoch=account.epoch,
            address_id=address_id,
            doubtful=doubtful,
            password=password,
            created_at=now,
            expires_at=now + LINK_LIFE,
        )
    )
    db.session().flush()
    return token


def find(token: str, *, browser_token: str, now: datetime) -> Open:
    """The live attempt of a token, judged as of now. Raises UnfreezingGone."""
    query = (
        select(Unfreezing)
        .join(AccountRow, AccountRow.id == Unfreezing.account_id)
        .where(
            Unfreezing.digest == crypto.digest(token),
            Unfreezing.spent_at.is_(None),
            Unfreezing.expires_at > now,
            Unfreezing.epoch == AccountRow.epoch,
            AccountRow.disabled_at.is_(None),
        )
    )
    row = db.session().scalar(query) if token else None
    freeze = freezes.current(row.account_id) if row else None
    if row is None or freeze is None or freeze.id != row.freeze_id:
        raise UnfreezingGone("no live attempt")
    account = accounts.get(row.account_id)
    mailbox = row.address_id is not None
    if mailbox and all(a.id != row.address_id for a in older_addresses(freeze, account)):
        raise UnfreezingGone(f"address {row.address_id} is not what it was")
    older = accounts.seniors_at(account.id, freeze.disputed_at)
    if account.keys_only:  # decision 0018
        older = {i: kind for i, kind in older.items() if kind in PHISHING_RESISTANT} or older
    newer = [a for a in accounts.enrolled(account.id, now=now) if a.created_at >= freeze.disputed_at]
    facts = UnfreezeFacts(
        older=frozenset(older.values()),
        contested=row.doubtful or any(freeze.began_at - a.created_at >= accounts.SENIOR_AFTER for a in newer),
        proved=frozenset(Factor(word) for word in row.proved.split()),
        mailbox=mailbox,
        password=row.password,
        senior_browser=devices.was_senior(browser_token, account.id, at=freeze.disputed_at),
        waited=row.waits_until is not None and now >= row.waits_until,
        vetoed=_vetoed(freeze.id),
    )
    return Open(
        id=row.id,
        account=account,
        freeze=freeze,
        facts=facts,
        older=older,
        newer={a.id: a.kind for a in newer},
        challenge=row.challenge,
        waits_until=row.waits_until,
        vetoed=facts.vetoed,
    )


def _vetoed(freeze_id: int) -> bool:
    """True when somebody objected to any attempt: they need not do so again and again (POLICY 5)."""
    query = select(Unfreezing.id).where(Unfreezing.freeze_id == freeze_id, Unfreezing.vetoed_at.is_not(None))
    return db.session().scalar(query.limit(1)) is not None


def begin_in_sign_in(account_id: int, *, with_password: bool, now: datetime) -> str:
    """Start an attempt from a sign-in that met the freeze. Raises UnfreezingGone when there is none any more.

    Its password counts where it is the one from before the dispute. A passkey is asked for again: it may be younger.
    """
    account, freeze = accounts.get(account_id), freezes.current(account_id)
    if freeze is None:
        raise UnfreezingGone("not frozen")
    changed_at = passwords.changed_at(account_id)
    from_then = with_password and changed_at is not None and changed_at < freeze.disputed_at
    return begin(account, freeze, password=from_then, now=now)


def key_options(attempt: Open, *, among: Collection[int]) -> str:
    """Options for a WebAuthn assertion of one of these keys, bound to this attempt."""
    options, challenge = webauthn.begin_assertion(attempt.account.id, user_verification="preferred", among=set(among))
    _note(attempt, challenge=challenge)
    return options


def _note(attempt: Open, **values: object) -> None:
    db.session().execute(update(Unfreezing).where(Unfreezing.id == attempt.id).values(values))


def prove(attempt: Open, *, code: str, credential: str, client: Client, now: datetime) -> bool:
    """Check an older authenticator; guesses are charged first."""
    _check_streak(attempt, code)
    factor = _check(attempt, attempt.older, code=code, credential=credential, client=client, now=now)
    if factor is None:
        return False
    _note(attempt, proved=" ".join(sorted(attempt.facts.proved | {factor})))
    return True


def _check_streak(attempt: Open, code: str) -> None:
    """After 20 wrong codes in a row one counts only beside the mailbox, as at sign-in (POLICY 7). Raises TooMany."""
    streak = budgets.streak("second_factor", budgets.subject_of(attempt.account.id, ""), attempt.share)
    if code and not attempt.facts.mailbox and streak >= STREAK_NEEDS_CODE:
        raise TooMany("too many wrong codes in a row", message=MAILBOX_FIRST, retry_after=3600)


def object_(attempt: Open, *, code: str, credential: str, client: Client, now: datetime) -> bool:
    """Whoever holds a disputed authenticator objects: mailbox and time do not open the account then (POLICY 5)."""
    if _check(attempt, attempt.newer, code=code, credential=credential, client=client, now=now) is None:
        return False
    accounts.lock(attempt.account.id)  # so that opening it sees the objection, or comes first
    _note(attempt, vetoed_at=now)
    audit.record(EventType.UNFREEZING_VETOED, account_id=attempt.account.id, at=now, client=client)
    return True


def _check(
    attempt: Open, among: Collection[int], *, code: str, credential: str, client: Client, now: datetime
) -> Factor | None:
    factor = _check_key(attempt, credential, among, now) if credential else _check_totp(attempt, code, among, now)
    if factor is None:
        audit.record(EventType.SECOND_FACTOR_FAILED, account_id=attempt.account.id, at=now, client=client)
    return factor


def _check_totp(attempt: Open, code: str, among: Collection[int], now: datetime) -> Factor | None:
    subject = budgets.subject_of(attempt.account.id, "")
    charge = budgets.charge("second_factor", subject, attempt.share, now=now)
    if not charge.allowed:
        raise TooMany("second factor budget empty", retry_after=int(charge.retry_after.total_seconds()) + 1)
    if totp.verify(attempt.account.id, code, now=now, among=set(among)) is None:
        login.tell_wrong_codes(attempt.account.id, charge.streak, now=now)
        return None
    budgets.clear("second_factor", subject, attempt.share)
    return Factor.TOTP


def _check_key(attempt: Open, credential: str, among: Collection[int], now: datetime) -> Factor | None:
    if attempt.challenge is None:
        return None
    taken = update(Unfreezing).where(Unfreezing.id == attempt.id, Unfreezing.challenge == attempt.challenge)
    if db.session().scalar(taken.values(challenge=None).returning(Unfreezing.id)) is None:
        return None
    found = webauthn.verify_assertion(
        credential,
        attempt.challenge,
        account_id=attempt.account.id,
        user_verification_required=False,
        among=set(among),
        now=now,
    )
    if not isinstance(found, webauthn.Assertion):
        return None
    return Factor.PASSKEY if found.user_verified else Factor.SECURITY_KEY


def prove_password(attempt: Open, password: str, *, now: datetime) -> bool:
    """Check the password that was valid when the disputed thing happened. Raises TooMany and Busy."""
    verified = passwords.was_valid(
        attempt.account.id, password, at=attempt.freeze.disputed_at, browser_id=attempt.share, now=now
    )
    if not verified.charged:
        raise TooMany("password budget empty", retry_after=300)
    if verified.ok:
        _note(attempt, password=True)
    return verified.ok


def wait(attempt: Open, *, client: Client, now: datetime) -> None:
    """Begin the wait, and tell every address, with a link to object: those disputed, too (POLICY 5)."""
    event, until = dispute_links.new_event(), now + policy.WAIT
    begun = update(Unfreezing).where(Unfreezing.id == attempt.id, Unfreezing.waits_until.is_(None))
    begun = begun.values(waits_until=until, expires_at=until + MATURE_FOR, veto_event=event)
    if db.session().scalar(begun.returning(Unfreezing.id)) is None:
        return
    subject = f"Somebody wants to open the account {attempt.account.username}"
    heard_since = min(attempt.freeze.disputed_at, now - accounts.NOTICES_AFTER_REMOVAL)
    for address in accounts.addresses(attempt.account.id, with_removed=True):
        removed_long_ago = address.removed_at is not None and address.removed_at < heard_since  # POLICY 3
        if address.trusted and address.silenced_at is None and not removed_long_ago:
            token = dispute_links.issue(attempt.account.id, address.id, event=event, about=subject, now=now)
            mail.send(
                "unfreezing_begun",
                to=address.email,
                subject=subject,
                account_id=attempt.account.id,
                now=now,
                username=attempt.account.username,
                until=until,
                veto=f"{settings().base_url}/not-me/{token}",
                client=client,
            )


def veto(event: str, *, client: Client, now: datetime) -> bool:
    """Somebody objects to a wait: it does not open the account by itself any more. False for other events."""
    change = update(Unfreezing).where(Unfreezing.veto_event == event, Unfreezing.vetoed_at.is_(None))
    account_id = db.session().scalar(change.values(vetoed_at=now).returning(Unfreezing.account_id))
    if account_id is not None:
        audit.record(EventType.UNFREEZING_VETOED, account_id=account_id, at=now, client=client)
    return account_id is not None


def disputed(attempt: Open) -> list[Item]:
    """What the owner confirms item by item."""
    return accounts.changed_since(attempt.account.id, since=attempt.freeze.disputed_at)


def problem_with(attempt: Open, new_password: str) -> str | None:
    """Why the new password cannot be used; neither the present one nor the one from then is new. Raises Busy."""
    problem = passwords.problem_with(new_password, username=attempt.account.username)
    at = attempt.freeze.disputed_at
    if problem is None and passwords.is_present(attempt.account.id, new_password, or_at=at):
        return "Choose a password that this account did not have before."
    return problem


def complete(
    attempt: Open, new_password: str, *, keep: Collection[tuple[str, int]], client: Client, now: datetime
) -> None:
    """Open the account, with its new password. Raises UnfreezingGone where something is still needed, or changed."""
    if not isinstance(policy.decide(attempt.facts), policy.Unfreeze):
        raise UnfreezingGone("more is needed")
    hashed = passwords.hash_new(new_password, known=True)
    account = accounts.lock(attempt.account.id)
    decision = policy.decide(replace(attempt.facts, vetoed=_vetoed(attempt.freeze.id)))
    freeze = freezes.current(account.id)
    if account.epoch != attempt.account.epoch or freeze is None or freeze != attempt.freeze:
        raise UnfreezingGone("the account changed meanwhile")
    spent = update(Unfreezing).where(Unfreezing.id == attempt.id, Unfreezing.spent_at.is_(None))
    if db.session().scalar(spent.values(spent_at=now).returning(Unfreezing.id)) is None:
        raise UnfreezingGone("a rival request was first")
    if not isinstance(decision, policy.Unfreeze):
        raise UnfreezingGone("somebody objected meanwhile")
    recovery_codes.void(account.id, now=now, made_since=freeze.disputed_at)
    passwords.set_hash(account.id, hashed, now=now)
    freezes.end(freeze, keep=keep, by_authenticator=decision.by_authenticator, client=client, now=now)


def purge(*, before: datetime) -> None:
    """Delete attempts that ended before the time, but for objections while their freeze stands."""
    over = delete(Unfreezing).where(Unfreezing.expires_at < before)
    kept = Unfreezing.vetoed_at.is_not(None) & Unfreezing.freeze_id.in_(freezes.standing_ids())
    db.session().execute(over.where(~kept))
