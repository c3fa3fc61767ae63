"""Numbers of records, which are given in another order than the transactions end that take them.

Whoever may be given some holds a lock until its transaction ends, shared by all, which says above which
number its own will be. Nobody waits for such a lock: they are there to be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.store.dialect import Cursor
from provisioner.store.schema import SHAPES

_BITS = 44  # of a number within its lock
_LOCKS = 0x7076 << 48  # "pv": ours, of all locks that the database's users have agreed on


@dataclass(frozen=True, slots=True)
class Numbers:
    """Of one table's records. `first`: its first lock."""

    table: str
    first: int

    @property
    def announce(self) -> str:
        """An expression, to be evaluated before a transaction is given its first number."""
        return f"pg_advisory_xact_lock_shared({self.first} + {self._last})"

    def ask(self, cursor: Cursor) -> tuple[int, int]:
        """The last number that was given; and up to which all are stored that ever will be, apart from those
        of the transaction that asks."""
        # In this order: whoever is given one in between is given one above the first answer.
        cursor.execute(f"SELECT {self._last}")
        ((given,),) = cursor.fetchall()
        cursor.execute(self._lowest)
        ((lowest,),) = cursor.fetchall()
        return int(given), int(given if lowest is None else min(lowest, given))

    @property
    def _last(self) -> str:
        return f"coalesce(pg_sequence_last_value(pg_get_serial_sequence('{self.table}', 'id')::regclass), 0)"

    @property
    def _lowest(self) -> str:
        return (
            f"SELECT min(held) - {self.first} FROM (SELECT classid::bigint << 32 | objid::bigint AS held"
            " FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid <> pg_backend_pid()"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS locks"
            f" WHERE held BETWEEN {self.first} AND {self.first + 2**_BITS - 1}"
        )


NUMBERS = {
    shape.table.name: Numbers(shape.table.name, _LOCKS | place << _BITS)
    for place, shape in enumerate(shape for shape in SHAPES.values() if shape.numbered)
}
