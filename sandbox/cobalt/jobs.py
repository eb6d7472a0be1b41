"""Queued writes: accepted at once, carried out when their time has come, told by an event.

A job is carried out by whoever comes first, a timer, a request or the control plane, in one
transaction with its event; processes that share the state file never do it twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any

from leyr_mcp.sandbox.cobalt import events
from leyr_mcp.sandbox.cobalt.clinic import FIRST, FOLDERS, ZONE, location, provider
from leyr_mcp.sandbox.cobalt.options import JobKind, Options, Outcome
from leyr_mcp.sandbox.cobalt.slots import busy, free_slots
from leyr_mcp.sandbox.cobalt.store import Body, Store

REASONS = {
    "note": "Failed to create patient note",
    "document": "Failed to upload document",
    "appointment": "Failed to create appointment",
    "update": "Failed to update appointment",
    "patient": "Failed to create patient",
    "fetch": "Failed to fetch from the EHR",
}
LOGIN = "The EHR login of this account is no longer valid"
CHANGED = " (reworded by the EHR)"


@dataclass
class Queue:
    """The jobs of one clinic."""

    store: Store
    options: Options
    now: Callable[[], datetime]
    outcomes: list[Outcome] = field(default_factory=list)
    queued: Callable[[float], None] = lambda _: None

    def add(self, kind: JobKind, mrn: str | None, work: Body) -> int:
        """Queue a job and return its number; call inside a transaction."""
        outcome = self._outcome(kind, mrn)
        seconds = self.options.job_seconds if outcome.seconds is None else outcome.seconds
        number = 12_344 + self.store.next_number()
        self.store.put(
            "job",
            str(number),
            {
                "number": number,
                "kind": kind,
                "mrn": mrn,
                "due": (self.now() + timedelta(seconds=seconds)).isoformat(),
                "outcome": outcome.model_dump(),
                "work": work,
            },
        )
        self.queued(seconds)
        return number

    def waiting(self) -> list[Body]:
        """Return the jobs that were not carried out yet."""
        return self.store.all("job")

    def run(self, *, early: bool = False) -> list[Body]:
        """Carry out what is due, or all, and return the events of that."""
        now = self.now()
        due = [one for one in self.waiting() if early or datetime.fromisoformat(one["due"]) <= now]
        found: list[Body] = []
        for one in sorted(due, key=lambda job: (job["due"], job["number"])):
            with self.store.transaction():
                if self.store.remove("job", str(one["number"])):  # else another process did it
                    self.store.put("done", str(one["number"]), one)
                    found += self._carry_out(one)
        return found

    def _outcome(self, kind: JobKind, mrn: str | None) -> Outcome:
        for place, outcome in enumerate(self.outcomes):
            if outcome.fits(kind, mrn):
                if outcome.times == 1:
                    del self.outcomes[place]
                else:
                    self.outcomes[place] = outcome.model_copy(update={"times": outcome.times - 1})
                return outcome
        return Outcome()

    def _carry_out(self, job: Body) -> list[Body]:
        outcome = Outcome.model_validate(job["outcome"])
        if outcome.result == "never":
            return []
        work: Body = job["work"]
        reason: str | None = None
        more: Body = {}
        if self.store.meta("login_required") == "1":
            reason = LOGIN
        elif outcome.result == "fail":
            reason = outcome.reason or REASONS[job["kind"]]
        act = _ACTS[job["kind"]]
        if reason is None:
            reason, more, kind, data = act.do(self, work, outcome.result == "differently")
        if reason is not None:
            act.undo(self, work)
            kind, data = act.failed, {**act.about(work), "failure_reason": reason, **more}
        if outcome.result == "silent":
            return []
        copies = 2 if outcome.result == "twice" else 1
        return [
            events.record(
                self.store,
                kind,
                data,
                job=job["number"],
                now=self.now(),
                older=outcome.result == "older",
            )
            for _ in range(copies)
        ]

    def patient(self, mrn: str) -> Body | None:
        """Return the patient with that record number in the record itself."""
        found = (one for one in self.store.all("patient") if one["mrn"] == mrn)
        return next((one for one in found if one["status"] == "active"), None)


Done = tuple[str | None, Body, str, Body]


def _fails(reason: str, **more: Any) -> Done:
    return reason, more, "", {}


def _note(queue: Queue, work: Body, differently: bool) -> Done:  # noqa: FBT001 -- of every act
    if queue.patient(work["patient_mrn"]) is None:
        return _fails(REASONS["note"])
    told = {
        "patient_note_id": work["patient_note_id"],
        "emr_note_id": work["emr_note_id"],
        "patient_mrn": work["patient_mrn"],
        "location_id": work["location_id"],
        "subject": work["subject"],
        "note": work["note"] + (CHANGED if differently else ""),
    }
    kept = {**told, "created_at": events.zulu(queue.now())}
    queue.store.put("note", work["patient_note_id"], kept)
    return None, {}, "patient_note.created", told


def _document(queue: Queue, work: Body, differently: bool) -> Done:  # noqa: FBT001
    if queue.patient(work["patient_mrn"]) is None:
        return _fails("Patient not found")
    if work["folder_name"] not in FOLDERS:
        return _fails("Folder not found")
    document_id = work["document_id"]
    content = queue.store.file(document_id) or b""
    if differently:
        content += b"\n"
        queue.store.put_file(document_id, content)
    kept = {
        **work,
        "bytes": len(content),
        "sha256": sha256(content).hexdigest(),
        "created_at": events.zulu(queue.now()),
    }
    queue.store.put("document", document_id, kept)
    told = {name: work[name] for name in ("document_id", "patient_mrn", "folder_name")}
    return None, {}, "document.uploaded", told


def _appointment(queue: Queue, work: Body, differently: bool) -> Done:  # noqa: FBT001
    found = queue.store.get("appointment", work["appointment_id"]) or {}
    if queue.patient(found["mrn"]) is None:
        return _fails("Patient not found")
    start = datetime.fromisoformat(found["datetime"])
    end = start + timedelta(minutes=found["duration"])
    taken = any(
        start < other_end and other < end
        for other, other_end in busy(queue.store, found["provider"], without=found["id"])
    )
    if taken and work["prevent_double_booking"]:
        return _fails(
            "The provider is already booked at this time",
            reasons=[{"code": "SANDBOX_DOUBLE_BOOKED", "description": "Already booked"}],
            conflict_type="double_booking",
            conflict_details={"provider_id": found["provider"], "date_time": found["datetime"]},
        )
    if differently:
        found["datetime"] = (start + timedelta(hours=1)).isoformat()
    found |= {
        "status": "scheduled",
        "ehr_appointment_id": str(81_000 + queue.store.next_number()),
    }
    queue.store.put("appointment", found["id"], found)
    who = provider(found["provider"])
    told = {
        "appointment_id": found["id"],
        "mrn": found["mrn"],
        "date_time": found["datetime"],
        "timezone": ZONE.key,
        "provider_id": found["provider"],
        "provider_name": who.name if who else None,
        "secondary_provider_id": None,
    }
    return None, {}, "appointment.created", told


def _update(queue: Queue, work: Body, differently: bool) -> Done:  # noqa: FBT001, ARG001
    found = queue.store.get("appointment", work["appointment_id"]) or {}
    found |= work["changes"]
    queue.store.put("appointment", found["id"], found)
    return None, {}, "appointment.updated", appointment_event(queue.store, found)


def _patient(queue: Queue, work: Body, differently: bool) -> Done:  # noqa: FBT001, ARG001
    found = queue.store.get("patient", work["patient_id"]) or {}
    same = ("first_name", "last_name", "dob")
    for other in queue.store.all("patient"):
        if other["status"] == "active" and all(other[n] == found.get(n) for n in same):
            return _fails(
                "A patient with this name and date of birth exists",
                reasons=[{"code": "SANDBOX_DUPLICATE", "description": "Duplicate patient"}],
                duplicate_mrn=other["mrn"],
            )
    found |= {"status": "active", "mrn": f"MRN-{20_000 + queue.store.next_number()}"}
    queue.store.put("patient", found["id"], found)
    return None, {}, "patient.created", {"patient_id": found["id"], "mrn": found["mrn"]}


def _fetch(queue: Queue, work: Body, differently: bool) -> Done:  # noqa: FBT001, ARG001
    """Ask the record itself; whom it names is in Cobalt's copy from now on."""
    if work["of"] == "patients":
        found = [one for one in queue.store.all("patient") if _is_asked(one, work["query"])]
        for one in found:
            queue.store.put("patient", one["id"], {**one, "copied": True})
        told = {
            "success": True,
            "patient_count": len(found),
            "patients": [live_patient(one) for one in found],
        }
        return None, {}, "patient.live_fetch_completed", told
    first, last = (date.fromisoformat(work["query"][n]) for n in ("start_date", "end_date"))
    if work["of"] == "appointments":
        listed = [
            appointment_event(queue.store, one)
            for one in queue.store.all("appointment")
            if first <= datetime.fromisoformat(one["datetime"]).astimezone(ZONE).date() <= last
        ]
        told = {
            "success": True,
            "appointment_count": len(listed),
            "start_date": first.isoformat(),
            "end_date": last.isoformat(),
            "appointments": listed,
        }
        return None, {}, "appointment.live_fetch_completed", told
    slots = free_slots(
        queue.store, first, last, providers=work["query"]["provider_ids"], now=queue.now()
    )
    told = {
        "availability": [
            {
                "day_of_week": slot.start.isoweekday(),
                "date": slot.start.date().isoformat(),
                "range_start": slot.start.isoformat(timespec="milliseconds"),
                "range_end": slot.end.isoformat(timespec="milliseconds"),
                "provider_id": slot.provider.ehr_id,
            }
            for slot in slots
        ]
    }
    return None, {}, "availability.live_fetch_completed", told


