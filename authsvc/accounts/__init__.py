"""Accounts, their addresses and the register of authenticators.

What an account has enrolled is one table here, whatever kind it is; the secret stays in the slice of the kind.

`AccountRow` is exported for joins in other slices' read queries alone; only this slice writes it.

Verbs, of accounts: create, erase, find, find_frozen, get, lock, by_sub, set_disabled, set_frozen, set_staff,
set_keys_only, require_new_password, raise_epoch, note_sign_in, username_taken, usernames; of authenticators:
enrolled, enrolled_ids, forgotten, add_authenticator, rename_authenticator, revoke_authenticator, note_use; of
addresses: addresses, mail_address, add_address, verify_address, remove_address, make_primary, owner_of_address,
proved_since, set_trust, set_reregistered, block_address, lift_block, trusted_recipients, with_a_say, silence; of
disputes: changed_since, settle, seniors_at.
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
    silence,
    trusted_recipients,
    verify_address,
    with_a_say,
)
from authsvc.accounts.disputed import Item, changed_since, seniors_at, settle
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
    enrolled_ids,
    forgotten,
    note_use,
    rename_authenticator,
    revoke_authenticator,
)
from authsvc.accounts.service import (
    AccountView,
    by_sub,
    create,
    erase,
    find,
    find_frozen,
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
    "Item",
    "add_address",
    "add_authenticator",
    "addresses",
    "block_address",
    "by_sub",
    "canonical_username",
    "changed_since",
    "create",
    "enrolled",
    "enrolled_ids",
    "erase",
    "find",
    "find_frozen",
    "forgotten",
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
    "seniors_at",
    "set_disabled",
    "set_frozen",
    "set_keys_only",
    "set_reregistered",
    "set_staff",
    "set_trust",
    "settle",
    "silence",
    "trusted_recipients",
    "username_taken",
    "usernames",
    "verify_address",
    "with_a_say",
]
