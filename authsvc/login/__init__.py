"""Sign-in: the pending login, the one dispatcher, second-factor pages, enrolment inside a sign-in.

The only slice that issues sessions, and only when `policy.login` says Complete. Verbs: begin_for (start a pending
login for somebody who proved something elsewhere, such as at registration), finish (let the dispatcher act),
enrolment (the ceremony that `account_pages` uses as well).
"""

from authsvc.login import enrolment
from authsvc.login.dispatch import finish
from authsvc.login.service import begin_for, purge
from authsvc.login.views import bp, codes_file

__all__ = ["begin_for", "bp", "codes_file", "enrolment", "finish", "purge"]
