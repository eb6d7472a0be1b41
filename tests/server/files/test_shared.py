"""Files that nodes share: taken by one, read by another, proven at each reading, gone in time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leyr_mcp.server.errors import StorageError, StoreAwayError
from leyr_mcp.server.files import shared
from leyr_mcp.server.files.intake import Intake
from leyr_mcp.server.files.roots import Roots
from leyr_mcp.server.files.shared import SharedStaging
from leyr_mcp.server.files.staging import ALONE_S, KEPT_S, PIECE, Staged, copied
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.postgres import PostgresStore
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Store
from tests.support import postgres

KEYS = Keys(bytes(32))
CANARY = b"Tolvan Tolvansson 191212121212 "
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
Make = Callable[..., SharedStaging]


@pytest.fixture(params=["file", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store that two nodes share."""
    found: Store
    if request.param == "postgres":
        server: postgres.Server = request.getfixturevalue("server")
        found = PostgresStore(server.url, KEYS, schema=postgres.new_schema(), node="n1")
    else:
        found = SqliteStore(tmp_path / "leyr.db", KEYS)
    async with AsyncExitStack() as stack:
        await found.open()
        stack.push_async_callback(found.close)
        yield found


@pytest.fixture
def node(store: Store, tmp_path: Path) -> Make:
    """Make the staging of a node, which has a folder of its own."""

    async def opened() -> Store:
        return store

    def make(name: str = "n1", keys: Keys = KEYS, at: datetime = NOW) -> SharedStaging:
        return SharedStaging(tmp_path / name, lambda: keys, opened, clock=lambda: at)

    return make


async def put(place: SharedStaging, *parts: bytes) -> Staged:
    """Stage these bytes and share them."""
    staged = copied(parts, place.writer(), lambda: None)
    await place.share(staged.name)
    return staged


async def whole(place: SharedStaging, name: str) -> bytes:
    """Return a file."""
    return b"".join([piece async for piece in place.read(name)])


@pytest.mark.parametrize("size", [1, PIECE, PIECE + 1, 3 * PIECE + 7])
async def test_what_one_node_takes_another_reads(node: Make, tmp_path: Path, size: int) -> None:
    raw = os.urandom(size)

    kept = await put(node(), raw)

    assert list((tmp_path / "n1").iterdir()) == []
    other = node("n2")
    assert await other.has(kept.name)
    assert [await whole(other, kept.name), await whole(node(), kept.name)] == [raw, raw]


async def test_until_it_is_shared_it_is_the_nodes_own(node: Make) -> None:
    place = node()
    staged = copied([b"own"], place.writer(), lambda: None)

    assert await whole(place, staged.name) == b"own"
    assert await place.has(staged.name)
    assert not await node("n2").has(staged.name)
    with pytest.raises(StorageError, match="gone"):
        await whole(node("n2"), staged.name)


async def test_whoever_has_the_database_alone_reads_nothing(node: Make, store: Store) -> None:
    kept = await put(node(), CANARY * 20_000)

    piece = await store.piece(kept.name, 0)
    assert piece
    assert CANARY.strip() not in piece.sealed
    with pytest.raises(StorageError, match="changed"):
        await whole(node(keys=Keys(bytes(31) + b"1")), kept.name)


@pytest.mark.parametrize(
    ("order", "last"),
    [
        ([0, 1], 1),
        ([0], 0),
        ([1, 0, 2], 2),
        ([0, 0, 1, 2], 3),
        ([0, 2], 1),
        ([0, 1, 2, 2], 3),
        ([0, 1, 2], 1),
    ],
)
async def test_no_other_order_of_its_pieces_opens(
    node: Make, store: Store, order: list[int], last: int
) -> None:
    kept = await put(node(), os.urandom(2 * PIECE + 100))
    pieces = [await store.piece(kept.name, number) for number in range(3)]
    await store.drop_pieces(kept.name)
    for number, chosen in enumerate(order):
        piece = pieces[chosen]
        assert piece
        await store.put_piece(kept.name, number, piece.sealed, last=number == last, now=NOW)

    with pytest.raises(StorageError, match="changed"):
        await whole(node("n2"), kept.name)


async def test_a_file_that_did_not_come_whole_is_not_there(node: Make, store: Store) -> None:
    kept = await put(node(), os.urandom(PIECE + 1))
    first = await store.piece(kept.name, 0)
    assert first
    await store.drop_pieces(kept.name)
    await store.put_piece(kept.name, 0, first.sealed, last=False, now=NOW)

    assert not await node().has(kept.name)
    with pytest.raises(StorageError, match="gone"):
        await whole(node(), kept.name)


async def test_dropped_by_one_it_is_gone_for_all(node: Make) -> None:
    kept = await put(node(), b"x")

    await node("n2").drop(kept.name)
    await node("n2").drop(kept.name)

    assert not await node().has(kept.name)


async def test_what_waits_for_a_day_is_swept_and_sooner_what_nothing_waits_for(
    node: Make, tmp_path: Path
) -> None:
    ages = {"old": KEPT_S, "young": KEPT_S - 1, "alone": ALONE_S, "new": ALONE_S - 1}
    kept = {
        name: await put(node(at=NOW - timedelta(seconds=age)), name.encode())
        for name, age in ages.items()
    }
    awaited = {kept["old"].name, kept["young"].name}

    assert await node("n2").sweep(awaited, now_s=NOW.timestamp()) == 2

    left = {name for name, staged in kept.items() if await node().has(staged.name)}
    assert left == {"young", "new"}
    assert list((tmp_path / "n1").iterdir()) == []


async def test_there_is_an_end_to_how_many_wait(
    node: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "MOST", 2)
    await put(node(), b"1")
    await put(node("n2"), b"2")

    with pytest.raises(StorageError) as failed:
        await put(node(), b"3")

    assert failed.value.code == "storage_full"
    assert "decide" in failed.value.next_step


async def test_what_cannot_be_shared_is_not_kept(
    node: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "MOST", 0)
    intake = Intake(node(), Roots(()))

    with pytest.raises(StorageError, match="Too many files"):
        await intake.from_text("Mår bra.")

    assert list((tmp_path / "n1").iterdir()) == []


async def test_a_store_that_is_away_says_nothing_of_a_file(node: Make, store: Store) -> None:
    kept = await put(node(), b"x")
    await store.close()

    with pytest.raises(StoreAwayError):
        await whole(node(), kept.name)
