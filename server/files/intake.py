"""How a file comes in: copied and hashed once, looked at in a child process, and kept sealed.

Wherever it comes from, it goes this one way, and what is sent later is the copy. A file that is
not taken leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from leyr_mcp.server.errors import InputError, LeyrMcpError
from leyr_mcp.server.files import children
from leyr_mcp.server.files.formats.plain import check_text
from leyr_mcp.server.files.kinds import PDF, TEXT, by_name
from leyr_mcp.server.files.roots import Opened, Roots
from leyr_mcp.server.files.staging import PIECE, Staged, Staging, copied
from leyr_mcp.server.files.verdict import UNFIT, Edit, Findings, UnfitError
from leyr_mcp.server.text import short

_NAME_CAP = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A file that was accepted and lies staged; `name` is what it was called, cleaned."""

    staged: Staged
    format: str
    name: str | None = None
    pages: int | None = None
    text: str = field(default="", repr=False)
    altered: bool = False


class Intake:
    """The only way in for files."""

    def __init__(
        self, staging: Staging, roots: Roots, *, step: Callable[[str], None] = lambda _name: None
    ) -> None:
        self.staging = staging
        self._roots = roots
        self._step = step

    async def from_path(self, path: str) -> Taken:
        """Take a file below one of the roots.

        Raises:
            LeyrMcpError: It may not be taken, with the code that says why.
        """
        promised: list[str] = []

        def copy() -> Staged:
            with self._roots.open(path) as file:
                promised.append(_promised(file.name))
                staged = copied(_parts(file), self.staging.writer(), self._copied)
                if staged.size == file.size and file.unchanged():
                    return staged
                self.staging.drop_here(staged.name)
                raise LeyrMcpError(
                    "The file changed while it was read.", code="file_changed", field="path"
                )

        try:
            staged = await asyncio.to_thread(copy)
            return await self._accepted(staged, promised[0], path.rpartition("/")[2])
        except UnfitError as exc:
            raise _refused(exc, "path") from exc

    async def from_pieces(self, name: str, pieces: AsyncIterable[bytes]) -> Taken:
        """Take a file that arrives in pieces, under this name.

        Raises:
            LeyrMcpError: It is not taken, with the code that says why.
        """
        try:
            promised = _promised(name)
            staged = await self._written(pieces)
            return await self._accepted(staged, promised, name)
        except UnfitError as exc:
            raise _refused(exc, "file") from exc

    async def from_text(self, text: str) -> Taken:
        """Take a text, which becomes a file of its own; it has no structure to be looked at.

        Raises:
            LeyrMcpError: It is not taken.
        """
        raw = text.encode()
        try:
            beginning = check_text(raw, children.TEXT_CAP)
            staged = copied(_cut(raw), self.staging.writer(), self._copied)
        except UnfitError as exc:
            raise _refused(exc, "text") from exc
        await self._shared(staged)
        self._step("inspected")
        return Taken(staged=staged, format=TEXT, text=_plain(beginning))

    async def from_letter(self, letter: Mapping[str, object]) -> Taken:
        """Take what a letter becomes as a PDF.

        Raises:
            LeyrMcpError: It cannot be made.
        """
        try:
            raw = await children.rendered(letter)
            if raw is None:
                raise InputError(
                    "Making a PDF needs the extra that was not installed.",
                    code="not_supported",
                    field="from_draft",
                    next_step="Tell the operator to install leyr-mcp[pdf].",
                )
            staged = copied(_cut(raw), self.staging.writer(), self._copied)
            return await self._accepted(staged, PDF, None)
        except UnfitError as exc:
            raise _refused(exc, "from_draft") from exc

    async def _accepted(self, staged: Staged, promised: str, name: str | None) -> Taken:
        """Return the file once it was looked at; one that is refused is dropped."""
        kept = staged
        try:
            found = await children.inspected(self.staging.read(staged.name), promised)
            if found.edits:
                kept = await self._edited(staged, found)
            self._step("inspected")
        except BaseException:
            self.staging.drop_here(staged.name)
            raise
        await self._shared(kept)
        return Taken(
            staged=kept,
            format=found.format,
            name=short(name, cap=_NAME_CAP) if name else None,
            pages=found.pages,
            text=_plain(found.text),
            altered=bool(found.edits),
        )

    async def _edited(self, staged: Staged, found: Findings) -> Staged:
        """Return the copy that is sent in its place."""
        kept = await self._written(edited(self.staging.read(staged.name), found.edits))
        self.staging.drop_here(staged.name)
        return kept

    async def _shared(self, staged: Staged) -> None:
        """Have every node reach the file; what cannot be shared is not kept."""
        try:
            await self.staging.share(staged.name)
        except BaseException:
            await self.staging.drop(staged.name)
            raise

    async def _written(self, pieces: AsyncIterable[bytes]) -> Staged:
        writer = self.staging.writer()
        try:
            async for piece in pieces:
                writer.add(piece)
                self._copied()
            return writer.keep()
        except BaseException:
            writer.give_up()
            raise

    def _copied(self) -> None:
        self._step("copied")


async def edited(pieces: AsyncIterable[bytes], edits: Sequence[Edit]) -> AsyncIterator[bytes]:
    """Yield a file without what is cut, and with what is overwritten."""
    at, rest = 0, list(edits)
    async for piece in pieces:
        part, base, last = bytearray(), at, 0
        for edit in rest:
            start, end = max(edit.start - base, last), min(edit.end - base, len(piece))
            if start >= len(piece):
                break
            part += piece[last:start]
            if edit.fill is not None:
                part += bytes([edit.fill]) * (end - start)
            last = end
        at += len(piece)
        rest = [edit for edit in rest if edit.end > at]
        yield bytes(part + piece[last:])


def _parts(file: Opened) -> Iterator[bytes]:
    """Yield what is read of a file, a little beyond what it should have at most."""
    left = file.size + 1
    try:
        while left > 0 and (part := os.read(file.handle, min(PIECE, left))):
            left -= len(part)
            yield part
    except OSError:
        raise LeyrMcpError(
            "The file cannot be read.", code="file_not_allowed", field="path"
        ) from None


def _cut(raw: bytes) -> Iterator[bytes]:
    yield from (raw[at : at + PIECE] for at in range(0, len(raw), PIECE))


def _plain(text: str) -> str:
    """Return a text that can be stored: no half characters, one kind of line end."""
    return text.encode(errors="replace").decode().replace("\r\n", "\n").replace("\r", "\n")


def _promised(name: str) -> str:
    """Return the format that a name promises.

    Raises:
        UnfitError: It promises none that is taken.
    """
    kind = by_name(name)
    if kind is None:
        raise UnfitError("no_ending")
    return kind.format


def _refused(exc: UnfitError, field: str) -> LeyrMcpError:
    unfit = UNFIT[exc.reason]
    return LeyrMcpError(unfit.message, code=unfit.code, field=field)
