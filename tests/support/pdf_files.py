"""PDFs built by hand: such as real programs write, and such as nobody with good intent does."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from io import BytesIO

from reportlab.pdfgen.canvas import Canvas

from leyr_mcp.server.files.verdict import Reason

Objects = Mapping[int, bytes]

FREE = 9  # the first object number that `pages` leaves free
_FIRST_PAGE = 50
SCRIPT = b"<< /S /JavaScript /JS (app.alert\\(1\\)) >>"
LAUNCH = b"<< /S /Launch /F (calc.exe) >>"


def pages(count: int = 1, *, catalog: bytes = b"", page: bytes = b"") -> dict[int, bytes]:
    """Return the objects of a document: 1 is its catalog, 50 its first page."""
    numbers = range(_FIRST_PAGE, _FIRST_PAGE + count)
    kids = b" ".join(b"%d 0 R" % number for number in numbers)
    leaf = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 3 0 R %b %b >>"
    leaf %= (b"/Resources << /Font << /F1 4 0 R >> >>", page)
    return {
        1: b"<< /Type /Catalog /Pages 2 0 R %b >>" % catalog,
        2: b"<< /Type /Pages /Count %d /Kids [%b] >>" % (count, kids),
        3: stream(b"BT /F1 12 Tf 72 720 Td (Tolvan Tolvansson) Tj ET"),
        4: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        **dict.fromkeys(numbers, leaf),
    }


def opened_by(action: bytes, objects: Objects | None = None) -> bytes:
    """Return a file that does something when it is opened."""
    return pdf({**pages(catalog=b"/OpenAction " + action), **(objects or {})})


def stream(content: bytes, entries: bytes = b"", *, packed: bool = False) -> bytes:
    """Return the value of a stream object."""
    if packed:
        content, entries = zlib.compress(content), b"/Filter /FlateDecode " + entries
    head = b"<< /Length %d %b >>" % (len(content), entries)
    return b"%b\nstream\n%b\nendstream" % (head, content)


def object_stream(
    members: Objects, entries: bytes = b"/Type /ObjStm", *, plain: bool = False
) -> bytes:
    """Return an object stream's value."""
    index, body = b"", b""
    for number, value in members.items():
        index += b"%d %d " % (number, len(body))
        body += value + b"\n"
    sizes = b" /N %d /First %d" % (len(members), len(index))
    return stream(index + body, entries + sizes, packed=not plain)


def pdf(objects: Objects, trailer: bytes = b"", *, version: bytes = b"1.7") -> bytes:
    """Return a file with a table of contents."""
    head = b"%%PDF-%b\n%%\xe2\xe3\xcf\xd3\n" % version
    return _written(head, objects, b"/Root 1 0 R " + trailer, None)


def updated(base: bytes, objects: Objects, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """Return a file with a further version of some objects behind it."""
    return _written(base, objects, trailer, base.rindex(b"xref\n", 0, base.rindex(b"startxref")))


def _written(base: bytes, objects: Objects, trailer: bytes, before: int | None) -> bytes:
    out, sections = bytearray(base), b"0 1\n0000000000 65535 f \n"
    for number, value in objects.items():
        sections += b"%d 1\n%010d 00000 n \n" % (number, len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, value)
    place = len(out)
    entries = b"/Size %d %b" % (max(objects, default=0) + 1, trailer)
    if before is not None:
        entries += b" /Prev %d" % before
    out += b"xref\n%btrailer\n<< %b >>\nstartxref\n%d\n%%%%EOF\n" % (sections, entries, place)
    return bytes(out)


def packed_pdf(objects: Objects, entries: bytes = b"") -> bytes:
    """Return a file whose objects and table of contents lie in streams, as newer programs write."""
    holder, table = max(objects) + 1, max(objects) + 2
    packed = {k: value for k, value in objects.items() if not value.endswith(b"endstream")}
    plain = {k: value for k, value in objects.items() if k not in packed}
    out, rows = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), {0: (0, 0, 65535)}
    for number, value in {**plain, holder: object_stream(packed)}.items():
        rows[number] = (1, len(out), 0)
        out += b"%d 0 obj\n%b\nendobj\n" % (number, value)
    rows |= {number: (2, holder, index) for index, number in enumerate(packed)}
    rows[table] = (1, len(out), 0)
    index = b" ".join(b"%d 1" % number for number in sorted(rows))
    body, last = b"", bytes(7)
    for _, (kind, place, extra) in sorted(rows.items()):
        row = bytes([kind]) + place.to_bytes(4, "big") + extra.to_bytes(2, "big")
        body += b"\x02" + bytes((a - b) % 256 for a, b in zip(row, last, strict=True))
        last = row
    described = b"/Type /XRef /Size %d /W [1 4 2] /Root 1 0 R " % (table + 1)
    described += b"/Index [%b] %b" % (index, entries)
    described += b" /DecodeParms << /Columns 7 /Predictor 12 >>"
    value = stream(body, described, packed=True)
    place = rows[table][1]
    out += b"%d 0 obj\n%b\nendobj\nstartxref\n%d\n%%%%EOF\n" % (table, value, place)
    return bytes(out)


