from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.core.fields import Fields, changed
from provisioner.core.model import Node
from provisioner.core.states import ProvisionState
from tests.unit import records


def test_a_changed_record_is_what_the_standard_library_makes_of_it() -> None:
    node = records.node()
    changes = {"state": ProvisionState.ACTIVE, "owner": None}
    assert changed(node, **changes) == dataclasses.replace(node, **changes)
    assert node == records.node()


def test_a_record_made_of_all_values_is_equal_and_refuses_any_other_number_of_them() -> None:
    fields, node = Fields(Node), records.node()
    assert fields.record(fields.values(node)) == node
    with pytest.raises(ValueError, match="not enough"):
        fields.record(fields.values(node)[:-1])
    with pytest.raises(ValueError, match="too many"):
        fields.record((*fields.values(node), 1))


@pytest.mark.parametrize("record", [records.node(), records.image()], ids=["node", "image"])
def test_what_is_made_so_is_as_frozen_as_any(record: Any) -> None:
    made = changed(record, name="other")
    assert type(made) is type(record)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "third"
    assert made.name == "other"


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        changed(records.node(), colour="red")
