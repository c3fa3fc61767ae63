"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Spelled out here and not taken from the program: a revision stays what it was when the program changes.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, TEXT, nullable=nullable)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, TIME, nullable=False)


def _integer(name: str) -> sa.Column[Any]:
    return sa.Column(name, INTEGER, nullable=False)


def _boolean(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "node",
        _text("id"),
        _text("name"),
        _text("arch"),
        _text("firmware"),
        _integer("cpus"),
        _integer("memory_mib"),
        _integer("disk_mib"),
        _text("boot_driver"),
        _text("deploy_driver"),
        _text("power_driver"),
        _text("power_address"),
        _text("power_secret_sealed"),
        _text("root_device_hint"),
        _text("state"),
        _text("power_state"),
        _boolean("maintenance"),
        _text("maintenance_reason"),
        _text("owner", nullable=True),
        _integer("fence"),
        _text("instance_id", nullable=True),
        _text("wipe_owed"),
        _text("work", nullable=True),
        _text("publication"),
        _text("failure", nullable=True),
        _text("inventory", nullable=True),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_node"),
        sa.UniqueConstraint("name", name="uq_node_name"),
    )
    op.create_index("ix_node_owner", "node", ["owner"])
    op.create_index("ix_node_state", "node", ["state"])
    op.create_table(
        "port",
        _text("id"),
        _text("node_id"),
        _text("address"),
        _boolean("boot"),
        sa.PrimaryKeyConstraint("id", name="pk_port"),
        sa.UniqueConstraint("address", name="uq_port_address"),
    )
    op.create_index("ix_port_node_id", "port", ["node_id"])
    op.create_table(
        "image",
        _text("id"),
        _text("name"),
        _text("kind"),
        _text("format"),
        _text("arch"),
        _text("state"),
        _text("sha256"),
        _integer("size_bytes"),
        _integer("virtual_size_bytes"),
        _text("tree_digest"),
        _text("kernel_id", nullable=True),
        _text("ramdisk_id", nullable=True),
        _text("command_line"),
        _text("proof_of_life"),
        _text("source_url"),
        _text("failure", nullable=True),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_image"),
        sa.UniqueConstraint("name", name="uq_image_name"),
    )
    op.create_index("ix_image_state", "image", ["state"])
    op.create_index("ix_image_sha256", "image", ["sha256"])
    op.create_table(
        "flavor",
        _text("id"),
        _text("name"),
        _integer("cpus"),
        _integer("memory_mib"),
        _integer("disk_mib"),
        _integer("swap_mib"),
        _text("extra_specs"),
        sa.PrimaryKeyConstraint("id", name="pk_flavor"),
        sa.UniqueConstraint("name", name="uq_flavor_name"),
    )
    op.create_table(
        "key_pair",
        _text("id"),
        _text("name"),
        _text("public_key"),
        sa.PrimaryKeyConstraint("id", name="pk_key_pair"),
        sa.UniqueConstraint("name", name="uq_key_pair_name"),
    )
    op.create_table(
        "instance",
        _text("id"),
        _text("name"),
        _text("flavor"),
        _text("image_id"),
        _text("kernel_id", nullable=True),
        _text("ramdisk_id", nullable=True),
        _text("public_key"),
        _text("user_data"),
        _text("node_name", nullable=True),
        _text("proof_of_life"),
        _text("wipe"),
        _text("state"),
        _boolean("delete_requested"),
        _text("node_id", nullable=True),
        _text("address"),
        _text("failure", nullable=True),
        _text("waiting_for"),
        _text("phone_home_sha256"),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
    )
    op.create_index("ix_instance_name", "instance", ["name"])
    op.create_index("ix_instance_state", "instance", ["state"])
    op.create_index("ix_instance_node_id", "instance", ["node_id"])
    op.create_table(
        "host",
        _text("id"),
        _integer("epoch"),
        _time("expires_at"),
        _time("renewed_at"),
        sa.PrimaryKeyConstraint("id", name="pk_host"),
    )
    op.create_table(
        "node_request",
        _text("id"),
        _text("node_id"),
        _text("verb"),
        _text("state"),
        _text("answer"),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_node_request"),
    )
    op.create_index("ix_node_request_state", "node_request", ["state"])
    op.create_index("ix_node_request_node_id", "node_request", ["node_id"])
    op.create_table(
        "timeline_event",
        _integer("id"),
        _text("node_id"),
        _text("instance_id", nullable=True),
        _time("at"),
        _text("source"),
        _text("name"),
        _text("step"),
        _text("text"),
        _integer("fence"),
        _text("detail"),
        sa.PrimaryKeyConstraint("id", name="pk_timeline_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_timeline_event_node_id_id", "timeline_event", ["node_id", "id"])
    op.create_index("ix_timeline_event_instance_id_id", "timeline_event", ["instance_id", "id"])
    op.create_table(
        "api_token",
        _text("id"),
        _text("name"),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_api_token"),
        sa.UniqueConstraint("name", name="uq_api_token_name"),
    )
    op.create_table(
        "idempotency_record",
        _text("id"),
        _text("request_sha256"),
        _integer("status"),
        _text("body"),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency_record"),
    )
