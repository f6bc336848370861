"""Accounts, their addresses and the register of authenticators.

What an account has enrolled is one table here, whatever kind it is; the secret stays in the slice of the kind.

`AccountRow` is exported for joins in other slices' read queries alone; only this slice writes it.

Verbs, of accounts: create, find, get, lock, by_sub, set_disabled, set_frozen, set_staff, set_keys_only,
require_new_password, raise_epoch, note_sign_in, username_taken, usernames; of authenticators: enrolled,
add_authenticator, rename_authenticator, revoke_authenticator, note_use; of addresses: addresses, mail_address, add_address,
verify_address, remove_address, make_primary, owner_of_address, proved_since, set_trust, set_reregistered,
block_address, lift_block, trusted_recipients.
"""

from authsvc.accounts.addresses import (
    LOST_VERDICTS,
    AddressView,
    add_address,
    addresses,
    block_address,
    lift_block,
    mail_address,
    make_primary,
    owner_of_address,
    proved_since,
    remove_address,
    set_reregistered,
    set_trust,
    trusted_recipients,
    verify_address,
)
from authsvc.accounts.models import Account as AccountRow
from authsvc.accounts.names import (
    RESERVED_USERNAMES,
    InvalidAddress,
    InvalidUsername,
    canonical_username,
    normalise_address,
)
from authsvc.accounts.register import (
    AuthenticatorView,
    add_authenticator,
    enrolled,
    note_use,
    rename_authenticator,
    revoke_authenticator,
)
from authsvc.accounts.service import (
    AccountView,
    by_sub,
    create,
    find,
    get,
    lock,
    note_sign_in,
    raise_epoch,
    require_new_password,
    set_disabled,
    set_frozen,
    set_keys_only,
    set_staff,
    username_taken,
    usernames,
)
from authsvc.core.assurance import SENIOR_AFTER

__all__ = [
    "LOST_VERDICTS",
    "RESERVED_USERNAMES",
    "SENIOR_AFTER",
    "AccountRow",
    "AccountView",
    "AddressView",
    "AuthenticatorView",
    "InvalidAddress",
    "InvalidUsername",
    "add_address",
    "add_authenticator",
    "addresses",
    "block_address",
    "by_sub",
    "canonical_username",
    "create",
    "enrolled",
    "find",
    "get",
    "lift_block",
    "lock",
    "mail_address",
    "make_primary",
    "normalise_address",
    "note_sign_in",
    "note_use",
    "owner_of_address",
    "proved_since",
    "raise_epoch",
    "remove_address",
    "rename_authenticator",
    "require_new_password",
    "revoke_authenticator",
    "set_disabled",
    "set_frozen",
    "set_keys_only",
    "set_reregistered",
    "set_staff",
    "set_trust",
    "trusted_recipients",
    "username_taken",
    "usernames",
    "verify_address",
]