def _is_asked(one: Body, query: Body) -> bool:
    wanted = {name: value for name, value in query.items() if name not in ("search_by", "include")}
    return one["status"] == "active" and all(
        str(value).casefold() in str(one.get(name) or "").casefold()
        for name, value in wanted.items()
    )


def live_patient(one: Body) -> Body:
    """Return a patient as the record itself tells them."""
    return {
        "id": one["id"],
        "mrn": one["mrn"],
        "first_name": one["first_name"],
        "last_name": one["last_name"],
        "middle_name": None,
        "date_of_birth": one["dob"],
        "sex": one["sex"],
        "phone": one["phone"],
        "medications": [],
        "pharmacies": [],
    }


def appointment_event(store: Store, one: Body) -> Body:
    """Return an appointment as events of changes tell it."""
    who, place = provider(one["provider"]), location(one["location"])
    people = [p for p in store.all("patient") if p["mrn"] == one["mrn"]]
    names = [f"{p['first_name']} {p['last_name']}" for p in people]
    return {
        "id": one["id"],
        "ehr_appointment_id": one["ehr_appointment_id"],
        "patient_mrn": one["mrn"],
        "patient_name": names[0] if names else None,
        "datetime": one["datetime"],
        "duration": one["duration"],
        "location": place.name if place else FIRST,
        "status": one["status"],
        "provider_name": who.name if who else None,
        "appointment_type": one["appointment_type"],
        "appointment_mode": "office",
    }


