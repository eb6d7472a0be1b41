"""`leyr-mcp approve`: what is shown, who may approve, and that only what was read is filed."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from leyr_mcp.server.cli import approve as command
from leyr_mcp.server.cli import file, typed
from leyr_mcp.server.cli.desk import Office
from leyr_mcp.server.errors import InputError
from leyr_mcp.server.filing.entries import Entry, Person
from leyr_mcp.server.storage.store import State
from tests.support.mcp_asking import NOTE, asking
from tests.support.terminal_seat import APPROVER, NO_SUCH, PATIENT, PHRASE, Seat


async def test_person_reads_says_yes_and_types_the_passphrase(seat: Seat) -> None:
    draft_id = await seat.draft("Rad ett.\n   indrag\nRad tre.", expect="Tolvansson")
    ran = await seat.sit("approve", draft_id, answers="yes\n")
    assert (ran.code, ran.err) == (0, "")
    assert seat.prompts == [f"Passphrase of {APPROVER}: "]
    assert "  | Rad ett.\n  |    indrag\n  | Rad tre.\n" in ran.out
    shown = [line for line in ran.out.splitlines() if line.startswith("Patient")]
    assert len(shown) == 2
    assert all("Tolvan Tolvansson, born 1912-12-12" in line for line in shown)
    (note,) = seat.notes("indrag")
    assert f"id {note.id}." in ran.words
    assert "sign it in the record system" in ran.words
    (event,) = await seat.events("approve")
    assert (event["user"]["name"], event["channel"], event["outcome"]) == (APPROVER, "terminal", 0)


async def test_document_is_shown_with_its_first_page_and_filed(seat: Seat) -> None:
    call = {"patient_id": PATIENT, "title": "Intyg", "text": "Frisk sedan m\u00e5ndag."}
    ran = await seat.run(
        "file", "-", "--json", "--tool", "attach_document", script=json.dumps(call)
    )
    ran = await seat.sit("approve", ran.json["draft_id"], answers="yes\n")
    assert ran.code == 0
    assert "plain text, 20 bytes (text/plain)" in ran.words
    assert "  | Frisk sedan måndag.\n" in ran.out
    assert seat.box is not None
    found = seat.box.control.documents("191212121212")
    assert [d.content.decode() for d in found if d.title == "Intyg"] == ["Frisk sedan måndag."]


async def test_document_without_its_file_cannot_be_approved_but_declined(seat: Seat) -> None:
    call = {"patient_id": PATIENT, "title": "Intyg"}
    ran = await seat.run(
        "file", "-", "--json", "--tool", "attach_document", script=json.dumps(call)
    )
    assert ran.json["status"] == "awaiting_file"
    draft_id = ran.json["draft_id"]
    ran = await seat.sit("approve", draft_id, answers="yes\n")
    assert ran.code == 1
    assert f"waits for its file. Choose it with: leyr-mcp review {draft_id}" in ran.err
    assert "waits for its file" in (await seat.run("drafts")).words
    ran = await seat.run("approve", draft_id, "--decline", "--yes")
    assert ran.code == 0
    assert (await seat.run("drafts", "--json")).json["drafts"] == []


async def test_wrong_passphrase_files_nothing_and_is_an_event(seat: Seat) -> None:
    draft_id = await seat.draft()
    ran = await seat.sit("approve", draft_id, answers="y\n", phrase="a guess")
    assert ran.code == 1
    said = "leyr-mcp: That is not the passphrase. 4 guesses left. Nothing was filed.\n"
    assert ran.err == said
    assert seat.notes() == []
    (event,) = await seat.events("approve")
    assert (event["outcome"], event["error"], event["cause"]) == (
        4,
        "invalid_argument",
        "passphrase_wrong",
    )
    assert (event["draft_id"], event["patient"]) == (draft_id, PATIENT)
    assert (await seat.run("drafts", "--json")).json["drafts"][0]["status"] == "awaiting_approval"


async def test_sixth_try_is_locked_even_with_the_right_passphrase(seat: Seat) -> None:
    draft_id = await seat.draft()
    for _ in range(5):
        await seat.run("approve", draft_id, "--passphrase-stdin", script="a guess\n")
    ran = await seat.run("approve", draft_id, "--passphrase-stdin", script=f"{PHRASE}\n")
    assert ran.code == 1
    assert "Too many wrong passphrases. Try again in 15 minutes. Nothing was filed." in ran.err
    assert seat.notes() == []
    causes = [event["cause"] for event in await seat.events("approve")]
    assert causes == ["passphrase_wrong"] * 4 + ["passphrase_locked"] * 2


async def test_script_approves_every_named_draft_with_one_line(seat: Seat) -> None:
    ids = [await seat.draft("Ett."), await seat.draft("Två.")]
    ran = await seat.run(
        "approve", *ids, ids[0], "--passphrase-stdin", "--json", script=f"{PHRASE}\r\nrest\n"
    )
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["filed"] == 2
    assert [result["draft_id"] for result in ran.json["results"]] == ids
    for text, result in zip(("Ett.", "Två."), ran.json["results"], strict=True):
        (note,) = seat.notes(text)
        assert result == {
            "draft_id": result["draft_id"],
            "version": 1,
            "kind": "note",
            "status": "filed",
            "record_id": note.id,
            "verified": "equal",
        }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "Nobody can be asked without a terminal; scripts use --passphrase-stdin."),
        (["--yes"], "--yes approves in the sandbox alone"),
    ],
)
async def test_nobody_to_ask_is_refused(seat: Seat, options: list[str], says: str) -> None:
    draft_id = await seat.draft()
    ran = await seat.run("approve", draft_id, *options)
    assert ran.code == 2
    assert says in ran.err
    assert seat.notes() == []


async def test_read_only_files_nothing_and_lets_decline(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft_id = await seat.draft()
    monkeypatch.setenv("LEYR_MCP_READ_ONLY", "true")
    ran = await seat.run("approve", draft_id, "--passphrase-stdin", script=f"{PHRASE}\n")
    assert (ran.code, "LEYR_MCP_READ_ONLY" in ran.err) == (2, True)
    assert seat.notes() == []
    assert (await seat.run("approve", draft_id, "--decline", "--yes")).code == 0


async def test_script_whose_stdin_is_empty_files_nothing(seat: Seat) -> None:
    draft_id = await seat.draft()
    ran = await seat.run("approve", draft_id, "--passphrase-stdin")
    assert ran.code == 1
    assert "ended too early" in ran.err
    assert seat.notes() == []


async def test_no_passphrase_set_is_said_before_anything_is_asked(seat: Seat) -> None:
    draft_id = await seat.draft()
    (seat.state / "approver.json").unlink()
    ran = await seat.sit("approve", draft_id, answers="yes\n")
    assert (ran.code, ran.out) == (1, "")
    assert "Set one with: leyr-mcp passphrase" in ran.err
    assert seat.prompts == []


async def test_some_of_many(seat: Seat) -> None:
    ids = [await seat.draft("Ett."), await seat.draft("Två."), await seat.draft("Tre.")]
    ran = await seat.sit("approve", "--all", answers="yes\nwhat\nno\nyes\n")
    assert ran.code == 1
    assert [len(seat.notes(text)) for text in ("Ett.", "Två.", "Tre.")] == [1, 0, 1]
    assert len(seat.prompts) == 1
    assert "Type yes, no, quit, or the first letter." in ran.out
    assert "1 draft is left as it is." in ran.out
    assert ran.out.index(ids[0]) < ran.out.index(ids[1])  # the one that waits longest first


@pytest.mark.parametrize("answers", ["no\nno\n", "yes\nquit\n", "yes\n", ""])
async def test_none_of_many(seat: Seat, answers: str) -> None:
    await seat.draft("Ett.")
    await seat.draft("Två.")
    ran = await seat.sit("approve", "--all", answers=answers)
    assert ran.code == 1
    assert ran.err == "leyr-mcp: Nothing was filed.\n"
    assert seat.notes("Ett.") + seat.notes("Två.") == []
    assert seat.prompts == []


async def test_draft_that_changes_while_it_is_read_is_not_filed(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft_id = await seat.draft("Som läst.")
    real = Office.asked_for_passphrase
    revised = {
        "patient_id": PATIENT, "title": "Besök", "content": "Annat.", "draft_id": draft_id,
    }  # fmt: skip

    def meanwhile(office: Office, entries: Sequence[Entry]) -> Person:
        path = seat.state / "revised.json"
        path.write_text(json.dumps(revised), encoding="utf-8")
        assert file.main([str(path)]) == 0
        return real(office, entries)

    monkeypatch.setattr(Office, "asked_for_passphrase", meanwhile)
    ran = await seat.sit("approve", draft_id, answers="yes\n")
    assert ran.code == 1
    assert "changed or decided on after you read it" in ran.words
    assert "waits for approval, version 2" in ran.words
    assert seat.notes("Som läst.") + seat.notes("Annat.") == []


async def test_next_version_shows_what_changed(seat: Seat) -> None:
    draft_id = await seat.draft("Ett.\nTvå.")
    await seat.draft("Ett.\nTre.", draft_id=draft_id, title="Återbesök")
    ran = await seat.sit("approve", draft_id, answers="no\n")
    part = ran.out[ran.out.index("Changed since version 1") :]
    assert "  - Besök\n  + Återbesök\n" in part
    assert "    Ett.\n  - Två.\n  + Tre.\n" in part


async def test_finding_is_shown_before_the_question(seat: Seat) -> None:
    draft_id = await seat.draft("Ring [namn].")
    ran = await seat.sit("approve", draft_id, answers="yes\n")
    assert ran.code == 0
    assert "Look at this" in ran.out
    assert ran.out.index("Look at this") < ran.out.index("File it?")


async def test_lost_answer_ends_as_filed_once(seat: Seat) -> None:
    draft_id = await seat.draft()
    seat.fail(kind="reset_after")
    ran = await seat.run("approve", draft_id, "--passphrase-stdin", script=PHRASE)
    assert ran.code == 0
    assert len(seat.notes()) == 1


async def test_refused_by_the_record_system_needs_a_person(seat: Seat) -> None:
    draft_id = await seat.draft()
    seat.fail(kind="emr_401")
    ran = await seat.sit("approve", draft_id, answers="yes\n")
    assert ran.code == 1
    assert "needs you" in ran.out
    assert f"leyr-mcp resolve {draft_id}" in ran.words
    again = await seat.run("approve", draft_id, "--passphrase-stdin", script=PHRASE)
    assert again.code == 1
    assert f"needs a person. Decide with: leyr-mcp resolve {draft_id}" in again.err


async def test_still_under_way_after_a_minute_is_said(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leyr_mcp.server.cli.desk.WAIT_S", 0.05)
    draft_id = await seat.draft()
    seat.fail(kind="latency", seconds=0.6)
    ran = await seat.run("approve", draft_id, "--passphrase-stdin", script=PHRASE)
    assert ran.code == 1
    assert "under way" in ran.out
    assert "Do not write it again." in ran.words
    assert len(seat.notes()) == 1


async def test_filed_before_is_told_again_and_not_sent_again(seat: Seat) -> None:
    draft_id = await seat.draft()
    for _ in range(2):
        ran = await seat.run("approve", draft_id, "--passphrase-stdin", "--json", script=PHRASE)
        assert (ran.code, ran.json["filed"]) == (0, 1)
    assert len(seat.notes()) == 1
    assert len(await seat.events("approve")) == 1


async def test_draft_that_nobody_was_asked_about_can_be_approved(seat: Seat) -> None:
    draft_id = await seat.draft("Mår bra.", "--draft")
    ran = await seat.run("approve", draft_id, "--passphrase-stdin", script=PHRASE)
    assert ran.code == 0
    assert len(seat.notes()) == 1


async def test_declining_needs_no_passphrase_and_files_nothing(seat: Seat) -> None:
    first, second = await seat.draft("Ett."), await seat.draft("Två.")
    ran = await seat.sit("approve", first, "--decline", answers="yes\n")
    assert ran.code == 0
    assert "Decline it?" in ran.out
    ran = await seat.run("approve", second, "--decline", "--yes", "--json")
    assert [result["status"] for result in ran.json["results"]] == ["declined"]
    assert seat.prompts == []
    assert seat.notes("Ett.") + seat.notes("Två.") == []
    again = await seat.run("approve", first, "--decline", "--yes")
    assert again.code == 1
    assert "cannot be declined: declined." in again.err


@pytest.mark.parametrize("state", ["approved", "sending", "unknown", "filed"])
async def test_only_what_is_not_picked_up_can_be_declined(state: State) -> None:
    async with asking("auto") as it:
        _, data = await it.ask("write_note", **NOTE)
        entry = await it.desk.entry(data["draft_id"])
    entry = replace(entry, draft=replace(entry.draft, state=state))
    command._decidable(entry, decline=False)  # looked at again
    if state == "approved":
        command._decidable(entry, decline=True)
    else:
        with pytest.raises(InputError, match="cannot be declined"):
            command._decidable(entry, decline=True)


async def test_nothing_declined_is_said(seat: Seat) -> None:
    draft_id = await seat.draft()
    ran = await seat.sit("approve", draft_id, "--decline", answers="no\n")
    assert (ran.code, ran.err) == (1, "leyr-mcp: Nothing was declined.\n")


async def test_bytes_that_are_no_text_are_refused_without_repeating_them(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft_id = await seat.draft()
    raw = io.TextIOWrapper(io.BytesIO(b"canary \xff\n"), encoding="utf-8")
    monkeypatch.setattr(io, "StringIO", lambda _: raw)
    ran = await seat.run("approve", draft_id, "--passphrase-stdin", script="x")
    assert ran.code == 1
    assert "no text" in ran.err
    assert "canary" not in ran.err
    assert seat.notes() == []


async def test_sandbox_asks_for_no_passphrase_and_says_so(sandbox: Seat) -> None:
    draft_id = await sandbox.draft()
    ran = await sandbox.sit("approve", draft_id, answers="yes\n")
    assert ran.code == 0
    assert "This is the sandbox" in ran.out
    assert sandbox.prompts == []
    assert len(sandbox.notes()) == 1


async def test_sandbox_takes_yes_from_a_script_alone(sandbox: Seat) -> None:
    draft_id = await sandbox.draft()
    ran = await sandbox.run("approve", draft_id)
    assert (ran.code, sandbox.notes()) == (2, [])
    assert "scripts use --yes" in ran.err
    ran = await sandbox.run("approve", "--all", "--yes", "--json")
    assert (ran.code, ran.json["filed"]) == (0, 1)
    assert len(sandbox.notes()) == 1
    ran = await sandbox.run("approve", "--all", "--yes")
    assert (ran.code, ran.words) == (0, "Nothing waits for approval.")


async def test_all_leaves_out_what_a_person_must_see(sandbox: Seat) -> None:
    graver = await sandbox.draft("Mår bra. [namn]")
    plain = await sandbox.draft()
    ran = await sandbox.run("approve", "--all", "--yes", "--json")
    assert (ran.code, ran.json["filed"]) == (1, 1)
    assert [draft["draft_id"] for draft in ran.json["results"]] == [plain]
    ran = await sandbox.run("approve", graver, "--yes", "--json")
    assert (ran.code, ran.json["filed"]) == (0, 1)


async def test_unknown_draft_and_empty_folder(sandbox: Seat) -> None:
    ran = await sandbox.run("approve", "d_unknown", "--yes")
    assert (ran.code, ran.err) == (1, NO_SUCH)
    ran = await sandbox.run("approve", "--all", "--yes")
    assert (ran.code, ran.words) == (0, "Nothing waits for approval.")
    assert not (sandbox.state / "leyr-mcp-sandbox-webdoc.sqlite3").exists()
    await sandbox.draft()
    ran = await sandbox.run("approve", "d_unknown", "--yes")
    assert (ran.code, ran.err) == (1, NO_SUCH)


@pytest.mark.parametrize("arguments", [[], ["d_1", "--all"]])
def test_drafts_are_named_or_all_of_them(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2


async def test_json_leaves_stdout_to_programs(seat: Seat) -> None:
    draft_id = await seat.draft()
    ran = await seat.sit("approve", draft_id, "--json", answers="yes\n")
    assert ran.json["filed"] == 1
    assert "Tolvan Tolvansson" in ran.err


def test_end_of_input_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert not typed.at_terminal()
    with pytest.raises(EOFError):
        typed.line()
