"""The store that the bench fills is a valid one, and what is concluded from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure import P50, P99, Samples
from bench.stores import CONTROL, EMPTY, FULL, StorePlan, as_json, exit_code, fill, table
from leyr_mcp.server.storage import chain
from leyr_mcp.server.storage.sqlite import SqliteStore
from tests.server.storage.builders import KEYS, opened, unbroken

PLAN = StorePlan(drafts=3, events=25)


async def test_filled_store_is_as_valid_as_one_that_grew(tmp_path: Path) -> None:
    path = tmp_path / "state" / "leyr.db"
    fill(path, KEYS, PLAN)
    async with opened(SqliteStore(path, KEYS)) as store:
        drafts = await store.drafts()
        rows = await store.audit_rows()
        assert unbroken(rows) == 25
        assert {draft.state for draft in drafts} == {"awaiting_approval"}
        assert len({draft.id for draft in drafts}) == 3
        assert all(draft.payload.startswith(b"{") for draft in drafts)
    assert chain.read_head(chain.head_path(path), KEYS) == chain.Head(25, 25, rows[-1].mac)


def samples(full: float, control: float) -> Samples:
    found = Samples(rounds=3)
    for drift in (1.0, 4.0, 0.5):
        for measure in (P50, P99):
            for name, factor in ((FULL, full), (EMPTY, 1.0), (CONTROL, control)):
                found.add(measure, name, [factor * drift * 0.001] * 2)
    return found


@pytest.mark.parametrize(
    ("full", "control", "code", "word"),
    [
        (1.1, 1.0, 0, "PASS"),
        (1.3, 1.05, 1, "FAIL"),
        (1.1, 1.2, 3, "INCONCLUSIVE"),
        (1.3, 0.8, 3, "INCONCLUSIVE"),
    ],
)
def test_gate_is_the_slowest_calls_and_needs_its_control(
    full: float, control: float, code: int, word: str
) -> None:
    found = samples(full, control)
    assert exit_code(found) == code
    assert table(found, PLAN, 1.0).splitlines()[-1].startswith(word)
    assert as_json(found, PLAN, 1.0)["gate"]["verdict"] == word
