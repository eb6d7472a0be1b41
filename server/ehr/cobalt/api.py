"""What the Cobalt modules share: JSON read and written, the flag of success, the clinic's zone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from leyr_mcp.server.ehr.capabilities import COBALT, Capabilities
from leyr_mcp.server.ehr.cobalt.errors import body_of, refused
from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.port import Job
from leyr_mcp.server.ehr.transport import WHOLE, Answer, Reading, Transport, encoded
from leyr_mcp.server.errors import UpstreamContractError, UpstreamNotSupportedError

M = TypeVar("M", bound=BaseModel)

WRITE_DEADLINE_S = 60.0
Query = Sequence[tuple[str, str]]
_UNREADABLE = "Cobalt's answer cannot be read as documented."


class CobaltApi:
    """The base of every resource module: one transport, one clinic and its time zone."""

    def __init__(
        self, transport: Transport, zone: ZoneInfo, clock: Callable[[], datetime], folder: str
    ) -> None:
        self._transport = transport
        self._zone = zone
        self._clock = clock
        self._folder = folder

    @property
    def capabilities(self) -> Capabilities:
        """What can be done through Cobalt."""
        return COBALT

    def clock_skew_s(self) -> float | None:
        """Return how far this machine's clock is ahead of Cobalt's, if the last answer told."""
        return self._transport.clock_skew_s()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def _mrn(self, patient: PatientRef) -> str:
        if patient.type != "mrn":
            raise UpstreamNotSupportedError(
                f"Cobalt takes no {patient.type} here, only mrn.",
                field="patient_id",
                next_step="Search by name and use the patient_id of the answer.",
            )
        return patient.value

    def _moment(self, raw: object) -> datetime:
        """Return a time; one without an offset is the clinic's own.

        Raises:
            UpstreamContractError: It is none.
        """
        try:
            found = datetime.fromisoformat(raw if isinstance(raw, str) else "")
        except ValueError:
            raise unreadable() from None
        return found if found.tzinfo else found.replace(tzinfo=self._zone)

    def _day(self, moment: datetime) -> str:
        return moment.astimezone(self._zone).date().isoformat()

    async def _get(
        self, path: str, query: Query = (), *, reading: Reading = WHOLE
    ) -> dict[str, Any]:
        return succeeded(await self._transport.read(path.split("/"), query, reading=reading))

    async def _list(self, path: str, key: str, query: Query = ()) -> list[dict[str, Any]]:
        return objects(await self._get(path, query), key)

    async def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a question that is asked by POST and changes nothing."""
        answer = await self._transport.send(
            "POST", path.split("/"), body=encoded(body), repeatable=True
        )
        return succeeded(answer)

    async def _write(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._transport.send(
            method, path.split("/"), body=encoded(body), deadline_s=WRITE_DEADLINE_S
        )
        return succeeded(answer)


def succeeded(answer: Answer) -> dict[str, Any]:
    """Return the answer's object; `success: false` is a refusal whatever the status says.

    Raises:
        UpstreamError: It says no, or is no object.
    """
    body = body_of(answer.body)
    if not body:
        raise unreadable()
    if body.get("success") is False:
        raise refused(body, answer.status)
    return body


def objects(body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return a list of objects.

    Raises:
        UpstreamContractError: There is no such list.
    """
    found = body.get(key)
    if not isinstance(found, list):
        raise unreadable()
    return [one for one in found if isinstance(one, dict)]


def parsed(model: type[M], fields: dict[str, Any]) -> M:
    """Return a model of what Cobalt told.

    Raises:
        UpstreamContractError: Something that must be there is not, or is of another form.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as exc:
        raise unreadable() from exc


def queued(body: dict[str, Any], id_name: str) -> Job:
    """Return the job of an acknowledgement, which holds its ids flat or within `data`.

    Raises:
        UpstreamContractError: It names neither a job nor an entry.
    """
    inner = body.get("data")
    places = (body, inner if isinstance(inner, dict) else {})
    job, ack = (
        next((text(place.get(name)) for place in places if text(place.get(name))), "")
        for name in ("job_id", id_name)
    )
    if not job and not ack:
        raise unreadable()
    return Job(f"{job}:{ack}")


def text(value: object) -> str:
    """Return a text or a whole number as text; everything else is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()


def day(value: object) -> date | None:
    """Return a calendar date, or None for what is none."""
    try:
        return date.fromisoformat(text(value)[:10])
    except ValueError:
        return None


def unreadable() -> UpstreamContractError:
    """Return the error of an answer that is not as documented."""
    return UpstreamContractError(_UNREADABLE)
