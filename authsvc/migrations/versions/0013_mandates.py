"""phases as data, strengths, hysteresis, exemptions and figures of mandates"""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("pending_logins") as logins:
        logins.add_column(sa.Column("postponed", sa.Boolean(), server_default=sa.false(), nullable=False))
    with op.batch_alter_table("mandates") as table:
        table.alter_column("source", existing_type=sa.String(length=10), type_=sa.String(length=40))
        strength = sa.Column("strength", sa.String(length=24), server_default="any_second_factor", nullable=False)
        table.add_column(strength)
        for name in ("below_since", "ended_at", "tell_at"):
            table.add_column(sa.Column(name, sa.DateTime(), nullable=True))
    op.create_index(op.f("ix_mandates_tell_at"), "mandates", ["tell_at"])
    op.execute("UPDATE mandates SET strength = 'phishing_resistant' WHERE source = 'for_keys'")
    op.execute("UPDATE mandates SET source = phase WHERE source = 'computed'")
    # Whose day is still to come is reminded; the announcement was sent.
    names = ("created_at", "enforced_from", "tell_at")
    mandates = sa.table("mandates", sa.column("id"), *(sa.column(name, sa.DateTime()) for name in names))
    coming = sa.select(mandates.c.id, mandates.c.created_at).where(mandates.c.enforced_from > sa.func.now())
    for row in op.get_bind().execute(coming).all():
        moment = row.created_at + timedelta(seconds=1)
        op.execute(mandates.update().where(mandates.c.id == row.id).values(tell_at=moment))
    op.create_table(
        "mandate_phases",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("rule", sa.JSON(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("set_by", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandate_phases")),
    )
    op.create_index(op.f("ix_mandate_phases_name"), "mandate_phases", ["name"])
    op.create_table(
        "mandate_exemptions",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("set_by", sa.String(length=80), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("starts_at", sa.DateTime(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_mandate_exemptions_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandate_exemptions")),
    )
    op.create_index(op.f("ix_mandate_exemptions_account_id"), "mandate_exemptions", ["account_id"])
    counts = ("accounts", "with_two_keys", "with_key", "with_app", "met", "stopped")
    op.create_table(
        "mandate_figures",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("phase", sa.String(length=40), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in counts),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandate_figures")),
        sa.UniqueConstraint("day", "phase", name=op.f("uq_mandate_figures_day_phase")),
    )


def downgrade() -> None:
    for name in ("mandate_figures", "mandate_exemptions", "mandate_phases"):
        op.drop_table(name)
    op.drop_index(op.f("ix_mandates_tell_at"), table_name="mandates")
    # Earlier releases know one mandate by packages for each account: the one that asks first stays.
    by_hand = "source IN ('by_hand', 'for_keys', 'two_keys')"
    op.execute("DELETE FROM mandates WHERE ended_at IS NOT NULL OR source = 'two_keys'")
    op.execute(
        f"DELETE FROM mandates WHERE NOT {by_hand} AND id NOT IN (SELECT id FROM (SELECT id, row_number() OVER "  # noqa: S608
        f"(PARTITION BY account_id ORDER BY enforced_from, id) AS place FROM mandates WHERE NOT {by_hand}) AS ranked "
        "WHERE place = 1)"
    )
    op.execute(f"UPDATE mandates SET source = 'computed' WHERE NOT {by_hand}")  # noqa: S608
    with op.batch_alter_table("mandates") as table:
        for name in ("tell_at", "ended_at", "below_since", "strength"):
            table.drop_column(name)
        table.alter_column("source", existing_type=sa.String(length=40), type_=sa.String(length=10))
    with op.batch_alter_table("pending_logins") as logins:
        logins.drop_column("postponed")
