"""What a draft is checked for before a person sees it: shown to the approver and to the model.

Each rule reads text alone and guesses nothing about its meaning, so a hit asks for a look and no
more. A message names the field and the rule; what stands in the text is never repeated.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from leyr_mcp.server.ehr.identifiers import PatientRef, PatientType
from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.entries import Check, Level

LONG = 10_000
TOO_LONG = 100_000

# The field names of each template that the vendor has told; where it has told none, any may fit.
KNOWN_FIELDS: Mapping[str, frozenset[str]] = {"leyr_unstructured": frozenset({"unstructured"})}
UNTOLD_TEMPLATES = frozenset(
    {
        "leyr_acute_visit",
        "leyr_new_visit_psychology",
        "leyr_follow_up_visit_psychology",
        "leyr_care_status",
    }
)

_ORDER: dict[Level, int] = {"block": 0, "warn": 1, "info": 2}
_PLAIN_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom and when the text is about, as the record says.

    `numbers` are further identifiers of the same patient, in any form. `visit` is the day of the
    appointment, or today where the text belongs to none.
    """

    patient: PatientRef
    today: date
    visit: date
    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)
    birth_date: date | None = field(default=None, repr=False)
    numbers: tuple[str, ...] = field(default=(), repr=False)

    def own_numbers(self) -> frozenset[str]:
        """Return the digits of every national number known to be this patient's."""
        found = set()
        for text in (self.patient.value, *self.numbers):
            digits = _NOT_DIGITS.sub("", text)
            found |= {digits, digits[-10:]} if len(digits) == _SE_DIGITS else {digits}
        return frozenset(found)


def check_texts(
    texts: Mapping[str, str],
    subject: Subject,
    *,
    template: str | None = None,
    title: str = "",
    removed: int = 0,
) -> tuple[Check, ...]:
    """Return what is to be said of a draft's texts, the gravest first.

    `texts` are the fields of a note, or of anything else that is written, already cleaned;
    `template` is given for notes only. `removed` counts the characters that cleaning took out.
    """
    found = [*_template(texts, template), *_empty(texts), *_length(texts), *_removed(removed)]
    for name, text in {"title": title, **texts}.items():
        shown = _shown(name)
        found += [check for rule in _RULES for check in rule(shown, text, subject)]
    return tuple(sorted(found, key=lambda check: _ORDER[check.level]))


def check_identity(texts: Mapping[str, str], subject: Subject) -> tuple[Check, ...]:
    """Return what texts that nobody here wrote say of other people, the gravest first."""
    found = [
        check
        for name, text in texts.items()
        for rule in (_other_identifier, _other_name)
        for check in rule(_shown(name), text, subject)
    ]
    return tuple(sorted(found, key=lambda check: _ORDER[check.level]))


def _shown(name: str) -> str | None:
    """Return the name of a field, unless it could be text in the place of a name."""
    return name if _PLAIN_FIELD.fullmatch(name) else None


def _in(name: str | None) -> str:
    return name or "One of the fields"


# --- fields, emptiness, length ---------------------------------------------------------------


def _template(texts: Mapping[str, str], template: str | None) -> Iterator[Check]:
    if template is None:
        return
    known = KNOWN_FIELDS.get(template)
    if known is None and template not in UNTOLD_TEMPLATES:
        text = "The template is none of those known here; the record system decides."
        yield Check("template_unknown", "info", text, "template_id")
    for name in texts:
        shown = _shown(name)
        if known is None:
            text = f"{_in(shown)} is not known to fit the template."
            yield Check("field_unproven", "info", text, shown)
        elif name not in known:
            text = f"{_in(shown)} is no field of the template."
            yield Check("field_unknown", "block", text, shown)


_SAYS = re.compile(r"[^\W_]")
_VOID = re.compile(
    r"[\W_]{0,9}(?:n\.?/?a|not applicable|null|(?:ej|inte|ikke) aktuell?t|tomt?|empty)[\W_]{0,9}",
    re.IGNORECASE,
)


def _empty(texts: Mapping[str, str]) -> Iterator[Check]:
    void = [n for n, text in texts.items() if not _SAYS.search(text) or _VOID.fullmatch(text)]
    level: Level = "block" if len(void) == len(texts) else "warn"
    for name in void:
        shown = _shown(name)
        yield Check("section_empty", level, f"{_in(shown)} says nothing.", shown)


