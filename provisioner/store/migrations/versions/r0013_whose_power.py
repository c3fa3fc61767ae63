"""Requests for a node's power end with the instance that had the node."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("node_request", sa.Column("instance_id", TEXT, nullable=True))
    op.execute(
        "UPDATE node_request SET instance_id = (SELECT COALESCE(node.instance_id, '') FROM node"
        " WHERE node.id = node_request.node_id) WHERE state = 'pending'"
    )
