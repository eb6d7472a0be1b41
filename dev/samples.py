"""Makes the sandbox's sample files: one patient's papers and pictures, of each kind that is taken.

`--check` changes nothing and says whether they are up to date. All in them is invented; the number
is a published test number.
"""

from __future__ import annotations

import io
import math
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter, ImageFont
from reportlab.lib.utils import simpleSplit
from reportlab.pdfgen.canvas import Canvas
from samples_word import word_97, word_2007

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "sandbox" / "samples"
FONT = ROOT / "server" / "files" / "letters" / "fonts" / "DejaVuSans.ttf"
INVENTED_SV = "Påhittade uppgifter, för prov av programvara."
INVENTED_NB = "Oppdiktede opplysninger, for utprøving av programvare."
PLAIN, BOLD = "Helvetica", "Helvetica-Bold"
WIDTH, HEIGHT, LEFT, RIGHT = 595.28, 841.89, 57.0, 538.0

VISIT = """\
Läkarbesök 2026-02-24, Läkarmottagningen Söder

Patient: Tolvan Tolvansson

Anamnes
Söker för ett sår på höger underben sedan tio dagar, efter ett fall på isen.
Ingen feber. Har lagt om hemma. Lätt ökad trötthet.

Status
Opåverkad. Temperatur 36,8 °C, puls 72, blodtryck 138/84 mmHg.
Höger underben: sår 25 × 15 mm, rena kanter, måttlig rodnad ≤ 10 mm runt om.

Bedömning
Ytligt sår utan tecken till spridd infektion.

Plan
- Omläggning hos sköterska två gånger i veckan.
- Prover: blodstatus, CRP, P-Glukos.
- Åter vid feber, ökad rodnad eller värk.
"""


class Result(NamedTuple):
    """One line of a laboratory's answer."""

    analysis: str
    value: str
    unit: str
    range: str


RESULTS: dict[str, tuple[Result, ...]] = {
    "Hematologi": (
        Result("B-Hemoglobin (Hb)", "141", "g/L", "134–170"),
        Result("B-Leukocyter (LPK)", "9,8 *", "10E9/L", "3,5–8,8"),
        Result("B-Trombocyter (TPK)", "236", "10E9/L", "145–348"),
        Result("B-EVF", "0,42", "", "0,39–0,50"),
    ),
    "Klinisk kemi": (
        Result("P-CRP", "18 *", "mg/L", "< 5"),
        Result("P-Natrium", "140", "mmol/L", "137–145"),
        Result("P-Kalium", "4,1", "mmol/L", "3,5–4,4"),
        Result("P-Kreatinin", "84", "µmol/L", "60–105"),
        Result("P-Glukos, fastande", "5,4", "mmol/L", "4,2–6,3"),
        Result("P-TSH", "1,8", "mIE/L", "0,4–4,0"),
    ),
}


class _Sheet:
    """A PDF drawn from the top down; uncompressed, so that no library's version shows in it."""

    def __init__(self, title: str, lang: str) -> None:
        self._out = io.BytesIO()
        self.canvas = Canvas(self._out, (WIDTH, HEIGHT), pageCompression=0, invariant=1, lang=lang)
        self.canvas.setTitle(title)
        self.canvas.setAuthor("")
        self.y = HEIGHT - 62.0

    def line(self, *cells: tuple[float, str], font: str = PLAIN, size: float = 10.0) -> None:
        """Write texts on one row and go down."""
        self.canvas.setFont(font, size)
        for x, text in cells:
            self.canvas.drawString(x, self.y, text)
        self.y -= size * 1.45

    def paragraph(self, text: str) -> None:
        """Write a text of several rows."""
        for row in simpleSplit(text, PLAIN, 10.5, RIGHT - LEFT):
            self.line((LEFT, row), size=10.5)
        self.y -= 6.0

    def rule(self) -> None:
        """Draw a thin line across the page."""
        self.canvas.setLineWidth(0.6)
        self.canvas.line(LEFT, self.y + 5.0, RIGHT, self.y + 5.0)
        self.y -= 8.0

    def end_page(self, left: str, right: str) -> None:
        """Write the foot and begin the next page."""
        self.canvas.setFont(PLAIN, 8.0)
        self.canvas.drawString(LEFT, 34.0, left)
        self.canvas.drawRightString(RIGHT, 34.0, right)
        self.canvas.showPage()
        self.y = HEIGHT - 62.0

    def done(self) -> bytes:
        """Return the file."""
        self.canvas.save()
        return self._out.getvalue()


