"""What the owner sees and does: registration, the security page, enrolment, password, sessions."""

from authsvc.account_pages import addresses, enrol, keys_only, log, mail_check, password, registration, security
from authsvc.account_pages.blueprint import bp
from authsvc.account_pages.registration import purge

__all__ = [
    "addresses",
    "bp",
    "enrol",
    "keys_only",
    "log",
    "mail_check",
    "password",
    "purge",
    "registration",
    "security",
]
