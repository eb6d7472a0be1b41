"""The page's languages: whatever can be said is said in each, and nothing that cannot."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import cast

import pytest

from leyr_mcp.server.files.kinds import KINDS
from leyr_mcp.server.web.page import LANGUAGES, panel
from leyr_mcp.server.web.page import page as review_page
from tests.support.said import ROOT, of_scripts, of_server, shape

WEB = ROOT / "server" / "web"
# Said to callers and operators, and never to the page.
ELSEWHERE = {
    "A name has 1 to {} characters, none of them a control character.",
    "A passphrase has at least {} characters.",
    "A passphrase has at most {} bytes.",
    "A passphrase has no control characters.",
    "Call again with resource_id and healthcare_service_id of list_timeslots.",
    "Call list_timeslots for other days and offer the user what is free.",
    "Draft it anew, without draft_id.",
    "Go on with that draft, and discard this one if it is not needed.",
    "Offer the user: {}.",
    "Several free times fit.",
    "Tell the operator to install leyr-mcp[pdf].",
    "{}: {}.",  # the second half of a sentence; the whole one stands below
}
# What stands within sentences, or is put together of several.
WITHIN = {
    *("Text", "The text", "One of the fields", "file", "texts", "comment", "title"),
    *("First page as text", "Beginning as text", "not chosen yet", "the note {}"),
    *("wanted by the caller, under the key {}", "{}, {}, {} bytes ({})", "{}, {} bytes ({})"),
    *("Reschedule {}", "Cancel {}", "Confirm {}"),
    *("born {}", "national number {}", "could not be verified", "{} (new)"),
    *("name not told by the record", "not told by the record"),
    *("author", "truncated", "content", "format", "status", "start", "end", "resource"),
    *("service", "name", "character", "characters", "character was", "characters were"),
    *("{} page", "{} pages", "{} patient", "{} patients", "{} minute", "{} minutes"),
    *("{} guess", "{} guesses", " and was sent before", "{} Nothing was done."),
    "The record has {} of this name; make sure that this is another person.",
    "The record has {} of this name; make sure that this is another person: {}.",
    "The patient has another appointment then: {}-{}, appointment_id {}.",
    "No passphrase is set. Set one with: leyr-mcp passphrase",
    "This server failed.",
}
# Day and clock are one place for the page.
OTHERWISE = {"The patient has another appointment then: {} {}-{}, appointment_id {}."}


def words(language: str) -> dict[str, str]:
    text = (
        resources.files("leyr_mcp.server.web").joinpath(f"words.{language}.json").read_text("utf-8")
    )
    return cast("dict[str, str]", json.loads(text))


def wanted() -> set[str]:
    refused = {text for text in of_server() if text.startswith("The record system refused it: ")}
    reasons = {text.removeprefix("The record system refused it: ")[:-1] for text in refused}
    said = of_server() - refused - ELSEWHERE - OTHERWISE
    kinds = {kind.name for kind in KINDS}
    scripts = {shape(key) for key in of_scripts(WEB)}
    return (
        said | WITHIN | kinds | scripts | (reasons - {"{}"}) | {"The record system refused it: {}."}
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_is_said_and_nothing_else(language: str) -> None:
    have = {shape(key) for key in words(language)}
    assert have - wanted() == set()
    assert wanted() - have == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_place_is_filled_in_the_translation_too(language: str) -> None:
    for key, text in words(language).items():
        assert sorted(re.findall(r"\{\w+\}", key)) == sorted(re.findall(r"\{\w+\}", text)), key
        assert text.strip(), key


def test_all_languages_have_the_same_keys_in_one_order() -> None:
    listed = [list(words(language)) for language in LANGUAGES]
    assert listed[0] == listed[1] == sorted(listed[0])


def test_no_two_keys_have_one_shape() -> None:
    shapes = [shape(key) for key in words("sv")]
    assert len(shapes) == len(set(shapes))


def test_page_and_panel_hold_the_words_and_nothing_ends_their_script() -> None:
    for document in (review_page(), panel()):
        text = document.body.decode()
        assert "Granska före journalföring" in text
        assert text.count("</script>") == 1
        assert "/*words*/" not in text


def test_every_script_is_part_of_the_page_or_the_panel() -> None:
    whole = review_page().body.decode() + panel().body.decode()
    for path in Path(WEB).glob("*.js"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first in whole, path.name
