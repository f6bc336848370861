"""factors: attested hardware, and accounts that accept keys and passkeys alone"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("webauthn_credentials") as table:
        table.add_column(sa.Column("attested", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("pending_logins") as table:
        table.add_column(sa.Column("attested", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("accounts") as table:
        table.add_column(sa.Column("keys_only_since", sa.DateTime(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("accounts") as table:
        table.drop_column("keys_only_since")
    with op.batch_alter_table("pending_logins") as table:
        table.drop_column("attested")
    with op.batch_alter_table("webauthn_credentials") as table:
        table.drop_column("attested")
