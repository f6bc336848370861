"""when the addresses at a domain were judged by their own baselines"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("domains") as table:
        table.add_column(sa.Column("judged_at", sa.DateTime(), nullable=True))
    op.create_index(op.f("ix_domains_rdap_checked_at"), "domains", ["rdap_checked_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_domains_rdap_checked_at"), table_name="domains")
    with op.batch_alter_table("domains") as table:
        table.drop_column("judged_at")
