"""The conformance suite's scenarios against this server, in both versions of the protocol."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest

from tests.outside.programs import HERE, MODULES, Outside

MODERN = {
    "caching": 8,
    "completion-complete": 2,
    "dns-rebinding-protection": 2,
    "http-header-validation": 14,
    "input-required-result-unsupported-methods": 2,
    "prompts-list": 2,
    "resources-list": 2,
    "sep-2164-resource-not-found": 4,
    "server-sse-multiple-streams": 1,
    "server-stateless": 25,  # five more are about subscriptions, which are not served
    "tools-list": 4,
}
LEGACY = {
    "completion-complete": 2,
    "dns-rebinding-protection": 2,
    "ping": 2,
    "prompts-list": 2,
    "resources-list": 2,
    "server-initialize": 2,
    "tools-list": 3,
}
# A node keeps nothing of a client, so it gives no session and the suite has nothing to look at.
SESSIONS = {
    "server-session-lifecycle": "Server is stateless",
    "server-sse-multiple-streams": "0 failed, 1 warnings",
}
CASES = [("2026-07-28", *case) for case in MODERN.items()]
CASES += [("2025-11-25", *case) for case in LEGACY.items()]
SUITE = MODULES / "@modelcontextprotocol/conformance/dist/index.js"
COLOUR = re.compile(r"\x1b\[\d+m")


@pytest.fixture(scope="module")
def address(outside: Outside) -> Iterator[str]:
    command = (sys.executable, str(HERE / "conformance_server.py"))
    with outside.start(*command) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


def run(outside: Outside, address: str, version: str, scenario: str) -> tuple[int, str]:
    given = ("--url", address, "--scenario", scenario, "--spec-version", version)
    found = outside.run(outside.node, str(SUITE), "server", *given, timeout_s=60)
    return found.code, COLOUR.sub("", found.stdout + found.stderr)


@pytest.mark.parametrize(("version", "scenario", "checks"), CASES)
def test_scenario_passes(
    outside: Outside, address: str, version: str, scenario: str, checks: int
) -> None:
    code, text = run(outside, address, version, scenario)
    assert (code, f"Passed: {checks}/{checks}, 0 failed, 0 warnings" in text) == (0, True), text


@pytest.mark.parametrize(("scenario", "told"), SESSIONS.items())
def test_a_scenario_of_sessions_finds_none(
    outside: Outside, address: str, scenario: str, told: str
) -> None:
    code, text = run(outside, address, "2025-11-25", scenario)
    assert (code, "Passed: 0/0, 0 failed" in text, told in text) == (0, True, True), text


def test_a_scenario_that_needs_what_there_is_not_fails(outside: Outside, address: str) -> None:
    code, text = run(outside, address, "2026-07-28", "tools-call-image")
    assert code != 0, text
