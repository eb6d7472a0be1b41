"""One call as a handler sees it, and the rules for identifiers that all handlers share."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel

from leyr_mcp.sandbox.clinic import CareUnit, Resource
from leyr_mcp.sandbox.errors import ApiError, Refusal, bad, not_found
from leyr_mcp.sandbox.options import Options
from leyr_mcp.sandbox.store import Patient, Store
from leyr_mcp.sandbox.systems import PATIENT_ID_TYPES, RESOURCE_ID_TYPES, System

M = TypeVar("M", bound=BaseModel)


def stable_id(slug: str, key: str) -> str:
    """Return the id that a thing of the seed, or the n-th created one, always gets."""
    space: UUID = uuid5(NAMESPACE_URL, f"https://leyr-mcp.invalid/sandbox/{slug}")
    return str(uuid5(space, key))


@dataclass(frozen=True)
class Call:
    """What a handler may know: the state, the rules of the record system, and the input."""

    store: Store
    system: System
    units: tuple[CareUnit, ...]
    options: Options
    now: datetime
    path: dict[str, str]
    query: BaseModel | None = None
    body: BaseModel | None = None

    def query_as(self, model: type[M]) -> M:
        """Return the validated query."""
        assert isinstance(self.query, model)  # noqa: S101 -- narrows what dispatch validated
        return self.query

    def body_as(self, model: type[M]) -> M:
        """Return the validated body."""
        assert isinstance(self.body, model)  # noqa: S101 -- narrows what dispatch validated
        return self.body

    @property
    def unit(self) -> CareUnit:
        """The care unit of the path.

        Raises:
            ApiError: there is none with that id.
        """
        wanted = self.path["care_unit_id"]
        for unit in self.units:
            if unit.id == wanted:
                return unit
        raise bad("INVALID_CARE_UNIT_ID", "No care unit has that id", "path.care_unit_id")

    def new_id(self, kind: str) -> str:
        """Return the id of a thing about to be stored; call inside a transaction."""
        return stable_id(self.system.slug, f"{kind}/new/{self.store.next_number()}")

    def missing(self, what: str, error_code: str | None, path: str) -> ApiError:
        """Return the refusal for a thing that does not exist, as the switch wants it."""
        style = self.options.missing
        if style == "404" or (style == "by_kind" and error_code is None):
            return not_found(what)
        return bad(error_code or "BAD_REQUEST", f"{what} not found", path)

    def patient(self, typed_id: str, path: str = "path.patient_id") -> Patient:
        """Return the patient that a typed id names.

        Raises:
            ApiError: the type is unknown or not taken here, or nobody has that id.
        """
        kind, value = split_typed(typed_id)
        if kind not in PATIENT_ID_TYPES:
            raise bad("INVALID_PATIENT_ID_TYPE", "The patient id has an unknown type", path)
        if kind not in self.system.patient_types:
            sentence = f"{self.system.name} does not look up patients by {kind}"
            raise bad("PATIENT_ID_LOOKUP_TYPE_NOT_SUPPORTED", sentence, path)
        by_emr_id = kind == "emr_id"
        find = self.store.patient_by_emr_id if by_emr_id else self.store.patient_by_number
        patient = find(value)
        if patient is None:
            raise self.missing("Patient", "INVALID_PATIENT_ID", path)
        return patient

    def resource(self, typed_id: str, path: str = "path.resource_id") -> Resource:
        """Return the resource of this care unit that a typed id names.

        Raises:
            ApiError: the type is not taken here, or no resource has that id.
        """
        return self._resource(typed_id, "INVALID_RESOURCE_ID", path)

    def author(self, typed_id: str) -> Resource:
        """Return the resource that signs as author.

        Raises:
            ApiError: no resource of this care unit has that id.
        """
        return self._resource(typed_id, "INVALID_CREATED_BY_ID", "body.created_by_id")

    def _resource(self, typed_id: str, error_code: str, path: str) -> Resource:
        kind, value = split_typed(typed_id)
        if kind not in RESOURCE_ID_TYPES & self.system.resource_types:
            raise bad(error_code, f"{self.system.name} does not take that type of id", path)
        for resource in self.unit.resources:
            if value == _resource_value(resource, kind):
                return resource
        raise bad(error_code, "No resource of the care unit has that id", path)


def split_typed(typed_id: str) -> tuple[str, str]:
    """Return type and value; a bare value is an id of the record system."""
    kind, colon, value = typed_id.partition(":")
    return (kind, value) if colon else ("emr_id", typed_id)


def gather(*errors: ApiError | None) -> None:
    """Raise the refusals together, or do nothing when there is none.

    Raises:
        ApiError: at least one was given.
    """
    refusals: list[Refusal] = [item for error in errors if error for item in error.refusals]
    if refusals:
        raise ApiError(*refusals)


def _resource_value(resource: Resource, kind: str) -> str | None:
    if kind == "emr_id":
        return resource.id
    return resource.hsa_id if kind == "hsa_id" else resource.personal_number
