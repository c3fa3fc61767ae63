"""A tenant's instances are found by their state, and those that were deleted by when they were."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_instance_tenant_state_updated_at", "instance", ["tenant", "state", "updated_at"])
    op.drop_index("ix_instance_tenant", "instance")
