"""A process that works on a store until it is done or killed, and tells each step as stored."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from leyr_mcp.server.storage.postgres import PostgresStore
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import Change, Store
from tests.server.storage.builders import (
    DONE,
    INTENT,
    KEYS,
    MINUTE,
    NOW,
    READ,
    moved,
    opened,
    staged,
    yes,
)


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def stage(store: Store) -> None:
    """Stage the same draft as everybody else."""
    draft = await staged(store)
    tell(draft.id)


async def claim(store: Store) -> None:
    """Claim and file whatever there is."""
    owner = str(os.getpid())
    while True:
        draft = await store.claim(owner, now=NOW, lease_until=NOW + MINUTE, audit=INTENT)
        if draft is None:
            return
        tell(draft.id, draft.attempt)
        assert await moved(store, draft, "filed", change=Change(remote_id=draft.id), owner=owner)


async def append(store: Store) -> None:
    """Append, some events durably."""
    for number in range(150):
        tell(await store.append(READ, now=NOW, durable=number % 10 == 0))


async def work(store: Store) -> None:
    """Stage, approve, claim and file, until somebody kills this process."""
    number = 0
    while True:
        number += 1
        key = f"{os.getpid()} {number}"
        draft = await staged(store, dedupe=key, digest=key, payload=os.urandom(3000))
        tell("staged", draft.id)
        assert await store.approve(yes(draft), now=NOW, audit=DONE)
        tell("approved", draft.id)
        sent = await store.claim(
            "w", now=NOW, lease_until=NOW + MINUTE, audit=INTENT, draft_id=draft.id
        )
        assert sent is not None
        tell("sending", draft.id)
        assert await moved(store, sent, "filed", change=Change(remote_id=key), audit=DONE)
        tell("filed", draft.id)
        tell("read", await store.append(READ, now=NOW, durable=False))


def store_at(place: str) -> Store:
    """Return the store in a file, or as a node of a database: `URL SCHEMA NODE`."""
    if not place.startswith("postgresql:"):
        return SqliteStore(Path(place), KEYS, timeout_s=20)
    url, schema, node = place.split()
    return PostgresStore(url, KEYS, schema=schema, node=node, timeout_s=20)


async def main() -> None:
    store = store_at(sys.argv[2])
    async with opened(store):
        tell("ready")
        sys.stdin.readline()
        await {"stage": stage, "claim": claim, "append": append, "work": work}[sys.argv[1]](store)


if __name__ == "__main__":
    asyncio.run(main())
