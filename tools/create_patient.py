"""create_patient: a patient registered, or found to be there already, once a person approved it."""

from __future__ import annotations

import re
from typing import Annotated, NotRequired, cast

from pydantic import Field

from leyr_mcp.server.boundary import Arguments, Reply, ToolContext
from leyr_mcp.server.ehr.identifiers import PatientRef, PatientType, parse_patient
from leyr_mcp.server.errors import InputError, UpstreamError
from leyr_mcp.server.filing.audit import About
from leyr_mcp.server.filing.entries import Entry, Proposal
from leyr_mcp.server.filing.payloads import PatientItem
from leyr_mcp.server.text import clean
from leyr_mcp.tools.params import CareUnitId, KeepDraft, Key, Name, line
from leyr_mcp.tools.results import FilingResult, about, filed, lines, result
from leyr_mcp.tools.spec import WRITES, ToolSpec

_EXISTS = "patient_exists"  # the check that says so, made when the draft was
_MOST = 5
_NAME_CAP = 100
_SEPARATORS = str.maketrans("", "", " -+")
_PHONE = re.compile(r"\+?[0-9]{5,15}")
_INTERNATIONAL = re.compile(r"\+[0-9]{7,15}")
_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
)
# What is no national number at all: the number of another register, which no check digit tells.
_OTHER = re.compile(r"[A-Za-z0-9._-]{1,40}")
# Digits alone of these lengths are a national number or a mistyped one.
_LENGTHS = range(9, 14)
_NATIONAL: tuple[PatientType, ...] = ("se_personal_number", "no_personal_number", "nhs_number")
_OF_LENGTH: dict[int, PatientType] = {12: _NATIONAL[0], 11: _NATIONAL[1]}
_UNUSABLE = "Call find_patient to get the patient_id; then go on."
_GO_ON = "Use patient_id from here on."
_OTHER_NAME = "differs:name"
_RENAMED = (
    "Tell the user that the record has this number under another name, and go on only if it is the "
    "same person."
)


class Answer(FilingResult):
    """A filing result, and the patient once there is one."""

    patient_id: NotRequired[Annotated[str, Field(description="Use this from here on")]]
    existed: NotRequired[bool]


class Input(Arguments):
    """Who it is."""

    first_name: Name
    last_name: Name
    external_id: (
        Annotated[str, Field(description="National number, like se_personal_number:…"), line(60)]
        | None
    ) = None
    phones: list[str] | None = None
    emails: list[str] | None = None
    draft: KeepDraft = False
    idempotency_key: Key | None = None
    care_unit_id: CareUnitId | None = None


async def handle(context: ToolContext, args: Input) -> Reply:
    """Draft a new patient, and have it approved and filed."""
    item = PatientItem(
        first_name=_name(args.first_name, "first_name"),
        last_name=_name(args.last_name, "last_name"),
        external_id=_number(context, args.external_id),
        phones=_phones(context, args.phones or []),
        emails=_each(args.emails or [], _EMAIL, "emails", "an address like name@example.org"),
    )
    proposal = Proposal(
        care_unit_id=await context.units.resolve(args.care_unit_id),
        item=item,
        draft=args.draft,
        key=args.idempotency_key,
    )
    entry = await filed(context, await context.desk.stage(proposal, context.who))
    return await _reply(context, entry)


def _name(raw: str, field: str) -> str:
    """Return a name as it will be stored: composed, and otherwise as it was given.

    Raises:
        InputError: It holds what cannot be seen; a name is never altered.
    """
    found = clean(raw, cap=_NAME_CAP)
    if found.removed or found.truncated or not any(map(str.isalpha, found.text)):
        raise InputError(f"{field} must be a name, without invisible characters.", field=field)
    return found.text


def _number(context: ToolContext, raw: str | None) -> str | None:
    """Return the national number as the record system takes it: checked, digits alone.

    Raises:
        InputError: It is mistyped, of a type that is not taken here, or missing where needed.
    """
    needed = context.ehr.capabilities.number_needed
    if raw is None:
        if needed:
            raise InputError(
                f"{context.ehr.capabilities.name} needs external_id: a {needed}.",
                field="external_id",
                next_step="Ask the user for the number in full.",
            )
        return None
    ref = _typed(context, raw) if ":" in raw else _untyped(context, raw)
    if needed and (ref is None or ref.type != needed):
        raise InputError(
            f"{context.ehr.capabilities.name} takes only a {needed} as external_id.",
            field="external_id",
            next_step="Ask the user for the number in full.",
        )
    if ref is None:
        return raw
    return ref.value