def with_object(value: bytes) -> bytes:
    """Return a file that has one more object, used by nothing."""
    return pdf({**pages(), FREE: value})


def noise(size: int) -> bytes:
    """Return bytes such as a packed image has; always the same."""
    return random.Random(size).randbytes(size)  # noqa: S311 - no secret


def by_reportlab() -> bytes:
    """Return what a real program writes, with a link, a bookmark and a field."""
    out = BytesIO()
    canvas = Canvas(out, invariant=1)
    canvas.drawString(72, 720, "Remiss för Tolvan Tolvansson")
    canvas.linkURL("https://example.org/", (72, 700, 200, 712))
    canvas.bookmarkPage("one")
    canvas.addOutlineEntry("One", "one")
    canvas.acroForm.textfield(name="answer")
    canvas.showPage()
    canvas.drawString(72, 720, "Sida två")
    canvas.save()
    return out.getvalue()


def _annotation(entries: bytes) -> bytes:
    return pdf(pages(page=b"/Annots [<< /Type /Annot /Rect [0 0 9 9] %b >>]" % entries))


def _linearised() -> bytes:
    """The first page's objects and their table come first, the rest behind them."""
    objects = pages(2)
    first = {1: objects.pop(1), 50: objects.pop(50), 3: objects.pop(3)}
    front = pdf({8: b"<< /Linearized 1 /L 2000 /H [1 2] /O 50 /E 900 /N 2 /T 1500 >>", **first})
    return updated(front, objects, b"/Root 1 0 R")


def _hidden_in_stream(value: bytes) -> bytes:
    inner = noise(50) + b"\n9 0 obj\n" + value + b"\nendobj\n" + noise(50)
    return with_object(stream(inner, b"/Type /XObject /Subtype /Image"))


def _headless(head: bytes, value: bytes) -> bytes:
    """An object whose head is written in an unusual way, inside a stream."""
    return with_object(stream(noise(50) + b"\n" + head + value + b"\nendobj\n"))


def _tree(kids: bytes, objects: Objects) -> bytes:
    """A file whose tree of pages is of another shape."""
    return pdf({1: b"<< /Pages 2 0 R >>", 2: b"<< /Count 2 /Kids %b >>" % kids, **objects})


