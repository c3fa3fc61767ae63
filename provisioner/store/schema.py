"""The tables, made from the records of `provisioner.core.model`, with what is unique and what is indexed.

Records name one another by id without foreign keys: a timeline outlives its node and an instance its image.
What must not dangle is kept whole by the transaction that removes it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from provisioner.core import model
from provisioner.core.fields import Fields
from provisioner.core.model import Record
from provisioner.store.columns import Column, columns_of

R = TypeVar("R", bound=Record)

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class Shape(Generic[R]):
    """One kind of record: its columns, its table, and the way there and back."""

    def __init__(
        self,
        kind: type[R],
        *,
        unique: tuple[str, ...] = (),
        indexes: tuple[tuple[str, ...], ...] = (),
        numbered: bool = False,
    ) -> None:
        """`unique`: fields besides the id that no two records share. `numbered`: the store gives
        ascending ids to records that come with 0."""
        self.kind = kind
        self.label = re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__).lower()
        self.columns: Mapping[str, Column] = {column.name: column for column in columns_of(kind)}
        self.unique = unique
        self.indexes = indexes
        self.numbered = numbered
        self.table = self._table()
        self.touched = "updated_at" in self.columns
        self._fields = Fields(kind)
        self._encoded = [(i, c.encode) for i, c in enumerate(self.columns.values()) if c.encode]
        self._decoded = [(i, c.decode) for i, c in enumerate(self.columns.values()) if c.decode]
        self._kept = [(i, c.kept) for i, c in enumerate(self.columns.values()) if c.kept]

    def _table(self) -> sa.Table:
        columns = [
            sa.Column(c.name, c.sql_type, primary_key=c.name == "id", nullable=c.nullable)
            for c in self.columns.values()
        ]
        uniques = [sa.UniqueConstraint(name) for name in self.unique]
        indexes = [sa.Index(None, *names) for names in self.indexes]
        name = self.label.replace(" ", "_")
        # Without AUTOINCREMENT SQLite gives the number of a deleted last row again, and who reads
        # on "after" that number would miss the new one.
        return sa.Table(name, METADATA, *columns, *uniques, *indexes, sqlite_autoincrement=self.numbered)

    def column(self, name: str) -> Column:
        """The column called `name`; TypeError when records of this kind have none."""
        try:
            return self.columns[name]
        except KeyError:
            raise TypeError(f"a {self.label} has no field {name}") from None

    def picked(self, names: Collection[str], *, paged: bool) -> list[Column]:
        """The columns called so. TypeError when one isn't there; without the id also when one isn't scalar,
        as equal ones couldn't be told then, or when they are `paged`, as they have no order then."""
        columns = [self.column(name) for name in names]
        if "id" in names:
            return columns
        if paged:
            raise TypeError(f"without its id, what is picked of a {self.label} has no pages")
        for column in columns:
            if not column.scalar:
                raise TypeError(f"{column.name} of a {self.label} is not scalar")
        return columns

    def changeable(self, name: str) -> Column:
        """Like `column`, but TypeError for the id too: it is what others know a record by."""
        if name == "id":
            raise TypeError(f"the id of a {self.label} never changes")
        return self.column(name)

    def row(self, record: R) -> list[Any]:
        """The record as the values of a row, in the order of the columns."""
        row = list(self._fields.values(record))
        for i, encode in self._encoded:
            if row[i] is not None:
                row[i] = encode(row[i])
        return row

    def record(self, row: Any) -> R:
        """The record of a row."""
        values = list(row)
        for i, decode in self._decoded:
            if values[i] is not None:
                values[i] = decode(values[i])
        return self._fields.record(values)

    def kept(self, record: R, id: Any) -> R:
        """The record as `record(row(record))` gives it back, under this id."""
        values = list(self._fields.values(record))
        values[0] = id  # the id comes first
        for i, kept in self._kept:
            if values[i] is not None:
                values[i] = kept(values[i])
        return self._fields.record(values)

    def changed(self, record: R, values: Mapping[str, Any]) -> R:
        """The record with these fields changed."""
        return self._fields.changed(record, values)


_SHAPES: tuple[Shape[Any], ...] = (
    Shape(model.Node, unique=("name",), indexes=(("owner",), ("state", "maintenance", "id"))),
    Shape(model.Port, unique=("address",), indexes=(("node_id",),)),
    Shape(model.Outlet, indexes=(("name",), ("node_id",))),
    # Names are a tenant's own, so that the API decides, not a constraint.
    Shape(model.Image, indexes=(("name",), ("tenant",), ("state",), ("sha256",))),
    Shape(model.ImageShare, indexes=(("image_id",), ("account",))),
    Shape(model.Flavor, unique=("name",)),
    Shape(model.KeyPair, indexes=(("tenant", "name"),)),
    # An instance's name is free again once it is deleted: the API decides here too.
    Shape(
        model.Instance,
        indexes=(
            ("name", "tenant", "state"),
            ("state",),
            ("node_id",),
            # Far more are deleted than live, and those deleted lately are asked for as often as the latter.
            ("tenant", "state", "updated_at"),
            ("reservation_id",),
        ),
    ),
    Shape(model.Host),
    Shape(model.NodeRequest, indexes=(("state",), ("node_id",))),
    Shape(model.TimelineEvent, indexes=(("node_id", "id"), ("instance_id", "id")), numbered=True),
    Shape(model.Tenant),
    Shape(model.User, indexes=(("tenant",),)),
    Shape(model.ApiToken, unique=("name",), indexes=(("user_id",),)),
    Shape(model.AccessKey, indexes=(("tenant",), ("user_id",))),
    Shape(model.Tag, indexes=(("resource_id",), ("tenant",))),
    Shape(model.ConsoleTail),
    Shape(model.AuditRecord, numbered=True),
    Shape(model.IdempotencyRecord),
)

SHAPES: Mapping[type, Shape[Any]] = {shape.kind: shape for shape in _SHAPES}


def shape_of(kind: type[R]) -> Shape[R]:
    """The shape of a kind of record; TypeError when it is not one that is stored."""
    try:
        return SHAPES[kind]
    except KeyError:
        raise TypeError(f"{kind.__name__} is not a kind of record that is stored") from None
