"""The row of an authenticator app."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row


class TotpCredential(Row):
    """One app's seed. `last_step` is the newest time step accepted; older ones are refused."""

    __tablename__ = "totp_credentials"

    authenticator_id: Mapped[int] = mapped_column(
        ForeignKey("authenticators.id"), primary_key=True, autoincrement=False
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    sealed_seed: Mapped[bytes]
    last_step: Mapped[int] = mapped_column(BigId)
