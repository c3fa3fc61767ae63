"""Tenants, users and roles; whose an image is, and whether it is shared."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")

EPOCH = "1970-01-01T00:00:00.000000+00:00"
"""When what was always there was made."""


def upgrade() -> None:
    tenant = op.create_table(
        "tenant",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenant"),
    )
    user = op.create_table(
        "user",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user"),
    )
    op.create_index("ix_user_tenant", "user", ["tenant"])
    op.bulk_insert(tenant, [{"id": "default", "created_at": EPOCH}])
    # Tokens could do everything; those that there are still can.
    op.bulk_insert(user, [{"id": "admin", "tenant": "default", "role": "admin", "created_at": EPOCH}])
    for table, user_id in (("api_token", "admin"), ("access_key", "")):
        op.add_column(table, sa.Column("user_id", TEXT, nullable=False, server_default=user_id))
        op.add_column(table, sa.Column("role", TEXT, nullable=True))
        op.create_index(f"ix_{table}_user_id", table, ["user_id"])
    _tenants_with_access_keys(tenant)
    with op.batch_alter_table("image") as image:
        image.add_column(sa.Column("tenant", TEXT, nullable=False, server_default="default"))
        image.add_column(sa.Column("public", sa.Boolean(), nullable=False, server_default=sa.true()))
        image.drop_constraint("uq_image_name", type_="unique")
        image.create_index("ix_image_name", ["name"])
        image.create_index("ix_image_tenant", ["tenant"])


def _tenants_with_access_keys(tenant: sa.Table) -> None:
    """They were made by the first key of each."""
    key = sa.table("access_key", sa.column("tenant"))
    named = sa.select(key.c.tenant).where(key.c.tenant != "default").distinct()
    made = sa.select(named.subquery().c.tenant, sa.literal(EPOCH))
    op.execute(tenant.insert().from_select(["id", "created_at"], made))