def _nothing(_queue: Queue, _work: Body) -> None:
    """Leave all as it is."""


def _set_failed(kind: Any, id_name: str) -> Callable[[Queue, Body], None]:
    def undo(queue: Queue, work: Body) -> None:
        found = queue.store.get(kind, work[id_name])
        if found is not None:
            queue.store.put(kind, work[id_name], {**found, "status": "failed"})

    return undo


@dataclass(frozen=True)
class Act:
    """How a kind of job is carried out, and what it leaves when it fails."""

    do: Callable[[Queue, Body, bool], Done]
    failed: str
    named: tuple[str, ...]
    undo: Callable[[Queue, Body], None] = _nothing

    def about(self, work: Body) -> Body:
        """Return what the event of a failure names."""
        return {name: work[name] for name in self.named if name in work}


_ACTS: dict[str, Act] = {
    "note": Act(_note, "patient_note.failed", ("patient_note_id",)),
    "document": Act(
        _document, "document.upload_failed", ("document_id", "patient_mrn", "folder_name")
    ),
    "appointment": Act(
        _appointment,
        "appointment.failed",
        ("appointment_id", "mrn"),
        _set_failed("appointment", "appointment_id"),
    ),
    "update": Act(_update, "appointment.failed", ("appointment_id", "mrn")),
    "patient": Act(
        _patient, "patient.failed", ("patient_id",), _set_failed("patient", "patient_id")
    ),
    "fetch": Act(_fetch, "fetch.failed", ()),
}
