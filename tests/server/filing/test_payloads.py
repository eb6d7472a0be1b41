"""What a draft holds: one spelling, read back whole or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date, timedelta, timezone
from typing import Any

import pytest

from leyr_mcp.server.ehr.identifiers import PatientRef, ResourceRef
from leyr_mcp.server.ehr.port import (
    Cancel,
    Confirm,
    NewAppointment,
    NewNote,
    NewPatient,
    Reschedule,
    Window,
)
from leyr_mcp.server.errors import InputError, StorageError
from leyr_mcp.server.filing.payloads import Item, Payload, digest_of, resource_ref
from tests.server.filing.desk import (
    BYTES,
    NUMBER,
    START,
    booking,
    change,
    document,
    note,
    payload,
    person,
    virtual,
    world,
)

LATER = START + timedelta(hours=2)
ITEMS: tuple[Item, ...] = (
    note(),
    note("Åse's \u2028 visit", 'a "quote"\n', second="é"),
    booking(),
    booking(resource_id="hsa_id:SE2321000016-1", healthcare_service_id="s1", comment="bring it"),
    change(),
    change("confirm", code="1234"),
    change("reschedule", start=LATER, end=LATER + timedelta(hours=1), resource_id="1021"),
    person(),
    person(None),
    document(),
    document(type="Referral"),
)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
def test_a_payload_is_read_back_as_it_was_written(item: Item) -> None:
    what = payload(item)

    again = Payload.from_bytes(what.to_bytes())

    assert again == what
    assert again.to_bytes() == what.to_bytes()
    assert again.digest() == what.digest() == digest_of(what.to_bytes())


def test_the_bytes_are_canonical() -> None:
    assert payload(note(text="Åäö")).to_bytes().decode() == (
        '{"author":"a1","care_unit_id":"u1","environment":null,'
        '"item":{"content":{"unstructured":"Åäö"},"template_id":"leyr_unstructured",'
        '"title":"Visit"},"kind":"note","patient":"se_personal_number:198001022386",'
        '"patient_birth_date":"1980-01-02","patient_name":"Anna Berg"}'
    )
    one, other = note(second="b", third="c"), note(third="c", second="b")
    assert payload(one).to_bytes() == payload(other).to_bytes()


@pytest.mark.parametrize(
    "changed",
    [
        {"environment": "test"},
        {"care_unit_id": "u2"},
        {"patient": "emr_id:1"},
        {"patient_name": "Anna  Berg"},
        {"patient_birth_date": date(1980, 1, 3)},
        {"author": "a2"},
        {"item": note(text="Well")},
        {"item": note(title="visit")},
    ],
)
def test_one_changed_character_is_another_digest(changed: dict[str, Any]) -> None:
    what = payload(note())

    assert replace(what, **changed).digest() != what.digest()


def test_the_offset_of_a_time_is_sent_as_it_was_approved() -> None:
    local = START.astimezone(timezone(timedelta(hours=1)))
    what = payload(booking(start=local, end=local + timedelta(hours=1)))

    again = Payload.from_bytes(what.to_bytes()).item

    assert b"+01:00" in what.to_bytes()
    assert again == what.item
    assert again.start.isoformat() == local.isoformat()  # type: ignore[union-attr]


def _broken() -> list[bytes]:
    whole = payload(note()).to_bytes()
    fields = json.loads(whole)
    variants: list[object] = [{k: v for k, v in fields.items() if k != gone} for gone in fields]
    variants += [{**fields, name: 7} for name in fields]
    variants += [{**fields, "more": 1}, {**fields, "kind": "change"}, {**fields, "kind": []}]
    variants += [{**fields, "item": {**fields["item"], "more": 1}}, [], None, 7, "x"]
    variants += [{**fields, "patient_birth_date": "1980-02-30"}, {**fields, "kind": None}]
    naive = json.loads(payload(booking()).to_bytes())
    naive["item"]["start"] = "2026-03-02T09:00:00"
    variants.append(naive)
    damaged = [json.dumps(v).encode() for v in variants if v != fields]
    return [*damaged, b"", b"\xff", whole[:-1], whole + b"x", b"[" * 100_000]


@pytest.mark.parametrize("raw", _broken(), ids=lambda raw: hashlib.sha256(raw).hexdigest()[:6])
def test_a_broken_payload_is_a_storage_error_that_repeats_nothing(raw: bytes) -> None:
    with pytest.raises(StorageError) as caught:
        Payload.from_bytes(raw)

    assert str(caught.value) == "A stored draft cannot be read."
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_half_a_character_cannot_be_stored() -> None:
    with pytest.raises(InputError):
        payload(note(text="\ud800")).to_bytes()


@pytest.mark.parametrize("patient", [None, "", "emr_id", "emr_id:", "shoe_size:44", ":1"])
def test_a_patient_that_cannot_be_one_is_a_storage_error(patient: str | None) -> None:
    with pytest.raises(StorageError):
        _ = payload(note(), patient=patient).ref


def test_the_patient_is_the_one_named() -> None:
    assert payload(note()).ref == PatientRef("se_personal_number", NUMBER)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        (None, None),
        ("1021", ResourceRef("emr_id", "1021")),
        ("emr_id:1021", ResourceRef("emr_id", "1021")),
        ("ward:7", ResourceRef("emr_id", "ward:7")),
        ("hsa_id:SE2321000016-1", ResourceRef("hsa_id", "SE2321000016-1")),
    ],
)
def test_a_resource_is_read_with_or_without_its_type(
    text: str | None, ref: ResourceRef | None
) -> None:
    assert resource_ref(text) == ref


def test_a_damaged_resource_is_a_storage_error() -> None:
    with pytest.raises(StorageError):
        resource_ref("hsa_id:nothing")


def test_items_become_what_the_port_takes() -> None:
    patient = PatientRef("emr_id", "1")

    assert note().new("a1") == NewNote(
        title="Visit",
        template_id="leyr_unstructured",
        content={"unstructured": "Well."},
        created_by_id="a1",
    )
    assert booking(resource_id="1021").new(patient) == NewAppointment(
        patient=patient,
        window=Window(START, START + timedelta(minutes=30)),
        resource=ResourceRef("emr_id", "1021"),
    )
    assert person().new() == NewPatient(
        first_name="Ola", last_name="Nord", external_id="199006022397"
    )
    assert change(comment="ill").new() == Cancel(comment="ill")
    assert change("confirm", code="12").new() == Confirm(code="12")
    assert change("reschedule", start=START, end=LATER).new() == Reschedule(
        window=Window(START, LATER)
    )
    assert change("reschedule", comment="room 2").new() == Reschedule(comment="room 2")


@virtual
async def test_a_document_is_streamed_from_its_staged_file() -> None:
    chunks = world().read("f1")

    new = document(type="Referral").new("a1", chunks)

    assert (new.title, new.format, new.type, new.created_by_id) == (
        "Letter",
        "text/plain",
        "Referral",
        "a1",
    )
    assert b"".join([chunk async for chunk in new.chunks]) == BYTES
    assert new.size == len(BYTES)


def test_no_text_of_a_patient_is_in_a_repr() -> None:
    shown = repr(
        [payload(note(text="SECRET")), payload(person()), payload(booking(comment="SECRET"))]
    )

    assert "SECRET" not in shown
    assert NUMBER not in shown
    assert "Berg" not in shown
    assert "Nord" not in shown
