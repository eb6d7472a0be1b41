"""Proving a chain: every kind of damage is found, named and placed; the whole is read once."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyr_mcp.server.filing.verify import Finding, Verdict, Verifier, verify, verify_store
from leyr_mcp.server.storage import chain
from leyr_mcp.server.storage.chain import START, Head, canonical, link
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import AuditEntry, AuditRow

KEYS, OTHERS = Keys(bytes(32)), Keys(bytes(31) + b"\x01")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
Chain = list[AuditRow]


def links(count: int, keys: Keys = KEYS, *, word: str = "read", prev: bytes = START) -> Chain:
    """Return a chain as the store writes it."""
    key, made = keys.derive("audit"), []
    for seq in range(1, count + 1):
        body = canonical({"seq": seq, "event": word, "outcome": 0})
        mac = link(key, seq, prev, body)
        made.append(AuditRow(seq=seq, body=body, prev=prev, mac=mac))
        prev = mac
    return made


def head_of(rows: Chain) -> Head:
    return Head(rows[-1].seq, len(rows), rows[-1].mac)


def renumbered(rows: Chain) -> Chain:
    return [replace(row, seq=seq) for seq, row in enumerate(rows, 1)]


def told(rows: Chain, head: Head | None = None) -> list[tuple[str, int, int]]:
    return [(f.fault, f.seq, f.count) for f in verify(rows, KEYS, head).findings]


def forged(seq: int, prev: bytes = b"\x07" * 32) -> AuditRow:
    body = canonical({"seq": seq, "event": "read", "outcome": 0})
    return AuditRow(seq=seq, body=body, prev=prev, mac=b"\x08" * 32)


def changed(rows: Chain, seq: int, **what: object) -> Chain:
    return [replace(row, **what) if row.seq == seq else row for row in rows]  # type: ignore[arg-type]


TEN = links(10)
HEAD = head_of(TEN)
EDITED = canonical({"seq": 5, "event": "search", "outcome": 0})


def without(*seqs: int) -> Chain:
    return [row for row in TEN if row.seq not in seqs]


def swapped(one: int, other: int) -> Chain:
    rows = TEN[:]
    rows[one - 1], rows[other - 1] = rows[other - 1], rows[one - 1]
    return renumbered(rows)


DAMAGE: dict[str, tuple[Chain, list[tuple[str, int, int]]]] = {
    "body edited": (changed(TEN, 5, body=EDITED), [("edited", 5, 1)]),
    "code edited": (changed(TEN, 5, mac=b"x" * 32), [("edited", 5, 1)]),
    "body and code edited": (changed(TEN, 5, body=EDITED, mac=b"x" * 32), [("edited", 5, 1)]),
    "link edited": (changed(TEN, 5, prev=b"x" * 32), [("edited", 5, 1)]),
    "body emptied": (changed(TEN, 5, body=b""), [("edited", 5, 1)]),
    "body of another type": (changed(TEN, 5, body="text"), [("edited", 5, 1)]),
    "body names a number too large": (
        changed(TEN, 5, body=canonical({"seq": 2**70})), [("edited", 5, 1)],
    ),
    "body names no number": (changed(TEN, 5, body=canonical({"seq": "5"})), [("edited", 5, 1)]),
    "two edited": (changed(changed(TEN, 3, body=EDITED), 7, body=b"7"),
                   [("edited", 3, 1), ("edited", 7, 1)]),
    "neighbours edited": (changed(changed(TEN, 4, body=b"4"), 5, body=b"5"), [("edited", 4, 2)]),
    "first edited": (changed(TEN, 1, body=EDITED), [("edited", 1, 1)]),
    "last edited": (changed(TEN, 10, body=EDITED), [("edited", 10, 1)]),
    "first link edited": (changed(TEN, 1, prev=b"x" * 32), [("edited", 1, 1)]),
    "one deleted": (without(5), [("deleted", 5, 1)]),
    "some deleted": (without(4, 5, 6), [("deleted", 4, 3)]),
    "apart deleted": (without(4, 7), [("deleted", 4, 1), ("deleted", 7, 1)]),
    "deleted and renumbered": (renumbered(without(5)), [("deleted", 5, 1)]),
    "some deleted and renumbered": (renumbered(without(5, 6)), [("deleted", 5, 2)]),
    "apart deleted and renumbered": (renumbered(without(3, 7)),
                                     [("deleted", 3, 1), ("deleted", 6, 1)]),
    "deleted and the next edited": (changed(without(5), 6, body=b"6"),
                                    [("deleted", 5, 1), ("edited", 6, 1)]),
    "start deleted": (without(1), [("start", 2, 1)]),
    "start deleted and renumbered": (renumbered(without(1, 2)), [("deleted", 1, 2)]),
    "one put in": (renumbered([*TEN[:4], forged(5), *TEN[4:]]), [("inserted", 5, 1)]),
    "two put in": (renumbered([*TEN[:4], forged(5), forged(6), *TEN[4:]]), [("inserted", 5, 2)]),
    "put in at the start": (renumbered([forged(1), *TEN]), [("inserted", 1, 1)]),
    "put in at the end": ([*TEN, forged(11, TEN[-1].mac)], [("edited", 11, 1)]),
    "copy at the end": ([*TEN, replace(TEN[4], seq=11)], [("inserted", 11, 1)]),
    "copy in the middle": (renumbered([*TEN[:6], TEN[2], *TEN[6:]]), [("inserted", 7, 1)]),
    "put in the place of a deleted one": ([*TEN[:4], forged(5), *TEN[5:]], [("edited", 5, 1)]),
    "one put in, one edited": (
        renumbered([*TEN[:4], forged(5), forged(6), *TEN[5:]]),
        [("inserted", 5, 1), ("edited", 6, 1)],
    ),
    "one put in, one deleted later": (
        renumbered([*TEN[:3], forged(4), *TEN[3:7], *TEN[8:]]),
        [("inserted", 4, 1), ("deleted", 9, 1)],
    ),
    "one deleted, one put in later": (
        renumbered([*TEN[:3], *TEN[4:7], forged(7), *TEN[7:]]),
        [("deleted", 4, 1), ("inserted", 7, 1)],
    ),
    "edited, then all the rest deleted but one": (
        renumbered([*TEN[:3], forged(4), TEN[9]]), [("edited", 4, 1), ("deleted", 5, 5)],
    ),
    "neighbours swapped": (swapped(5, 6), [("reordered", 5, 2)]),
    "apart swapped": (swapped(3, 8), [("reordered", 3, 1), ("reordered", 8, 1)]),
    "order turned": (renumbered(TEN[::-1]), [("reordered", 1, 10)]),
    "out of order": ([*TEN[:5], TEN[3], *TEN[5:]], [("reordered", 4, 1), ("deleted", 5, 1)]),
    "rewritten with another key": (links(10, OTHERS), [("rewritten", 1, 10)]),
    "end rewritten with another key": (
        [*TEN[:6], *changed(links(10, OTHERS)[6:], 7, prev=TEN[5].mac)], [("rewritten", 7, 4)],
    ),
    "two histories of the same key": ([*TEN[:6], *links(10, word="search")[6:]],
                                      [("rewritten", 7, 1)]),
    "first link broken": (links(3, prev=b"x" * 32), [("start", 1, 1)]),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "expected"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named_and_placed(rows: Chain, expected: list[tuple[str, int, int]]) -> None:
    assert told(rows) == expected


@pytest.mark.parametrize("rows", [rows for rows, _ in DAMAGE.values()], ids=DAMAGE.keys())
def test_damage_is_found_with_a_head_too(rows: Chain) -> None:
    assert told(rows, HEAD)


@pytest.mark.parametrize("left", range(10))
def test_cut_end_shows_by_the_head_alone(left: int) -> None:
    cut = TEN[:left]
    assert told(cut) == []
    assert told(cut, HEAD) == [("cut", left + 1, 10 - left)]


def test_cut_end_is_told_beside_other_damage() -> None:
    assert told(changed(TEN[:8], 5, body=EDITED), HEAD) == [("edited", 5, 1), ("cut", 9, 2)]
    assert told(without(5)[:-1], HEAD) == [("deleted", 5, 1), ("cut", 10, 1)]


def test_what_was_deleted_and_renumbered_is_not_told_twice() -> None:
    assert told(renumbered(without(5)), HEAD) == [("deleted", 5, 1)]


def test_history_rewritten_with_the_key_shows_by_the_head() -> None:
    other = links(12, word="search")
    assert told(other) == []
    assert told(other, HEAD) == [("rewritten", 10, 1)]


@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_whole_chain_is_intact_up_to_its_head_and_beyond(count: int) -> None:
    rows = links(count)
    for head in (None, *(head_of(rows[:at]) for at in range(1, count + 1))):
        verdict = verify(rows, KEYS, head)
        assert verdict == Verdict(
            count=count, last=count, findings=(), against_head=head is not None
        )
        assert verdict.intact


def test_one_link_alone_with_another_key_is_edited() -> None:
    assert told(links(1, OTHERS)) == [("edited", 1, 1)]


def test_findings_are_bounded() -> None:
    rows = [row if row.seq % 2 else replace(row, body=b"x") for row in links(200)]
    assert len(told(rows)) == 20
    shuffled = renumbered([row for row in links(300) if row.seq % 3])
    assert len(told(shuffled)) == 20


@pytest.mark.parametrize(
    ("finding", "says"),
    [
        (Finding("edited", 5), "Event 5 was changed, or added at the end."),
        (Finding("deleted", 5, 3), "Event 5 (and 2 more) is missing."),
        (Finding("cut", 11), "Event 11 is missing at the end."),
    ],
)
def test_finding_is_a_sentence(finding: Finding, says: str) -> None:
    assert finding.message == says


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_change_stays_hidden(data: st.DataObject) -> None:
    """Whatever is done to the rows, without the key it shows."""
    rows = TEN[:]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(rows) - 1))
        step = data.draw(st.sampled_from(["drop", "copy", "swap", "body", "mac", "prev"]))
        if step == "drop" and len(rows) > 1:
            rows.pop(at)
        elif step == "copy":
            rows.insert(data.draw(st.integers(0, len(rows))), rows[at])
        elif step == "swap":
            other = data.draw(st.integers(0, len(rows) - 1))
            rows[at], rows[other] = rows[other], rows[at]
        elif step in ("body", "mac", "prev"):
            old: bytes = getattr(rows[at], step)
            new = bytes([old[0] ^ 1]) + old[1:]
            rows[at] = replace(rows[at], **{step: new})  # type: ignore[arg-type]
    if data.draw(st.booleans()):
        rows = renumbered(rows)
    same = rows == TEN
    assert verify(rows, KEYS, HEAD).intact is same


def test_pages_may_be_cut_anywhere() -> None:
    for rows, _ in DAMAGE.values():
        for size in (1, 3, 100):
            verifier = Verifier(KEYS, HEAD)
            for at in range(0, len(rows), size):
                verifier.feed(rows[at : at + size])
            assert verifier.verdict() == verify(rows, KEYS, HEAD)


async def test_chain_of_a_store_is_proved_against_its_second_place(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    store = SqliteStore(path, KEYS)
    await store.open()
    for number in range(250):
        entry = AuditEntry(event="read", action="R", outcome=0, patient=f"emr_id:{number}")
        await store.append(entry, now=NOON, durable=False)
    await store.close()
    head = chain.read_head(chain.head_path(path), KEYS)
    assert head is not None
    assert head.seq == 250
    again = SqliteStore(path, KEYS)
    await again.open()
    verdict = await verify_store(again, KEYS, head)
    assert verdict == Verdict(count=250, last=250, findings=(), against_head=True)
    assert not (await verify_store(again, OTHERS, None)).intact
    await again.close()


def measured(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


async def test_proving_costs_at_most_twice_reading_and_one_code_each(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "db.sqlite3", KEYS)
    await store.open()
    entry = AuditEntry(
        event="read",
        action="R",
        outcome=0,
        fields={"user": {"issuer": "local", "subject": "x"}, "data_categories": ["notes"]},
        patient="emr_id:1",
    )
    for _ in range(3_000):
        await store.append(entry, now=NOON, durable=False)
    pages = []
    after = 0
    while page := await store.audit_rows(after=after):
        pages.append(page)
        after = page[-1].seq
    key = KEYS.derive("audit")

    def bare() -> None:
        for page in pages:
            for row in page:
                link(key, row.seq, row.prev, row.body)

    def proved() -> None:
        verifier = Verifier(KEYS, Head(3_000, 3_000, pages[-1][-1].mac))
        for page in pages:
            verifier.feed(page)
        assert verifier.verdict().intact

    best = max(measured(bare) / measured(proved) for _ in range(5))
    await store.close()
    assert best >= 0.5


def test_memory_does_not_grow_with_the_chain() -> None:
    key = KEYS.derive("audit")

    def endless(count: int) -> Iterator[AuditRow]:
        prev = START
        for seq in range(1, count + 1):
            body = json.dumps({"seq": seq, "pad": "x" * 200}).encode()
            mac = link(key, seq, prev, body)
            # Every other one is damaged, so that the slow way is measured too.
            yield AuditRow(seq=seq, body=body if seq % 2 else body + b" ", prev=prev, mac=mac)
            prev = mac

    peaks = []
    for count in (500, 5_000):
        tracemalloc.start()
        assert not verify(endless(count), KEYS).intact
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 50_000
