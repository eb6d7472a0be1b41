"""Images: what tells a place is gone once the edits are made, and all else is as it was."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from leyr_mcp.server.files.formats.exif import MAX_EDITS
from leyr_mcp.server.files.formats.jpeg import check_jpeg
from leyr_mcp.server.files.formats.png import check_png
from leyr_mcp.server.files.verdict import Edit, UnfitError
from tests.support.image_files import (
    ASCII,
    DETAILS,
    GPS,
    GPS_WORDS,
    LONG,
    ORIENTATION,
    PROGRESSIVE,
    RATIONAL,
    SHORT,
    XMP,
    XMP_MORE,
    app1,
    apply,
    chunk,
    entries,
    exif,
    jpeg,
    png,
    profile,
    segment,
    tiff,
)  # fmt: skip


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def place(data: bytes) -> dict[int, object]:
    return dict(opened(data).getexif().get_ifd(GPS))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("image", [{}, {"image": PROGRESSIVE}, {"after": jpeg()}])
def test_place_of_a_jpeg_is_overwritten_and_its_turn_stays(
    order: str, image: dict[str, bytes]
) -> None:
    data = jpeg(app1(exif(order)), **image)
    assert place(data)[2] == (59.0, 20.0, 13.0)
    edits = check_jpeg(data)
    sent = apply(data, edits)
    assert [edit.fill for edit in edits if edit.fill is not None] == [0, 0]
    assert place(sent) == {}
    kept = opened(sent).getexif()
    assert kept[ORIENTATION] == 6
    assert kept.get_ifd(DETAILS)[0x9003] == "2026:01:12 08:30:00"
    assert opened(sent).tobytes() == opened(data).tobytes()
    assert check_jpeg(sent) == ()


def test_length_of_a_jpeg_stays_where_its_place_is_overwritten() -> None:
    data = jpeg(app1(exif()))
    sent = apply(data, check_jpeg(data))
    assert len(sent) == len(data)
    assert sum(one != other for one, other in zip(sent, data, strict=True)) > 10


BROKEN_EXIF = {
    "no order": b"XX*\x00\x08\x00\x00\x00",
    "nothing": b"",
    "order alone": b"II*\x00",
    "list outside": tiff("<", {8: b""}, first=9_000),
    "list cut": exif()[:40],
    "list cut before the next": exif()[:46],
    "place as short": exif(extra=[(GPS, SHORT, 1, 160)]),
    "two places in one": exif(extra=[(GPS, LONG, 2, 160)]),
    "place outside": exif(extra=[(GPS, LONG, 1, 60_000)]),
    "value outside": exif("<", (2, RATIONAL, 3, 60_000)),
    "value without end": exif("<", (2, RATIONAL, 0xFFFFFFFF, 8)),
    "value of an unknown type": exif("<", (2, 99, 1, 8)),
    "value in the main list": exif("<", (2, RATIONAL, 3, 16)),
    "value in the header": exif("<", (2, RATIONAL, 3, 0)),
    "place is the main list": exif(extra=[(GPS, LONG, 1, 8)]),
    "many lists": tiff("<", {8 + 6 * at: entries("<", after=14 + 6 * at) for at in range(20)}),
}


@pytest.mark.parametrize("made", BROKEN_EXIF.values(), ids=BROKEN_EXIF.keys())
def test_exif_that_cannot_be_read_is_cut(made: bytes) -> None:
    data = jpeg(app1(made))
    (edit,) = check_jpeg(data)
    assert edit == Edit(20, 20 + len(app1(made)), None)
    assert apply(data, [edit]) == jpeg()
    picture = png(chunk(b"eXIf", made))
    assert apply(picture, check_png(picture)) == png()


def test_lists_that_go_in_a_circle_are_read_once() -> None:
    made = tiff("<", {8: entries("<", (ORIENTATION, SHORT, 1, 6), after=8)})
    assert check_jpeg(jpeg(app1(made))) == ()


def test_place_in_the_details_and_in_the_second_list_is_found() -> None:
    nested = tiff(
        "<",
        {
            8: entries("<", (DETAILS, LONG, 1, 60), after=80),
            60: entries("<", (GPS, LONG, 1, 120), after=None),
            80: entries("<", (GPS, LONG, 1, 160), after=0),
            120: entries("<", (0x1D, ASCII, 11, 140), after=None),
            140: b"2026:01:12\x00",
            160: entries("<", (0x12, ASCII, 7, 180), after=None),
            180: b"WGS-84\x00",
        },
    )
    sent = apply(jpeg(app1(nested)), check_jpeg(jpeg(app1(nested))))
    assert b"2026" not in sent
    assert b"WGS" not in sent
    assert check_jpeg(sent) == ()


def test_values_that_touch_or_overlap_are_one_edit() -> None:
    made = exif("<", (2, RATIONAL, 3, 220), (4, RATIONAL, 2, 228), (6, RATIONAL, 1, 244))
    edits = check_jpeg(jpeg(app1(made)))
    assert [edit.end - edit.start for edit in edits] == [2 + 3 * 12, 32]


def test_words_of_a_place_are_cut_out_of_a_jpeg() -> None:
    plain = segment(0xE1, XMP + b"<x:xmpmeta/>")
    assert check_jpeg(jpeg(plain)) == ()
    wide = segment(0xE1, XMP + GPS_WORDS.decode().encode("utf-16"))
    for words in (segment(0xE1, XMP + GPS_WORDS.lower()), wide):
        data = jpeg(words, segment(0xFE, b"GPS"))
        assert apply(data, check_jpeg(data)) == jpeg(segment(0xFE, b"GPS"))


def test_words_cut_in_two_parts_are_found() -> None:
    head = XMP_MORE + b"0" * 32 + struct.pack(">II", 20, 0)
    data = jpeg(segment(0xE1, head + b"exif:GP"), segment(0xE1, head + b"SLatitude"))
    assert apply(data, check_jpeg(data)) == jpeg()


def test_copy_of_exif_that_other_programs_keep_is_cut() -> None:
    copy = segment(0xED, b"Photoshop 3.0\x00" + b"8BIM\x04\x22\x00\x00" + bytes(4))
    title = segment(0xED, b"Photoshop 3.0\x00" + b"8BIM\x04\x04\x00\x00" + bytes(4))
    data = jpeg(copy, title, segment(0xE1, b"http://other\x00"))
    assert apply(data, check_jpeg(data)) == jpeg(title, segment(0xE1, b"http://other\x00"))


def test_jpeg_filled_up_between_segments_is_walked() -> None:
    data = jpeg(b"\xff" * 9 + app1(exif()))
    sent = apply(data, check_jpeg(data))
    assert place(sent) == {}
    assert check_jpeg(sent) == ()


@pytest.mark.parametrize(
    "after", [jpeg(), bytes(5) + jpeg(app1(exif())), b"\x01Image_UTC_DataSEFT"]
)
def test_what_phones_append_is_cut_off(after: bytes) -> None:
    data = jpeg(after=after)
    assert apply(data, check_jpeg(data)) == jpeg()


def test_edits_of_one_image_are_bounded() -> None:
    many = b"".join(app1(b"x") for _ in range(MAX_EDITS + 1))
    with pytest.raises(UnfitError, match="too_complex"):
        check_jpeg(jpeg(many))
    with pytest.raises(UnfitError, match="too_complex"):
        check_png(png(chunk(b"eXIf", b"x") * (MAX_EDITS + 1)))
    with pytest.raises(UnfitError, match="too_complex"):
        check_png(png(chunk(b"tEXt", b"a\x00") * 100_001))
    assert len(check_jpeg(jpeg(app1(b"x") * MAX_EDITS))) == MAX_EDITS


WORDS = b"XML:com.adobe.xmp\x00"
PACKED = zlib.compress(GPS_WORDS)
TELLING = {
    "Exif": chunk(b"eXIf", exif()),
    "text": chunk(b"tEXt", b"exif:GPSLatitude\x0059"),
    "packed text": chunk(b"zTXt", b"a\x00\x00" + PACKED),
    "XMP": chunk(b"iTXt", WORDS + b"\x00\x00\x00\x00" + GPS_WORDS),
    "packed XMP": chunk(b"iTXt", WORDS + b"\x01\x00sv\x00ord\x00" + PACKED),
    "XMP cut": chunk(b"iTXt", WORDS + b"\x01gps"),
    "packed text cut": chunk(b"zTXt", b"a\x00\x00" + PACKED[:-6]),
    "packed text that is none": chunk(b"zTXt", b"a\x00\x00aaaa"),
    "profile": chunk(b"tEXt", b"Raw profile type exif\x00" + profile(b"Exif\x00\x00" + exif())),
    "packed profile": chunk(
        b"zTXt", b"Raw profile type APP1\x00\x00" + zlib.compress(profile(exif(">")))
    ),
    "profile of words": chunk(b"tEXt", b"Raw profile type APP1\x00" + profile(XMP + GPS_WORDS)),
    "profile of no digits": chunk(b"tEXt", b"Raw profile type exif\x00\nexif\n 2\nxx"),
    "profile without content": chunk(b"tEXt", b"Raw profile type exif\x00"),
}


@pytest.mark.parametrize("telling", TELLING.values(), ids=TELLING.keys())
def test_chunk_that_tells_a_place_is_cut_out_of_a_png(telling: bytes) -> None:
    data = png(chunk(b"tEXt", b"Title\x00Wound"), telling)
    sent = apply(data, check_png(data))
    assert sent == png(chunk(b"tEXt", b"Title\x00Wound"))
    assert opened(sent).size == (8, 4)


def test_chunks_that_tell_no_place_stay() -> None:
    turned = tiff("<", {8: entries("<", (ORIENTATION, SHORT, 1, 6))})
    data = png(
        chunk(b"eXIf", turned),
        chunk(b"tEXt", b"Raw profile type exif\x00" + profile(b"Exif\x00\x00" + turned)),
        chunk(b"iTXt", WORDS + b"\x00\x00\x00\x00<x:xmpmeta/>"),
        chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(b"Wound")),
    )
    assert check_png(data) == ()
    assert opened(data).getexif()[ORIENTATION] == 6


def test_images_of_a_library_are_taken() -> None:
    for mode in ("L", "RGB", "CMYK", "1"):
        held = io.BytesIO()
        Image.new(mode, (33, 17)).save(held, "JPEG")
        assert check_jpeg(held.getvalue()) == ()
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16"):
        held = io.BytesIO()
        Image.new(mode, (33, 17)).save(held, "PNG")
        assert check_png(held.getvalue()) == ()
    held = io.BytesIO()
    Image.new("L", (9, 9)).save(
        held, "PNG", save_all=True, append_images=[Image.new("L", (9, 9), 5)]
    )
    assert check_png(held.getvalue()) == ()