def lab_report() -> bytes:
    """Return a laboratory's answer in Swedish, of one page."""
    sheet = _Sheet("Laboratoriesvar", "sv-SE")
    sheet.line((LEFT, "Provlaboratoriet"), font=BOLD, size=14)
    sheet.line((LEFT, "Klinisk kemi och hematologi · Testgatan 3, 123 45 Provstad"), size=9)
    sheet.rule()
    sheet.y -= 18.0
    sheet.line((LEFT, "Laboratoriesvar"), font=BOLD, size=17)
    sheet.y -= 4.0
    for label, value, label_2, value_2 in (
        ("Patient", "Tolvan Tolvansson", "Provtagning", "2026-02-24 08:15"),
        ("Personnummer", "19121212-1212", "Ankomst", "2026-02-24 10:40"),
        ("Beställare", "Läkarmottagningen Söder", "Svar", "2026-02-25 07:52"),
        ("Remittent", "Läkare Ehn", "Remiss-id", "PL-0217"),
    ):
        sheet.line((LEFT, label), (LEFT + 82.0, value), (320.0, label_2), (395.0, value_2))
    sheet.y -= 10.0
    sheet.rule()
    columns = (LEFT, 250.0, 320.0, 395.0)
    heads = ("Analys", "Resultat", "Enhet", "Referensintervall")
    sheet.line(*zip(columns, heads, strict=True), font=BOLD)
    sheet.rule()
    for group, results in RESULTS.items():
        sheet.y -= 4.0
        sheet.line((LEFT, group), font=BOLD)
        for result in results:
            font = BOLD if result.value.endswith("*") else PLAIN
            sheet.line(*zip(columns, result, strict=True), font=font)
    sheet.y -= 6.0
    sheet.rule()
    sheet.line((LEFT, "* utanför referensintervallet"), size=9)
    sheet.y -= 14.0
    sheet.line((LEFT, "Kommentar"), font=BOLD)
    sheet.paragraph("Provet inte hemolyserat. Lätt förhöjt CRP och LPK, nytt prov efter en vecka.")
    sheet.end_page(INVENTED_SV, "Sida 1 av 1")
    return sheet.done()


# A page each; the first line of a section is its heading.
REFERRAL_NB = (
    """\
Henvisningsgrunn
Vurdering av et sår på høyre legg som har hatt langsom tilheling etter et fall på isen.
Pasienten er svensk og var på skiferie i Norge da han oppsøkte oss.

Sykehistorie
Tidligere stort sett frisk. Bruker ingen faste medisiner. Ingen kjente allergier. Falt på vei
til bilen og slo leggen mot et trinn. Såret ble renset og dekket samme dag. Etter ti dager er
det fortsatt rødme langs kantene, men ingen feber.

Funn
God allmenntilstand. Temperatur 36,8 °C, puls 72, blodtrykk 138/84 mmHg. Høyre legg: sår
25 × 15 mm med rene kanter, lett væskende, rødme inntil 10 mm. Ømhet ved berøring. Gode
fotpulser. Ingen hevelse av ankelen, ingen nevrologiske utfall.

Prøver
Hb 141 g/L, CRP 18 mg/L, leukocytter 9,8. Bakterieprøve fra såret er sendt, svar ventes innen
fem dager og ettersendes.""",
    """\
Vurdering
Overfladisk traumatisk sår uten tegn til spredt infeksjon. Ankel-arm-indeks er ikke målt.
Langsom tilheling kan skyldes utilstrekkelig avlastning; arteriell sirkulasjon bør likevel
undersøkes.

Ønsket oppfølging
Skift av bandasje to ganger i uken, kontroll av CRP om en uke og måling av ankel-arm-indeks.
Ny vurdering hos lege innen 14 dager, tidligere ved feber, økende rødme eller smerter.

Medisiner
Paracetamol 1 g inntil tre ganger daglig ved behov.""",
)


def referral() -> bytes:
    """Return a referral in Norwegian, of two pages."""
    sheet = _Sheet("Henvisning", "nb-NO")
    for number, sections in enumerate(REFERRAL_NB, start=1):
        sheet.line((LEFT, "Fjellheim legesenter"), font=BOLD, size=13)
        sheet.line((LEFT, "Testveien 1, 0001 Prøvestad"), size=9)
        sheet.rule()
        if number == 1:
            sheet.y -= 18.0
            sheet.line((LEFT, "Henvisning"), font=BOLD, size=17)
            sheet.y -= 4.0
            sheet.line((LEFT, "Pasient"), (LEFT + 82.0, "Tolvan Tolvansson"))
            sheet.line((LEFT, "Født"), (LEFT + 82.0, "12.12.1912"))
            sheet.line((LEFT, "Til"), (LEFT + 82.0, "Läkarmottagningen Söder"))
            sheet.line((LEFT, "Dato"), (LEFT + 82.0, "26.02.2026"))
        for section in sections.split("\n\n"):
            heading, _, text = section.partition("\n")
            sheet.y -= 8.0
            sheet.line((LEFT, heading), font=BOLD, size=11)
            sheet.paragraph(text.replace("\n", " "))
        if number == len(REFERRAL_NB):
            sheet.y -= 10.0
            sheet.line((LEFT, "Med vennlig hilsen"), size=10.5)
            sheet.line((LEFT, "Lege Eksempelsen"), size=10.5)
        sheet.end_page(INVENTED_NB, f"Side {number} av {len(REFERRAL_NB)}")
    return sheet.done()


