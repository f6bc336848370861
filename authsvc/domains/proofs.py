"""Proving an address by mail: what counts, what it heals, and the baseline it begins (POLICY 8)."""

from datetime import datetime, timedelta

from sqlalchemy import delete, update

from authsvc import accounts, audit, mail
from authsvc.accounts import AddressView
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.domain_names import is_reserved, mail_domain
from authsvc.core.web import Client, settings
from authsvc.domains.judging import mailbox_worth
from authsvc.domains.looks import check_fresh, row_of
from authsvc.domains.models import AddressBaseline, Domain
from authsvc.policy.domain_verdict import Verdict
from authsvc.policy.login import Mailbox

PROOF_EVIDENCE_MAX_AGE = timedelta(minutes=10)  # of the look at the domain when an address is proved
CODE_EVIDENCE_MAX_AGE = timedelta(hours=1)  # POLICY 8: of the look at the domain when a code is mailed


def may_register(email: str) -> bool:
    """False for reserved names, unless this is somebody trying things out on their own machine."""
    return settings().is_loopback or not is_reserved(mail_domain(email))


def may_get_code(account_id: int, email: str, *, now: datetime) -> bool:
    """Whether a code may leave for the account's address; looks at the domain first when an hour has passed."""
    check_fresh(mail_domain(email), max_age=CODE_EVIDENCE_MAX_AGE, now=now)
    found = next((a for a in accounts.addresses(account_id) if a.email == email), None)
    return mailbox_worth(found) is not Mailbox.LOST


def first_proof(account_id: int, email: str, *, now: datetime) -> None:
    """A mailed code proved an address: its first verification, or nothing new (POLICY 8)."""
    for address in accounts.addresses(account_id):
        if address.email == email and address.verified_at is None:
            record_verification(address.id, address.domain, verified_at=now, now=now)
            audit.record(EventType.ADDRESS_VERIFIED, account_id=account_id, at=now, email=email)


def proof_would_count(address: AddressView, *, now: datetime) -> bool:
    """Whether a mailed code may prove the address now; looks at the domain first (POLICY 8).

    A first proof counts unless the domain is known to be bad. A later one counts at a healthy domain, and where the
    address is in doubt only after a strong sign-in since the doubt began. Ends the present transaction when it looks.
    """
    verdict = check_fresh(address.domain, max_age=PROOF_EVIDENCE_MAX_AGE, now=now).judgement.verdict
    address = _as_it_stands(address)
    if address.verified_at is None:
        return verdict in {Verdict.HEALTHY, Verdict.UNKNOWN}
    if verdict is not Verdict.HEALTHY:
        return False
    return mailbox_worth(address) is not Mailbox.LOST or _strong_sign_in_since(address)


def _strong_sign_in_since(address: AddressView) -> bool:
    """True after a strong sign-in since the address was proved last, and since any block or doubt began."""
    strong = accounts.get(address.account_id).last_strong_sign_in_at
    times = (address.verified_at, address.blocked_at, address.doubted_at)
    return strong is not None and all(t is None or strong > t for t in times)


def prove(address: AddressView, *, client: Client | None, now: datetime) -> bool:
    """The owner proved an address by a mailed code; False where that must not count (see `proof_would_count`).

    An address that was in doubt is healed by it, which the account's other trusted addresses hear of. Without a strong
    sign-in, proving anew what is in no doubt changes nothing: a mailed code moves no baseline.
    """
    if not proof_would_count(address, now=now):
        return False
    address, account = _as_it_stands(address), accounts.get(address.account_id)
    if address.verified_at is not None and not _strong_sign_in_since(address):
        return True
    if address.verified_at is not None and mailbox_worth(address) is Mailbox.LOST:
        accounts.lift_block(address.id)
        audit.record(EventType.ADDRESS_UNBLOCKED, account_id=account.id, at=now, client=client, email=address.email)
        mail.notify(  # this address is none of the trusted ones yet
            account.id,
            "address_healed",
            subject=f"Address confirmed anew for {account.username}",
            now=now,
            username=account.username,
            email=address.email,
            client=client,
        )
    record_verification(address.id, address.domain, verified_at=now, now=now)
    audit.record(EventType.ADDRESS_VERIFIED, account_id=account.id, at=now, client=client, email=address.email)
    return True


def _as_it_stands(address: AddressView) -> AddressView:
    """The address again, after a look at its domain may have changed what it is worth."""
    return next((a for a in accounts.addresses(address.account_id) if a.id == address.id), address)


def record_verification(address_id: int, domain: str, *, verified_at: datetime, now: datetime) -> None:
    """The owner proved the address at that time, in the domain's present generation; look at the domain soon."""
    row = row_of(domain, now=now)
    verdict = Verdict.HEALTHY.value if is_reserved(domain) and settings().is_loopback else row.verdict
    accounts.verify_address(address_id, generation=row.generation, verdict=verdict, now=verified_at)
    db.session().execute(delete(AddressBaseline).where(AddressBaseline.address_id == address_id))
    db.session().execute(update(Domain).where(Domain.id == row.id).values(next_check_at=now))
