"""The audit chain, its head in the second place, and what an event says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage import chain
from leyr_mcp.server.storage.database import Database
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.seal import Sealer
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import AuditEntry, Store
from tests.server.storage.builders import (
    DRAFTED,
    KEYS,
    NOW,
    PATIENT,
    READ,
    event,
    events,
    known,
    links,
    moved,
    opened,
    sending,
    staged,
    unbroken,
)


async def test_each_link_holds_the_one_before(store: Store) -> None:
    async with opened(store):
        assert await store.audit_rows() == []
        numbers = [await store.append(READ, now=NOW, durable=bool(n % 2)) for n in range(5)]
        await staged(store)
        assert numbers == [1, 2, 3, 4, 5]
        assert await links(store) == 6
        assert [row.seq for row in await store.audit_rows(after=2, limit=3)] == [3, 4, 5]
        assert await store.audit_rows(after=6) == []


async def test_an_event_is_canonical_and_says_what_it_was_given(store: Store) -> None:
    async with opened(store):
        entry = AuditEntry(
            event="read",
            action="R",
            outcome=4,
            fields={"tool": "find_patient", "seq": 99, "ort": "Luleå"},
        )
        await store.append(entry, now=NOW, durable=False)
        (row,) = await store.audit_rows()
        assert row.body.decode() == (
            '{"action":"R","event":"read","ort":"Luleå","outcome":4,"seq":1,'
            '"time":"2026-03-02T09:30:15.123Z","tool":"find_patient"}'
        )


async def test_a_patient_is_sealed_in_its_event_and_found_by_key(store: Store) -> None:
    async with opened(store):
        await store.append(DRAFTED, now=NOW, durable=False)
        await store.append(READ, now=NOW, durable=False)
        first, second = await events(store)
        assert first["patient_key"] == store.patient_key(PATIENT)
        assert chain.open_patient(Sealer(KEYS), first) == PATIENT
        assert chain.open_patient(Sealer(KEYS), second) is None
        with pytest.raises(StorageError):
            chain.open_patient(Sealer(KEYS), first | {"seq": 2})


async def test_what_the_caller_says_of_a_draft_stands(store: Store) -> None:
    async with opened(store):
        entry = AuditEntry(event="file", action="C", outcome=8, fields={"state": "mine"})
        assert await moved(store, await sending(store), "unknown", audit=entry)
        last = (await events(store))[-1]
        assert (last["state"], last["kind"], last["outcome"]) == ("mine", "note", 8)


async def test_a_refused_transaction_leaves_no_event(store: Store) -> None:
    async with opened(store):
        draft = await sending(store)
        before = await store.audit_rows()
        unjson = AuditEntry(event="file", action="C", outcome=0, fields={"odd": object()})
        with pytest.raises(TypeError):
            await moved(store, draft, "filed", audit=unjson)
        assert await store.audit_rows() == before
        assert await known(store, draft.id) == draft


async def test_the_head_stands_beside_the_file_every_hundred_events(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    place = chain.head_path(path)
    store = SqliteStore(path, KEYS)
    assert chain.read_head(place, KEYS) is None
    async with opened(store):
        for _ in range(100):
            await store.append(READ, now=NOW, durable=False)
        rows = await store.audit_rows()  # the head was handed over before
        assert chain.read_head(place, KEYS) == chain.Head(100, 100, rows[-1].mac)
        await staged(store)
        last = (await store.audit_rows(after=100))[-1]
    assert chain.read_head(place, KEYS) == chain.Head(101, 101, last.mac)
    assert set(json.loads(place.read_bytes())) == {"seq", "count", "mac", "proof"}


async def test_another_store_may_append_between_two_events(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as one, opened(SqliteStore(path, KEYS)) as two:
        turns = (one, one, two, one, two, two, one, one)
        numbers = [await store.append(DRAFTED, now=NOW, durable=False) for store in turns]
        assert numbers == list(range(1, 9))
        assert await links(one) == 8


async def test_an_event_follows_what_was_stored_and_not_what_was_taken_back(store: Store) -> None:
    async with opened(store):
        await staged(store)
        unjson = AuditEntry(event="file", action="C", outcome=0, fields={"odd": object()})
        for entry in (READ, unjson):
            with contextlib.suppress(TypeError):
                await store.append(entry, now=NOW, durable=False)
        chain_of = store._chain  # type: ignore[attr-defined]  # this one's own
        chain_of.tip = chain.Tip(7, b"m" * 32)  # as after a transaction that was taken back
        assert await store.append(READ, now=NOW, durable=False) == 3
        assert await links(store) == 3


async def test_a_newer_head_of_another_process_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leyr.db"
    place = chain.head_path(path)
    write = chain.write_head
    met: list[chain.Head] = []

    def slow(place: Path, head: chain.Head, keys: Keys) -> None:
        """Write the first head only after another process has gone on and written its own."""
        met.append(head)
        if len(met) == 1:
            other = Database(path, KEYS, 1)
            other.open()
            other.write(chain.Chain(KEYS, Sealer(KEYS)).append(READ, now=NOW))
            other.put_head()
            other.close()
        write(place, head, keys)

    monkeypatch.setattr(chain, "write_head", slow)
    async with opened(SqliteStore(path, KEYS)) as store:
        await store.append(READ, now=NOW, durable=False)  # the first one hands its head over
        rows = await store.audit_rows()
        assert [head.seq for head in met] == [1, 2, 2]
        assert chain.read_head(place, KEYS) == chain.Head(2, 2, rows[-1].mac)


async def test_events_are_stored_while_their_head_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, release = threading.Event(), threading.Event()

    def wait(_handle: int) -> None:
        held.set()
        assert release.wait(10)

    async with opened(SqliteStore(tmp_path / "leyr.db", KEYS)) as store:
        await store.audit_rows()
        monkeypatch.setattr(os, "fsync", wait)
        await store.append(READ, now=NOW, durable=False)  # the first one hands its head over
        assert await asyncio.to_thread(held.wait, 10)
        numbers = [await store.append(READ, now=NOW, durable=False) for _ in range(250)]
        assert numbers[-1] == 251
        release.set()
        await store.audit_rows()
    head = chain.read_head(tmp_path / "leyr.db.head", KEYS)
    assert head is not None
    assert (head.seq, head.links) == (251, 251)


async def test_nothing_written_leaves_the_head_alone(tmp_path: Path) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as store:
        await store.drafts()
        assert store._worker is not None  # type: ignore[attr-defined]  # this one's own
        await store._worker.run(store._database.put_head)  # type: ignore[attr-defined]  # as above
    assert not chain.head_path(path).exists()


async def test_a_cut_chain_does_not_replace_its_head(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "leyr.db"
    place = chain.head_path(path)
    async with opened(SqliteStore(path, KEYS)) as store:
        for _ in range(5):
            await store.append(READ, now=NOW, durable=False)
    before = place.read_bytes()
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM audit WHERE seq > 3")
    raw.close()
    with caplog.at_level(logging.ERROR):
        async with opened(SqliteStore(path, KEYS)) as store:
            assert await store.append(READ, now=NOW, durable=False) == 4
    assert place.read_bytes() == before
    assert "does not reach its recorded head" in caplog.text


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"seq": 1, "count": 1, "mac": "zz", "proof": ""}', "\udcff"],
)
async def test_a_damaged_head_is_refused_and_left(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "leyr.db"
    place = chain.head_path(path)
    place.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StorageError, match="cannot be read"):
        chain.read_head(place, KEYS)
    async with opened(SqliteStore(path, KEYS)) as store:
        await store.append(READ, now=NOW, durable=False)
    assert place.read_bytes() == text.encode(errors="surrogateescape")
    assert "second place" in caplog.text


def test_a_forged_head_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "head"
    chain.write_head(place, chain.Head(7, 7, b"m" * 32), KEYS)
    assert chain.read_head(place, KEYS) == chain.Head(7, 7, b"m" * 32)
    with pytest.raises(StorageError, match="was changed"):
        chain.read_head(place, Keys(bytes(32)))
    place.write_bytes(place.read_bytes().replace(b'"seq":7', b'"seq":6'))
    with pytest.raises(StorageError, match="was changed"):
        chain.read_head(place, KEYS)


async def test_a_head_that_cannot_be_written_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "leyr.db"
    async with opened(SqliteStore(path, KEYS)) as store:
        chain.head_path(path).mkdir()
        await store.append(READ, now=NOW, durable=False)
    assert "second place" in caplog.text


def test_a_head_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    place = tmp_path / "taken"
    place.mkdir()
    with pytest.raises(OSError, match="taken"):
        chain.write_head(place, chain.Head(1, 1, b""), KEYS)
    assert not list(tmp_path.glob(".*"))


async def test_one_changed_byte_breaks_the_chain(tmp_path: Path) -> None:
    async with opened(SqliteStore(None, KEYS)) as store:
        for _ in range(3):
            await store.append(READ, now=NOW, durable=False)
        rows = await store.audit_rows()
    assert event(rows[1])["seq"] == 2
    with pytest.raises(AssertionError):
        unbroken([rows[0], rows[2]])
