"""Flavors with ephemeral storage."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("flavor", sa.Column("ephemeral_mib", INTEGER, nullable=False, server_default="0"))
