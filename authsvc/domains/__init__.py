"""Mail domains: what was seen of them, what follows for the addresses there, and the sweep that looks again.

Evidence belongs to a domain and is shared by its addresses; the verdict is written to the addresses through
`accounts`. The rules are in `policy/domain_verdict.py`.

Verbs: check_now, check_fresh, last_look, known (looks); judge_address, continuous, comparable, mailbox_worth,
seen_while_healthy, health_words (for one address); may_register, may_get_code, first_proof, proof_would_count, prove,
record_verification (proofs); sweep, due.
"""

from authsvc.domains.judging import (
    comparable,
    continuous,
    health_words,
    judge_address,
    mailbox_worth,
    seen_while_healthy,
)
from authsvc.domains.looks import Look, check_fresh, check_now, known, last_look
from authsvc.domains.models import AddressBaseline, Domain
from authsvc.domains.proofs import (
    first_proof,
    may_get_code,
    may_register,
    proof_would_count,
    prove,
    record_verification,
)
from authsvc.domains.sweep import WORKER_SHARE, Sweep, due, sweep

__all__ = [
    "WORKER_SHARE",
    "AddressBaseline",
    "Domain",
    "Look",
    "Sweep",
    "check_fresh",
    "check_now",
    "comparable",
    "continuous",
    "due",
    "first_proof",
    "health_words",
    "judge_address",
    "known",
    "last_look",
    "mailbox_worth",
    "may_get_code",
    "may_register",
    "proof_would_count",
    "prove",
    "record_verification",
    "seen_while_healthy",
    "sweep",
]