_LEAF = b"<< /Type /Page >>"
_COLOURS = stream(b"\x00\x00\x0c\x48ICC " + bytes(100), b"/N 3 /Alternate /DeviceRGB", packed=True)
_TAGGED = b"/MarkInfo << /Marked true >> /StructTreeRoot 9 0 R /Lang (sv-SE) "
_ELEMENTS = {
    9: b"<< /Type /StructTreeRoot /K [10 0 R] /RoleMap << /Rubrik /H1 >> /ParentTree 11 0 R >>",
    10: b"<< /Type /StructElem /S /Rubrik /P 9 0 R /Pg 50 0 R /K 0 >>",
    11: b"<< /Nums [0 [10 0 R]] >>",
}
_SIGNED = {
    9: b"<< /Fields [10 0 R] /SigFlags 3 >>",
    10: b"<< /FT /Sig /T (Signature1) /V 11 0 R /Type /Annot /Subtype /Widget /Rect [0 0 0 0] >>",
    11: b"<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /adbe.pkcs7.detached"
    b" /ByteRange [0 100 200 300] /Contents <30820122> >>",
}
_FORM = {
    9: b"<< /Fields [10 0 R 11 0 R] /DA (/Helv 0 Tf 0 g) /NeedAppearances true >>",
    10: b"<< /FT /Tx /T (namn) /Type /Annot /Subtype /Widget /Rect [0 0 9 9] /F 4 >>",
    11: b"<< /FT /Btn /Ff 65536 /T (clear) /Type /Annot /Subtype /Widget /Rect [0 0 9 9]"
    b" /A << /S /ResetForm >> >>",
}
_LINKS = (
    b"/Annots [<< /Subtype /Link /Rect [0 0 9 9] /A << /S /URI /URI (https://example.org/) >> >>"
    b" << /Subtype /Link /Rect [0 0 9 9] /A << /S /GoTo /D [50 0 R /Fit] >> >>"
    b" << /Subtype /Link /Rect [0 0 9 9] /A << /S /Named /N /NextPage >> >>"
    b" << /Subtype /Text /Rect [0 0 9 9] /Contents (A note \\(seen\\) (nested)) >>]"
)
_ARCHIVE = (
    b"/OutputIntents [<< /S /GTS_PDFA1 /OutputConditionIdentifier (sRGB)"
    b" /DestOutputProfile 9 0 R >>] /AF [10 0 R]"
)
_GO_TO = b"<</S/GoTo/D[50 0 R/Fit]>>"

BENIGN_PDFS: dict[str, bytes] = {
    "simplest": pdf(pages()),
    "reportlab": by_reportlab(),
    "word": packed_pdf({**pages(3, catalog=_TAGGED), **_ELEMENTS}),
    "writer": opened_by(b"[50 0 R /XYZ null null 0]", {9: b"[ 0.0 -.5 +4. 1 ]"}),
    "writer_tagged": pdf({**pages(catalog=_TAGGED), **_ELEMENTS}, version=b"1.4"),
    "writer_opening_by_reference": opened_by(b"9 0 R", {9: b"[50 0 R /Fit]"}),
    "tex": packed_pdf(
        {
            **pages(catalog=b"/OpenAction 9 0 R/Names<</Dests 10 0 R>>/PageMode/UseOutlines"),
            9: _GO_TO,
            10: b"<</Limits[(a)(b)]/Names[(a)[50 0 R/Fit](b)<</D[50 0 R/Fit]>>]>>",
        }
    ),
    "browser": pdf(pages(2, page=b"/StructParents 0 /Tabs /S"), b"/ID [<00FF> <00FF>]"),
    "ghostscript": pdf(
        pages(catalog=b"/Metadata 9 0 R")
        | {9: stream(b"<?xpacket begin=''?><x:xmpmeta/>", b"/Type /Metadata /Subtype /XML")},
        version=b"1.3",
    ),
    "scanner": with_object(
        stream(noise(300_000), b"/Type /XObject /Subtype /Image /Filter /DCTDecode /Width 9")
    ),
    "old_line_ends": pdf(pages(), version=b"1.2").replace(b"\n", b"\r"),
    "linearised": _linearised(),
    "updated": updated(pdf(pages(2)), {2: pages(1)[2], 9: b"<< /Type /Annot /Subtype /Square >>"}),
    "signed": pdf({**pages(catalog=b"/AcroForm 9 0 R"), **_SIGNED}),
    "form": pdf({**pages(catalog=b"/AcroForm 9 0 R"), **_FORM}),
    "links": pdf(pages(page=_LINKS)),
    "archive": pdf(
        {
            **pages(catalog=_ARCHIVE),
            9: _COLOURS,
            10: b"<< /Type /Filespec /F (source.xml) /AFRelationship /Source >>",
        }
    ),
    "nothing_where_something_could_be": opened_by(b"null", {9: b"<< /AA null >>", 10: b""}),
    "tree_of_direct_parts": _tree(b"[3 0 R [] 4 0 R 3 0 R]", {3: _LEAF, 4: _LEAF}),
    "tree_by_reference": _tree(b"9 0 R", {9: b"[3 0 R 4 0 R]", 3: _LEAF, 4: _LEAF}),
    "word_of_an_object_in_text": with_object(stream(b"(12 obj) Tj\n(an obj ) Tj\nobj ( Tj\n")),
    "as_many_pages_as_may_be": pdf(pages(500)),
}

