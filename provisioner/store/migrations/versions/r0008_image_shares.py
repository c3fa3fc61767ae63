"""Images shared with single accounts; and whose URL it is that an image is fetched from."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "image_share",
        *(sa.Column(name, TEXT, nullable=False) for name in ("id", "image_id", "account", "said")),
        sa.PrimaryKeyConstraint("id", name="pk_image_share"),
    )
    op.create_index("ix_image_share_image_id", "image_share", ["image_id"])
    op.create_index("ix_image_share_account", "image_share", ["account"])
    op.add_column(
        "image", sa.Column("source_trusted", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    # Of those that are still to be fetched, operators' alone are shared with all tenants at once.
    op.execute(sa.text("UPDATE image SET source_trusted = public"))
