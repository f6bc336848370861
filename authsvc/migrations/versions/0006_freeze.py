"""freezes begun by owners: links that dispute, what was disputed, how it ended"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "dispute_links",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("event", sa.String(length=22), nullable=False),
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("address_id", BIG_ID, nullable=False),
        sa.Column("about", sa.String(length=200), nullable=False),
        sa.Column("event_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_dispute_links_account_id_accounts")),
        sa.ForeignKeyConstraint(["address_id"], ["addresses.id"], name=op.f("fk_dispute_links_address_id_addresses")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispute_links")),
        sa.UniqueConstraint("digest", name=op.f("uq_dispute_links_digest")),
    )
    for column in ("event", "account_id", "expires_at"):
        op.create_index(op.f(f"ix_dispute_links_{column}"), "dispute_links", [column])
    op.create_table(
        "freezes",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("cause", sa.String(length=20), nullable=False),
        sa.Column("disputed_at", sa.DateTime(), nullable=False),
        sa.Column("began_at", sa.DateTime(), nullable=False),
        sa.Column("by_address_id", BIG_ID, nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_freezes_account_id_accounts")),
        sa.ForeignKeyConstraint(["by_address_id"], ["addresses.id"], name=op.f("fk_freezes_by_address_id_addresses")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_freezes")),
    )
    op.create_index(op.f("ix_freezes_account_id"), "freezes", ["account_id"])
    op.create_table(
        "old_passwords",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("hash", sa.String(length=255), nullable=False),
        sa.Column("replaced_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_old_passwords_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_old_passwords")),
    )
    op.create_index(op.f("ix_old_passwords_account_id"), "old_passwords", ["account_id"])
    op.create_table(
        "removals",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("authenticator_id", BIG_ID, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_removals_account_id_accounts")),
        sa.ForeignKeyConstraint(
            ["authenticator_id"], ["authenticators.id"], name=op.f("fk_removals_authenticator_id_authenticators")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removals")),
    )
    op.create_index(op.f("ix_removals_account_id"), "removals", ["account_id"])
    op.create_index(op.f("ix_removals_due_at"), "removals", ["due_at"])
    op.create_table(
        "unfreezings",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("freeze_id", BIG_ID, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("address_id", BIG_ID, nullable=True),
        sa.Column("password", sa.Boolean(), nullable=False),
        sa.Column("proved", sa.String(length=80), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("waits_until", sa.DateTime(), nullable=True),
        sa.Column("veto_event", sa.String(length=22), nullable=True),
        sa.Column("vetoed_at", sa.DateTime(), nullable=True),
        sa.Column("challenge", sa.LargeBinary(), nullable=True),
        sa.Column("spent_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_unfreezings_account_id_accounts")),
        sa.ForeignKeyConstraint(["freeze_id"], ["freezes.id"], name=op.f("fk_unfreezings_freeze_id_freezes")),
        sa.ForeignKeyConstraint(["address_id"], ["addresses.id"], name=op.f("fk_unfreezings_address_id_addresses")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unfreezings")),
        sa.UniqueConstraint("digest", name=op.f("uq_unfreezings_digest")),
    )
    op.create_index(op.f("ix_unfreezings_account_id"), "unfreezings", ["account_id"])
    op.create_index(op.f("ix_unfreezings_expires_at"), "unfreezings", ["expires_at"])
    op.create_index(op.f("ix_unfreezings_veto_event"), "unfreezings", ["veto_event"])
    with op.batch_alter_table("enrolments") as table:
        table.add_column(sa.Column("replaces_id", BIG_ID, nullable=True))
        table.create_foreign_key(
            op.f("fk_enrolments_replaces_id_authenticators"), "authenticators", ["replaces_id"], ["id"]
        )
    with op.batch_alter_table("addresses") as table:
        table.add_column(sa.Column("first_verified_at", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("silenced_at", sa.DateTime(), nullable=True))
    op.execute("UPDATE addresses SET first_verified_at = verified_at")


def downgrade() -> None:
    with op.batch_alter_table("addresses") as table:
        table.drop_column("silenced_at")
        table.drop_column("first_verified_at")
    with op.batch_alter_table("enrolments") as table:
        table.drop_constraint(op.f("fk_enrolments_replaces_id_authenticators"), type_="foreignkey")
        table.drop_column("replaces_id")
    for name in ("unfreezings", "removals", "old_passwords", "freezes", "dispute_links"):
        op.drop_table(name)
