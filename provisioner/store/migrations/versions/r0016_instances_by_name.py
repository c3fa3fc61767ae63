"""An instance is found by its name among its tenant's that live, however many of that name were deleted."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_instance_name", "instance")
    op.create_index("ix_instance_name_tenant_state", "instance", ["name", "tenant", "state"])
