"""guessing: tries by mailed link, unfinished sign-ins, known browsers' reset links"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "browser_passes",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("link_digest", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("opened_at", sa.DateTime(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("ends_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_browser_passes_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_browser_passes")),
        sa.UniqueConstraint("link_digest", name=op.f("uq_browser_passes_link_digest")),
        sa.UniqueConstraint("digest", name=op.f("uq_browser_passes_digest")),
    )
    for column in ("account_id", "created_at"):
        op.create_index(op.f(f"ix_browser_passes_{column}"), "browser_passes", [column])
    with op.batch_alter_table("pending_logins") as table:
        table.add_column(sa.Column("new_browser", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("ip", sa.String(length=45), nullable=False, server_default=""))
        table.add_column(sa.Column("browser", sa.String(length=60), nullable=False, server_default=""))
        table.add_column(sa.Column("told_at", sa.DateTime(), nullable=True))
    with op.batch_alter_table("reset_requests") as table:
        table.add_column(sa.Column("browser_digest", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("reset_requests") as table:
        table.drop_column("browser_digest")
    with op.batch_alter_table("pending_logins") as table:
        for name in ("told_at", "browser", "ip", "new_browser"):
            table.drop_column(name)
    op.drop_table("browser_passes")