def _length(texts: Mapping[str, str]) -> Iterator[Check]:
    total = sum(map(len, texts.values()))
    only = _shown(next(iter(texts))) if len(texts) == 1 else None
    if total > TOO_LONG:
        text = f"The text has more than {TOO_LONG:,} characters."
        yield Check("text_too_long", "block", text, only)
    elif total > LONG:
        yield Check("text_long", "warn", f"The text has more than {LONG:,} characters.", only)


def _removed(count: int) -> Iterator[Check]:
    if count > 0:
        many = "characters were" if count > 1 else "character was"
        text = f"{count} invisible or control {many} removed."
        yield Check("characters_removed", "info", text)


# --- placeholders ----------------------------------------------------------------------------

_LETTER = r"[^\W\d_]"
_BLANKS = (
    "namn|navn|name|förnamn|fornavn|efternamn|etternavn|datum|dato|date|tid|time|text|tekst|"
    "patient|pasient|pat|läkare|lege|doctor|dos|dose|dosering|diagnos|diagnose|diagnosis|"
    "personnummer|fødselsnummer|telefon|adress|adresse|address|resultat|result|värde|verdi|value"
)
_PLACEHOLDERS = re.compile(
    r"\b(?:TODO|TBD|FIXME)\b"
    r"|(?<!\w)[Xx]{3,}(?!\w)"
    r"|_{3}"
    r"|(?i:lorem\s{1,3}ipsum)"
    r"|(?i:\bfyll\s{1,3}(?:i|in|inn|ut)\b|\bifylls\b|\bto be filled in\b)"
    r"|(?i:\binsert\s{1,3}(?:text|name|date|value)\b)"
    # Comparisons begin with a digit or a space, so "<5" is none of these.
    rf"|<{_LETTER}[\w /.-]{{1,40}}>"
    rf"|\{{{{?\s{{0,3}}{_LETTER}[\w .-]{{0,40}}\}}"
    r"|\[\s{0,3}(?:\.{2,10}|…|\?{1,5})\s{0,3}\]"
    rf"|(?i:\[\s{{0,3}}(?:{_BLANKS}|(?:ange|skriv|sett|insert|enter|fill)\b[^\[\]\n]{{0,60}})"
    r"\s{0,3}\])"
)
# A unit, a citation's gap or a box that was left open may stand like this on purpose.
_BRACKETED = re.compile(rf"\[(?:\s{{0,5}}|\s{{0,3}}{_LETTER}{{2}}[^\[\]\n]{{0,60}})\]")


def _placeholder(name: str | None, text: str, _subject: Subject) -> Iterator[Check]:
    if _PLACEHOLDERS.search(text):
        message = f"{_in(name)} holds a placeholder that was not filled in."
        yield Check("placeholder", "block", message, name)
    elif _BRACKETED.search(text):
        message = f"{_in(name)} holds something in square brackets, which may be a placeholder."
        yield Check("bracketed", "warn", message, name)


# --- another person's identifier -------------------------------------------------------------

_NOT_DIGITS = re.compile(r"[^0-9]")
_SE_DIGITS = 12
_TEN_DIGITS = 10
# Signs that people and programs write for hyphen and space.
_WRITTEN = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\uff0d", "-")
    | dict.fromkeys("\u00a0\u2007\u2009\u202f", " ")
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
)
# Not within a longer number, an international telephone number or an HSA id. Each stands in a
# look-ahead, so that a hit does not hide one that overlaps it.
_START, _END = r"(?<![0-9+])(?<![Ss][Ee])(?=(", r")(?![0-9]))"
_SE_LONG = re.compile(rf"{_START}[0-9]{{8}} ?-? ?[0-9]{{4}}{_END}")
_SE_SHORT = re.compile(rf"{_START}[0-9]{{6}} ?[-+]? ?[0-9]{{4}}{_END}")
_NORWEGIAN = re.compile(rf"{_START}[0-9]{{6}}[ .-]?[0-9]{{5}}{_END}")
_TEN = re.compile(rf"{_START}[0-9]{{3}}[ -]?[0-9]{{3}}[ -]?[0-9]{{4}}{_END}")


_SCHEMES: tuple[tuple[PatientType, re.Pattern[str]], ...] = (
    ("se_personal_number", _SE_LONG),
    ("se_personal_number", _SE_SHORT),
    ("no_personal_number", _NORWEGIAN),
    ("nhs_number", _TEN),
)


