"""Who is asking, by cookie or token, and may they? And the step-up: a proof bound to one displayed action.

Verbs: principal, require_principal, step_up (ask for a proof), carries_out (what runs once it is given),
carry_over (keep the session that made a change alive in the new epoch), refusal (the error that says what comes first),
purge, register (the hook).
"""

from authsvc.access.hook import carry_over, principal, refusal, register, require_principal
from authsvc.access.stepup import carries_out, purge, step_up
from authsvc.access.views import bp

__all__ = [
    "bp",
    "carries_out",
    "carry_over",
    "principal",
    "purge",
    "refusal",
    "register",
    "require_principal",
    "step_up",
]
