"""An action started elsewhere and approved in a browser: the device grant (RFC 8628), entered at /device.

Verbs: begin (a program asks), poll (what became of it; an approval is delivered once), purge.
"""

from authsvc.browser_actions.service import Approval, Begun, Waiting, begin, poll, purge
from authsvc.browser_actions.views import bp

__all__ = ["Approval", "Begun", "Waiting", "begin", "bp", "poll", "purge"]