def _centuries(kind: PatientType, digits: str) -> tuple[str, ...]:
    """Return the twelve digits for which a Swedish ten may stand; all else as it is."""
    if kind != "se_personal_number" or len(digits) == _SE_DIGITS:
        return (digits,)
    return tuple(f"{century}{digits}" for century in ("20", "19", "18"))


def _meant(kind: PatientType, digits: str, today: date) -> Iterator[PatientRef]:
    """Yield the numbers that digits can be: check digits right, and of no birth to come."""
    for whole in _centuries(kind, digits):
        try:
            yield PatientRef(kind, whole, as_of=today)
        except InputError:
            continue


def _foreign(text: str, subject: Subject, own: frozenset[str]) -> Iterator[tuple[bool, bool]]:
    """Yield for every number that is not the patient's: its form is sure, its birth date equal.

    Ten digits without a sign, and NHS numbers that begin with 0, look like telephone numbers.
    """
    for kind, pattern in _SCHEMES:
        seen = set(own)
        for match in pattern.finditer(text):
            if match[1] in seen:
                continue
            seen.add(match[1])  # each is looked at once, however often it stands there
            digits = _NOT_DIGITS.sub("", match[1])
            if digits in own:
                continue
            meant = list(_meant(kind, digits, subject.today))
            if meant:
                unsure = len(digits) == _TEN_DIGITS and (
                    match[1].replace(" ", "") == digits
                    if pattern is _SE_SHORT
                    else match[1] == digits or digits[0] == "0"
                )
                days = {ref.birth_date for ref in meant} - {None}
                yield not unsure, subject.birth_date in days


def _other_identifier(name: str | None, text: str, subject: Subject) -> Iterator[Check]:
    own = subject.own_numbers()
    told = subject.patient.type not in ("emr_id", "mrn") or any(
        len(digits) >= _TEN_DIGITS for digits in own
    )
    found = {
        "block" if sure and (told or not same_day) else "day" if sure else "form"
        for sure, same_day in _foreign(text.translate(_WRITTEN), subject, own)
    }
    if "block" in found:
        message = f"{_in(name)} holds a national number that is not this patient's."
        yield Check("other_identifier", "block", message, name)
    elif "day" in found:
        message = (
            f"{_in(name)} holds a national number of this patient's birth date; the patient's own "
            "is not known here, so the two were not compared."
        )
        yield Check("identifier_not_compared", "warn", message, name)
    elif found:
        message = f"{_in(name)} holds ten digits that may be another person's national number."
        yield Check("possible_identifier", "warn", message, name)


# --- another person's name -------------------------------------------------------------------

_WORD = rf"{_LETTER}[\w'’-]{{0,40}}"
_LABELLED = re.compile(
    r"(?:^|[\n.;,|(*#•-])[ \t*#]{0,8}"
    r"(?:(?P<person>patient(?:en)?|pat\.?|pasient(?:en)?|pas\.?)"
    r"|(?:patient(?:en)?s?|pat\.?|pasient(?:en)?s?|full|fullt|hela)?[ \t]{0,3}"
    r"(?:namn|navn|name))"
    r"\*{0,2}[ \t]{0,8}[:=]\*{0,2}[ \t]{0,8}"
    rf"(?P<name>{_WORD}(?:[ \t]{{1,3}}{_WORD}|,[ \t]{{0,3}}{_WORD}){{0,4}})",
    re.IGNORECASE,
)
_PARTICLES = frozenset(
    ["af", "al", "av", "bin", "da", "de", "den", "der", "di", "du", "el", "la", "ten", "van", "von"]
)


def _words(text: str) -> list[str]:
    whole = unicodedata.normalize("NFC", text.casefold())
    return [word for word in re.split(r"[\s,.’'-]+", whole) if word]


def _leading_name(text: str) -> list[str]:
    """Return the words that are written like a name, up to the first that is not."""
    found: list[str] = []
    for word in re.split(r"[\s,]+", text):
        if not (word[:1].isupper() or (found and word in _PARTICLES)):
            break
        found.append(word)
    while found and found[-1] in _PARTICLES:
        found.pop()
    return found


def _other_name(name: str | None, text: str, subject: Subject) -> Iterator[Check]:
    first, last = _words(subject.first_name), _words(subject.last_name)
    own = {*first, *last}
    if not own:
        return
    ends = {*first[:1], *last[-1:]}
    for match in _LABELLED.finditer(text):
        words = _leading_name(match["name"])
        given = set(_words(" ".join(words)))
        # One capital letter after "Patient:" begins a sentence more often than it names anyone.
        if len(words) < (2 if match["person"] else 1) or given <= own or ends <= given:
            continue
        yield Check("other_name", "warn", f"{_in(name)} names a patient by another name.", name)
        return


