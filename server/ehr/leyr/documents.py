"""Documents: listed, read, attached. The body of an attachment is encoded while it is sent."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime
from typing import Any

from leyr_mcp.server.ehr.identifiers import PatientRef
from leyr_mcp.server.ehr.leyr.api import LeyrApi, parse_one, present
from leyr_mcp.server.ehr.leyr.content import ContentFilter, Digest
from leyr_mcp.server.ehr.models import Document
from leyr_mcp.server.ehr.port import NewDocument
from leyr_mcp.server.ehr.transport import DOCUMENT_LIMIT, Filter, Reading, encoded
from leyr_mcp.server.errors import InputError

MAX_BYTES = 20 * 1024 * 1024
UPLOAD_DEADLINE_S = 180.0


class Documents(LeyrApi):
    """`GET`, `POST documents`; `GET documents/{id}`."""

    async def documents(
        self,
        care_unit_id: str,
        patient: PatientRef,
        *,
        since: datetime | None = None,  # noqa: ARG002 - Leyr lists all of them
    ) -> list[Document]:
        """Return a patient's documents, without content."""
        return await self._list(Document, self._patient_path(care_unit_id, patient, "documents"))

    async def document(self, care_unit_id: str, patient: PatientRef, document_id: str) -> Document:
        """Return one document, with its content where the record system gives it."""
        path = self._patient_path(care_unit_id, patient, "documents", document_id)
        return await self._get(Document, path, reading=Reading(DOCUMENT_LIMIT))

    async def document_digest(
        self, care_unit_id: str, patient: PatientRef, document_id: str
    ) -> Document:
        """Return one document whose content is told as size and SHA-256 only."""
        seen = ContentFilter()

        def fresh() -> Filter:
            nonlocal seen
            seen = ContentFilter()
            return seen.feed

        path = self._patient_path(care_unit_id, patient, "documents", document_id)
        found = await self._get(Document, path, reading=Reading(DOCUMENT_LIMIT, fresh))
        return _digested(found, seen.content)

    async def attach_document(
        self, care_unit_id: str, patient: PatientRef, new: NewDocument
    ) -> Document:
        """Attach a document, streaming its bytes."""
        if not 0 < new.size <= MAX_BYTES:
            raise InputError("A document holds 1 to 20,971,520 bytes.", field="size")
        body = Base64Body(
            new.chunks,
            new.size,
            present(
                content=_MARK,
                format=new.format,
                title=new.title,
                type=new.type,
                created_by_id=new.created_by_id,
            ),
        )
        path = self._patient_path(care_unit_id, patient, "documents")
        answer = await self._transport.send(
            "POST", path, body=body, length=body.length, deadline_s=UPLOAD_DEADLINE_S
        )
        return parse_one(Document, answer)


def _digested(found: Document, digest: Digest | None) -> Document:
    """Return a document with what its content came to; with neither where it has none."""
    if found.content is None:
        return found
    if digest is None or found.content:  # a number, or its key was written with escapes
        digest = Digest()
        digest.feed(found.content.encode())
    return found.model_copy(update={"content": None, "size": digest.size, "sha256": digest.sha256})


_MARK = "content goes here"


class Base64Body:
    """A JSON object whose first field is base64, encoded piece by piece; memory stays flat."""

    def __init__(self, chunks: AsyncIterable[bytes], size: int, fields: dict[str, Any]) -> None:
        head, _, tail = encoded(fields).partition(_MARK.encode())
        self._chunks = chunks
        self._size = size
        self._head = head
        self._tail = tail
        self.length = len(head) + 4 * ((size + 2) // 3) + len(tail)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._head
        rest, sent = b"", 0
        async for chunk in self._chunks:
            sent += len(chunk)
            if sent > self._size:  # before a byte more than announced goes out
                raise _changed()
            block = rest + chunk
            whole = len(block) - len(block) % 3
            rest = block[whole:]
            yield base64.b64encode(block[:whole])
        if sent != self._size:
            raise _changed()
        yield base64.b64encode(rest) + self._tail


def _changed() -> InputError:
    return InputError("The file changed while it was read.", field="size")
