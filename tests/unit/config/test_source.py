from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from provisioner.config.node_file import NodeFile
from provisioner.config.settings import Settings
from provisioner.config.source import load, parse
from provisioner.core.errors import InvalidInput

NODE = """\
nodes:
  - name: n1
    arch: x86_64
    vcpus: 2
    memory_mib: 1024
    disk_mib: 4096
    ports: [{mac: "52:54:00:77:00:01"}]
    power: {driver: ipmi, address: 10.78.0.101, user: admin, password: open-sesame}
"""


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner
    items: tuple[Inner, ...] = ()


def refusal(text: str, model: type[BaseModel] = Outer) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse(text, model, "some.yaml")
    assert "some.yaml" in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("inner:\n  count: many\n", 2, "inner.count"),
        ("inner:\n  count: 1\nitems:\n  - count: 1\n  - count: x\n", 5, "items[1].count"),
        ("inner:\n  count: 1\nitems:\n  - count: 1\n    colour: red\n", 5, "items[0].colour"),
        ("# first\ninner:\n  {}\n", 2, "inner.count"),
        ("- 1\n", 1, "the file"),
        ("", 1, "inner"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_field(text: str, line: int, field: str) -> None:
    error = refusal(text)
    assert error.field == field
    assert f"line {line}, {field}:" in error.message


def test_everything_that_is_wrong_is_told_at_once() -> None:
    error = refusal("inner:\n  count: x\nitems:\n  - count: y\n")
    assert "line 2, inner.count" in error.message
    assert "line 4, items[0].count" in error.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("inner: [1", "line 1 is not YAML"),
        ("inner: {count: 1}\n\tx: 1\n", "line 2 is not YAML"),
        ("inner: {count: 1}\n--- \ninner: {count: 2}\n", "not YAML"),
        ("items: []\ninner: {count: 2001-99-99}\n", "line 2 is not YAML: month must be in 1..12"),
        ("inner: !!python/object:os.system {}\n", "not YAML"),
        ("[" * 600, "nested too deeply"),
        ("inner: {count: 1}\nitems: []\ninner: {count: 2}\n", "line 3: inner is there already, in line 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, told: str) -> None:
    assert told in refusal(text).message


def test_what_a_mapping_takes_over_from_another_may_be_replaced() -> None:
    found = parse("items: [&one {count: 1}, {<<: *one}]\ninner: {<<: *one, count: 2}\n", Outer, "some.yaml")
    assert (found.inner.count, [item.count for item in found.items]) == (2, [1, 1])
    error = refusal("items: [&one {count: 1}]\ninner: {<<: *one, count: x}\n")
    assert "line 2, inner.count" in error.message
    error = refusal("items: [&one {count: 1}]\ninner: {<<: *one, count: 2, count: 3}\n")
    assert "line 2: count is there already, in line 2" in error.message


def test_a_list_that_holds_itself_is_refused() -> None:
    assert refusal("items: &a [*a]\ninner: {count: 1}\n").field.startswith("items")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.yaml: No such file"):
        load(tmp_path / "nowhere.yaml", Outer)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match=r"binary\.yaml: it is no text"):
        load(tmp_path / "binary.yaml", Outer)


def test_a_union_leaves_no_trace_of_itself_in_the_path() -> None:
    error = refusal(NODE.replace("user: admin, ", ""), NodeFile)
    assert error.field == "nodes[0].power.user"
    assert "line 8" in error.message


@pytest.mark.parametrize("model", [Settings, NodeFile])
@given(text=st.text(alphabet="anodes:[]{}-&*!|>'\"\n #1", max_size=60))
def test_no_text_does_worse_than_a_refusal(model: type[BaseModel], text: str) -> None:
    try:
        parse(text, model, "fuzz.yaml")
    except InvalidInput as error:
        assert "fuzz.yaml" in error.message
