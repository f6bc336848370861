"""places where owners publish proof"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "proof_places",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("location", sa.String(length=500), nullable=False),
        sa.Column("forge", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=True),
        sa.Column("checked_at", sa.DateTime(), nullable=True),
        sa.Column("seen", sa.JSON(), nullable=True),
        sa.Column("linked_at", sa.DateTime(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(), nullable=True),
        sa.Column("baseline", sa.JSON(), nullable=True),
        sa.Column("unlinked_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_proof_places_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proof_places")),
    )
    op.create_index(op.f("ix_proof_places_account_id"), "proof_places", ["account_id"])


def downgrade() -> None:
    op.drop_table("proof_places")
