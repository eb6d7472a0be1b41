"""Tickets: for one draft as it waits, one user, fifteen minutes, and made here alone."""

from __future__ import annotations

import base64
import dataclasses
from datetime import timedelta

import pytest

from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.filing.audit import Who
from leyr_mcp.server.filing.entries import Entry
from leyr_mcp.server.filing.tickets import GOOD_FOR, LONGEST, Tickets
from leyr_mcp.server.storage.keys import Keys
from tests.support.mcp_asking import NOTE, Clock, asking

ANNA, BO = Who(subject="anna"), Who(subject="bo")


@pytest.fixture
async def entry() -> Entry:
    async with asking("auto") as clinic:
        _, found = await clinic.ask("write_note", **NOTE)
        return await clinic.desk.entry(found["draft_id"])


def tickets(clock: Clock | None = None, key: bytes = b"k" * 32) -> Tickets:
    return Tickets(lambda: Keys(key), clock=clock or Clock())


def refuses(own: Tickets, text: str, who: Who = ANNA) -> None:
    with pytest.raises(LeyrMcpError) as caught:
        own.read(text, who)
    assert caught.value.code == "approval_void"
    assert len(text) < 8 or text not in caught.value.message


def test_a_ticket_fits_its_draft(entry: Entry) -> None:
    own = tickets()
    text = own.issue(entry, ANNA)
    assert own.read(text, ANNA).fits(entry)
    assert len(text) <= LONGEST


def test_another_program_with_the_same_key_takes_it(entry: Entry) -> None:
    text = tickets().issue(entry, ANNA)
    assert tickets().read(text, ANNA).fits(entry)


def test_it_is_spent_when_the_draft_moves(entry: Entry) -> None:
    own = tickets()
    ticket = own.read(own.issue(entry, ANNA), ANNA)
    later = entry.draft.updated_at + timedelta(microseconds=1)
    for change in ({"version": 2}, {"digest": "0" * 64}, {"updated_at": later}, {"id": "d_other"}):
        moved = dataclasses.replace(entry.draft, **change)
        assert not ticket.fits(dataclasses.replace(entry, draft=moved)), change


def test_it_is_over_after_a_quarter_of_an_hour(entry: Entry) -> None:
    clock = Clock()
    own = tickets(clock)
    text = own.issue(entry, ANNA)
    clock.now += GOOD_FOR - timedelta(seconds=1)
    assert own.read(text, ANNA).fits(entry)
    clock.now += timedelta(seconds=1)
    refuses(own, text)


def test_it_is_of_one_user(entry: Entry) -> None:
    own = tickets()
    refuses(own, own.issue(entry, ANNA), BO)
    refuses(own, own.issue(entry, ANNA), Who(subject="anna", issuer="elsewhere"))


def test_one_made_with_another_key_is_none(entry: Entry) -> None:
    refuses(tickets(), tickets(key=b"x" * 32).issue(entry, ANNA))


def test_a_ticket_with_any_character_changed_is_none(entry: Entry) -> None:
    own = tickets()
    text = own.issue(entry, ANNA)
    for at in range(len(text)):
        other = "B" if text[at] != "B" else "C"
        refuses(own, text[:at] + other + text[at + 1 :])
        refuses(own, text[:at])


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "...",
        "d_1.9999999999.0",
        f"d_1.9999999999.{'0' * 32}.{base64.urlsafe_b64encode(bytes(32)).decode()}",
        "d_1.99999999999999999999999999999999999999999999.0.0",
        "å.ä.ö.\u2028",
        "\ud800.\udfff",
    ],
)
def test_what_was_made_up_is_none(text: str) -> None:
    refuses(tickets(), text)
