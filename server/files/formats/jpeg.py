"""JPEG: every segment in its place up to the end of the image, and none that tells a place.

No pixel is decoded; how many there are is read from the frame's header. Phones put further images
or notes of their own after the first one: they are cut off. Anything else there refuses the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from leyr_mcp.server.files.formats.exif import MAX_EDITS, MAX_PIXELS, mentions_place, place_in
from leyr_mcp.server.files.verdict import Edit, UnfitError

_SEGMENTS = 20_000
_EOI, _SOS, _APP1, _APP13 = 0xD9, 0xDA, 0xE1, 0xED
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset(range(0xD0, 0xD9))  # without a length; none belongs between segments
_MARKER = re.compile(rb"\xff+[^\xff]")  # filled up with FF as one likes
# In a scan FF stands for itself before 00, and restarts are numbered; anything else ends it.
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7]")
_CONTENT = re.compile(rb"[^\x00]")
_SAMSUNG = b"SEFT"  # the last bytes of what its phones append to most photographs
_EXIF = b"Exif\x00"
_XMP = (b"http://ns.adobe.com/xap/1.0/\x00", b"http://ns.adobe.com/xmp/extension/\x00")
_XMP_HEAD = 35 + 32 + 8  # of an extension: its name, and which part of which one it is
_PHOTOSHOP_COPY = re.compile(rb"8BIM\x04[\x22\x23\x24]")  # of Exif or XMP


class Segment(NamedTuple):
    """Where a segment stands: from its first FF on, and from what follows its length on."""

    marker: int
    start: int
    body: int
    end: int


def check_jpeg(data: bytes) -> tuple[Edit, ...]:
    """Return what is not sent of a JPEG.

    Raises:
        UnfitError: It is damaged, too large, or holds more than images.
    """
    segments = list(_segments(data))
    frames = [number for number, each in enumerate(segments) if each.marker in _FRAMES]
    scans = [number for number, each in enumerate(segments) if each.marker == _SOS]
    if len(frames) != 1 or not scans or frames[0] > scans[0]:
        raise UnfitError("image_broken")
    _check_frame(_body(data, segments[frames[0]]))
    edits = [*_places(data, segments), *_after(data, segments[-1].end)]
    if len(edits) > MAX_EDITS:
        raise UnfitError("too_complex")
    return tuple(sorted(edits))


def _body(data: bytes, segment: Segment) -> bytes:
    return data[segment.body : segment.end]


def _segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments up to the end of the image; a scan is part of the one before it."""
    at = 2
    for _ in range(_SEGMENTS):
        start = at
        found = _MARKER.match(data, at)
        if found is None:
            raise UnfitError("image_broken")
        at = found.end()
        marker = data[at - 1]
        if marker == _EOI:
            yield Segment(marker, start, at, at)
            return
        body, at = at + 2, _end(data, marker, at)
        yield Segment(marker, start, body, at)
    raise UnfitError("too_complex")


def _end(data: bytes, marker: int, at: int) -> int:
    """Return where a segment ends whose length stands at a place."""
    length = int.from_bytes(data[at : at + 2], "big")
    end = at + length
    if marker in _ALONE or marker < min(_FRAMES) or length < 2 or end > len(data):  # noqa: PLR2004 - JPEG's own
        raise UnfitError("image_broken")
    if marker != _SOS:
        return end
    found = _SCAN_END.search(data, end)
    if found is None:
        raise UnfitError("image_broken")
    return found.start()


def _check_frame(body: bytes) -> None:
    """Refuse a frame header (precision, height, width, components) that is broken or too large."""
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    if len(body) < 6 or len(body) != 6 + 3 * body[5] or not height or not width:  # noqa: PLR2004 - JPEG's own
        raise UnfitError("image_broken")
    if height * width > MAX_PIXELS:
        raise UnfitError("image_pixels")


def _places(data: bytes, segments: list[Segment]) -> Iterator[Edit]:
    """Yield what tells where the image was taken."""
    words: list[Segment] = []
    said: list[bytes] = []
    for segment in segments:
        if segment.marker not in {_APP1, _APP13}:
            continue
        body = _body(data, segment)
        if segment.marker == _APP13:
            if _PHOTOSHOP_COPY.search(body):
                yield Edit(segment.start, segment.end)
        elif body.startswith(_EXIF):
            yield from _exif(body, segment)
        elif body.startswith(_XMP):
            words.append(segment)
            said.append(body[_XMP_HEAD:] if body.startswith(_XMP[1]) else body)
    if mentions_place(b"".join(said)):  # a word may begin in one part and end in the next
        yield from (Edit(each.start, each.end) for each in words)


def _exif(body: bytes, segment: Segment) -> Iterator[Edit]:
    head = len(_EXIF) + 1
    found = place_in(body[head:])
    if found is None:
        yield Edit(segment.start, segment.end)
        return
    at = segment.body + head
    for edit in found:
        yield edit._replace(start=edit.start + at, end=edit.end + at)


def _after(data: bytes, end: int) -> Iterator[Edit]:
    """Yield what stands after the image, if a phone put it there."""
    content = _CONTENT.search(data, end)
    if content is None:
        return
    if not data.startswith(b"\xff\xd8", content.start()) and not data.endswith(_SAMSUNG):
        raise UnfitError("image_more")
    yield Edit(end, len(data))