def wound_photo() -> bytes:
    """Return a drawn picture of a wound, lying on its side as telephones store them."""
    image = Image.new("RGB", (480, 640), (226, 188, 165))
    draw = ImageDraw.Draw(image)
    for x in range(480):
        tone = int(26 * math.cos((x - 240) / 240 * 1.4))
        draw.line([(x, 0), (x, 639)], fill=(204 + tone, 164 + tone, 142 + tone))
    for size, colour in (
        (150, (221, 150, 132)), (118, (208, 112, 99)), (84, (168, 58, 56)), (52, (120, 28, 34)),
    ):  # fmt: skip
        draw.ellipse([240 - size, 320 - size * 0.62, 240 + size, 320 + size * 0.62], fill=colour)
    image = image.filter(ImageFilter.GaussianBlur(9))
    draw = ImageDraw.Draw(image)
    draw.rectangle([90, 520, 390, 562], fill=(246, 246, 240), outline=(90, 90, 90))
    for place in range(13):
        height = 24 if place % 5 == 0 else 14
        draw.line([(102 + 23 * place, 520), (102 + 23 * place, 520 + height)], fill=(60, 60, 60))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    exif[0x0132] = "2026:02:24 09:10:00"
    out = io.BytesIO()
    turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.save(out, "JPEG", quality=72, exif=exif.tobytes())
    return out.getvalue()


SYSTOLIC = (162, 158, 160, 154, 150, 152, 146, 144, 147, 141, 139, 138)
DIASTOLIC = (98, 96, 97, 94, 92, 91, 90, 88, 89, 86, 85, 84)


