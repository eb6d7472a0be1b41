"""What a tool is: its name, texts, hints, schemas and handler.

And its entry in the list of tools.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from mcp.types import Tool, ToolAnnotations
from pydantic import TypeAdapter

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext

Toolset = Literal["base", "patients", "scheduling", "notes", "documents", "drafts"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ToolSpec:
    """One tool. `needs` names the capability without which it is not offered."""

    name: str
    title: str
    description: str
    toolset: Toolset
    scope: str
    annotations: ToolAnnotations
    input: type[Arguments]
    output: Any
    handler: Callable[[ToolContext, Any], Awaitable[Reply]]
    needs: str | None = None

    @property
    def reads(self) -> bool:
        """Whether the tool changes nothing."""
        return self.annotations.read_only_hint is True

    @property
    def drafts(self) -> bool:
        """Whether the tool answers with drafts that a person is to decide on."""
        return self.annotations is WRITES

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments, closed and compact."""
        return _compact(self.input.model_json_schema())

    def output_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the structured answer."""
        return _compact(TypeAdapter(self.output).json_schema())


@cache
def entry_of(spec: ToolSpec) -> Tool:
    """Return a tool's entry in the list that clients read, made once in a process."""
    return Tool(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        input_schema=spec.input_schema(),
        output_schema=spec.output_schema(),
        annotations=spec.annotations,
    )


READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
)

# Of what is kept here alone.
LOOKS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)

WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True
)

DISCARDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)


def _compact(schema: dict[str, Any]) -> dict[str, Any]:
    """Drop what a model pays for and does not need: titles, null arms and null defaults."""
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            out[key] = {name: _compact(part) for name, part in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = _compact(value)
        elif key == "anyOf":
            out[key] = [_compact(arm) for arm in value if arm != {"type": "null"}]
        elif key != "title" and not (key == "default" and value is None):
            out[key] = value
    if out.get("type") == "object":
        out.pop("description", None)  # a class's docstring, written for colleagues
    if len(out.get("anyOf", ())) == 1:
        (only,) = out.pop("anyOf")
        out = {**only, **out}
    return out
