"""Writes the generated parts of the documentation.

`--check` changes nothing and says whether they are up to date.
.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path

from leyr_mcp.server.__main__ import COMMANDS
from leyr_mcp.server.ehr.capabilities import EMRS
from leyr_mcp.server.errors import CODES
from leyr_mcp.server.files.verdict import UNFIT
from leyr_mcp.server.settings import SETTINGS
from leyr_mcp.tools.catalog import TOOLS
from leyr_mcp.tools.spec import DISCARDS
from leyr_mcp.tools.toolsets import PRESETS, ROLE_LACKS

ROOT = Path(__file__).resolve().parent.parent


def tools_short() -> str:
    """Return the README's table of tools."""
    rows = ["| Tool | Toolset | What it does |", "|---|---|---|"]
    rows += [
        f"| `{t.name}` | {t.toolset} | {t.description.split('. ')[0].rstrip('.')} |" for t in TOOLS
    ]
    return "\n".join(rows)


def tools_long() -> str:
    """Return every tool with its arguments."""
    parts = []
    for tool in TOOLS:
        hints = "reads only" if tool.reads else "writes, after a person's approval"
        if tool.annotations == DISCARDS:
            hints = "takes back what is not yet in the record"
        parts += [f"## `{tool.name}`", "", f"{tool.title}. {tool.description}", ""]
        parts += [f"Toolset `{tool.toolset}`, scope `{tool.scope}`, {hints}.", ""]
        schema = tool.input_schema()
        required = schema.get("required", [])
        properties = schema.get("properties", {})
        if properties:
            parts += ["| Argument | Type | |", "|---|---|---|"]
        for name, prop in properties.items():
            kind = " or ".join(f"`{v}`" for v in prop["enum"]) if "enum" in prop else prop["type"]
            notes = [prop.get("description", ""), "required" if name in required else ""]
            if "default" in prop:
                notes.append(f"default {prop['default']}")
            parts.append(f"| `{name}` | {kind} | {'; '.join(filter(None, notes))} |")
        if properties:
            parts.append("")
    parts += ["## Toolsets and roles", "", "| Preset | Tools |", "|---|---|"]
    parts += [
        f"| `{name}` | {', '.join(f'`{t}`' for t in tools)} |" for name, tools in PRESETS.items()
    ]
    parts += ["", "| Role | Never offers |", "|---|---|"]
    known = {tool.name for tool in TOOLS}
    for role, lacks in ROLE_LACKS.items():
        gone = ", ".join(f"`{t}`" for t in sorted(lacks & known)) or "nothing yet that exists"
        parts.append(f"| `{role}` | {gone} |")
    return "\n".join(parts)


def settings() -> str:
    """Return the table of settings."""
    rows = ["| Variable | Default | |", "|---|---|---|"]
    rows += [
        f"| `{s.name}` | {f'`{s.default}`' if s.default else ''} | {s.doc} |" for s in SETTINGS
    ]
    return "\n".join(rows)


def errors() -> str:
    """Return the table of error codes."""
    rows = ["| Code | Retry | Next step told |", "|---|---|---|"]
    rows += [f"| `{code}` | {info.retry} | {info.next_step} |" for code, info in CODES.items()]
    return "\n".join(rows)


def unfit() -> str:
    """Return the table of reasons for which a file is not taken."""
    rows = ["| Code | What is said |", "|---|---|"]
    told = dict.fromkeys((unfit.code, unfit.message) for unfit in UNFIT.values())
    rows += [f"| `{code}` | {message} |" for code, message in told]
    return "\n".join(rows)


def record_systems() -> str:
    """Return what is known of each record system."""
    marks = {True: "yes", False: "no", None: "?"}
    rows = [
        (
            "| Record system | `LEYR_EMR` | Patient identifiers | Patient by id "
            "| List appointments | Notes | Documents |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for slug, c in EMRS.items():
        types = ", ".join(f"`{t}`" for t in sorted(c.patient_types)) if c.patient_types else "?"
        cells = (c.get_patient, c.list_appointments, c.notes, c.documents)
        rows.append(f"| {c.name} | `{slug}` | {types} | {' | '.join(marks[x] for x in cells)} |")
    return "\n".join(rows)


def practice() -> str:
    """Return the table of the practice questions."""
    rows = ["| Question | What is expected | Calls | Bytes to the tools | Bytes from them |"]
    rows.append("|---|---|---:|---:|---:|")
    totals = [0, 0, 0]
    for path in sorted((ROOT / "tests/practice/questions").glob("*.md")):
        lines = path.read_text(encoding="utf-8").splitlines()
        counts = [int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", lines[-1])]
        totals = [one + other for one, other in zip(totals, counts, strict=True)]
        link = f"[{lines[0][2:]}](../tests/practice/questions/{path.name})"
        rows.append(f"| {link} | {lines[2]} | {' | '.join(f'{n:,}' for n in counts)} |")
    rows.append(f"| **{len(rows) - 2} questions** | | {' | '.join(f'**{n:,}**' for n in totals)} |")
    return "\n".join(rows)


def commands() -> str:
    """Return what each command says of itself."""
    os.environ["COLUMNS"] = "100"
    parts = []
    for name, told in COMMANDS.items():
        said = StringIO()
        with redirect_stdout(said), suppress(SystemExit):
            import_module(f"leyr_mcp.server.cli.{name}").main(["--help"])
        parts += [f"## `leyr-mcp {name}`", "", told, "", "```text", said.getvalue().rstrip()]
        parts += ["```", ""]
    return "\n".join(parts).rstrip()


PARTS = {
    "README.md": {"tools": tools_short, "settings": settings},
    "docs/commands.md": {"commands": commands},
    "docs/settings.md": {"settings": settings},
    "docs/tools.md": {"tools": tools_long},
    "docs/documents.md": {"unfit": unfit},
    "docs/errors.md": {"errors": errors},
    "docs/practice.md": {"practice": practice},
    "docs/record-systems.md": {"record-systems": record_systems},
}


def main(argv: list[str]) -> int:
    """Write or check; exit code 1 when a check finds a difference."""
    stale = []
    for name, parts in PARTS.items():
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = before
        for key, make in parts.items():
            pattern = re.compile(rf"(<!-- {key}:begin -->\n).*?(<!-- {key}:end -->)", re.DOTALL)
            after, count = pattern.subn(lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", after)  # type: ignore[misc]  # a default binds it
            if count != 1:
                sys.stderr.write(f"{name}: the markers of {key} are missing.\n")
                return 1
        if after != before:
            stale.append(name)
            if "--check" not in argv:
                path.write_text(after, encoding="utf-8")
    if "--check" in argv and stale:
        sys.stderr.write(f"Out of date, run make docs: {', '.join(stale)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
