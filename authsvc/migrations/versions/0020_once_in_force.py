"""that a mandate was in force stays known when its account returns; reasons without names that make a link"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

NAMED = "The % package "
PLAIN = "A package that you maintain is one that others rely on."


def upgrade() -> None:
    with op.batch_alter_table("mandates") as table:
        table.add_column(sa.Column("once_in_force", sa.Boolean(), server_default=sa.false(), nullable=False))
    mandates = sa.table("mandates", sa.column("reason", sa.String), sa.column("set_by", sa.String))
    links = sa.or_(*(mandates.c.reason.like(f"{NAMED}%{sign}%, which you maintain,%") for sign in ".:"))
    op.execute(mandates.update().where(mandates.c.set_by == "import", links).values(reason=PLAIN))


def downgrade() -> None:
    with op.batch_alter_table("mandates") as table:
        table.drop_column("once_in_force")
