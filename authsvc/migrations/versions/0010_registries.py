"""how often each registry is asked, and where registries are"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "registries",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("full_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_until", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registries")),
        sa.UniqueConstraint("host", name=op.f("uq_registries_host")),
    )
    op.create_table(
        "rdap_servers",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("servers", sa.JSON(), nullable=False),
        sa.Column("etag", sa.String(length=200), nullable=False),
        sa.Column("modified", sa.String(length=200), nullable=False),
        sa.Column("fetch_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rdap_servers")),
    )


def downgrade() -> None:
    op.drop_table("rdap_servers")
    op.drop_table("registries")
