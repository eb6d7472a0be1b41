"""What a record system cannot take is refused before anything is drafted."""

from __future__ import annotations

import pytest

from leyr_mcp.server.ehr.capabilities import COBALT, EMRS, UNKNOWN
from leyr_mcp.server.errors import InputError, LeyrMcpError, UpstreamNotSupportedError
from leyr_mcp.server.filing import fits
from leyr_mcp.server.filing.payloads import Item
from tests.server.filing.desk import START, booking, change, document, note, person

WHO, WHAT = "9001", "FU"


@pytest.mark.parametrize(
    ("item", "kind", "field"),
    [
        (note(more="x"), InputError, "fields"),
        (booking(), InputError, "resource_id"),
        (booking(resource_id=WHO), InputError, "healthcare_service_id"),
        (change("reschedule", start=START), UpstreamNotSupportedError, "action"),
        (change("confirm", code="1234"), UpstreamNotSupportedError, "action"),
    ],
)
def test_it_is_said_which_part_does_not_fit(
    item: Item, kind: type[LeyrMcpError], field: str
) -> None:
    with pytest.raises(kind) as caught:
        fits.check(item, COBALT)
    assert caught.value.field == field
    assert caught.value.message.startswith("Cobalt ")


@pytest.mark.parametrize(
    "item",
    [
        note(),
        booking(resource_id=WHO, healthcare_service_id=WHAT),
        change("cancel"),
        document(),
        person(),
    ],
)
def test_what_fits_passes(item: Item) -> None:
    fits.check(item, COBALT)


@pytest.mark.parametrize(
    "item", [note(more="x"), booking(), change("reschedule", start=START), change("confirm")]
)
def test_of_a_record_system_that_is_not_known_nothing_is_demanded(item: Item) -> None:
    for capabilities in (UNKNOWN, *EMRS.values()):
        fits.check(item, capabilities)
