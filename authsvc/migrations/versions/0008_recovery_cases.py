"""recovery cases, and when an account was recovered last"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("accounts") as table:
        table.add_column(sa.Column("last_recovery_at", sa.DateTime(), nullable=True))
    op.create_table(
        "recovery_cases",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("typed", sa.String(length=320), nullable=False),
        sa.Column("account_id", BIG_ID, nullable=True),
        sa.Column("ip", sa.String(length=45), nullable=False),
        sa.Column("browser", sa.String(length=60), nullable=False),
        sa.Column("browser_digest", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("begun_at", sa.DateTime(), nullable=True),
        sa.Column("told_until", sa.DateTime(), nullable=True),
        sa.Column("told_staff", sa.Boolean(), nullable=False),
        sa.Column("proof_token", sa.String(length=64), nullable=False),
        sa.Column("objection_event", sa.String(length=22), nullable=False),
        sa.Column("asked_staff_at", sa.DateTime(), nullable=True),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("asked_for", sa.String(length=10), nullable=True),
        sa.Column("asked_about", sa.String(length=320), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=True),
        sa.Column("answer", sa.String(length=20), nullable=True),
        sa.Column("claimed_until", sa.DateTime(), nullable=True),
        sa.Column("new_email", sa.String(length=320), nullable=True),
        sa.Column("new_email_proved_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_recovery_cases_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_cases")),
        sa.UniqueConstraint("digest", name=op.f("uq_recovery_cases_digest")),
    )
    for column in ("account_id", "asked_at", "expires_at", "objection_event"):
        op.create_index(op.f(f"ix_recovery_cases_{column}"), "recovery_cases", [column])
    op.create_table(
        "case_proofs",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("case_id", BIG_ID, nullable=False),
        sa.Column("proof", sa.String(length=20), nullable=False),
        sa.Column("ref", BIG_ID, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("shown_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_proofs_case_id_recovery_cases")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_proofs")),
        sa.UniqueConstraint("case_id", "proof", "ref", "epoch", name=op.f("uq_case_proofs_case_id_proof_ref_epoch")),
    )
    op.create_index(op.f("ix_case_proofs_case_id"), "case_proofs", ["case_id"])
    op.create_table(
        "case_objections",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("case_id", BIG_ID, nullable=False),
        sa.Column("by", sa.String(length=10), nullable=False),
        sa.Column("ref", BIG_ID, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"], ["recovery_cases.id"], name=op.f("fk_case_objections_case_id_recovery_cases")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_objections")),
        sa.UniqueConstraint("case_id", "by", "ref", name=op.f("uq_case_objections_case_id_by_ref")),
    )
    op.create_index(op.f("ix_case_objections_case_id"), "case_objections", ["case_id"])
    op.create_table(
        "case_votes",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("case_id", BIG_ID, nullable=False),
        sa.Column("staff_id", BIG_ID, nullable=False),
        sa.Column("approve", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["recovery_cases.id"], name=op.f("fk_case_votes_case_id_recovery_cases")),
        sa.ForeignKeyConstraint(["staff_id"], ["accounts.id"], name=op.f("fk_case_votes_staff_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_votes")),
    )
    op.create_index(op.f("ix_case_votes_case_id"), "case_votes", ["case_id"])


def downgrade() -> None:
    for name in ("case_votes", "case_objections", "case_proofs", "recovery_cases"):
        op.drop_table(name)
    with op.batch_alter_table("accounts") as table:
        table.drop_column("last_recovery_at")
