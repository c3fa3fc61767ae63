"""Requests for a node's power end with the instance that had the node."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("node_request", sa.Column("instance_id", sa.Text(), nullable=True))
    op.execute(
        "UPDATE node_request SET instance_id = (SELECT node.instance_id FROM node"
        " WHERE node.id = node_request.node_id) WHERE state = 'pending'"
    )
