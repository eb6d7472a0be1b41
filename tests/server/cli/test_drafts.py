"""`leyr-mcp drafts`: the queue as people and programs read it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from leyr_mcp.server.cli import shown
from leyr_mcp.server.filing.timing import utc_now
from tests.support.terminal_seat import PATIENT, Seat


async def test_empty_queue_says_so_and_makes_nothing(sandbox: Seat, tmp_path: Path) -> None:
    ran = await sandbox.run("drafts")
    assert (ran.code, ran.out, ran.err) == (0, "Nothing waits, and nothing needs you.\n", "")
    assert (await sandbox.run("drafts", "--all")).out == "There are no drafts.\n"
    assert (await sandbox.run("drafts", "--json")).json == {"drafts": [], "not_shown": 0}
    assert not list(sandbox.state.glob("*.sqlite3"))
    assert not (tmp_path / "config").exists()


async def test_queue_stands_by_patient(sandbox: Seat) -> None:
    first = await sandbox.draft("Ett.", title="Besök ett")
    second = await sandbox.draft("Ring [namn].", title="Besök två")
    kept = await sandbox.draft("Tre.", "--draft", title="Besök tre")
    ran = await sandbox.run("drafts")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("Tolvan Tolvansson, born 1912-12-12") == 1
    for draft_id, title in ((first, "ett"), (second, "två"), (kept, "tre")):
        assert f"{draft_id}  Note: Besök {title}\n" in ran.out
    assert ran.out.count("waits for approval, less than a minute old") == 2
    assert "draft, less than a minute old" in ran.out
    assert ran.out.count("look at this before approving") == 1
    assert "3 drafts of 1 patient." in ran.out
    assert "leyr-mcp approve DRAFT_ID" in ran.out


async def test_listing_is_an_event_with_the_patient(sandbox: Seat) -> None:
    await sandbox.draft("Ett.")
    await sandbox.draft("Två.")
    await sandbox.run("drafts")
    reads = [
        e for e in await sandbox.events("read") if e.get("client") == {"name": "leyr-mcp drafts"}
    ]
    (event,) = reads
    assert (event["patient"], event["data_categories"]) == (PATIENT, ["drafts"])


async def test_all_shows_what_is_over_too(sandbox: Seat) -> None:
    draft_id = await sandbox.draft()
    await sandbox.run("approve", draft_id, "--yes")
    assert (await sandbox.run("drafts")).out == "Nothing waits, and nothing needs you.\n"
    ran = await sandbox.run("drafts", "--all")
    assert "filed, less than a minute old" in ran.out
    (found,) = (await sandbox.run("drafts", "--all", "--json")).json["drafts"]
    (note,) = sandbox.notes()
    assert (found["status"], found["record_id"]) == ("filed", note.id)
    assert found["patient"].startswith("Tolvan Tolvansson")


async def test_one_patient_is_found_under_any_of_their_ids(sandbox: Seat) -> None:
    draft_id = await sandbox.draft()
    (found,) = (await sandbox.run("drafts", "--patient", PATIENT, "--json")).json["drafts"]
    assert found["draft_id"] == draft_id
    ran = await sandbox.run("drafts", "--patient", "se_personal_number:199006022397", "--json")
    assert (ran.code, ran.json["drafts"]) == (0, [])


async def test_mistyped_patient_is_a_wrong_option(sandbox: Seat) -> None:
    ran = await sandbox.run("drafts", "--patient", "se_personal_number:191212121213")
    assert (ran.code, ran.out) == (2, "")
    assert "191212121213" not in ran.err


async def test_draft_that_needs_a_person_says_why_and_what_to_do(seat: Seat) -> None:
    await seat.stuck()
    ran = await seat.run("drafts")
    assert "needs a person" in ran.out
    assert "The record system refused it" in ran.words
    assert "leyr-mcp resolve DRAFT_ID" in ran.out


async def test_lost_key_is_said_and_not_replaced(sandbox: Seat, tmp_path: Path) -> None:
    await sandbox.draft()
    key = tmp_path / "config" / "leyr-mcp" / "data.key"
    key.unlink()
    ran = await sandbox.run("drafts")
    assert ran.code == 2
    assert "The key of the local store is not where it was" in ran.err
    assert not key.exists()


@pytest.mark.parametrize("columns", [60, 80, 100])
async def test_queue_fits_the_terminal(
    sandbox: Seat, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    await sandbox.draft("Ring [namn].", title="Ett långt namn på en anteckning " * 5)
    ran = await sandbox.run("drafts")
    assert max(len(line) for line in ran.out.splitlines()) <= columns
    assert "\x1b" not in ran.out


@pytest.mark.parametrize(
    ("passed", "says"),
    [
        (timedelta(seconds=-5), "less than a minute"),
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=47), "1 day"),
        (timedelta(days=20), "20 days"),
    ],
)
def test_age_is_rough(passed: timedelta, says: str) -> None:
    now = utc_now()
    assert shown.age(now - passed, now) == says
