"""Handlers for patients: search by name, register or find again, get one."""

import re
import unicodedata
from hashlib import sha256

from leyr_mcp.sandbox.call import Call
from leyr_mcp.sandbox.errors import ApiError, Refusal, bad
from leyr_mcp.sandbox.models import PatientAnswer, PatientCreate, PatientQuery
from leyr_mcp.sandbox.national import is_norwegian, is_swedish
from leyr_mcp.sandbox.store import Patient, Store
from leyr_mcp.sandbox.systems import NO, PATIENT_GET

_PHONE = re.compile(r"\+[0-9]{7,15}")
_LETTERS = "abcdefghjkmnpqrstuvwxyz"


def find_patients(call: Call) -> list[PatientAnswer]:
    """List the patients whose whole names match, upper and lower case alike."""
    query = call.query_as(PatientQuery)
    if query.first_name is None and query.last_name is None:
        sentence = "first_name or last_name is required"
        raise bad("MISSING_REQUIRED_FIELD", sentence, "query.first_name")
    found = (
        patient
        for patient in call.store.patients()
        if _same(query.first_name, patient.first_name) and _same(query.last_name, patient.last_name)
    )
    return [_answer(call, patient) for patient in found]


def get_patient(call: Call) -> PatientAnswer:
    """Return one patient by a typed id."""
    if PATIENT_GET in call.system.lacks:
        raise bad("NOT_SUPPORTED", f"{call.system.name} does not return single patients")
    return _answer(call, call.patient(call.path["patient_id"]))


def create_patient(call: Call) -> PatientAnswer:
    """Register a patient; whoever has the same `external_id` already is returned unchanged."""
    body = call.body_as(PatientCreate)
    _demand(call, body)
    known = call.store.patient_by_number(body.external_id) if body.external_id else None
    if known is not None:
        return _answer(call, known)
    patient_id = call.new_id("patient")
    by_number = call.system.number_is_emr_id and body.external_id is not None
    patient = Patient(
        id=patient_id,
        emr_id=body.external_id
        if by_number and body.external_id
        else free_token(call.store, patient_id),
        external_id=body.external_id,
        first_name=body.first_name,
        last_name=body.last_name,
        phones=tuple(body.phones or ()),
        emails=tuple(body.emails or ()),
        care_unit_id=call.unit.id,
    )
    call.store.add_patient(patient)
    return _answer(call, patient)


def free_token(store: Store, patient_id: str) -> str:
    """Return a short id of the record system's kind, taken by nobody, fixed for a Leyr id."""
    salt = 0
    while True:
        number = int.from_bytes(sha256(f"{patient_id}/{salt}".encode()).digest()[:8])
        letters = "".join(_LETTERS[number // 23**place % 23] for place in range(3))
        token = f"{letters}_{number % 90000 + 10000}"
        if store.patient_by_emr_id(token) is None:
            return token
        salt += 1


def _demand(call: Call, body: PatientCreate) -> None:
    refusals = []
    if call.system.number_required:
        refusals += _number_refusals(call.system.number_required, body.external_id)
    if call.system.confirms_by_sms:
        refusals += _phone_refusals(body.phones or [])
    if refusals:
        raise ApiError(*refusals)


def _number_refusals(kind: str, number: str | None) -> list[Refusal]:
    if number is None:
        sentence = f"external_id is required and must be a {kind}"
        return [Refusal("MISSING_REQUIRED_FIELD", sentence, "body.external_id")]
    valid = is_norwegian(number) if kind == NO else is_swedish(number)
    if valid:
        return []
    return [Refusal("BAD_INPUT", f"external_id is not a valid {kind}", "body.external_id")]


def _phone_refusals(phones: list[str]) -> list[Refusal]:
    if not phones:
        return [Refusal("MISSING_REQUIRED_FIELD", "phones is required", "body.phones")]
    if all(_PHONE.fullmatch(phone) for phone in phones):
        return []
    return [Refusal("BAD_INPUT", "phones must be numbers in E.164 form", "body.phones")]


def _same(wanted: str | None, name: str) -> bool:
    return wanted is None or _fold(wanted) == _fold(name)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _answer(call: Call, patient: Patient) -> PatientAnswer:
    answer = PatientAnswer(
        id=patient.id,
        emr_id=patient.emr_id,
        first_name=patient.first_name,
        last_name=patient.last_name,
        external_id=patient.external_id,
        phones=list(patient.phones),
        emails=list(patient.emails),
        care_unit_id=patient.care_unit_id,
    )
    return answer.seen_only() if call.options.seen_fields_only else answer
