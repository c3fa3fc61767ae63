"""Where nodes stand, whom they are kept for, what is said of them; and requests that move to another node."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name, default in (("zone", ""), ("rack", ""), ("reserved_for", ""), ("capabilities", "{}")):
        op.add_column("node", sa.Column(name, TEXT, nullable=False, server_default=default))
    op.add_column("node", sa.Column("deploy_failures", INTEGER, nullable=False, server_default="0"))
    # The scheduler reads the ids of the free ones, and nothing else of them: by this index alone.
    op.drop_index("ix_node_state", "node")
    op.create_index("ix_node_state_maintenance_id", "node", ["state", "maintenance", "id"])
    op.add_column("instance", sa.Column("host_name", TEXT, nullable=True))
    op.add_column("instance", sa.Column("zone", TEXT, nullable=False, server_default=""))
    op.add_column("instance", sa.Column("failed_on", TEXT, nullable=False, server_default="[]"))