def chart() -> bytes:
    """Return a curve of blood pressures at home."""
    image = Image.new("RGB", (760, 420), "white")
    draw = ImageDraw.Draw(image)
    large, small = (
        ImageFont.truetype(FONT, size, layout_engine=ImageFont.Layout.BASIC) for size in (20, 14)
    )
    draw.text((60, 14), "Blodtryck hemma, Tolvan Tolvansson", font=large, fill="black")

    def height(pressure: int) -> float:
        return 370 - (pressure - 60) * 2.6

    for pressure in range(60, 181, 20):
        draw.line([(60, height(pressure)), (730, height(pressure))], fill=(215, 215, 215))
        draw.text((24, height(pressure) - 9), str(pressure), font=small, fill=(70, 70, 70))
    for name, colour, values in (
        ("Systoliskt", (178, 34, 52), SYSTOLIC), ("Diastoliskt", (28, 78, 140), DIASTOLIC),
    ):  # fmt: skip
        points = [(80 + 52 * place, height(value)) for place, value in enumerate(values)]
        draw.line(points, fill=colour, width=3, joint="curve")
        for x, y in points:
            draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour)
        draw.text((points[-1][0] - 76, points[-1][1] - 34), name, font=small, fill=colour)
    for week in range(1, len(SYSTOLIC) + 1):
        draw.text((72 + 52 * (week - 1), 380), f"v{week}", font=small, fill=(70, 70, 70))
    out = io.BytesIO()
    image.quantize(32, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


LETTER_SV = (
    ("Heading1", "Remiss till fysioterapeut"),
    ("", "Patient: Tolvan Tolvansson, 19121212-1212"),
    ("", "Datum: 2026-02-25"),
    ("Heading2", "Frågeställning"),
    ("", "Tacksam för bedömning och träningsprogram efter ett fall på isen den 14 februari."),
    ("Heading2", "Bakgrund"),
    ("", "Tidigare väsentligen frisk. Ytligt sår på höger underben, under läkning."),
    ("", "Går utan hjälpmedel men är osäker på ojämnt underlag. Ingen yrsel."),
    ("Heading2", "Önskad åtgärd"),
    ("", "Balansträning. Återrapport efter fyra besök."),
    ("", "Läkare Ehn, Läkarmottagningen Söder"),
    ("", INVENTED_SV),
)


def referral_docx() -> bytes:
    """Return a letter for Word."""
    return word_2007(LETTER_SV)


def old_letter() -> bytes:
    """Return a letter for Word as it was stored until 2007."""
    return word_97("\r".join(text for _, text in LETTER_SV) + "\r")


def xray() -> bytes:
    """Return a tiny picture as DICOM stores it (a secondary capture)."""
    sop_class, explicit = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.1.2.1"
    base = "2.25.191212121212"  # the root that anyone may use
    meta = b"".join(
        (
            _element(0x0002, 0x0001, "OB", b"\x00\x01"),
            _element(0x0002, 0x0002, "UI", sop_class),
            _element(0x0002, 0x0003, "UI", f"{base}.3"),
            _element(0x0002, 0x0010, "UI", explicit),
            _element(0x0002, 0x0012, "UI", f"{base}.0"),
        )
    )
    group_length = _element(0x0002, 0x0000, "UL", struct.pack("<I", len(meta)))
    values: tuple[tuple[int, int, str, str | bytes], ...] = (
        (0x0008, 0x0005, "CS", "ISO_IR 100"),
        (0x0008, 0x0016, "UI", sop_class),
        (0x0008, 0x0018, "UI", f"{base}.3"),
        (0x0008, 0x0020, "DA", "20260224"),
        (0x0008, 0x0030, "TM", "091500"),
        (0x0008, 0x0050, "SH", ""),
        (0x0008, 0x0060, "CS", "CR"),
        (0x0008, 0x0064, "CS", "WSD"),
        (0x0008, 0x0090, "PN", ""),
        (0x0010, 0x0010, "PN", "TOLVANSSON^TOLVAN"),
        (0x0010, 0x0020, "LO", "19121212-1212"),
        (0x0010, 0x0030, "DA", "19121212"),
        (0x0010, 0x0040, "CS", "M"),
        (0x0020, 0x000D, "UI", f"{base}.1"),
        (0x0020, 0x000E, "UI", f"{base}.2"),
        (0x0020, 0x0010, "SH", "1"),
        (0x0020, 0x0011, "IS", "1"),
        (0x0020, 0x0013, "IS", "1"),
        (0x0028, 0x0002, "US", struct.pack("<H", 1)),
        (0x0028, 0x0004, "CS", "MONOCHROME2"),
        (0x0028, 0x0010, "US", struct.pack("<H", 16)),
        (0x0028, 0x0011, "US", struct.pack("<H", 16)),
        (0x0028, 0x0100, "US", struct.pack("<H", 8)),
        (0x0028, 0x0101, "US", struct.pack("<H", 8)),
        (0x0028, 0x0102, "US", struct.pack("<H", 7)),
        (0x0028, 0x0103, "US", struct.pack("<H", 0)),
        (0x7FE0, 0x0010, "OB", bytes(_bone(x, y) for y in range(16) for x in range(16))),
    )
    return bytes(128) + b"DICM" + group_length + meta + b"".join(_element(*one) for one in values)


def _bone(x: int, y: int) -> int:
    return max(20, 230 - abs(x - 8) * 40 - (60 if abs(y - 7) < 1 else 0))


def _element(group: int, number: int, kind: str, value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode("latin-1")
    if len(raw) % 2:
        raw += b"\x00" if kind in {"UI", "OB"} else b" "
    head = struct.pack("<HH2s", group, number, kind.encode())
    if kind == "OB":
        return head + struct.pack("<HI", 0, len(raw)) + raw
    return head + struct.pack("<H", len(raw)) + raw


def visit_notes() -> bytes:
    """Return notes of a visit as plain text."""
    return VISIT.encode()


SAMPLES: dict[str, Callable[[], bytes]] = {
    "lab-report.pdf": lab_report,
    "referral.pdf": referral,
    "wound-photo.jpg": wound_photo,
    "chart.png": chart,
    "referral.docx": referral_docx,
    "old-letter.doc": old_letter,
    "xray.dcm": xray,
    "visit-notes.txt": visit_notes,
}


def main() -> int:
    """Write the files, or with `--check` name those that differ; exit code 1 if any does."""
    made = {name: make() for name, make in SAMPLES.items()}
    if "--check" not in sys.argv[1:]:
        FOLDER.mkdir(exist_ok=True)
        for name, data in made.items():
            (FOLDER / name).write_bytes(data)
    found = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    other = sorted(name for name in made.keys() | found if made.get(name) != found.get(name))
    sys.stdout.write("".join(f"Differs: sandbox/samples/{name}\n" for name in other))
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main())
