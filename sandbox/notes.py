"""Handlers for medical notes: list, write, read. Notes are never changed or deleted."""

from leyr_mcp.sandbox.call import Call
from leyr_mcp.sandbox.errors import bad
from leyr_mcp.sandbox.models import NoteAnswer, NoteCreate, NoteList
from leyr_mcp.sandbox.store import Note

UNSTRUCTURED = "leyr_unstructured"


def find_medical_notes(call: Call) -> NoteList:
    """List the notes of a patient, the newest first."""
    patient = call.patient(call.path["patient_id"])
    shown = call.options.note_list_content
    return NoteList(
        data=[_answer(call, note, content=shown) for note in call.store.notes(patient.id)]
    )


def get_medical_note(call: Call) -> NoteAnswer:
    """Return one note of a patient with its content."""
    patient = call.patient(call.path["patient_id"])
    for note in call.store.notes(patient.id):
        if note.id == call.path["note_id"]:
            return _answer(call, note, content=True)
    raise call.missing("Medical note", None, "path.note_id")


def create_medical_note(call: Call) -> NoteAnswer:
    """Write a note, unsigned."""
    body = call.body_as(NoteCreate)
    patient = call.patient(call.path["patient_id"])
    author = call.author(body.created_by_id)
    if body.template_id not in call.options.mapped_templates:
        raise bad("NOT_SUPPORTED", "The template is not mapped for this system", "body.template_id")
    note = Note(
        id=call.new_id("note"),
        patient=patient.id,
        template_id=body.template_id,
        title=body.title,
        created_by_id=author.id,
        content=_checked_content(body),
        created_at=call.now.isoformat(),
    )
    call.store.add_note(note)
    return _answer(call, note, content=True)


def _checked_content(body: NoteCreate) -> dict[str, str]:
    fields = {key: value for key, value in body.content.items() if isinstance(value, str)}
    if not fields or len(fields) != len(body.content):
        raise bad("INVALID_NOTE_CONTENT", "content must hold texts by field", "body.content")
    if body.template_id == UNSTRUCTURED and (
        set(fields) != {"unstructured"} or not all(fields.values())
    ):
        sentence = "content of leyr_unstructured is one field, unstructured"
        raise bad("INVALID_NOTE_CONTENT", sentence, "body.content")
    return fields


def _answer(call: Call, note: Note, *, content: bool) -> NoteAnswer:
    answer = NoteAnswer(
        id=note.id,
        template_id=note.template_id,
        title=note.title,
        created_by_id=note.created_by_id,
        created_at=note.created_at,
        content=note.content if content else None,
    )
    return answer.seen_only() if call.options.seen_fields_only else answer
