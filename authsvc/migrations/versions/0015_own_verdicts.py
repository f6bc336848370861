"""when the addresses at a domain were judged by their own baselines; who named a mail host's domain first"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("domains") as table:
        table.add_column(sa.Column("judged_at", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("healthy_before_doubt_at", sa.DateTime(), nullable=True))
    op.create_index(op.f("ix_domains_rdap_checked_at"), "domains", ["rdap_checked_at"])
    with op.batch_alter_table("host_domains") as table:
        table.add_column(sa.Column("brought_by", sa.String(length=255), nullable=True))
        table.add_column(sa.Column("brought_at", sa.DateTime(), nullable=True))
    op.create_index(op.f("ix_host_domains_brought_by"), "host_domains", ["brought_by"])


def downgrade() -> None:
    op.drop_index(op.f("ix_host_domains_brought_by"), table_name="host_domains")
    with op.batch_alter_table("host_domains") as table:
        table.drop_column("brought_at")
        table.drop_column("brought_by")
    op.drop_index(op.f("ix_domains_rdap_checked_at"), table_name="domains")
    with op.batch_alter_table("domains") as table:
        table.drop_column("healthy_before_doubt_at")
        table.drop_column("judged_at")
