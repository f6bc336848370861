"""Forgotten password: one page for everybody, a decision by the worker, a link that replaces no factor.

Verbs: request_reset (any text, known or not), process_resets (the worker's task), purge.
"""

from authsvc.recovery.service import process_resets, purge, request_reset
from authsvc.recovery.views import bp

__all__ = ["bp", "process_resets", "purge", "request_reset"]
