"""what imports found before them, so that many small losses are seen"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("impact_snapshots", sa.Column("counted", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("impact_snapshots") as table:
        table.drop_column("counted")
