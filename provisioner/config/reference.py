"""`docs/configuration.md`, written from the models that read the files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from provisioner.config.node_file import NodeFile
from provisioner.config.settings import Settings

Schema = Mapping[str, Any]

INTRODUCTION = """\
# Configuration

`provisioner serve --config FILE` reads one YAML file (by default `/etc/provisioner/provisioner.yaml`). The
smallest one names the network that nodes boot from:

```yaml
network:
  interface: eth1
  address: 10.77.0.10
  subnet: 10.77.0.0/24
  pool: 10.77.0.100-10.77.0.199
```

`provisioner config check FILE` says whether a file can be used, and prints what it comes to with all
defaults. A mistake is told with file, line and field, and what is expected there; nothing starts with half a
configuration.
"""

NODES = """
## The node file

`provisioner node enroll -f FILE` reads one; `bmsim rack inventory` prints one. Passwords stand in it as they
are: keep it to yourself (`chmod 600`). The provisioner stores them encrypted and never shows them.

```yaml
nodes:
  - name: n1
    arch: x86_64
    firmware: uefi
    vcpus: 8
    memory_mib: 32768
    disk_mib: 400000
    ports: [{mac: "52:54:00:77:00:01"}]
    power: {driver: ipmi, address: 10.78.0.101, user: admin, password: "…"}
```
"""


def page() -> str:
    """The page, in Markdown."""
    return "".join(
        (
            INTRODUCTION,
            "\n## The configuration file\n\n",
            table(Settings),
            NODES,
            "\n",
            table(NodeFile),
        )
    )


def table(model: type[BaseModel]) -> str:
    """Each field of a file that `model` reads."""
    schema = model.model_json_schema()
    rows = ["| field | value | default | meaning |", "|---|---|---|---|"]
    for path, field, needed in _fields(schema, schema, ""):
        default = "**needed**" if needed else _default(field)
        # A description that equals its model's own is only there.
        own = next((inner for inner, _ in _inner(field, schema)), {}) if "$ref" in field else {}
        meaning = field.get("description", own.get("description", "")).replace("|", "\\|")
        rows.append(f"| `{path}` | {_value(field, schema)} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _fields(
    part: Schema, root: Schema, above: str, told: set[int] | None = None
) -> Iterator[tuple[str, Schema, bool]]:
    """Every field below `part`, with its path, and whether it must be there. What stands in several places
    is told at the first."""
    told = set() if told is None else told
    for name, field in part.get("properties", {}).items():
        path = f"{above}{name}"
        yield path, field, name in part.get("required", ())
        for inner, suffix in _inner(field, root):
            if id(inner) not in told:
                told.add(id(inner))
                yield from _fields(inner, root, f"{path}{suffix}.", told)


def _inner(field: Schema, root: Schema) -> Iterator[tuple[Schema, str]]:
    """The models inside a field, and how their place is written."""
    if "$ref" in field:
        yield root["$defs"][field["$ref"].rpartition("/")[2]], ""
    for choice in (*field.get("oneOf", ()), *field.get("anyOf", ())):
        yield from _inner(choice, root)
    if isinstance(field.get("items"), Mapping):
        yield from ((inner, "[]") for inner, _ in _inner(field["items"], root))
    if isinstance(field.get("additionalProperties"), Mapping):
        yield from ((inner, ".ARCH") for inner, _ in _inner(field["additionalProperties"], root))


WORDS = {
    "ipv4": "IPv4 address",
    "ipv4network": "network",
    "path": "path",
    "password": "secret text",
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "section",
}


def _value(field: Schema, root: Schema) -> str:
    """What may stand there, in a few words."""
    if "enum" in field or "const" in field:
        return " or ".join(f"`{word}`" for word in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        return _value(next(choice for choice in field["anyOf"] if choice.get("type") != "null"), root)
    if "oneOf" in field or "$ref" in field:
        return "section"
    if field.get("type") == "array":
        return f"list of: {_value(field['items'], root)}"
    text = WORDS[field.get("format", field["type"])]
    bounds = (field.get("minimum", field.get("exclusiveMinimum")), field.get("maximum"))
    # 5 s, not 5.0 s
    low, high = (f"{bound:g}" if isinstance(bound, float) else bound for bound in bounds)
    if low is not None and high is not None:
        return f"{text}, {low} to {high}"
    if "exclusiveMinimum" in field:
        return f"{text} above {low}"
    return f"{text}, {low} or more" if low is not None else text


def _default(field: Schema) -> str:
    found = field.get("default")
    return "" if found in (None, [], {}) or isinstance(found, dict) else f"`{json.dumps(found)}`"
