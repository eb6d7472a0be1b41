"""What the desk lists: every draft that can be opened, and a line in the log of one that cannot."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.audit import Who, local_user
from leyr_mcp.server.filing.entries import Entry, Proposal
from leyr_mcp.server.filing.payloads import NoteItem
from leyr_mcp.server.storage.store import Draft
from tests.support.mcp_asking import NOTE, Asking, asking

ME = Who(subject=local_user())


async def stage(it: Asking, text: str) -> Entry:
    """Return a draft of a note that waits for a person."""
    note = NoteItem(
        title=NOTE["title"], template_id="leyr_unstructured", content={"unstructured": text}
    )
    patient = it.app.context.patient_ref(NOTE["patient_id"])
    return await it.desk.stage(Proposal(care_unit_id="L0_1", item=note, patient=patient), ME)


async def test_draft_whose_text_was_deleted_is_listed_no_more() -> None:
    async with asking("auto") as it:
        old = await stage(it, "Mår bra.")
        it.clock.later(days=31)
        fresh = await stage(it, "Mår bättre.")
        now = it.clock()
        await (await it.stored()).expire(now=now, drafts_before=now - timedelta(days=30))

        listed = await it.desk.entries(ME, states=("expired", "awaiting_approval"))
        assert [entry.id for entry in listed] == [fresh.id]
        with pytest.raises(InputError) as gone:
            await it.desk.entry(old.id, ME)
        assert (gone.value.code, gone.value.field) == ("not_found", "draft_id")
        assert "deleted when its time was over; it is expired" in gone.value.message


async def test_damaged_draft_hides_no_other_and_is_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking("auto") as it:
        damaged = await stage(it, "Mår bra.")
        sound = await stage(it, "Mår bättre.")
        store = await it.stored()
        drafts = store.drafts

        async def changed(**known: Any) -> Sequence[Draft]:
            return [
                dataclasses.replace(draft, payload=draft.payload + b" ")
                if draft.id == damaged.id
                else draft
                for draft in await drafts(**known)
            ]

        monkeypatch.setattr(store, "drafts", changed)
        assert [entry.id for entry in await it.desk.entries(ME)] == [sound.id]
    assert f"draft {damaged.id} cannot be read" in caplog.text
    assert sound.id not in caplog.text
    assert "Tolvan" not in caplog.text
    assert "bra" not in caplog.text
