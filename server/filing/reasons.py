"""Why a draft stands where it stands, in words: what happened, and what a person can do.

Every code that filing leaves with a draft has a row here. Nothing is said to have not been sent
unless the code alone proves it: an earlier attempt may have arrived.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from leyr_mcp.server.storage.store import Draft, Kind
from leyr_mcp.server.text import REASON_CAP, quoted, short

# Until the clinic signs in again at its record system, nothing is sent.
SIGN_IN = "sign_in_needed"
_CODE = re.compile(r"[a-z_]{1,60}")


class Reason(NamedTuple):
    """What happened, and what to do, a sentence each."""

    text: str
    todo: str


_LOOK = (
    "Look in the record. If it is there, give its record id; if it is certainly not, send it again "
    "or drop it."
)
_AGAIN = "Send it again when that is over, or drop it."
_WRONG = "Drop it, and have it drafted anew as the record system takes it."
_WAIT = "Wait: it goes on by itself."
_SETTINGS = "Have the settings corrected (leyr-mcp doctor), then send it again or drop it."
_REVIEW = "Read it again, and approve it only if it still holds."

# What the record system refused; the words are ours, never its own.
_REFUSED: dict[str, tuple[str, str]] = {
    "ambiguous_timeslots": ("more than one free time fits the booking", _WRONG),
    "bad_input": ("it does not take the content as it is", _WRONG),
    "bad_request": ("it does not take the content as it is", _WRONG),
    "invalid_appointment_id": ("it knows no such appointment", _WRONG),
    "invalid_care_unit_id": ("it knows no such care unit", _SETTINGS),
    "invalid_comment_length": ("the comment is too long", _WRONG),
    "invalid_created_by_id": ("it does not take the author (LEYR_RESOURCE_ID)", _SETTINGS),
    "invalid_healthcare_service_id": ("it knows no such service", _WRONG),
    "invalid_note_content": ("it does not take the content of the note", _WRONG),
    "invalid_patient_id": ("it does not take the patient's id", _WRONG),
    "invalid_patient_id_type": ("it does not take an id of that type for a patient", _WRONG),
    "invalid_resource_id": ("it knows no such resource", _WRONG),
    "max_items_exceeded": ("it holds too many parts", _WRONG),
    "missing_required_field": ("something that it needs is missing", _WRONG),
    "not_found": ("it knows no such patient or entry", _WRONG),
    "not_supported": ("it cannot do this", "Drop it, and write it in the record itself."),
    "patient_id_lookup_type_not_supported": ("it does not find patients by that id", _WRONG),
    "unauthorized": ("this server may not do that there", _SETTINGS),
    "upstream_refused": ("it gave no reason that is known here", _LOOK),
}

REASONS: Mapping[str, Reason] = MappingProxyType(
    {
        # Found before it was sent
        "patient_changed": Reason(
            "The patient's name or birth date in the record is no longer what was approved.",
            "Compare the two, and approve it only if it is the same person.",
        ),
        "patient_not_found": Reason(
            "The record no longer has this patient.",
            "Drop it, or send it again when the patient is found.",
        ),
        "appointment_changed": Reason(
            "The appointment was changed after this was drafted.", _REVIEW
        ),
        "appointment_not_found": Reason("The record no longer has the appointment.", _WRONG),
        "slot_taken": Reason("The time is no longer free.", "Drop it, and book another time."),
        "file_changed": Reason(
            "The file is no longer the one that was approved.", "Drop it, and attach the file anew."
        ),
        "file_gone": Reason(
            "The file was kept for 24 hours and is gone.", "Have the file attached anew."
        ),
        "source_changed": Reason(
            "The draft from which this file was made was changed after that.",
            "Have it attached anew.",
        ),
        "damaged": Reason("The stored draft is damaged and cannot be used.", _LOOK),
        "wrong_environment": Reason(
            "It was drafted under another setting of LEYR_MCP_ENVIRONMENT.", _LOOK
        ),
        "internal": Reason("This server failed on it.", _LOOK),
        "twin_open": Reason("Another draft of the very same is being sent first.", _WAIT),
        "stale_claim": Reason("The machine slept just before it was sent.", _WAIT),
        "code_spent": Reason(
            "The code of confirmation was sent before, and a code is never sent twice.",
            "Look in the record whether the appointment is confirmed.",
        ),
        # In doubt
        "no_answer": Reason("The record system did not answer in time.", _LOOK),
        "bad_answer": Reason("The record system's answer cannot be understood.", _LOOK),
        "unclear_answer": Reason(
            "The record system's answer does not say whether it was stored.", _LOOK
        ),
        "conflict_answer": Reason("The record system told of a conflict.", _LOOK),
        "rate_limited": Reason("The record system was asked too often.", _LOOK),
        "cancelled": Reason("This program was ended while it was being sent.", _LOOK),
        "unexpected": Reason("This server failed while it was being sent.", _LOOK),
        "job_timed_out": Reason(
            "The record system queued it, and did not say within a day what became of it.", _LOOK
        ),
        "job_failed": Reason(
            "The record system took it into its queue and then failed to store it.",
            "Read why on the review page or with leyr-mcp drafts, mend that, and send it again or "
            "drop it.",
        ),
        "sign_in_needed": Reason(
            "The clinic's sign-in at its record system has ended.",
            "Have the clinic sign in again on Cobalt's Link page; it then goes on by itself.",
        ),
        # After looking
        "conflict": Reason("The record has an entry that is nearly this one, but differs.", _LOOK),
        "duplicate_upstream": Reason(
            "The record has more than one entry like this one.",
            "Look in the record, and give the id of the entry that is right.",
        ),
        "stored_differently": Reason(
            "The record system stored something else than what was approved.",
            "Compare it in the record and correct it there; then give its record id.",
        ),
        "not_found_after_timeout": Reason(
            "No definite answer came, and it could not be found in the record as long as it could "
            "still arrive.",
            _LOOK,
        ),
        "lookup_inconclusive": Reason(
            "The record was searched, which did not settle whether it is there.", _LOOK
        ),
        "lookup_unsupported": Reason("This record system cannot be searched for it.", _LOOK),
        "lookup_failed": Reason("The record could not be searched.", _LOOK),
        # The record system as a whole
        "upstream_auth": Reason(
            "The record system did not accept this server's credentials.", _SETTINGS
        ),
        "upstream_busy": Reason("The record system was too busy.", _AGAIN),
        "upstream_unreachable": Reason("The record system could not be reached.", _AGAIN),
        "upstream_bad_response": Reason("The record system's answer cannot be understood.", _LOOK),
        **{
            code: Reason(f"The record system refused it: {text}.", todo)
            for code, (text, todo) in _REFUSED.items()
        },
    }
)

# What is looked for where a write has no definite answer.
SEARCHED: Mapping[Kind, str] = MappingProxyType(
    {
        "note": "The patient's notes were searched for one by the same author with the same title "
        "and text, made since it was first sent.",
        "document": "The patient's documents were searched for one with the same title, format and "
        "content, made since it was first sent.",
        "appointment": "The patient's appointments around that time were searched for one at the "
        "same time with the same resource and service.",
        "change": "The appointment was read and compared with the change.",
        "patient": "Patients of that name were searched for one with the same national number.",
    }
)


# With these, the record was searched after it was sent.
_AFTER_LOOKING = frozenset(
    {
        "code_spent",
        "conflict",
        "duplicate_upstream",
        "lookup_inconclusive",
        "not_found_after_timeout",
        "slot_taken",
    }
)


def search_of(draft: Draft) -> str:
    """Return what was looked for in the record, as far as it was."""
    if draft.first_sent_at is None:
        return "It was never sent, so the record was not searched for it."
    looking = draft.state == "unknown" and draft.looked > 0
    if looking or draft.reason in _AFTER_LOOKING:
        return SEARCHED[draft.kind]
    return "The record was not searched for it, or the search failed."


def words_of(draft: Draft) -> str | None:
    """Return what the record system said in its own words, for people alone; None for nothing."""
    told = short(draft.told or "", cap=REASON_CAP)
    return f"The record system said: {quoted(told)}." if told else None


def reason_of(code: str | None) -> Reason | None:
    """Return what a code means, a general sentence for one that is not known, or None for none."""
    if not code:
        return None
    if code in REASONS:
        return REASONS[code]
    named = f" (code {code})" if _CODE.fullmatch(code) else ""
    return Reason(f"It could not be filed as it is{named}.", _LOOK)
