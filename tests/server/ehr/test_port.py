"""The port's contract, over the sandbox of each vendor: one server, whichever stands behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.models import Appointment, Document, Note
from leyr_mcp.server.ehr.port import (
    Cancel,
    Ehr,
    Job,
    NewAppointment,
    NewDocument,
    NewNote,
    Stored,
    Window,
)
from leyr_mcp.server.errors import (
    UpstreamNotFoundError,
    UpstreamNotSupportedError,
    UpstreamUnavailableError,
)
from tests.support import cobalt_client, leyr_client
from tests.support.leyr_client import WAYS, pieces

BYTES = b"%PDF-1.4 nearly " * 5_000


@dataclass(frozen=True, kw_only=True)
class Record:
    """One vendor: its port, and what of its seed the contract needs."""

    ehr: Ehr
    now: datetime
    unit: str
    patient: PatientRef
    family_name: str
    nobody: PatientRef
    resource: ResourceRef
    service: str
    author: str | None
    fail: Callable[[str], object]
    carry_out: Callable[[], object]

    async def end(self, told: Any) -> Any:
        """Return the entry that a write came to, at once or as a job."""
        if not isinstance(told, Job):
            return told
        assert await self.ehr.job(self.unit, told.id, since=self.now) is None
        self.carry_out()
        found = await self.ehr.job(self.unit, told.id, since=self.now)
        assert isinstance(found, Stored)
        assert found.patient_id in (None, str(self.patient))
        return found.entry

    async def slot(self) -> Any:
        window = Window(self.now, self.now + timedelta(days=3))
        slots = await self.ehr.timeslots(
            self.unit, window, resource=self.resource, healthcare_service_id=self.service
        )
        assert all(window.start <= slot.start < slot.end <= window.end for slot in slots)
        assert {(s.resource_id, s.healthcare_service_id) for s in slots} == {
            (self.resource.value, self.service)
        }
        return slots[0]

    async def book(self) -> Appointment:
        slot = await self.slot()
        new = NewAppointment(
            patient=self.patient,
            window=Window(slot.start, slot.end),
            resource=self.resource,
            healthcare_service_id=self.service,
            comment="Call first",
        )
        booked = await self.end(await self.ehr.book(self.unit, new))
        assert isinstance(booked, Appointment)
        assert (booked.start, booked.end) == (slot.start, slot.end)
        return booked


@asynccontextmanager
async def leyr(way: str) -> AsyncIterator[Record]:
    from leyr_mcp.sandbox.faults import Fault  # noqa: PLC0415 - of this vendor alone

    async with leyr_client.sandboxed(way, "webdoc") as (box, ehr):
        yield Record(
            ehr=ehr,
            now=leyr_client.NOW,
            unit="L0_1",
            patient=PatientRef("emr_id", box.control.patient("191212121212").emr_id),
            family_name="Tolvansson",
            nobody=PatientRef("emr_id", "nobody"),
            resource=ResourceRef("emr_id", "1021"),
            service="301",
            author="1021",
            fail=lambda kind: box.control.faults.add(Fault.model_validate({"kind": kind})),
            carry_out=lambda: None,
        )


@asynccontextmanager
async def cobalt(way: str) -> AsyncIterator[Record]:
    from leyr_mcp.sandbox.faults import Fault  # noqa: PLC0415 - of this vendor alone

    async with cobalt_client.sandboxed(way) as (box, ehr):
        ehr.live_wait_s = 0.0
        yield Record(
            ehr=ehr,
            now=cobalt_client.NOW,
            unit=cobalt_client.UNIT,
            patient=cobalt_client.IMA,
            family_name="Fixture",
            nobody=PatientRef("mrn", "nobody"),
            resource=cobalt_client.DOCTOR,
            service="FU",
            author=None,
            fail=lambda kind: box.control.faults.add(Fault.model_validate({"kind": kind})),
            carry_out=box.control.run_jobs,
        )


Vendor = Callable[[str], Any]
each = pytest.mark.parametrize("vendor", [leyr, cobalt])
everywhere = [pytest.mark.parametrize("way", WAYS), each]
pytestmark = everywhere


async def test_the_directory(vendor: Vendor, way: str) -> None:
    async with vendor(way) as at:
        assert at.unit in [unit.id for unit in await at.ehr.care_units()]
        assert at.resource.value in [one.id for one in await at.ehr.resources(at.unit)]
        assert at.service in [one.id for one in await at.ehr.services(at.unit)]
        assert all(one.name for one in await at.ehr.resources(at.unit))


async def test_a_patient_by_id_and_by_name_is_the_same(vendor: Vendor, way: str) -> None:
    async with vendor(way) as at:
        one = await at.ehr.patient(at.unit, at.patient)
        found = await at.ehr.find_patients(at.unit, first_name=None, last_name=at.family_name)
        assert found == [one]
        assert one.last_name == at.family_name


async def test_who_is_not_there_is_not_found(vendor: Vendor, way: str) -> None:
    async with vendor(way) as at:
        gone: tuple[type[Exception], ...] = (UpstreamNotFoundError,)
        if at.ehr.capabilities.queues:  # the record itself is asked first
            with pytest.raises(UpstreamUnavailableError):
                await at.ehr.patient(at.unit, at.nobody)
            at.carry_out()
        with pytest.raises(gone):
            await at.ehr.patient(at.unit, at.nobody)


async def test_a_place_that_is_not_there_is_not_found_wherever_it_is_named(
    vendor: Vendor, way: str
) -> None:
    async with vendor(way) as at:
        window = Window(at.now, at.now + timedelta(days=1))
        asked: list[Awaitable[object]] = [
            at.ehr.resources("nowhere"),
            at.ehr.services("nowhere"),
            at.ehr.timeslots("nowhere", window),
            at.ehr.find_patients("nowhere", first_name=None, last_name=at.family_name),
            at.ehr.patient("nowhere", at.patient),
            at.ehr.appointments("nowhere"),
        ]
        for question in asked:
            with pytest.raises(UpstreamNotFoundError) as caught:
                await question
            assert caught.value.field == "care_unit_id"


async def test_an_identifier_of_another_kind_is_refused_unsent(vendor: Vendor, way: str) -> None:
    async with vendor(way) as at:
        with pytest.raises(UpstreamNotSupportedError) as caught:
            await at.ehr.patient(
                at.unit, PatientRef("emr_id" if at.patient.type == "mrn" else "mrn", "x1")
            )
        assert caught.value.field == "patient_id"


async def test_an_appointment_is_booked_read_listed_and_cancelled(vendor: Vendor, way: str) -> None:
    async with vendor(way) as at:
        booked = await at.book()
        assert booked.status == "booked"
        assert booked.comment == "Call first"
        assert await at.ehr.appointment(at.unit, booked.id) == booked
        window = Window(booked.start, booked.end)
        listed = await at.ehr.appointments(at.unit, patient=at.patient, window=window)
        assert listed == [booked]
        assert (await at.slot()).start != booked.start
        gone = await at.end(await at.ehr.change_appointment(at.unit, booked.id, Cancel()))
        assert (gone.id, gone.status) == (booked.id, "cancelled")
        assert (await at.slot()).start == booked.start


async def test_an_appointment_that_is_not_there_is_not_found(vendor: Vendor, way: str) -> None:
    async with vendor(way) as at:
        with pytest.raises(UpstreamNotFoundError):
            await at.ehr.appointment(at.unit, "none")


async def test_a_note_arrives_whole_and_is_found_again(vendor: Vendor, way: str) -> None:
    async with vendor(way) as at:
        new = NewNote(
            title="Visit – “é” 📝",
            template_id="leyr_unstructured",
            content={"unstructured": "Line one.\n\n  Ärende: två\tok"},
            created_by_id=at.author,
        )
        told = await at.end(await at.ehr.write_note(at.unit, at.patient, new))
        assert isinstance(told, Note)
        since = at.now - timedelta(minutes=5)
        listed = await at.ehr.notes(at.unit, at.patient, since=since)
        assert told.id in [one.id for one in listed]
        read = await at.ehr.note(at.unit, at.patient, told.id)
        assert (read.title, read.content) == (new.title, new.content)
        with pytest.raises(UpstreamNotFoundError):
            await at.ehr.note(at.unit, at.patient, "00000000-0000-4000-8000-000000000000")


async def test_a_document_arrives_byte_for_byte(vendor: Vendor, way: str) -> None:
    async with vendor(way) as at:
        new = NewDocument(
            title="Letter",
            format="application/pdf",
            created_by_id=at.author,
            size=len(BYTES),
            chunks=pieces(BYTES[:70_001], BYTES[70_001:]),
        )
        told = await at.end(await at.ehr.attach_document(at.unit, at.patient, new))
        assert isinstance(told, Document)
        digest = await at.ehr.document_digest(at.unit, at.patient, told.id)
        assert (digest.size, digest.sha256) == (len(BYTES), sha256(BYTES).hexdigest())
        since = at.now - timedelta(minutes=5)
        assert told.id in [
            one.id for one in await at.ehr.documents(at.unit, at.patient, since=since)
        ]
        whole = await at.ehr.document(at.unit, at.patient, told.id)
        assert whole.content


async def test_a_reading_is_repeated_and_a_write_is_not(vendor: Vendor, way: str) -> None:
    async with vendor(way) as at:
        at.fail("503")
        assert await at.ehr.care_units()
        at.fail("503")
        new = NewNote(
            title="Visit",
            template_id="leyr_unstructured",
            content={"unstructured": "Well."},
            created_by_id=at.author,
        )
        with pytest.raises(UpstreamUnavailableError):
            await at.ehr.write_note(at.unit, at.patient, new)
        at.carry_out()
        assert "Visit" not in [n.title for n in await at.ehr.notes(at.unit, at.patient)]


async def test_a_job_of_nobody_is_not_known(vendor: Vendor, way: str) -> None:
    async with vendor(way) as at:
        if at.ehr.capabilities.queues:
            assert await at.ehr.job(at.unit, "1:none", since=at.now) is None
        else:
            with pytest.raises(UpstreamNotSupportedError):
                await at.ehr.job(at.unit, "1", since=at.now)
