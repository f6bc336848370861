"""Sign-in: the pending login, the one dispatcher, second-factor pages, enrolment inside a sign-in.

The only slice that issues sessions, and only when `policy.login` says Complete. Verbs: begin_for (start a pending
login for somebody who proved something elsewhere, such as at registration), finish (let the dispatcher act),
frozen_account (whose freeze this sign-in met), enrolment (the ceremony that `account_pages` uses as well), give_pass
(tries of its own for a browser that proved the mailbox), tell_wrong_codes, note_elsewhere (a right password typed at
another page), tell_unfinished (the worker's), and shed_strangers (the door before everything else); MANDATE_WORDS are
what each strength asks for.
"""

from authsvc.login import enrolment
from authsvc.login.banner import WORDS as MANDATE_WORDS
from authsvc.login.dispatch import finish, frozen_account
from authsvc.login.pass_views import bp
from authsvc.login.passes import give as give_pass
from authsvc.login.service import BROWSER_COOKIE, begin_for, purge, tell_wrong_codes
from authsvc.login.shedding import shed_strangers
from authsvc.login.unfinished import note_elsewhere
from authsvc.login.unfinished import tell as tell_unfinished
from authsvc.login.views import codes_file

__all__ = [
    "BROWSER_COOKIE",
    "MANDATE_WORDS",
    "begin_for",
    "bp",
    "codes_file",
    "enrolment",
    "finish",
    "frozen_account",
    "give_pass",
    "note_elsewhere",
    "purge",
    "shed_strangers",
    "tell_unfinished",
    "tell_wrong_codes",
]
