"""snapshots of impact, and tokens of clients that act for themselves"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEYS = {"packages": ["ecosystem", "name"], "ownerships": ["ecosystem", "package", "account"]}
NAMELESS = sa.text("account_id IS NULL")


def upgrade() -> None:
    op.create_table(
        "impact_snapshots",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("lease_until", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("swept_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_impact_snapshots")),
    )
    op.create_table(
        "client_tokens",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.String(length=400), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_client_tokens_client_id_clients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_client_tokens_digest")),
    )
    op.create_index(op.f("ix_client_tokens_expires_at"), "client_tokens", ["expires_at"])
    for name, key in KEYS.items():
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column("from_snapshot", sa.BigInteger(), server_default="0", nullable=False))
            table.add_column(sa.Column("until_snapshot", sa.BigInteger(), nullable=True))
            table.drop_constraint(op.f(f"uq_{name}_{'_'.join(key)}"), type_="unique")
            new_key = [*key, "from_snapshot"]
            table.create_unique_constraint(op.f(f"uq_{name}_{'_'.join(new_key)}"), new_key)
    op.drop_index(op.f("ix_ownerships_account"), table_name="ownerships")
    op.create_index(
        op.f("ix_ownerships_account"), "ownerships", ["account"], sqlite_where=NAMELESS, postgresql_where=NAMELESS
    )


def downgrade() -> None:
    newest = "(SELECT coalesce(max(id), 0) FROM impact_snapshots WHERE finished_at IS NOT NULL)"
    op.drop_index(op.f("ix_ownerships_account"), table_name="ownerships")
    op.create_index(op.f("ix_ownerships_account"), "ownerships", ["account"])
    for name, key in KEYS.items():
        op.execute(f"DELETE FROM {name} WHERE from_snapshot > {newest} OR until_snapshot <= {newest}")  # noqa: S608
        with op.batch_alter_table(name) as table:
            table.drop_constraint(op.f(f"uq_{name}_{'_'.join([*key, 'from_snapshot'])}"), type_="unique")
            table.create_unique_constraint(op.f(f"uq_{name}_{'_'.join(key)}"), key)
            table.drop_column("until_snapshot")
            table.drop_column("from_snapshot")
    op.drop_table("client_tokens")
    op.drop_table("impact_snapshots")
