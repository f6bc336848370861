"""The row of a WebAuthn credential, and its description for the browser."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import ForeignKey, String, bindparam, select
from sqlalchemy.orm import Mapped, mapped_column
from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

from authsvc import accounts
from authsvc.core import db
from authsvc.core.db import BigId, Row

TIMEOUT = timedelta(minutes=5)  # how long browsers wait for the person; WebAuthn Level 3, 15.1


class WebauthnCredential(Row):
    """One credential. A credential id exists once in the whole installation."""

    __tablename__ = "webauthn_credentials"

    authenticator_id: Mapped[int] = mapped_column(
        ForeignKey("authenticators.id"), primary_key=True, autoincrement=False
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    credential_id: Mapped[bytes] = mapped_column(unique=True)
    public_key: Mapped[bytes]  # COSE
    sign_count: Mapped[int] = mapped_column(BigId)  # unsigned 32 bits; synced passkeys stay at 0
    aaguid: Mapped[str] = mapped_column(String(36))
    transports: Mapped[list[Any]]
    backup_eligible: Mapped[bool]  # may be synced; never changes
    backed_up: Mapped[bool]  # is synced by now
    attested: Mapped[bool] = mapped_column(default=False)  # hardware, and its maker's proof was checked: decision 0018
    user_verified_at_registration: Mapped[bool]  # if not, never a first factor: decision 0020


_OF_ACCOUNT = (
    select(WebauthnCredential.authenticator_id, WebauthnCredential.credential_id, WebauthnCredential.transports)
    .where(WebauthnCredential.account_id == bindparam("account_id"))
    .order_by(WebauthnCredential.authenticator_id)
)


def descriptors(account_id: int, among: Collection[int] | None = None) -> list[PublicKeyCredentialDescriptor]:
    """The account's credentials, oldest first, as options name them: those enrolled, or those `among` the ids."""
    among = accounts.enrolled_ids(account_id) if among is None else among
    return [
        PublicKeyCredentialDescriptor(
            id=row.credential_id, transports=[AuthenticatorTransport(name) for name in row.transports]
        )
        for row in db.session().execute(_OF_ACCOUNT, {"account_id": account_id})
        if row.authenticator_id in among
    ]
