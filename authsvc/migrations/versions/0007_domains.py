"""resets that wait, and renewals of domains"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("reset_links") as table:
        table.add_column(sa.Column("at_once", sa.Boolean(), server_default=sa.false(), nullable=False))
        table.add_column(sa.Column("waits_until", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("waiting_hash", sa.String(length=255), nullable=True))
    with op.batch_alter_table("unfreezings") as table:
        table.add_column(sa.Column("doubtful", sa.Boolean(), server_default=sa.false(), nullable=False))
    with op.batch_alter_table("domains") as table:
        table.add_column(sa.Column("paid_until", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("unbroken_since", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("hosts_rdap", sa.JSON(), nullable=True))
    op.create_table(
        "host_domains",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("rdap", sa.JSON(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_host_domains")),
        sa.UniqueConstraint("name", name=op.f("uq_host_domains_name")),
    )


def downgrade() -> None:
    with op.batch_alter_table("unfreezings") as table:
        table.drop_column("doubtful")
    op.drop_table("host_domains")
    with op.batch_alter_table("domains") as table:
        table.drop_column("hosts_rdap")
        table.drop_column("unbroken_since")
        table.drop_column("paid_until")
    with op.batch_alter_table("reset_links") as table:
        for name in ("waiting_hash", "waits_until", "at_once"):
            table.drop_column(name)
