"""slots, turns and mails of recovery cases"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("recovery_cases") as table:
        table.add_column(sa.Column("tended_until", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("told_at", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("told_rank", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("asked_network", sa.String(length=45), server_default="", nullable=False))
        table.add_column(sa.Column("asked_after", BIG_ID, server_default="0", nullable=False))
        table.add_column(sa.Column("turn", sa.Integer(), server_default="0", nullable=False))
    op.create_index(op.f("ix_recovery_cases_begun_at"), "recovery_cases", ["begun_at"])
    op.execute("UPDATE recovery_cases SET told_at = begun_at")
    with op.batch_alter_table("case_proofs") as table:
        table.add_column(sa.Column("confirms", sa.Boolean(), server_default=sa.true(), nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("case_proofs") as table:
        table.drop_column("confirms")
    op.drop_index(op.f("ix_recovery_cases_begun_at"), "recovery_cases")
    with op.batch_alter_table("recovery_cases") as table:
        for name in ("turn", "asked_after", "asked_network", "told_rank", "told_at", "tended_until"):
            table.drop_column(name)
