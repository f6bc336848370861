"""canaries, changes held back, who was told, and turns of reset requests"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "canaries",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("resolvers", sa.String(length=200), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("is_right", sa.Boolean(), nullable=False),
        sa.Column("right_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_canaries")),
        sa.UniqueConstraint("name", "resolvers", name=op.f("uq_canaries_name_resolvers")),
    )
    op.create_table(
        "mass_changes",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("established", sa.JSON(), nullable=False),
        sa.Column("counted_at", sa.DateTime(), nullable=False),
        sa.Column("raised_from", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mass_changes")),
    )
    with op.batch_alter_table("domains") as table:
        table.add_column(sa.Column("changed_at", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("registrable", sa.String(length=255), nullable=True))
        table.add_column(sa.Column("held_at", sa.DateTime(), nullable=True))
    op.create_index(op.f("ix_domains_changed_at"), "domains", ["changed_at"])
    with op.batch_alter_table("addresses") as table:
        table.add_column(sa.Column("told_at", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("is_backup", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(op.f("ix_addresses_doubted_at"), "addresses", ["doubted_at"])
    op.execute("UPDATE addresses SET told_at = doubted_at WHERE doubted_at IS NOT NULL")
    with op.batch_alter_table("reset_requests") as table:
        table.add_column(sa.Column("network", sa.String(length=45), server_default="", nullable=False))
        table.add_column(sa.Column("turn", sa.Integer(), server_default="0", nullable=False))
        table.create_index(op.f("ix_reset_requests_network"), ["network"])


def downgrade() -> None:
    with op.batch_alter_table("reset_requests") as table:
        table.drop_index(op.f("ix_reset_requests_network"))
        table.drop_column("turn")
        table.drop_column("network")
    op.drop_index(op.f("ix_addresses_doubted_at"), table_name="addresses")
    with op.batch_alter_table("addresses") as table:
        table.drop_column("is_backup")
        table.drop_column("told_at")
    op.drop_index(op.f("ix_domains_changed_at"), table_name="domains")
    with op.batch_alter_table("domains") as table:
        for name in ("held_at", "registrable", "changed_at"):
            table.drop_column(name)
    op.drop_table("mass_changes")
    op.drop_table("canaries")
