"""The client token that an instance was ordered by. Of those that are there, nobody knows."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("instance", sa.Column("client_token", TEXT, nullable=False, server_default=""))
