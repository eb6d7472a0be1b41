"""Several nodes on one database: claims, chains, news, first starts, and what each is refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage import chain, migrations
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.migrations import MIGRATIONS, Migration
from leyr_mcp.server.storage.postgres import PostgresStore
from leyr_mcp.server.storage.store import AuditEntry
from tests.server.storage.builders import (
    DONE,
    DRAFTED,
    HOUR,
    KEYS,
    MINUTE,
    NOW,
    READ,
    approved,
    claimed,
    known,
    links,
    moved,
    new,
    opened,
    sending,
    staged,
    unbroken,
    until,
    yes,
)
from tests.server.storage.conftest import Admin, Node
from tests.server.storage.test_canaries import SPELLED, journey
from tests.server.storage.test_processes import ORDER, consistent, started_at, told
from tests.support import postgres

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"


async def place(server: postgres.Server, store: PostgresStore, name: str) -> str:
    """Return how a process of its own finds the same store, as another node."""
    return f"{server.url} {store._schema} {name}"


async def test_two_nodes_send_each_of_500_drafts_once(server: postgres.Server, node: Node) -> None:
    async with opened(node("watch")) as store:
        assert isinstance(store, PostgresStore)
        drafts = {(await approved(store, dedupe=str(n), digest=str(n))).id for n in range(500)}
        seen = await store.commits()
        places = [await place(server, store, name) for name in ("n1", "n1", "n2")]
        said = await told(await started_at("claim", places))
        assert await store.commits() != seen
        sent = Counter(line for lines in said for line in lines)
        assert sent == Counter(f"{draft_id} 1" for draft_id in drafts)
        assert len([lines for lines in said if lines]) >= 2
        assert len(await store.drafts(states=["filed"], limit=1000)) == 500
        # Two processes of one node have one chain, and every node its own.
        assert await store.audit_nodes() == ["n1", "n2", "watch"]
        counts = {
            name: unbroken(await store.audit_rows(node=name, limit=5000), node=name)
            for name in await store.audit_nodes()
        }
        assert counts["watch"] == 1000
        assert counts["n1"] + counts["n2"] == 500


async def test_processes_of_one_node_append_to_one_chain(
    server: postgres.Server, node: Node
) -> None:
    async with opened(node("n1")) as store:
        assert isinstance(store, PostgresStore)
        places = [await place(server, store, "n1")] * 3
        said = await told(await started_at("append", places))
        numbers = sorted(int(line) for lines in said for line in lines)
        assert numbers == list(range(1, 451))
        assert await links(store) == 450


@pytest.mark.parametrize("lines", [3, 41])
async def test_a_killed_node_leaves_whole_transactions(
    server: postgres.Server, node: Node, lines: int
) -> None:
    async with opened(node("n1")) as store:
        assert isinstance(store, PostgresStore)
        (child,) = await started_at("work", [await place(server, store, "n1")])
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"go\n")
        said = [(await child.stdout.readline()).decode().split() for _ in range(lines)]
        child.kill()
        rest, _ = await child.communicate()
        said += [line.split() for line in rest.decode().split("\n")[:-1]]
        await consistent(store)
        for state, draft_id in said:
            if state != "read":
                now = (await known(store, draft_id)).state
                least = ORDER.index("awaiting_approval" if state == "staged" else state)
                assert least <= ORDER.index(now)
        left = await store.drafts(states=["sending"])
        assert await store.expire_leases(now=NOW + HOUR) == len(left) <= 1


async def test_the_same_call_on_four_nodes_makes_one_draft(node: Node) -> None:
    stores = [node(f"n{number}") for number in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        for store in stores:
            await stack.enter_async_context(opened(store))
        drafts = await asyncio.gather(*(staged(store) for store in stores))
        assert len({draft.id for draft in drafts}) == 1
        approvals = [yes(drafts[0], id=f"a{number}") for number in range(4)]
        given = await asyncio.gather(
            *(store.approve(a, now=NOW, audit=DONE) for store, a in zip(stores, approvals))  # noqa: B905
        )
        assert sorted(given) == [False, False, False, True]
        taken = await asyncio.gather(*(claimed(store, owner=store._node) for store in stores))
        (sent,) = filter(None, taken)
        ended = await asyncio.gather(
            *(moved(store, sent, "filed", owner=sent.lease_owner) for store in stores)
        )
        assert sorted(ended) == [False, False, False, True]


async def test_what_another_node_does_is_heard_at_once(node: Node, admin: Admin) -> None:
    async with opened(node("n1")) as one, opened(node("n2")) as two:
        seen = await two.commits()

        async def heard() -> bool:
            return await two.commits() != seen

        await staged(one)
        await until(heard, 5)
        seen = await two.commits()
        mine = await one.commits()
        await one.append(READ, now=NOW, durable=True)  # no draft was changed
        assert await one.commits() != mine
        assert await two.commits() == seen
        # Cut off, it looks for itself until it hears again, and misses nothing.
        listening = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%' AND query LIKE '%' || current_schema() || '%'"
        )
        assert len(await admin.fetch(listening)) == 2
        seen = await two.commits()
        await approved(one, dedupe="b", digest="b")
        await until(heard, 5)

        async def hears() -> bool:
            return await two.commits() == await two.commits()

        await until(hears, 10)
        seen = await two.commits()
        assert await claimed(one)
        await until(heard, 5)


async def test_five_nodes_that_start_first_at_once_agree(node: Node, admin: Admin) -> None:
    stores = [node(f"n{number}") for number in range(5)]
    await asyncio.gather(*(store.open() for store in stores))
    drafts = await asyncio.gather(*(staged(store) for store in stores))
    assert len({draft.id for draft in drafts}) == 1
    taken = await admin.fetch("SELECT number FROM migrations ORDER BY number")
    assert [row[0] for row in taken] == [step.number for step in MIGRATIONS]
    for store in stores:
        await store.open()  # a second time while open
        await store.close()
        await store.close()


async def tables(admin: Admin) -> list[Any]:
    """Return every column there is."""
    query = (
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = current_schema() ORDER BY 1, ordinal_position"
    )
    return [tuple(row) for row in await admin.fetch(query)]


async def test_an_interrupted_step_leaves_the_schema_before_it(
    node: Node, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(node()) as store:
        draft = await staged(store)
    before = await tables(admin)
    good = "ALTER TABLE drafts ADD COLUMN colour TEXT"
    number = MIGRATIONS[-1].number + 1
    for statements in ((good, "CREATE NONSENSE"), (good,)):
        step = Migration(number, "colour", statements)
        monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, step))
        if len(statements) > 1:
            with pytest.raises(StorageError, match="cannot be read or written"):
                await node().open()
            assert await tables(admin) == before
    async with opened(node()) as store:
        assert await known(store, draft.id) == draft
    assert ("drafts", "colour", "text") in await tables(admin)


async def test_another_key_and_a_newer_schema_are_refused_in_one_sentence(
    node: Node, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(node()) as store:
        draft = await staged(store)
    before = await tables(admin)
    step = Migration(MIGRATIONS[-1].number + 1, "more", ("CREATE TABLE more (id TEXT)",))
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, step))
        wrong = node(keys=Keys(bytes(32)))
        with pytest.raises(StorageError, match=r"^The data key is not the one [^.]*\.$"):
            await wrong.open()
    assert await tables(admin) == before  # a wrong key does not change it
    for call in (wrong.drafts(), wrong.commits(), wrong.append(READ, now=NOW, durable=False)):
        with pytest.raises(StorageError, match="not open"):
            await call
    await admin.execute("INSERT INTO migrations VALUES (999, 'later', 0)")
    with pytest.raises(StorageError, match=r"^[^.]*newer leyr-mcp; update this one\.$"):
        await node().open()
    await admin.execute("DELETE FROM migrations WHERE number = 999")
    async with opened(node()) as store:
        assert await known(store, draft.id) == draft


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql:///canary?host={folder}&user=tests", "does not exist"),
        ("postgresql:///postgres?host={folder}&user=canary", "refuses the user"),
        ("postgresql:///postgres?host={folder}/canary", "cannot be reached"),
        ("postgresql:///postgres?host={folder}&port=canary", "is no address"),
        ("postgresql:///postgres?host={folder}&sslmode=canary", "is no address"),
    ],
)
async def test_a_database_that_cannot_be_used_is_told_without_its_address(
    url: str, says: str, server: postgres.Server
) -> None:
    store = PostgresStore(url.format(folder=server.folder), KEYS, schema="x", node="n")
    with pytest.raises(StorageError, match=says) as refused:
        await store.open()
    assert "canary" not in refused.value.message


def test_a_schema_is_a_plain_name() -> None:
    for name in ("", "x; DROP", 'x"', "X", "å", "x" * 64, "1x"):
        with pytest.raises(ValueError, match="a schema is named by"):
            PostgresStore("postgresql://", KEYS, schema=name, node="n")


async def test_no_column_shows_a_patient_at_any_state(
    server: postgres.Server, node: Node, admin: Admin, caplog: pytest.LogCaptureFixture
) -> None:
    async def stored() -> bytes:
        names = [row[0] for row in await admin.fetch(_TABLES)]
        rows = [row for name in names for row in await admin.fetch(f'SELECT * FROM "{name}"')]  # noqa: S608
        values = [value for row in rows for value in row.values()]
        return b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values)

    states = set()
    async with opened(node("n1")) as store:
        async for draft in journey(store):
            states.add(draft.state)
            found = await stored()
            assert [spelling for spelling in SPELLED if spelling in found] == []
    assert len(states) >= 11
    assert isinstance(store, PostgresStore)
    dump = await asyncio.to_thread(server.dump, store._schema)
    assert draft.id.encode() in dump
    assert [spelling for spelling in SPELLED if spelling in dump] == []
    async with opened(store):
        await staged(store, principal=SPELLED[0].decode(), dedupe="x")
    assert SPELLED[0] in await stored()  # the search would find one
    assert SPELLED[0] in await asyncio.to_thread(server.dump, store._schema)
    assert not any(spelling.decode("latin1") in caplog.text for spelling in SPELLED)


async def test_each_commit_is_as_durable_as_it_must_be(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = list[str]()
    execute = asyncpg.Connection.execute

    async def heard(connection: Any, text: str, *values: Any, **more: Any) -> Any:
        if text.endswith("COMMIT") or text.startswith("INSERT"):
            level = await connection.fetchval("SHOW synchronous_commit")
            commits.append(f"{text.split(maxsplit=1)[0]} {level}")
        return await execute(connection, text, *values, **more)

    async with opened(node()) as store:
        monkeypatch.setattr(asyncpg.Connection, "execute", heard)
        draft = await approved(store)
        assert await store.take_due("w1", ["approved"], now=NOW, lease_until=NOW + MINUTE)
        assert await claimed(store)
        assert await moved(store, await known(store, draft.id), "filed", audit=DONE)
        assert await claimed(store) is None
        await store.append(READ, now=NOW, durable=False)
        await store.append(READ, now=NOW, durable=True)
        monkeypatch.undo()
    assert commits == [
        *("NOTIFY on", "NOTIFY on"),  # stage, approve
        "NOTIFY off",  # a lease ends with its process
        *("NOTIFY on", "NOTIFY on"),
        "INSERT off",
        "COMMIT on",
    ]


async def test_what_was_handed_over_is_done_though_nobody_waits(node: Node) -> None:
    store = node()
    async with opened(store):
        for call in (
            store.stage(new(), now=NOW, audit=DRAFTED),
            store.append(READ, now=NOW, durable=False),
        ):
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        # One that fails with nobody waiting disturbs nobody.
        odd = AuditEntry(event="read", action="R", outcome=0, fields={"odd": object()})
        task = asyncio.ensure_future(store.append(odd, now=NOW, durable=True))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with opened(store):
        assert len(await store.drafts()) == 1
        assert await links(store) == 2


async def test_the_head_stands_on_the_node_every_hundred_events(tmp_path: Path, node: Node) -> None:
    place = tmp_path / "n1.head"
    store = node("n1", head=place)
    async with opened(store), opened(node("n2")) as other:
        for _ in range(100):
            await store.append(READ, now=NOW, durable=False)
            await other.append(READ, now=NOW, durable=False)
        rows = await store.audit_rows()

        async def written() -> bool:
            return chain.read_head(place, KEYS) == chain.Head(100, 100, rows[-1].mac)

        await until(written)
        await staged(store)
        last = (await store.audit_rows(after=100))[-1]
    assert chain.read_head(place, KEYS) == chain.Head(101, 101, last.mac)


async def test_a_cut_chain_does_not_replace_its_head(
    tmp_path: Path, node: Node, admin: Admin, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "n1.head"
    async with opened(node("n1", head=place)) as store:
        for _ in range(5):
            await store.append(READ, now=NOW, durable=False)
    before = place.read_bytes()
    await admin.execute("DELETE FROM audit WHERE seq > 3")
    async with opened(node("n1", head=place)) as store:
        assert await store.append(READ, now=NOW, durable=False) == 4
    assert place.read_bytes() == before
    assert "does not reach its recorded head" in caplog.text
    place.write_text("{}")
    async with opened(node("n1", head=place)) as store:
        await store.append(READ, now=NOW, durable=False)
    assert "could not be written to its second place" in caplog.text


async def test_a_lock_that_nobody_gives_back_is_told(node: Node, admin: Admin) -> None:
    store = node(timeout_s=0.3)
    async with opened(store):
        draft = await sending(store)
        async with admin.transaction():
            await admin.execute(store._lock("ledger"))
            with pytest.raises(StorageError, match="locked or too slow; nothing was stored"):
                await moved(store, draft, "filed")
            assert await known(store, draft.id) == draft  # reading waits for nobody
            assert await store.append(READ, now=NOW, durable=False) == 4
        assert await moved(store, draft, "filed")


async def test_a_node_that_hangs_within_a_transaction_is_cut_off(node: Node) -> None:
    hanging, waiting = node("n1", timeout_s=0.3), node("n2")
    async with opened(hanging), opened(waiting):
        async with hanging._main.begun(f"BEGIN; {hanging._lock('ledger')}"):
            assert await staged(waiting)  # within the time that the server gives
        assert await staged(hanging)


async def test_a_link_that_stands_already_is_written_anew(node: Node, admin: Admin) -> None:
    """Two processes of a node may both add the next link, since one of the ways takes no lock."""
    store, twin = node("n1"), node("n1")
    async with opened(store), opened(twin):
        for turn in (store, twin, store, store, twin, twin, store):
            await turn.append(READ, now=NOW, durable=False)
        assert await links(store) == 7
        at_once = asyncio.gather(
            *(s.append(READ, now=NOW, durable=n % 5 == 0) for n in range(40) for s in (store, twin))
        )
        drafts = asyncio.gather(
            *(staged(s, dedupe=str(n)) for n in range(10) for s in (store, twin))
        )
        await asyncio.gather(at_once, drafts)
        assert await links(store) == 97


async def test_events_that_come_together_are_added_together(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = node()
    async with opened(store):
        assert isinstance(store, PostgresStore)
        await store.append(READ, now=NOW, durable=False)
        statements = list[str]()
        once = store._beside.once

        async def heard(text: str, *values: Any) -> int:
            statements.append(text)
            return await once(text, *values)

        monkeypatch.setattr(store._beside, "once", heard)
        added = [store.append(READ, now=NOW, durable=False) for _ in range(150)]
        numbers, _ = await asyncio.gather(asyncio.gather(*added), staged(store))
        assert numbers == sorted(set(numbers))
        assert len(statements) <= 4
        assert await links(store) == 152


async def test_one_that_is_no_event_takes_no_other_with_it(node: Node) -> None:
    odd = AuditEntry(event="read", action="R", outcome=0, fields={"odd": object()})
    store = node()
    async with opened(store):
        await store.append(READ, now=NOW, durable=False)
        found = await asyncio.gather(
            *(store.append(one, now=NOW, durable=False) for one in (READ, odd, READ)),
            return_exceptions=True,
        )
        assert [type(one) for one in found] == [int, TypeError, int]
        assert await store.append(READ, now=NOW, durable=False) == 4
        assert await links(store) == 4


async def test_events_that_wait_are_added_though_the_store_is_closed(node: Node) -> None:
    store = node()
    async with opened(store):
        await store.append(READ, now=NOW, durable=False)
        added = [
            asyncio.ensure_future(store.append(READ, now=NOW, durable=False)) for _ in range(50)
        ]
        await asyncio.sleep(0)
        for one in added[::2]:
            one.cancel()
    found = await asyncio.gather(*added, return_exceptions=True)
    assert {type(one) for one in found} == {int, asyncio.CancelledError}
    with pytest.raises(StorageError, match="not open"):
        await store.append(READ, now=NOW, durable=False)
    async with opened(store):
        assert await links(store) == 51


async def test_two_processes_of_a_node_that_add_many_at_once_share_one_chain(node: Node) -> None:
    store, twin = node("n1"), node("n1")
    async with opened(store), opened(twin):
        turns = [
            one.append(READ, now=NOW, durable=False) for _ in range(100) for one in (store, twin)
        ]
        numbers = await asyncio.gather(*turns)
        assert sorted(numbers) == list(range(1, 201))
        assert await links(store) == 200
