"""Nothing about a patient stands in the clear, in any file, at any state."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import AuditEntry, Change, Draft, State, Store
from tests.server.storage.builders import (
    DAY,
    DRAFTED,
    INTENT,
    KEYS,
    MINUTE,
    NOW,
    known,
    moved,
    new,
    opened,
    sending,
    staged,
    yes,
)

NUMBER = "198001022386"
NAME = "Kanariefågel Testson"
WORDS = "canary finding in the left knee"
CANARIES = (NUMBER, NAME, WORDS, "Kanariefågel", "refused for Testson")
PAYLOAD = f'{{"patient": "{NUMBER}", "name": "{NAME}", "content": "{WORDS}"}}'.encode() * 20
ENTRY = AuditEntry(
    event="draft", action="C", outcome=0, fields={"phase": "x"}, patient=f"se:{NUMBER} {NAME}"
)


def spelled(text: str) -> list[bytes]:
    """Return the ways in which this text could stand in a file."""
    raw = text.encode()
    inner = [base64.b64encode(b"x" * skip + raw)[4:-4] for skip in range(3)]
    return [raw, text.encode("utf-16-le"), raw.hex().encode(), ascii(text)[1:-1].encode(), *inner]


SPELLED = [spelling for canary in CANARIES for spelling in spelled(canary)]


def clear(folder: Path) -> list[bytes]:
    """Return which canaries stand in any file of the folder, or in a name."""
    seen = b"".join(
        path.name.encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )
    return [spelling for spelling in SPELLED if spelling in seen]


async def journey(store: Store) -> AsyncIterator[Draft]:
    """Lead drafts through every state."""
    for state in ("draft", "awaiting_file", "awaiting_approval"):
        draft, _ = await store.stage(
            new(state=state, dedupe=state, digest=state, payload=PAYLOAD), now=NOW, audit=ENTRY
        )
        yield draft
    revised = await store.revise(
        draft.id,
        1,
        digest="d",
        payload=PAYLOAD + PAYLOAD,
        state="awaiting_approval",
        now=NOW,
        audit=ENTRY,
    )
    assert revised is not None
    yield revised
    assert await store.approve(yes(revised), now=NOW, audit=ENTRY)
    yield await known(store, draft.id)
    claimed = await store.claim("w", now=NOW, lease_until=NOW + MINUTE, audit=ENTRY)
    assert claimed is not None
    yield claimed
    change = Change(reason="refused for Testson", job_id="job-1", next_at=NOW)
    assert await moved(store, claimed, "accepted", change=change, audit=ENTRY)
    accepted = await known(store, draft.id)
    yield accepted
    assert await moved(store, accepted, "unknown", change=change)
    yield await known(store, draft.id)
    change = Change(remote_id=NUMBER, matched_by="text", verified="equal")
    assert await moved(store, await known(store, draft.id), "filed", change=change, audit=ENTRY)
    yield await known(store, draft.id)
    ends: tuple[State, ...] = ("needs_human", "declined", "withdrawn")
    for end in ends:
        other = await staged(store, dedupe=f"other {end}", payload=PAYLOAD)
        assert await moved(store, other, end, change=Change(reason="refused for Testson"))
        yield await known(store, other.id)
    await store.expire(now=NOW + 99 * DAY, drafts_before=NOW + 98 * DAY)
    yield await known(store, draft.id)


async def test_no_file_shows_a_patient_at_any_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    with caplog.at_level(logging.DEBUG):
        async with opened(SqliteStore(folder / "leyr.db", KEYS)) as store:
            states = set()
            async for draft in journey(store):
                states.add(draft.state)
                assert clear(folder) == []
                assert not any(canary in repr(draft) for canary in (NAME, WORDS))
            names = {path.name for path in folder.iterdir()}
        assert names == {"leyr.db", "leyr.db-wal", "leyr.db-shm", "leyr.db.head"}
        assert clear(folder) == []
    assert len(states) >= 11
    assert not any(canary in caplog.text for canary in CANARIES)


async def test_the_search_would_find_a_canary(tmp_path: Path) -> None:
    async with opened(SqliteStore(tmp_path / "leyr.db", KEYS)) as store:
        await staged(store, principal=NAME)
        assert NAME.encode() in clear(tmp_path)
    assert NAME.encode() in clear(tmp_path)


async def test_dropped_text_leaves_no_seal_behind(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as store:
        draft = await sending(store, payload=PAYLOAD)
        assert await moved(store, draft, "filed")
        database = store._database._connection  # type: ignore[attr-defined]  # this one's own
        worker = store._worker  # type: ignore[attr-defined]  # as above
        query = "SELECT payload FROM versions"
        (sealed,) = await worker.run(lambda: database._db.execute(query).fetchone())
        await store.expire(now=NOW + DAY, drafts_before=NOW + DAY)
        empty = await worker.run(lambda: database._db.execute(query).fetchone())
        await store.expire(now=NOW + DAY, drafts_before=NOW + DAY)
        assert await worker.run(lambda: database._db.execute(query).fetchone()) == empty
        await store.append(INTENT, now=NOW, durable=True)
    assert sealed[100:140] not in path.read_bytes()
    async with opened(SqliteStore(path, KEYS)) as store:
        assert (await known(store, draft.id)).payload == b""
        await store.stage(new(), now=NOW, audit=DRAFTED)
