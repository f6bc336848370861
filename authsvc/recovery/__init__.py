"""Forgotten password: one page for everybody, a decision by the worker, a link that replaces no factor.

And opening a frozen account again (POLICY 5).

Verbs: request_reset (any text, known or not), process_resets (the worker's task), veto (an objection to opening an
account after a wait), gate (what the reset gate says of an address), purge.
"""

from authsvc.recovery import unfreeze_views
from authsvc.recovery.gate import gate
from authsvc.recovery.service import process_resets, purge, request_reset
from authsvc.recovery.unfreezing import veto
from authsvc.recovery.views import bp

__all__ = ["bp", "gate", "process_resets", "purge", "request_reset", "unfreeze_views", "veto"]
