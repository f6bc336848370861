"""the rows of an account in ownerships: a table filled in order, instead of an index"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "ownerships_by_account",
        sa.Column("account_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("ownership_id", BIG_ID, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "ownership_id", name=op.f("pk_ownerships_by_account")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO ownerships_by_account (account_id, ownership_id) "
        "SELECT account_id, id FROM ownerships WHERE account_id IS NOT NULL ORDER BY account_id, id"
    )
    op.drop_index(op.f("ix_ownerships_account_id"), table_name="ownerships")


def downgrade() -> None:
    op.create_index(op.f("ix_ownerships_account_id"), "ownerships", ["account_id"])
    op.drop_table("ownerships_by_account")