# --- another day -----------------------------------------------------------------------------

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "januari januar january jan",
            "februari februar february feb",
            "mars march mar",
            "april apr",
            "maj mai may",
            "juni june jun",
            "juli july jul",
            "augusti august aug",
            "september sept sep",
            "oktober october okt oct",
            "november nov",
            "december desember dec des",
        ),
        1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_YEAR = r"(?:19|20)[0-9]{2}"
_DATE = (
    rf"(?P<y1>{_YEAR})(?P<s>[-/.]?)(?P<m1>[0-9]{{2}})(?P=s)(?P<d1>[0-9]{{2}})(?![0-9])"
    rf"|(?P<a>[0-9]{{1,2}})[./-](?P<b>[0-9]{{1,2}})(?:[./ -]{{1,2}}(?P<y2>{_YEAR}|[0-9]{{2}}))?"
    r"(?![0-9])"
    r"|(?P<d3>[0-9]{1,2})(?:\.|:?[ae]|st|nd|rd|th)?[ ]{1,2}(?:of[ ])?"
    rf"(?P<m3>{_MONTH})\b\.?(?:,?[ ](?P<y3>{_YEAR}))?"
    rf"|(?P<m4>{_MONTH})\.?[ ](?P<d4>[0-9]{{1,2}})(?:st|nd|rd|th)?(?![0-9])"
    rf"(?:,?[ ](?P<y4>{_YEAR}))?"
)
_OF_VISIT = re.compile(
    r"(?:(?P<other>nästa|neste|next|förra|forrige|senaste|siste|sist|last|previous|tidigare|"
    r"tidligere|earlier|föregående|planerat|planlagt|planned|nytt|ny|new)[ ]{1,2})?"
    r"(?:\b(?:besöksdatum|besøksdato|vårddatum|konsultationsdatum|konsultasjonsdato|"
    r"(?:visit|encounter|consultation)[ ]date|"
    r"date[ ]of[ ](?:the[ ])?(?:visit|service|consultation|encounter)|"
    r"datum[ ]för[ ](?:besök|konsultation)(?:en|et)?|"
    r"dato[ ]for[ ](?:besøk|konsultasjon)(?:en|et)?|"
    r"dagens[ ](?:datum|dato)|today['’]s[ ]date|idag|i[ ]dag|today|seen[ ]on)"
    r"|(?:^|(?<=\n))[ \t*#]{0,8}(?:datum|dato|date|besök|besøk|visit|konsultation|konsultasjon|"
    r"consultation))"
    r"\*{0,2}[ ]{0,3}[:,=]?\*{0,2}[ ]{0,3}(?:den[ ]|the[ ]|on[ ])?"
    rf"(?:{_DATE})",
    re.IGNORECASE,
)


def _readings(match: re.Match[str]) -> Iterator[tuple[int | None, int, int]]:
    """Yield year (None if it is not told), month and day; two where their order is not told."""
    if match["y1"]:
        yield int(match["y1"]), int(match["m1"]), int(match["d1"])
    elif match["a"]:
        year = _year(match["y2"])
        one, other = int(match["a"]), int(match["b"])
        yield year, other, one
        yield year, one, other
    elif match["m3"]:
        yield _year(match["y3"]), _MONTHS[match["m3"].lower()], int(match["d3"])
    else:
        yield _year(match["y4"]), _MONTHS[match["m4"].lower()], int(match["d4"])


def _year(text: str | None) -> int | None:
    if text is None:
        return None
    return int(text) if len(text) > len("26") else 2000 + int(text)


def _other_day(name: str | None, text: str, subject: Subject) -> Iterator[Check]:
    visit = subject.visit
    for match in _OF_VISIT.finditer(text):
        if match["other"]:
            continue
        same_day = (visit.month, visit.day)
        if not any(
            year in (None, visit.year) and (month, day) == same_day
            for year, month, day in _readings(match)
        ):
            message = f"{_in(name)} gives another day for the visit than the one it is filed under."
            yield Check("other_day", "warn", message, name)
            return


_RULES: tuple[Callable[[str | None, str, Subject], Iterator[Check]], ...] = (
    _placeholder,
    _other_identifier,
    _other_name,
    _other_day,
)
