"""Who did what."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TEXTS = ("tenant", "user_id", "credential", "address", "operation", "target", "outcome", "request_id")


def upgrade() -> None:
    op.create_table(
        "audit_record",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("at", TIME, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in TEXTS),
        sa.PrimaryKeyConstraint("id", name="pk_audit_record"),
        sqlite_autoincrement=True,
    )
