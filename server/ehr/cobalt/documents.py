"""Documents: attached as a form with a file, read back by the id that was given then."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable
from datetime import datetime, timedelta
from hashlib import sha256

from leyr_mcp.server.ehr.cobalt.api import parsed, queued, succeeded, text
from leyr_mcp.server.ehr.cobalt.events import Event, Events
from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.models import Document
from leyr_mcp.server.ehr.port import Job, NewDocument
from leyr_mcp.server.ehr.transport import DOCUMENT_LIMIT, Reading
from leyr_mcp.server.errors import InputError

UPLOADED = "document.uploaded"
MAX_BYTES = 20 * 1024 * 1024
UPLOAD_DEADLINE_S = 180.0
_LOOKED_BACK = timedelta(days=7)
# The name of the file is ours, for a given one may tell more than it should.
_ENDINGS = {
    "application/pdf": "pdf",
    "image/png": "png",
    "image/jpeg": "jpg",
    "text/plain": "txt",
    "application/dicom": "dcm",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
}


class Documents(Events):
    """`POST /documents`, `GET /documents/{id}`; lists there are none."""

    async def documents(
        self,
        care_unit_id: str,  # noqa: ARG002 - an event is looked for by its patient
        patient: PatientRef,
        *,
        since: datetime | None = None,
    ) -> list[Document]:
        """Return the documents of the last days that were attached through Cobalt."""
        mrn = self._mrn(patient)
        since = since or self._clock() - _LOOKED_BACK
        return [
            document_of(event)
            for event in await self._events_since(since, UPLOADED)
            if text(event.data.get("patient_mrn")) == mrn
        ]

    async def document(self, care_unit_id: str, patient: PatientRef, document_id: str) -> Document:  # noqa: ARG002 - Cobalt's id is enough
        """Return one document with its content."""
        answer = await self._transport.read(
            ("documents", document_id), reading=Reading(DOCUMENT_LIMIT, file=True)
        )
        content = base64.b64encode(answer.body).decode()
        return parsed(Document, {"id": document_id, "content": content})

    async def document_digest(
        self,
        care_unit_id: str,  # noqa: ARG002 - Cobalt's id is enough
        patient: PatientRef,  # noqa: ARG002
        document_id: str,
    ) -> Document:
        """Return one document whose content is told as size and SHA-256 only."""
        seen = _Digest()

        def fresh() -> Callable[[bytes], bytes]:
            seen.begin()
            return seen.feed

        reading = Reading(DOCUMENT_LIMIT, fresh, file=True)
        await self._transport.read(("documents", document_id), reading=reading)
        found = parsed(Document, {"id": document_id})
        return found.model_copy(update={"size": seen.size, "sha256": seen.hash.hexdigest()})

    async def attach_document(
        self,
        care_unit_id: str,  # noqa: ARG002 - a document belongs to no location
        patient: PatientRef,
        new: NewDocument,
    ) -> Job:
        """Have a document attached, streaming its bytes; its title goes with it as a remark."""
        if not 0 < new.size <= MAX_BYTES:
            raise InputError("A document holds 1 to 20,971,520 bytes.", field="size")
        fields = {
            "folder_name": new.type or self._folder,
            "patient_mrn": self._mrn(patient),
            "notes": new.title,
        }
        ending = _ENDINGS.get(new.format, "bin")
        name = f"document-{self._day(self._clock())}.{ending}"
        form = Form(fields, name, new.format, new.chunks, new.size)
        answer = await self._transport.send(
            "POST",
            ("documents",),
            body=form,
            length=form.length,
            content_type=form.content_type,
            deadline_s=UPLOAD_DEADLINE_S,
        )
        return queued(succeeded(answer), "document_id")


class _Digest:
    """Takes a file in as it comes and keeps nothing of it."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.size, self.hash = 0, sha256()

    def feed(self, part: bytes) -> bytes:
        self.size += len(part)
        self.hash.update(part)
        return b""


class Form:
    """A form of texts and one file, written piece by piece; memory stays flat."""

    def __init__(
        self,
        fields: dict[str, str],
        name: str,
        kind: str,
        chunks: AsyncIterable[bytes],
        size: int,
    ) -> None:
        mark = secrets.token_hex(16)
        texts = (
            f'--{mark}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in fields.items()
        )
        file = (
            f'--{mark}\r\nContent-Disposition: form-data; name="document"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        )
        try:
            self._head = "".join((*texts, file)).encode()
        except UnicodeEncodeError:  # half a character
            raise InputError("A text holds characters that cannot be sent.") from None
        self._tail = f"\r\n--{mark}--\r\n".encode()
        self._chunks = chunks
        self._size = size
        self.length = len(self._head) + size + len(self._tail)
        self.content_type = f"multipart/form-data; boundary={mark}"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._head
        sent = 0
        async for chunk in self._chunks:
            sent += len(chunk)
            if sent > self._size:  # before a byte more than announced goes out
                raise InputError("The file changed while it was read.", field="size")
            yield chunk
        if sent != self._size:
            raise InputError("The file changed while it was read.", field="size")
        yield self._tail


def document_of(event: Event) -> Document:
    """Return the document that an event tells of."""
    return parsed(
        Document,
        {
            "id": text(event.data.get("document_id")),
            "type": text(event.data.get("folder_name")) or None,
            "created_at": event.created.isoformat() if event.created else None,
        },
    )
