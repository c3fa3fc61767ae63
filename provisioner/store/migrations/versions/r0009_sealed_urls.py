"""URLs of images that hold something secret are sealed. Those that are there stay as they are until
`provisioner secrets rotate`: the keys aren't at hand here."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("image", sa.Column("source_url_sealed", TEXT, nullable=False, server_default=""))
