"""Patient and resource identifiers: read, checked and made canonical before anything is sent.

Nothing here knows whether such a person exists: a wrong century, for one, passes every sum.
No error text and no `repr` carries a value, so both may be shown to a model and written to a log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import date
from operator import mul
from typing import ClassVar, Literal, TypeAlias, TypeVar, get_args

from leyr_mcp.server.errors import CODES, InputError

PatientType = Literal["emr_id", "mrn", "se_personal_number", "no_personal_number", "nhs_number"]
IdType = Literal[PatientType, "hsa_id"]
ResourceType = Literal["emr_id", "hsa_id", "se_personal_number", "no_personal_number"]
Environment: TypeAlias = Literal["test", "production"] | None
_Origin: TypeAlias = Literal["live", "test", "help"] | None
_Type = TypeVar("_Type", bound=str)

# Always used with fullmatch. [0-9] and [A-Z], never \d or IGNORECASE: both reach beyond ASCII.
_OPAQUE = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._:-]{1,96}")
_SE_LONG = re.compile(r"([0-9]{8})-?([0-9]{4})")
_SE_SHORT = re.compile(r"([0-9]{2})([0-9]{4})([-+])([0-9]{4})")
_SE_UNSIGNED = re.compile(r"[0-9]{10}")
_FORMS = {
    "no_personal_number": re.compile(r"[0-9]{6} ?[0-9]{5}"),
    "nhs_number": re.compile(r"[0-9]{3}([ -]?)[0-9]{3}\1[0-9]{4}"),
    "hsa_id": re.compile(r"[Ss][Ee][0-9]{10}-[A-Za-z0-9]{1,18}"),
}
_OWN_TYPES = ("emr_id", "mrn")
_NUMBER_LIKE = re.compile(r"[0-9+ -]{10,13}")
_CANONICAL: dict[str, re.Pattern[str]] = {
    **dict.fromkeys(_OWN_TYPES, _OPAQUE),
    "se_personal_number": re.compile(r"[0-9]{12}"),
    "no_personal_number": re.compile(r"[0-9]{11}"),
    "nhs_number": re.compile(r"[0-9]{10}"),
    "hsa_id": re.compile(r"SE[0-9]{10}-[A-Z0-9]{1,18}"),
}
_FIRST_GROUP = {"se_personal_number": 8, "no_personal_number": 6, "nhs_number": 3}
_DIGIT = re.compile(r"[0-9]")
_SEPARATORS = {ord(sign): None for sign in " +-"}

_NAMES = {
    "emr_id": "record system's own id",
    "mrn": "medical record number",
    "se_personal_number": "Swedish personal number",
    "no_personal_number": "Norwegian personal number",
    "nhs_number": "NHS number",
    "hsa_id": "HSA id",
}
_RULES = {
    **dict.fromkeys(
        _OWN_TYPES, "1 to 96 of A-Z, a-z, 0-9, full stop, underscore, colon and hyphen"
    ),
    "se_personal_number": "YYYYMMDDNNNC, YYYYMMDD-NNNC, YYMMDD-NNNC or, from the year of the 100th "
    "birthday, YYMMDD+NNNC",
    "no_personal_number": "eleven digits, with or without one space after the sixth",
    "nhs_number": "ten digits, with or without spaces or hyphens that part them 3-3-4",
    "hsa_id": "SE, ten digits, a hyphen and up to 18 letters or digits",
}
_REFUSED: dict[tuple[Environment, _Origin], str] = {
    ("test", "live"): "is not a test number, and the server is set to test",
    ("production", "test"): "is a test number, and the server is set to production",
    ("production", "help"): "is a local help number, which the server's settings do not allow",
}

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_NO_WEIGHTS_1 = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)
_NO_WEIGHTS_2 = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
# The tenth weight stands for the check digit itself, so that a sound number sums to 0.
_NHS_WEIGHTS = (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
_NO_NEW_RULE_YEAR = 2032
_DECEMBER = 12
_D_NUMBER = 40
_COORDINATION = 60
_LAST_COORDINATION_DAY = 91
_HELP_MONTHS = range(41, 53)

_NOT_A_DATE = "does not begin with a real date"
_REPEATED = "is one digit repeated"
_CHECK_FAILS = "fails its check digits"


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(map(mul, weights, map(int, digits)))


def _luhn_holds(ten_digits: str) -> bool:
    digits = list(map(int, ten_digits))
    return (sum(digits[1::2]) + sum(_DOUBLED[digit] for digit in digits[::2])) % 10 == 0


def _calendar_date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _swedish_parts(value: str) -> tuple[int, int, int, bool]:
    """Year, month and day of birth, and whether it is a coordination number (day + 60)."""
    year, month, day = int(value[:4]), int(value[4:6]), int(value[6:8])
    coordination = day >= _COORDINATION
    return year, month, day - _COORDINATION * coordination, coordination


def _swedish_fault(value: str, as_of: date | None) -> str | None:
    """What is wrong with twelve digits, or None.

    The official list of coordination numbers has month 00, day 60 and 30 February, so there no real
    date is demanded. What stands in it must still not lie after `as_of`: no such number is issued
    ahead of a birth, and a two-digit year is then more likely of the wrong century.
    """
    year, month, day, coordination = _swedish_parts(value)
    fault = None
    if len(set(value)) == 1:
        fault = _REPEATED
    elif not _luhn_holds(value[2:]):
        fault = _CHECK_FAILS
    elif value[8:11] == "000":
        fault = "has the serial number 000, which is never given"
    elif coordination:
        if month > _DECEMBER or day > _LAST_COORDINATION_DAY - _COORDINATION:
            fault = _NOT_A_DATE
    elif _calendar_date(year, month, day) is None:
        fault = _NOT_A_DATE
    if fault is None and as_of and (year, month, day) > (as_of.year, as_of.month, as_of.day):
        fault = "has a birth date in the future"
    return fault


def _norwegian_parts(value: str) -> tuple[int, int, int]:
    """Day (of a D-number too), month and two-digit year."""
    day = int(value[:2])
    return day - _D_NUMBER if day > _D_NUMBER else day, int(value[2:4]), int(value[4:6])


def _norwegian_fault(value: str, as_of: date | None) -> str | None:
    """What is wrong with eleven digits, or None; without a clock the rule of 2032 counts too.

    Months above 12 mark synthetic and help numbers of several series, whose dates follow no common
    rule. Month 00 belongs to none of them and is no real date.
    """
    day, month, year = _norwegian_parts(value)
    highest_rest = 0 if as_of and as_of.year < _NO_NEW_RULE_YEAR else 3
    if len(set(value)) == 1:
        return _REPEATED
    first, second = _weighted(value, _NO_WEIGHTS_1) % 11, _weighted(value, _NO_WEIGHTS_2) % 11
    if first > highest_rest or second:
        return _CHECK_FAILS
    # In 2000-2099 a year is a leap year exactly when its last two digits divide by 4.
    if month <= _DECEMBER and _calendar_date(2000 + year, month, day) is None:
        return _NOT_A_DATE
    return None


def _norwegian_century(individual: int, year: int) -> int | None:
    """The first year of the century that the individual number stands for, where it is clear."""
    if individual < 500:  # noqa: PLR2004 - the register's own table, as are the lines below
        return 1900
    if year < 40:  # noqa: PLR2004
        return 2000
    if individual < 750 and year >= 54:  # noqa: PLR2004
        return 1800
    return 1900 if individual >= 900 else None  # noqa: PLR2004


def _norwegian_birth_date(value: str, as_of: date | None) -> date | None:
    """The birth date, or None unless the number was surely issued while it held the century.

    From 2032 on a number that meets the old rule may be a new one, where the century is not told.
    """
    day, month, year = _norwegian_parts(value)
    century = _norwegian_century(int(value[6:9]), year)
    if century is None or _weighted(value, _NO_WEIGHTS_1) % 11:
        return None
    born = _calendar_date(century + year, month, day)
    clock = as_of or date(_NO_NEW_RULE_YEAR - 1, 12, 31)
    if born is None or clock.year >= _NO_NEW_RULE_YEAR or born.toordinal() > clock.toordinal():
        return None
    return born


def _nhs_fault(value: str, _as_of: date | None = None) -> str | None:
    if len(set(value)) == 1:
        return _REPEATED
    if _weighted(value, _NHS_WEIGHTS) % 11:
        return _CHECK_FAILS
    if value[0] in "4679" or "01" <= value[:2] <= "39":
        return None
    return "lies outside the ranges that are given out"


def _hsa_fault(value: str, _as_of: date | None = None) -> str | None:
    """The ten digits are the organisation number, which has a Luhn digit of its own."""
    organisation = value[2:12]
    if len(set(organisation)) == 1:
        return _REPEATED
    return None if _luhn_holds(organisation) else _CHECK_FAILS


_FAULTS: Mapping[str, Callable[[str, date | None], str | None]] = {
    "se_personal_number": _swedish_fault,
    "no_personal_number": _norwegian_fault,
    "nhs_number": _nhs_fault,
    "hsa_id": _hsa_fault,
}


def _shape_error(kind: str, field: str | None = None) -> InputError:
    # The code's own advice, to correct the field, would invite guessing of digits.
    step = None if kind in _OWN_TYPES else CODES["identifier_checksum"].next_step
    message = f"The {_NAMES[kind]} does not have the right form: {_RULES[kind]}."
    return InputError(message, field=field, next_step=step)


def _verify(kind: str, value: str, as_of: date | None) -> None:
    _text(value)  # refuses what is no string at all
    if not _CANONICAL[kind].fullmatch(value):
        raise _shape_error(kind)
    if (check := _FAULTS.get(kind)) and (fault := check(value, as_of)):
        raise InputError(f"The {_NAMES[kind]} {fault}.", code="identifier_checksum")


def _grouped(kind: str, value: str) -> str:
    if kind == "se_personal_number":
        return f"{value[:8]}-{value[8:]}"
    if kind == "no_personal_number":
        return f"{value[:6]} {value[6:]}"
    if kind == "nhs_number":
        return f"{value[:3]} {value[3:6]} {value[6:]}"
    return value


def _masked(kind: str, value: str) -> str:
    """Only the first group shows: birth date (SE, NO) or three digits (NHS); the rest is stars.

    An HSA id loses the end of its organisation number too: a sole trader's is a personal number.
    A record system's own id is shown, unless it is a national number.
    """
    if kind in _OWN_TYPES:
        return mask_national_number(value) or value
    if kind == "hsa_id":
        return f"{value[:8]}****-****"
    shown = _grouped(kind, value)
    first = _FIRST_GROUP[kind]
    return shown[:first] + _DIGIT.sub("*", shown[first:])


@dataclass(frozen=True, slots=True, repr=False)
class _Ref:
    """A checked, canonical identifier with its type; construction refuses any other.

    `as_of` is the day against which it was checked: without it, what needs a clock (no birth in the
    future, the Norwegian rule of 2032) is not checked. It takes no part in comparison.
    """

    type: str
    value: str
    as_of: date | None = dataclass_field(default=None, compare=False, kw_only=True)

    _types: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.type not in self._types:
            raise InputError(f"The type of identifier must be one of {', '.join(self._types)}.")
        _verify(self.type, self.value, self.as_of)

    def __str__(self) -> str:
        """`type:value`, as the record system takes it: for requests and answers, never for logs."""
        return f"{self.type}:{self.value}"

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.type}:***)"

    @property
    def shown(self) -> str:
        """The full value, grouped as people are used to read it."""
        return _grouped(self.type, self.value)

    @property
    def masked(self) -> str:
        """The first group at most, then stars: enough to recognise it, too little to use it."""
        return _masked(self.type, self.value)


@dataclass(frozen=True, slots=True, repr=False)
class PatientRef(_Ref):
    """Names one patient; see `parse_patient`."""

    type: PatientType

    _types: ClassVar[tuple[str, ...]] = get_args(PatientType)

    @property
    def birth_date(self) -> date | None:
        """The date of birth where the number tells it with certainty, else None.

        None for coordination numbers without a real date, Norwegian help and synthetic numbers or
        unclear centuries, all Norwegian ones read in 2032 or later, and the types without a date.
        """
        if self.type == "se_personal_number":
            return _calendar_date(*_swedish_parts(self.value)[:3])
        if self.type == "no_personal_number":
            return _norwegian_birth_date(self.value, self.as_of)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class ResourceRef(_Ref):
    """Names one practitioner or piece of equipment; see `parse_resource`."""

    type: ResourceType

    _types: ClassVar[tuple[str, ...]] = get_args(ResourceType)


_PATIENT_TYPES: dict[str, PatientType] = {kind: kind for kind in get_args(PatientType)}
_RESOURCE_TYPES: dict[str, ResourceType] = {kind: kind for kind in get_args(ResourceType)}


def _text(raw: object, field: str | None = None) -> str:
    if not isinstance(raw, str):
        raise InputError("An identifier must be a string in quotes, not a number.", field=field)
    return raw.strip(" ")


def _swedish_year(two_digits: int, sign: str, today: date) -> int:
    """The year that the sign stands for: `+` from 1 January of the year of the 100th birthday."""
    latest = today.year - (today.year - two_digits) % 100
    return latest - 100 if sign == "+" else latest


def _read_swedish(text: str, today: date) -> str:
    if match := _SE_LONG.fullmatch(text):
        return match[1] + match[2]
    if match := _SE_SHORT.fullmatch(text):
        return f"{_swedish_year(int(match[1]), match[3], today):04}{match[2]}{match[4]}"
    if _SE_UNSIGNED.fullmatch(text):
        raise InputError(
            "Ten digits without a sign do not tell the century of a Swedish personal number.",
            code="identifier_ambiguous",
            next_step="Ask the user for all twelve digits; do not guess the century.",
        )
    raise _shape_error("se_personal_number")


def _read(kind: str, text: str, today: date) -> str:
    """The canonical form, not yet verified."""
    if kind in _OWN_TYPES:
        return text
    if kind == "se_personal_number":
        return _read_swedish(text, today)
    if not _FORMS[kind].fullmatch(text):
        raise _shape_error(kind)
    # Directories compare HSA ids without regard to case; capitals are the written form.
    return text.upper() if kind == "hsa_id" else text.translate(_SEPARATORS)


def _lookalikes(text: str, as_of: date | None) -> dict[str, str]:
    """The national schemes whose form and check digits the text meets, each with its masked form.

    NHS comes first, for ten digits can be two things and its mask shows the least. A Swedish date
    in the future counts: that is how a wrong century looks.
    """
    found: dict[str, str] = {}
    if not _NUMBER_LIKE.fullmatch(text):
        return found
    digits = text.translate(_SEPARATORS)
    for kind in ("nhs_number", "no_personal_number"):
        if _FORMS[kind].fullmatch(text) and _FAULTS[kind](digits, as_of) is None:
            found[kind] = _masked(kind, digits)
    if _SE_LONG.fullmatch(text) and _swedish_fault(digits, None) is None:
        found["se_personal_number"] = _masked("se_personal_number", digits)
    short = _SE_SHORT.fullmatch(text)
    # 2000 is the century in which the two-digit year 00 has a 29 February.
    if (short or _SE_UNSIGNED.fullmatch(text)) and _swedish_fault(f"20{digits}", None) is None:
        found["se_personal_number"] = f"{digits[:6]}{short[3] if short else '-'}****"
    return found


def _split(text: str, types: Mapping[str, _Type], today: date) -> tuple[_Type, str]:
    """The type and the text after it; a bare text is the record system's own id.

    It splits at the first colon, so an own id that holds one needs its prefix.
    """
    prefix, colon, rest = text.partition(":")
    if colon:
        if prefix not in types:
            raise InputError(
                "The type in front of the colon is not known here.",
                next_step=f"Use one of these types: {', '.join(types)}.",
            )
        return types[prefix], rest
    found = _lookalikes(text, today)
    if found:
        fitting = [*(kind for kind in types if kind in found), "emr_id"]
        raise InputError(
            "This has the form and the check digit of a national number, but no type in front, so "
            "it would be taken for the record system's own id.",
            code="identifier_ambiguous",
            next_step="Ask the user what it is; then call again with its type and a colon in "
            f"front. Types that fit: {', '.join(fitting)} (emr_id is the record system's own id; "
            "a Swedish number needs all twelve digits).",
        )
    return types["emr_id"], text


def _origin(ref: _Ref) -> _Origin:
    """Where a number comes from, where the number itself tells."""
    if ref.type == "nhs_number":
        return "test" if ref.value[0] == "9" else "live"
    if ref.type == "no_personal_number":
        month = int(ref.value[2:4])
        if month in _HELP_MONTHS:
            return "help"
        return "test" if month > _DECEMBER else "live"
    return None


def _check_environment(ref: _Ref, environment: Environment, *, allow_help_numbers: bool) -> None:
    origin = _origin(ref)
    message = _REFUSED.get((environment, origin))
    if message and not (origin == "help" and allow_help_numbers):
        raise InputError(f"The {_NAMES[ref.type]} {message}.", code="wrong_environment")


def parse_patient(
    raw: str,
    *,
    today: date,
    environment: Environment = None,
    allow_help_numbers: bool = False,
    field: str = "patient_id",
) -> PatientRef:
    """Return the checked reference for `type:value`, or for a bare id of the record system.

    With `environment` set, numbers of the other kind are refused where the number tells: Norwegian
    and NHS ones. Swedish test numbers cannot be told from real ones and pass in both.

    Raises:
        InputError: With code `invalid_argument` (form, type), `identifier_checksum` (date, serial,
            range, check digits), `identifier_ambiguous` (a national number without its type, a
            Swedish one without its century) or `wrong_environment`.
    """
    try:
        kind, text = _split(_text(raw), _PATIENT_TYPES, today)
        ref = PatientRef(kind, _read(kind, text, today), as_of=today)
        _check_environment(ref, environment, allow_help_numbers=allow_help_numbers)
    except InputError as error:
        error.field = field
        raise
    return ref


def parse_resource(
    raw: str, *, today: date, environment: Environment = None, field: str = "resource_id"
) -> ResourceRef:
    """Return the checked reference to a practitioner or piece of equipment.

    Raises:
        InputError: As `parse_patient` does.
    """
    try:
        kind, text = _split(_text(raw), _RESOURCE_TYPES, today)
        ref = ResourceRef(kind, _read(kind, text, today), as_of=today)
        _check_environment(ref, environment, allow_help_numbers=False)
    except InputError as error:
        error.field = field
        raise
    return ref


def check_opaque(raw: str, *, field: str) -> str:
    """Return an id of the record system that may stand as one segment of a URL.

    Raises:
        InputError: With code `invalid_argument`; its text names the rule and not the value.
    """
    text = _text(raw, field)
    if not _OPAQUE.fullmatch(text):
        raise _shape_error("emr_id", field)
    return text


def mask_national_number(value: str) -> str | None:
    """Return the masked form of a national number in any accepted form, or None if it is none.

    None says that no check digit fits, not that the value is free of personal data.
    """
    text = value.strip(" ")
    prefix, _, rest = text.partition(":")
    bare = rest if prefix in _CANONICAL else text
    return next(iter(_lookalikes(bare, None).values()), None)
