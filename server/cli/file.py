"""`leyr-mcp file`: the way of a tool call without a chat, for scribe systems and scripts.

The file holds the arguments of a tool that drafts; checks, audit and answers are those of a call.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcp.types import CallToolResult, InputRequiredResult, TextContent

from leyr_mcp.server.app import choice_of
from leyr_mcp.server.boundary import ERROR_META, no_page, run
from leyr_mcp.server.cli import shown, typed
from leyr_mcp.server.cli.desk import (
    Filed,
    NotRecognisedError,
    Office,
    UsageError,
    ended,
    opened,
    screen,
)
from leyr_mcp.server.cli.parsing import Parser, fail, write
from leyr_mcp.server.filing.asking import Caller
from leyr_mcp.server.filing.entries import UNSENT
from leyr_mcp.tools.catalog import TOOLS
from leyr_mcp.tools.spec import ToolSpec
from leyr_mcp.tools.toolsets import choose

_MOST_BYTES = 4 * 1024 * 1024
_USUAL = "write_note"
# What drafts one thing answers with these.
_OF_A_DRAFT = frozenset({"draft_id", "already_filed"})


@dataclass(frozen=True, slots=True)
class Call:
    """What the file asks for."""

    tool: str
    arguments: dict[str, Any]


def main(argv: list[str]) -> int:
    """Draft what a file holds, and have it filed if the approver says so at once.

    Exit code 0 when it is drafted (or filed, where that was asked for), 1 when it was refused or is
    not filed, 2 for a wrong setting, option or file.
    """
    options = _parser().parse_args(argv)
    return ended(lambda: _run(options))


def _parser() -> Parser:
    names = [tool.name for tool in TOOLS if _drafts(tool)]
    parser = Parser(
        "file",
        'Draft what a JSON file holds: the arguments of a tool, or an object with "tool" and '
        '"arguments".',
        epilog=f"Tools: {', '.join(names)}.",
    )
    parser.add_argument("file", metavar="FILE", help="the file; - reads stdin")
    parser.add_argument("--tool", choices=names, metavar="TOOL", help=f"else {_USUAL}")
    parser.add_argument("--draft", action="store_true", help="keep it as a draft; ask nobody yet")
    parser.add_argument(
        "--passphrase-stdin",
        action="store_true",
        help="approve it at once: the first line of stdin is the approver's passphrase",
    )
    parser.add_argument("--yes", action="store_true", help="approve it at once, in the sandbox")
    parser.add_json("the answer")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.draft and (options.passphrase_stdin or options.yes):
        raise UsageError("--draft keeps it unapproved, so nothing can be approved with it.")
    with opened("leyr-mcp file", log_level="WARNING") as office:
        if options.yes and not (office.sandbox or options.passphrase_stdin):
            raise UsageError(
                "--yes approves in the sandbox alone; elsewhere scripts use --passphrase-stdin."
            )
        passphrase = typed.line() if options.passphrase_stdin else None
        call = _call(options)
        spec = _spec(office, call.tool)
        result = office.run(_called(office, spec, call.arguments))
        if result.is_error or not result.structured_content:
            return _failed(result, as_json=options.json)
        if passphrase is None and not options.yes:
            _print(result, as_json=options.json)
            return _code(result.structured_content)
        return _approve(office, result, passphrase, as_json=options.json)


def _drafts(tool: ToolSpec) -> bool:
    """Return whether a tool drafts something new; one of what is drafted already does not."""
    answers = getattr(tool.output, "__annotations__", {})
    return not tool.reads and tool.toolset != "drafts" and answers.keys() >= _OF_A_DRAFT


def _call(options: argparse.Namespace) -> Call:
    """Return what the file asks for.

    Raises:
        UsageError: It cannot be read, is too long, or does not have this form.
    """
    whole = _parsed(_content(options.file))
    tool: object = options.tool
    if whole.keys() == {"tool", "arguments"}:
        if options.tool not in (None, whole["tool"]):
            raise UsageError("The file names another tool than --tool.")
        tool, whole = whole["tool"], whole["arguments"]
    if not isinstance(whole, dict) or not isinstance(tool, str | None):
        raise UsageError('"tool" must be a name and "arguments" an object.')
    if options.draft:
        whole = {**whole, "draft": True}
    return Call(tool or _USUAL, whole)


def _content(name: str) -> bytes:
    try:
        if name == "-":
            # The text layer: it may hold what came after the line of the passphrase.
            raw = sys.stdin.read(_MOST_BYTES + 1).encode() if sys.stdin else b""
        else:
            with Path(name).open("rb") as file:
                raw = file.read(_MOST_BYTES + 1)
    except OSError as exc:
        raise UsageError("The file cannot be read.") from exc
    if len(raw) > _MOST_BYTES:
        raise UsageError("The file is too long: at most 4 MiB.")
    return raw


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        whole = json.loads(raw)
    except (ValueError, RecursionError):
        raise UsageError("The file is not JSON.") from None  # the cause quotes it
    if not isinstance(whole, dict):
        raise UsageError("The file must hold one JSON object.")
    return whole


def _spec(office: Office, name: str) -> ToolSpec:
    """Return a tool that drafts, if these settings offer it.

    Raises:
        UsageError: There is none of that name, or it is not offered.
    """
    drafting = {tool.name: tool for tool in TOOLS if _drafts(tool)}
    if name not in drafting:
        raise UsageError(f"There is no such tool that drafts; known are {', '.join(drafting)}.")
    if drafting[name] not in choose(choice_of(office.settings), office.app.ehr.capabilities):
        raise UsageError("The settings, or the record system, do not offer this tool.")
    return drafting[name]


async def _called(office: Office, spec: ToolSpec, arguments: dict[str, Any]) -> CallToolResult:
    """Run the tool as a call of a client that asks nobody and has no page."""
    context = replace(office.app.context, review_url=no_page)
    result = await run(spec, arguments, context, Caller(who=office.who))
    if isinstance(result, InputRequiredResult):
        raise TypeError("nobody can be asked here")
    return result


def _approve(
    office: Office, result: CallToolResult, passphrase: str | None, *, as_json: bool
) -> int:
    """Approve the draft, and return how it ended."""
    answer = result.structured_content or {}
    entry = office.run(office.desk.entry(str(answer["draft_id"])))
    if entry.draft.state in UNSENT and entry.shown.blocked:
        _print(result, as_json=as_json)
        return fail(
            "A check says that a person must look at it, so it was not approved. It waits: "
            f"leyr-mcp approve {entry.id}",
            1,
        )
    try:
        if passphrase is None or office.sandbox:
            person = office.anyone()
        else:
            person = office.recognised(passphrase, [entry])
    except NotRecognisedError as exc:
        raise NotRecognisedError(f"{exc} The draft {entry.id} waits.") from exc
    (filed,) = office.run(office.file([entry], person))
    return _told(filed, answer, as_json=as_json)


def _told(filed: Filed, answer: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        already = {"already_filed": answer["already_filed"], "checks": answer["checks"]}
        write({**filed.as_dict(), **already})
    else:
        shown.outcome(screen(as_json=False), filed)
    return 0 if filed.done else 1


def _failed(result: CallToolResult, *, as_json: bool) -> int:
    if as_json:
        write({"error": (result.meta or {}).get(ERROR_META)})
        return 1
    return fail(_text(result), 1)


def _print(result: CallToolResult, *, as_json: bool) -> None:
    if as_json:
        write(result.structured_content or {})
    else:
        screen(as_json=False).paragraph(_text(result))


def _text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def _code(answer: dict[str, Any]) -> int:
    return 0 if answer["status"] in (*UNSENT, "filed") else 1
