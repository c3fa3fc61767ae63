"""Outlets have a table, in which each is one node's.

Nodes that share one already, as those of before it was refused may, both keep it: the upgrade goes on, the
log names the two, and nobody else is given the outlet before both are gone."""

import json

import sqlalchemy as sa
import structlog
from alembic import op

from provisioner.core.feeds import feeds_of

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

log = structlog.get_logger(__name__)


def upgrade() -> None:
    outlet = op.create_table(
        "outlet",
        *(sa.Column(name, TEXT, nullable=False) for name in ("id", "name", "node_id")),
        sa.PrimaryKeyConstraint("id", name="pk_outlet"),
    )
    op.create_index("ix_outlet_name", "outlet", ["name"])
    op.create_index("ix_outlet_node_id", "outlet", ["node_id"])
    nodes = op.get_bind().execute(
        sa.text("SELECT id, name, power_driver, power_address FROM node ORDER BY created_at, id")
    )
    had: dict[str, str] = {}
    rows = []
    for node_id, node, driver, address in nodes:
        shared: dict[str, set[str]] = {}
        for name, called in feeds_of(driver, json.loads(address)).items():
            first = had.setdefault(name, node)
            if first != node:
                shared.setdefault(first, set()).add(called)
            key = name if first == node else f"{name}, and of node {node_id}"
            rows.append({"id": key, "name": name, "node_id": node_id})
        for first, outlets in shared.items():
            log.warning(
                "two nodes share outlets",
                nodes=[first, node],
                outlets=sorted(outlets),
                advice="They switch each other off. Look where their cables end, and correct the node that "
                "says it wrongly (provisioner node power-device)",
            )
    if rows:
        op.bulk_insert(outlet, rows)
