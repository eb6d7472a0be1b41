"""What the Leyr modules share: the path of a care unit, list shapes, parsing at the edge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from leyr_mcp.server.ehr.capabilities import Capabilities
from leyr_mcp.server.ehr.identifiers import PatientRef, PatientType, ResourceRef
from leyr_mcp.server.ehr.port import Failed, Stored
from leyr_mcp.server.ehr.transport import WHOLE, Answer, Reading, Transport, encoded
from leyr_mcp.server.errors import UpstreamContractError, UpstreamNotSupportedError

M = TypeVar("M", bound=BaseModel)

WRITE_DEADLINE_S = 60.0
# What Leyr knows at all, where it is not known what the record system takes.
_TYPES = frozenset(get_args(PatientType)) - {"mrn"}
_UNREADABLE = "The record system's answer cannot be read as documented."


class LeyrApi:
    """The base of every resource module: one transport, one record system."""

    def __init__(self, transport: Transport, emr: str, capabilities: Capabilities) -> None:
        self._transport = transport
        self._emr = emr
        self._capabilities = capabilities

    @property
    def capabilities(self) -> Capabilities:
        """What this record system can do, as far as it is known."""
        return self._capabilities

    def clock_skew_s(self) -> float | None:
        """Return how far this machine's clock is ahead of Leyr's, if the last answer told."""
        return self._transport.clock_skew_s()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def job(
        self,
        care_unit_id: str,  # noqa: ARG002 - of the port
        job_id: str,  # noqa: ARG002
        *,
        since: datetime,  # noqa: ARG002
    ) -> Stored | Failed | None:
        """Leyr queues nothing, so a job is never of it."""
        raise UpstreamNotSupportedError("Leyr queues nothing.")

    def _unit(self, care_unit_id: str, *rest: str) -> tuple[str, ...]:
        return ("emrs", self._emr, "care-units", care_unit_id, *rest)

    def _patient_path(self, care_unit_id: str, patient: PatientRef, *rest: str) -> tuple[str, ...]:
        return self._unit(care_unit_id, "patients", self._patient_id(patient), *rest)

    def _patient_id(self, patient: PatientRef) -> str:
        self._accepts(patient.type, self._capabilities.patient_types or _TYPES, "patient_id")
        return str(patient)

    def _resource_id(self, resource: ResourceRef) -> str:
        """Return a resource id as Leyr takes it: a bare value where no type is needed."""
        self._accepts(resource.type, self._capabilities.resource_types, "resource_id")
        return resource.value if resource.type == "emr_id" else str(resource)

    def _accepts(self, kind: str, known: frozenset[str] | None, field: str) -> None:
        if known is not None and kind not in known:
            raise UpstreamNotSupportedError(
                f"{self._capabilities.name} takes no {kind} here, "
                f"only {' and '.join(sorted(known))}.",
                field=field,
                next_step="Search by name and use an id from the answer.",
            )

    async def _list(
        self, model: type[M], segments: Sequence[str], query: Sequence[tuple[str, str]] = ()
    ) -> list[M]:
        return parse_list(model, await self._transport.read(segments, query))

    async def _get(self, model: type[M], segments: Sequence[str], *, reading: Reading = WHOLE) -> M:
        return parse_one(model, await self._transport.read(segments, reading=reading))

    async def _write(
        self,
        model: type[M],
        method: str,
        segments: Sequence[str],
        body: dict[str, Any],
        *,
        repeatable: bool = False,
    ) -> M:
        answer = await self._transport.send(
            method, segments, body=encoded(body), deadline_s=WRITE_DEADLINE_S, repeatable=repeatable
        )
        return parse_one(model, answer)


def parse_list(model: type[M], answer: Answer) -> list[M]:
    """Return the items of a list, whichever of Leyr's three shapes it has."""
    found = _json(answer)
    if isinstance(found, dict):
        found = found.get("data", found.get("items"))
    if not isinstance(found, list):
        raise UpstreamContractError(_UNREADABLE)
    try:
        return [model.model_validate(item) for item in found]
    except ValidationError as exc:
        raise UpstreamContractError(_UNREADABLE) from exc


def parse_one(model: type[M], answer: Answer) -> M:
    """Return the object of an answer that holds one, bare or as the first of a list."""
    found = _json(answer)
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        raise UpstreamContractError(_UNREADABLE)
    try:
        return model.model_validate(found)
    except ValidationError as exc:
        raise UpstreamContractError(_UNREADABLE) from exc


def _json(answer: Answer) -> Any:
    try:
        return from_json(answer.body)
    except ValueError as exc:
        raise UpstreamContractError(_UNREADABLE) from exc


def present(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value; Leyr is never sent a null or an empty list."""
    return {name: value for name, value in fields.items() if value not in (None, (), [])}
