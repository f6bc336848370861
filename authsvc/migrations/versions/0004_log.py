"""log: where events came from, the anchor of pruning, check codes of mails, indexes for reading and for work to do"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("audit_events") as batch_op:
        batch_op.add_column(sa.Column("place", sa.String(length=80), server_default="", nullable=False))
        batch_op.drop_index("ix_audit_events_account_at")
        batch_op.create_index("ix_audit_events_account", ["account_id", "id"])
        batch_op.create_index("ix_audit_events_account_type", ["account_id", "type", "id"])
    unchained = sa.text("position IS NULL")
    op.create_index(
        "ix_audit_events_unchained", "audit_events", ["id"], sqlite_where=unchained, postgresql_where=unchained
    )
    op.create_table(
        "audit_anchor",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("pruned_at", sa.DateTime(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_anchor")),
    )
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.add_column(sa.Column("check_digest", sa.LargeBinary(), nullable=True))
        batch_op.drop_index("ix_outbox_due_at")
        batch_op.create_index("ix_outbox_check_digest", ["check_digest"])
    waiting = sa.text("sent_at IS NULL AND dropped_at IS NULL")
    op.create_index("ix_outbox_waiting", "outbox", ["due_at"], sqlite_where=waiting, postgresql_where=waiting)


def downgrade() -> None:
    op.drop_index("ix_outbox_waiting", table_name="outbox")
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.drop_index("ix_outbox_check_digest")
        batch_op.create_index("ix_outbox_due_at", ["due_at"])
        batch_op.drop_column("check_digest")
    op.drop_table("audit_anchor")
    op.drop_index("ix_audit_events_unchained", table_name="audit_events")
    with op.batch_alter_table("audit_events") as batch_op:
        batch_op.drop_index("ix_audit_events_account_type")
        batch_op.drop_index("ix_audit_events_account")
        batch_op.create_index("ix_audit_events_account_at", ["account_id", "at"])
        batch_op.drop_column("place")
