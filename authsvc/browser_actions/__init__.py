"""An action started elsewhere and approved in a browser: the device grant (RFC 8628), entered at /device.

Verbs: begin (a program asks), poll (what became of it; an approval is delivered once), purge; and for whatever is
approved in a browser, writes_from (when scopes that write begin to count) and words (scopes, with that).
"""

from authsvc.browser_actions.service import Approval, Begun, Waiting, begin, poll, purge, words, writes_from
from authsvc.browser_actions.views import bp

__all__ = ["Approval", "Begun", "Waiting", "begin", "bp", "poll", "purge", "words", "writes_from"]