def _typed(context: ToolContext, raw: str) -> PatientRef:
    ref = _parse(context, raw)
    if ref.type == "emr_id":
        raise InputError(
            "external_id must be a national number; the record system gives its own id.",
            field="external_id",
        )
    return ref


def _untyped(context: ToolContext, raw: str) -> PatientRef | None:
    """Return the number that a bare text is, or None if it is none at all."""
    digits = raw.translate(_SEPARATORS)
    if not (digits.isascii() and digits.isdecimal() and len(digits) in _LENGTHS):
        if not _OTHER.fullmatch(raw):
            raise InputError(
                "external_id must be a national number, or letters, digits, full stops and "
                "hyphens.",
                field="external_id",
            )
        return None
    taken = context.ehr.capabilities.patient_types or frozenset(_NATIONAL)
    kinds = [kind for kind in _NATIONAL if kind in taken] or list(_NATIONAL)
    likely = _OF_LENGTH.get(len(digits), kinds[0])
    first: InputError | None = None
    for kind in dict.fromkeys([likely, *kinds]):
        try:
            return _parse(context, f"{kind}:{raw}")
        except InputError as exc:
            if exc.code == "identifier_ambiguous":
                raise
            first = first or exc
    raise first or InputError("external_id is no national number.", field="external_id")


def _parse(context: ToolContext, raw: str) -> PatientRef:
    return parse_patient(
        raw, today=context.today(), environment=context.environment, field="external_id"
    )


def _phones(context: ToolContext, given: list[str]) -> tuple[str, ...]:
    needed = context.ehr.capabilities.phone_needed
    if needed and not given:
        raise InputError(
            f"{context.ehr.capabilities.name} needs a phone number.",
            field="phones",
            next_step="Ask the user for the patient's mobile number.",
        )
    bare = [phone.replace(" ", "").replace("-", "") for phone in given]
    form = _INTERNATIONAL if needed else _PHONE
    return _each(bare, form, "phones", "a number like +46701234567")


def _each(given: list[str], form: re.Pattern[str], field: str, rule: str) -> tuple[str, ...]:
    """Return the different ones, each of the right form.

    Raises:
        InputError: One is not, or there are too many.
    """
    if len(given) > _MOST:
        raise InputError(f"{field} must be at most {_MOST}.", field=field)
    trimmed = [one.strip(" ") for one in given]
    if not all(map(form.fullmatch, trimmed)):
        raise InputError(f"{field}: each must be {rule}.", field=field)
    return tuple(dict.fromkeys(trimmed))


async def _reply(context: ToolContext, entry: Entry) -> Reply:
    found = cast("Answer", await result(context, entry))
    told = about([entry])
    if entry.draft.state == "filed":
        usable = await _patient_id(context, entry)
        if usable is None:
            found["next"] = _UNUSABLE
        else:
            renamed = entry.draft.verified == _OTHER_NAME
            found["patient_id"], found["next"] = usable, _RENAMED if renamed else _GO_ON
            told = (About(patient=usable, care_unit=entry.payload.care_unit_id),)
        found["existed"] = _existed(entry)
    text = lines(found)
    if "patient_id" in found:
        how = "in the record before" if found["existed"] else "new"
        text.insert(1, f"patient_id {found['patient_id']}, {how}")
    return Reply(found, "\n".join(text), about=told)


async def _patient_id(context: ToolContext, entry: Entry) -> str | None:
    """Return the id to use, if it is certain that the record system finds the patient by it."""
    known, item = entry.draft.remote_id, entry.payload.item
    if not known or not isinstance(item, PatientItem):
        return None
    try:
        if entry.draft.verified == "unreadable":
            found = await context.ehr.find_patients(
                entry.payload.care_unit_id, first_name=item.first_name, last_name=item.last_name
            )
            if known not in {patient.emr_id for patient in found}:
                return None
        return str(PatientRef("emr_id", known))
    except (InputError, UpstreamError):
        return None


def _existed(entry: Entry) -> bool:
    told = any(check.code == _EXISTS for check in entry.shown.checks)
    return told or entry.draft.verified == _OTHER_NAME


SPEC = ToolSpec(
    name="create_patient",
    title="Create patient",
    description="Draft a new patient, which a person approves first; only after find_patient found "
    "none. Next: tell the user the status and where to approve.",
    toolset="patients",
    scope="ehr.draft",
    annotations=WRITES,
    input=Input,
    output=Answer,
    handler=handle,
    needs="create_patient",
)