_SECRET = {20: SCRIPT}
_PACKED = b"/Type /ObjStm /N 1 /First 4 "
_HOSTILE: dict[Reason, dict[str, bytes]] = {
    "pdf_script": {
        "script_at_opening": opened_by(SCRIPT),
        "script_of_document": pdf(pages(catalog=b"/Names << /JavaScript << /Names [] >> >>")),
        "script_with_escaped_names": with_object(b"<< /S /J#61vaScript >>"),
        "script_with_escaped_key": with_object(b"<< /#4A#53 (app.alert\\(1\\)) >>"),
        "script_on_click": _annotation(b"/Subtype /Link /A " + SCRIPT),
        "script_after_action": with_object(b"<< /S /GoTo /Next [%b] >>" % SCRIPT),
        "script_under_doubled_key": with_object(b"<< /S /JavaScript /S /GoTo >>"),
        "script_kind_by_reference": pdf(pages(page=b"/A << /S 9 0 R >>") | {9: b"/JavaScript"}),
        "script_in_packed_object": packed_pdf({**pages(), **_SECRET}),
        "script_in_plain_object_stream": with_object(object_stream(_SECRET, plain=True)),
        "script_in_list_of_filters": with_object(
            object_stream(_SECRET).replace(b"/FlateDecode", b"[/Fl]")
        ),
        "script_in_settled_stream": with_object(
            object_stream(_SECRET, b"/Type /ObjStm /DecodeParms [<< /Predictor 1 >>]")
        ),
        "script_in_untyped_object_stream": with_object(object_stream(_SECRET, b"")),
        "script_in_earlier_version": updated(opened_by(b"9 0 R", {9: SCRIPT}), {9: b"null"}),
        "script_in_image": _hidden_in_stream(SCRIPT),
        "script_in_string": with_object(b"(9 0 obj %b endobj)" % SCRIPT),
        "script_in_comment": with_object(b"null %% 9 0 obj %b" % SCRIPT),
        "script_in_trailer": pdf(pages(), b"/Root << /OpenAction %b >>" % SCRIPT),
        "script_behind_commented_head": _headless(b"9 % 0\n0 %\nobj", SCRIPT),
        "script_behind_half_head": _headless(b"9 %\n0 obj", SCRIPT),
        "script_behind_wide_head": _headless(b"9 0" + b" " * 99 + b"obj ", SCRIPT),
        "script_behind_head_with_high_space": _headless(b"9\x800\xffobj ", SCRIPT),
        "script_behind_head_in_high_space": _headless(b"9\x80 %\n0\x80obj\xff ", SCRIPT),
        "script_behind_bad_value": _headless(b"9 %\n0 obj ) ", SCRIPT),
        "script_behind_bad_values": _headless(
            b"9 %\n0 obj )\n9 %\n0 obj ) ", b"<< /S /J#61vaScript >>"
        ),
    },
    "pdf_action": {
        "launch": _annotation(b"/Subtype /Link /A " + LAUNCH),
        "launch_at_opening": opened_by(LAUNCH),
        "actions_of_page": pdf(pages(page=b"/AA << /O << /S /Named >> >>")),
        "web_link_at_opening": opened_by(b"<< /S /URI /URI (https://example.org/) >>"),
        "print_at_opening": opened_by(b"<< /S /Named /N /Print >>"),
        "more_at_opening": opened_by(b"<< /S /GoTo /Next 9 0 R >>"),
        "doubled_at_opening": opened_by(b"<< /S /URI /S /GoTo >>"),
        "opening_by_reference": opened_by(b"9 0 R", {9: b"<< /S /URI >>"}),
        "opening_by_packed_reference": packed_pdf(
            pages(catalog=b"/OpenAction 9 0 R") | {9: b"<< /S /URI >>"}
        ),
        "opening_by_two_references": opened_by(b"9 0 R", {9: b"10 0 R", 10: b"[50 0 R /Fit]"}),
        "opening_by_nothing": opened_by(b"9 0 R"),
        "opening_changed": updated(opened_by(b"9 0 R", {9: LAUNCH}), {9: b"[50 0 R /Fit]"}),
        "submit": _annotation(b"/A << /S /SubmitForm /F (https://example.org/) >>"),
        "import": _annotation(b"/A << /S /ImportData /F (data.fdf) >>"),
        "other_document": _annotation(b"/A << /S /GoToR /F (other.pdf) >>"),
        "embedded_document": _annotation(b"/A << /S /GoToE >>"),
    },
    "pdf_attachment": {
        "attachments": pdf(pages(catalog=b"/Names << /EmbeddedFiles << /Names [] >> >>")),
        "attachment_on_page": _annotation(b"/Subtype /FileAttachment"),
        "attachment_described": with_object(b"<< /Type /Filespec /EF << /F 10 0 R >> >>"),
        "attached_file": with_object(stream(b"MZ", b"/Type /EmbeddedFile")),
        "portfolio": pdf(pages(catalog=b"/Collection << /View /T >>")),
    },
    "pdf_media": {
        "rich_media": _annotation(b"/Subtype /RichMedia"),
        "model": _annotation(b"/Subtype /3D"),
        "movie": _annotation(b"/Subtype /Movie"),
        "sound": _annotation(b"/Subtype /Sound"),
        "sound_played": _annotation(b"/A << /S /Sound /Sound 9 0 R >>"),
        "screen": _annotation(b"/Subtype /Screen"),
        "rendition": _annotation(b"/A << /S /Rendition >>"),
    },
    "pdf_form": {
        "form_program": pdf(pages(catalog=b"/AcroForm << /XFA [(template) 9 0 R] >>")),
    },
    "pdf_encrypted": {
        "locked": pdf(pages(), b"/Encrypt 9 0 R"),
        "locked_with_packed_objects": packed_pdf(
            {**pages(), 20: stream(noise(99), _PACKED + b"/Filter /FlateDecode")},
            b"/Encrypt 9 0 R",
        ),
        "locked_in_earlier_version": updated(pdf(pages(), b"/Encrypt 9 0 R"), {9: b"null"}),
    },
    "pdf_pages": {
        "too_many_pages": pdf(pages(501)),
        "too_many_packed_pages": packed_pdf(pages(501)),
    },
    "too_complex": {
        "deep_lists": with_object(b"[" * 100 + b"]" * 100),
        "deep_dictionaries": with_object(b"<< /A " * 100 + b"1" + b">>" * 100),
        "deep_lists_behind_half_head": _headless(b"9 %\n0 obj ", b"[" * 100),
        "deep_string": with_object(b"(" * 100 + b")" * 100),
        "too_many_objects": pdf(pages()) + b"1 0 obj 1 " * 100_001 + b"%%EOF",
        "unpacks_to_too_much": with_object(object_stream({20: b" " * (33 << 20) + b"1"})),
        "large_index": with_object(stream(b" " * 2_000_000, b"/Type /ObjStm /N 0 /First 1500000")),
    },
    "pdf_broken": {
        "something_in_front": b"\n" + pdf(pages()),
        "unknown_version": pdf(pages(), version=b"3.0"),
        "no_end": pdf(pages()).replace(b"%%EOF", b""),
        "something_behind": pdf(pages()) + b"PK\x03\x04",
        "too_much_space_behind": pdf(pages()) + b" " * 1025,
        "only_ends": b"%PDF-1.7\n%%EOF",
        "no_pages": pdf({1: b"<< /Type /Catalog >>"}),
        "open_string": with_object(b"(no end"),
        "open_list": with_object(b"[1 2"),
        "key_without_value": with_object(b"<< /A >>"),
        "key_that_is_no_name": with_object(b"<< 1 /A >>"),
        "stray_bracket": with_object(b"<< /A ] >>"),
        "unknown_word": with_object(b"<< /A what >>"),
        "bad_hexadecimal_string": with_object(b"<48 zz>"),
        "name_with_bad_escape": with_object(b"<< /J#5: (app.alert\\(1\\)) >>"),
        "kind_with_bad_escape": with_object(b"<< /S /J#5: >>"),
        "key_before_high_space": with_object(b"<< /JS\x80(app.alert\\(1\\)) >>"),
        "value_behind_high_space": with_object(b"<< /A\xffnull /S /Launch >>"),
        "bad_trailer": pdf(pages()) + b"trailer << /Root >>\n%%EOF",
        "object_stream_by_unknown_filter": with_object(
            object_stream(_SECRET).replace(b"/FlateDecode", b"/LZWDecode")
        ),
        "object_stream_by_two_filters": with_object(
            object_stream(_SECRET).replace(b"/FlateDecode", b"[/ASCII85Decode /FlateDecode]")
        ),
        "object_stream_by_filter_elsewhere": pdf(
            {
                **pages(),
                9: object_stream(_SECRET).replace(b"/FlateDecode", b"10 0 R"),
                10: b"/FlateDecode",
            }
        ),
        "object_stream_by_predictor": with_object(
            object_stream(_SECRET, b"/Type /ObjStm /DecodeParms << /Predictor 12 >>")
        ),
        "object_stream_in_other_file": with_object(object_stream(_SECRET, b"/F (other.pdf)")),
        "object_stream_by_type_elsewhere": with_object(object_stream(_SECRET, b"/Type 10 0 R")),
        "object_stream_with_doubled_key": with_object(object_stream(_SECRET, b"/N 0")),
        "object_stream_after_space": with_object(
            object_stream(_SECRET).replace(b"stream\n", b"stream \n", 1)
        ),
        "object_stream_damaged": with_object(stream(noise(99), _PACKED + b"/Filter /FlateDecode")),
        "object_stream_cut": pdf(pages())
        + (
            b"9 0 obj << %b /Filter /FlateDecode >> stream\n%b%%%%EOF"
            % (_PACKED, zlib.compress(noise(999))[:900])
        ),
        "object_stream_with_bad_index": with_object(stream(b"a 0 1", _PACKED)),
        "object_stream_with_short_index": with_object(stream(b"20  1", _PACKED)),
        "object_stream_with_odd_index": with_object(
            stream(b"20 0 1 1", b"/Type /ObjStm /N 1 /First 7")
        ),
        "object_stream_with_vast_number": with_object(
            stream(b"9" * 20 + b" 0 1", b"/Type /ObjStm /N 1 /First 23")
        ),
        "object_stream_without_first": with_object(stream(b"20 5 1", b"/Type /ObjStm /N 1")),
        "object_stream_with_first_below": with_object(
            stream(b"20 5 1", b"/Type /ObjStm /N 1 /First -1")
        ),
        "object_stream_with_count_elsewhere": with_object(
            stream(b"20 5 1", b"/Type /ObjStm /N 10 0 R /First 5")
        ),
        "object_stream_with_a_gap": with_object(
            stream(b"20 0 21 9 1 << /S >> 2", b"/Type /ObjStm /N 2 /First 10")
        ),
        "object_stream_with_something_before": with_object(
            stream(b"20 2 1 2", b"/Type /ObjStm /N 1 /First 5")
        ),
        "object_stream_with_overlap": with_object(
            stream(b"20 0 21 4 << >> 2", b"/Type /ObjStm /N 2 /First 10")
        ),
        "object_stream_with_bad_member": with_object(object_stream({20: b"<< /A"})),
        "object_stream_like_a_profile": with_object(stream(b"20 5 /A", b"/N 1", packed=True)),
        "object_stream_behind_bad_head": _headless(b"9 %\n0 obj <<] ", object_stream(_SECRET)),
    },
}
HOSTILE_PDFS: dict[str, tuple[bytes, Reason]] = {
    name: (data, reason) for reason, files in _HOSTILE.items() for name, data in files.items()
}
