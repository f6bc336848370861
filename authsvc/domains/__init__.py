"""Mail domains: what was seen of them, what follows for the addresses there, and the sweep that looks again.

Evidence belongs to a domain and is shared by its addresses; the verdict is written to the addresses through
`accounts`. The rules are in `policy/domain_verdict.py`.

Verbs: check_now, check_fresh, last_look, known (looks); judge_address, continuous, comparable, mailbox_worth,
seen_while_healthy, health_words (for one address); may_register, may_get_code, first_proof, proof_would_count, prove,
record_verification (proofs); sweep, bring_forward, due; tell_of_doubts, refresh_servers, forget_hosts (the worker's);
breaker, raise_breaker, lower_breaker, count_established (changes held back).
"""

from authsvc.domains.commands import GROUPS as commands
from authsvc.domains.doubts import tell_of_doubts
from authsvc.domains.hosts import purge as forget_hosts
from authsvc.domains.judging import (
    comparable,
    continuous,
    health_words,
    judge_address,
    mailbox_worth,
    reason_words,
    seen_while_healthy,
)
from authsvc.domains.looks import Look, check_fresh, check_now, known, last_look
from authsvc.domains.mass_change import Breaker, breaker, count_established, lower_breaker, raise_breaker
from authsvc.domains.models import AddressBaseline, Domain
from authsvc.domains.proofs import (
    first_proof,
    may_get_code,
    may_register,
    proof_would_count,
    prove,
    record_verification,
)
from authsvc.domains.registries import refresh_servers
from authsvc.domains.sweep import WORKER_SHARE, Sweep, bring_forward, due, sweep

__all__ = [
    "WORKER_SHARE",
    "AddressBaseline",
    "Breaker",
    "Domain",
    "Look",
    "Sweep",
    "breaker",
    "bring_forward",
    "check_fresh",
    "check_now",
    "commands",
    "comparable",
    "continuous",
    "count_established",
    "due",
    "first_proof",
    "forget_hosts",
    "health_words",
    "judge_address",
    "known",
    "last_look",
    "lower_breaker",
    "mailbox_worth",
    "may_get_code",
    "may_register",
    "proof_would_count",
    "prove",
    "raise_breaker",
    "reason_words",
    "record_verification",
    "refresh_servers",
    "seen_while_healthy",
    "sweep",
    "tell_of_doubts",
]
