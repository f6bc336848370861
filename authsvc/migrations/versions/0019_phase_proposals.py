"""proposals also of phases, begun without a second person after a day; two names beside a phase"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("mandate_exemption_proposals") as table:
        table.alter_column("account_id", existing_type=BIG_ID, nullable=True)
        table.alter_column("until", existing_type=sa.DateTime(), nullable=True)
        table.add_column(sa.Column("phase", sa.String(length=40), server_default="", nullable=False))
        table.add_column(sa.Column("old", sa.JSON(), nullable=True))
        table.add_column(sa.Column("new", sa.JSON(), nullable=True))
        table.add_column(sa.Column("begins_at", sa.DateTime(), nullable=True))
    with op.batch_alter_table("mandate_phases") as table:
        table.alter_column("set_by", existing_type=sa.String(length=40), type_=sa.String(length=80))


def downgrade() -> None:
    op.execute("DELETE FROM mandate_exemption_proposals WHERE phase <> ''")
    op.execute("UPDATE mandate_phases SET set_by = substr(set_by, 1, 40)")
    with op.batch_alter_table("mandate_phases") as table:
        table.alter_column("set_by", existing_type=sa.String(length=80), type_=sa.String(length=40))
    with op.batch_alter_table("mandate_exemption_proposals") as table:
        for name in ("begins_at", "new", "old", "phase"):
            table.drop_column(name)
        table.alter_column("until", existing_type=sa.DateTime(), nullable=False)
        table.alter_column("account_id", existing_type=BIG_ID, nullable=False)
