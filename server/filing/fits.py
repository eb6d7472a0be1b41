"""What a record system cannot take is said before anything is drafted, in plain words."""

from __future__ import annotations

from leyr_mcp.server.ehr.capabilities import Capabilities
from leyr_mcp.server.errors import InputError, UpstreamNotSupportedError
from leyr_mcp.server.filing.payloads import AppointmentItem, ChangeItem, Item, NoteItem

FREE = "unstructured"
_NAMES = {"resource_id": "a resource", "healthcare_service_id": "a service"}


def check(item: Item, capabilities: Capabilities) -> None:
    """Do nothing if the record system takes such an item.

    Raises:
        InputError: Something is missing, or is of a form that it does not take.
        UpstreamNotSupportedError: It cannot do this at all.
    """
    match item:
        case NoteItem() if capabilities.free_notes_only and set(item.content) != {FREE}:
            raise InputError(
                f"{capabilities.name} takes a note as one text.",
                field="fields",
                next_step="Call again with content, and headings within the text.",
            )
        case AppointmentItem():
            for name in capabilities.booking_needs:
                if getattr(item, name) is None:
                    raise InputError(
                        f"{capabilities.name} books only with {_NAMES[name]}.",
                        field=name,
                        next_step="Call again with the ids that list_timeslots and "
                        "list_care_units give.",
                    )
        case ChangeItem(action="reschedule") if capabilities.reschedule is False:
            raise UpstreamNotSupportedError(
                f"{capabilities.name} cannot move an appointment that is in the record.",
                field="action",
                next_step="Tell the user; if they want it, cancel this one and book another time.",
            )
        case ChangeItem(action="confirm") if capabilities.confirm is False:
            raise UpstreamNotSupportedError(
                f"{capabilities.name} takes no code of confirmation.", field="action"
            )
        case _:
            pass
