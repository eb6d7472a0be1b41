"""Handlers for documents: list, upload as base64 in JSON, read."""

import binascii
from base64 import b64encode

from leyr_mcp.sandbox.call import Call
from leyr_mcp.sandbox.errors import bad
from leyr_mcp.sandbox.models import DocumentAnswer, DocumentCreate, DocumentList
from leyr_mcp.sandbox.store import Document
from leyr_mcp.sandbox.systems import DOCUMENTS

MAX_DOCUMENT_BYTES = 20 * 1024 * 1024


def find_documents(call: Call) -> DocumentList:
    """List the documents of a patient, the newest first, without their content."""
    _demand(call)
    patient = call.patient(call.path["patient_id"])
    return DocumentList(items=[_answer(call, item) for item in call.store.documents(patient.id)])


def get_document(call: Call) -> DocumentAnswer:
    """Return one document of a patient with its content."""
    _demand(call)
    patient = call.patient(call.path["patient_id"])
    document = call.store.document(call.path["document_id"])
    if document is None or document.patient != patient.id:
        raise call.missing("Document", None, "path.document_id")
    return _answer(call, document, content=True)


def create_document(call: Call) -> DocumentAnswer:
    """Store an uploaded file."""
    _demand(call)
    body = call.body_as(DocumentCreate)
    patient = call.patient(call.path["patient_id"])
    author = call.author(body.created_by_id)
    document = Document(
        id=call.new_id("document"),
        patient=patient.id,
        title=body.title,
        type=body.type,
        format=body.format,
        created_by_id=author.id,
        content=_decoded(body.content),
        created_at=call.now.isoformat(),
    )
    call.store.add_document(document)
    return _answer(call, document)


def _demand(call: Call) -> None:
    if DOCUMENTS in call.system.lacks:
        raise bad("NOT_SUPPORTED", f"{call.system.name} takes no documents")


def _decoded(content: str) -> bytes:
    try:
        raw = binascii.a2b_base64(content, strict_mode=True)
    except ValueError as error:
        raise bad("BAD_INPUT", "content is not standard base64", "body.content") from error
    if len(raw) > MAX_DOCUMENT_BYTES:
        sentence = f"The document is larger than {MAX_DOCUMENT_BYTES} bytes"
        raise bad("BAD_INPUT", sentence, "body.content")
    return raw


def _answer(call: Call, document: Document, *, content: bool = False) -> DocumentAnswer:
    answer = DocumentAnswer(
        id=document.id,
        title=document.title,
        type=document.type,
        format=document.format,
        created_by_id=document.created_by_id,
        content=b64encode(document.content).decode() if content else None,
    )
    return answer.seen_only() if call.options.seen_fields_only else answer
