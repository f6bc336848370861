"""The reset gate, asked about one address: its facts gathered for `policy/reset_gate.py`."""

from datetime import datetime

from authsvc import accounts, domains, mandates
from authsvc.accounts import AccountView, AddressView
from authsvc.policy.domain_verdict import Impact
from authsvc.policy.reset_gate import Allow, Block, Defer, ResetFacts, block_stands, decide


def gate(account: AccountView, address: AddressView, look: domains.Look, *, now: datetime) -> Allow | Defer | Block:
    """What the reset gate says of a link to this address (POLICY 8), by this look at its domain."""
    impact = Impact.HIGH if mandates.has_mandate(account.id) else Impact.NORMAL
    judgement = domains.judge_address(look, address, impact=impact)
    facts = ResetFacts(
        address_verified=address.verified_at is not None,
        blocked=block_stands(
            blocked_at=address.blocked_at,
            verified_at=address.verified_at,
            last_strong_sign_in_at=account.last_strong_sign_in_at,
            last_recovery_at=account.last_recovery_at,
        ),
        generation_is_current=address.generation == look.generation,
        verdict=judgement.verdict,
        reason=judgement.reason,
        continuity=domains.continuous(look, address),
        comparable=domains.comparable(look, address),
        looked_up_at=look.checked_at,
        enrolled=frozenset(a.kind for a in accounts.enrolled(account.id, now=now)),
    )
    return decide(facts, now)
