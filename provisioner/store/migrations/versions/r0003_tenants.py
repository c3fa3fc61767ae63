"""Tenants: whose an instance and a key pair are, access keys, and tags."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # All that there was becomes the default tenant's.
    with op.batch_alter_table("key_pair") as key_pair:
        key_pair.add_column(sa.Column("tenant", TEXT, nullable=False, server_default="default"))
        key_pair.add_column(sa.Column("fingerprint", TEXT, nullable=False, server_default=""))
        key_pair.add_column(sa.Column("created_at", TIME, nullable=True))
        key_pair.drop_constraint("uq_key_pair_name", type_="unique")
        key_pair.create_index("ix_key_pair_tenant_name", ["tenant", "name"])
    for name, default in (("tenant", "default"), ("key_name", ""), ("reservation_id", "")):
        op.add_column("instance", sa.Column(name, TEXT, nullable=False, server_default=default))
    op.add_column("instance", sa.Column("launch_index", INTEGER, nullable=False, server_default="0"))
    op.create_index("ix_instance_tenant", "instance", ["tenant"])
    op.create_index("ix_instance_reservation_id", "instance", ["reservation_id"])
    op.create_table(
        "access_key",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("secret_sealed", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_key"),
    )
    op.create_index("ix_access_key_tenant", "access_key", ["tenant"])
    op.create_table(
        "tag",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("resource_id", TEXT, nullable=False),
        sa.Column("resource_type", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tag"),
    )
    op.create_index("ix_tag_resource_id", "tag", ["resource_id"])
    op.create_index("ix_tag_tenant", "tag", ["tenant"])
