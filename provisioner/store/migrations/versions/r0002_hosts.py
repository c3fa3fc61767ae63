"""Compute hosts that beat, leave, are drained, and are known again by their state folder."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # Rows of hosts are leases: each host makes its own anew when it starts.
    op.drop_table("host")
    op.create_table(
        "host",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("epoch", INTEGER, nullable=False),
        sa.Column("beat", INTEGER, nullable=False),
        sa.Column("ttl_ms", INTEGER, nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("renewed_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("leaving", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_host"),
    )
