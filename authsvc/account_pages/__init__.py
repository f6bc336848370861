"""What the owner sees and does: registration, the security page, enrolment, password, sessions."""

from authsvc.account_pages import (
    addresses,
    enrol,
    freeze,
    hold,
    keys_only,
    log,
    lost,
    mail_check,
    packages,
    password,
    proof_places,
    registration,
    removal,
    security,
)
from authsvc.account_pages.blueprint import bp
from authsvc.account_pages.freeze import delete_due, forget_removed
from authsvc.account_pages.registration import purge
from authsvc.account_pages.removal import carry_out_removals

__all__ = [
    "addresses",
    "bp",
    "carry_out_removals",
    "delete_due",
    "enrol",
    "forget_removed",
    "freeze",
    "hold",
    "keys_only",
    "log",
    "lost",
    "mail_check",
    "packages",
    "password",
    "proof_places",
    "purge",
    "registration",
    "removal",
    "security",
]
