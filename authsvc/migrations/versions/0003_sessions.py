"""sessions"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sessions") as batch:
        batch.add_column(sa.Column("countries", sa.String(40), server_default="", nullable=False))
        batch.add_column(sa.Column("stepped_down", sa.String(20), nullable=True))
        batch.add_column(sa.Column("bound_key", sa.JSON(), nullable=True))
        batch.add_column(sa.Column("bound_digest", sa.LargeBinary(), nullable=True))
        batch.add_column(sa.Column("bound_until", sa.DateTime(), nullable=True))
        batch.add_column(sa.Column("bound_before", sa.LargeBinary(), nullable=True))
        batch.add_column(sa.Column("bound_before_until", sa.DateTime(), nullable=True))
        batch.add_column(sa.Column("bound_proved", sa.DateTime(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("sessions") as batch:
        for name in (
            "bound_proved",
            "bound_before_until",
            "bound_before",
            "bound_until",
            "bound_digest",
            "bound_key",
            "stepped_down",
            "countries",
        ):
            batch.drop_column(name)
