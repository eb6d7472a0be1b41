"""Arguments that no sane caller sends, mixed with ones that a sane caller does."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import Any

from leyr_mcp.tools.spec import ToolSpec

PATIENTS = (
    "emr_id:nobody",
    "nobody",
    "se_personal_number:191212121212",
    "se_personal_number:191212121213",
    "191212121212",
    "19121212-1212",
    "121212+1212",
    "1212121212",
    "9990000018",
    "999 000 0018",
    "nhs_number:9990000018",
    "no_personal_number:10915596784",
    "301082 99920",
    "hsa_id:SE2321000131-E1",
    "emr_id:",
    ":",
    "emr_id::",
    "emr_id:..",
    "..",
    ".",
    "emr_id:a/b",
    "emr_id:a%2Fb",
    "emr_id:x?y=1",
    "se_personal_number:\u0661\u0669\u0661\u0662\u0661\u0662\u0661\u0662\u0661\u0662\u0661\u0662",
    "se_personal_number:\uff11\uff19\uff11\uff12\uff11\uff12\uff11\uff12\uff11\uff12\uff11\uff12",
    "EMR_ID:abc",
    "emr_id :abc",
    "file:///etc/passwd",
    "http://evil.invalid/",
    "' OR 1=1 --",
)
MOMENTS = (
    "2026-09-15",
    "2026-09-15T08:00:00Z",
    "2026-09-15t08:00z",
    "2026-10-25T02:30:00+02:00",
    "2026-10-25",
    "2027-03-28",
    "2026-09-15T08:00:00",
    "0000-01-01",
    "0001-01-01T00:00:00Z",
    "9999-12-31",
    "1900-01-01",
    "1900-01-01T00:00:00+23:59",
    "2199-12-31T23:59:59.999999-23:59",
    "2199-12-31",
    "2026-02-30",
    "2026-09-15T24:00:00Z",
    "2026-09-15T08:00:60Z",
    "2026-09-15T08:00:00+99:99",
    "2026-W38-1",
    "now",
    "\u0662\u0660\u0662\u0666-09-15",
    "2026-09-15 08:00:00+02:00",
    "1789",
    "-1",
    "20260915T080000Z",
)
TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfff",
    "x" * 100_000,
    "\u202eabc",
    "\U0001f469\u200d\u2695",
    "a\nb",
    "null",
    "[]",
    "{}",
    "true",
    "../../etc/passwd",
    "%2e%2e%2f",
    "\u0664\u0662",
    "${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "%s%s%n",
    "a" * 96,
    "a" * 97,
    "0",
    "301",
    "1021",
    "L0_1",
    "L0_2",
    "morning",
    "evening",
    "Testdotter",
    "O'Testigan",
    "\u00c5sa",
    "A\u030asa",
    "\ufeff",
    "\u2028",
)
OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    20,
    101,
    10**30,
    -(10**30),
    1.0,
    1e308,
    float("inf"),
    float("nan"),
    [],
    {},
    [[]],
    {"a": {}},
    ["x"],
    {"value": "x"},
    [None] * 1000,
)
NAMES = (
    "patientId",
    "__proto__",
    "",
    "x" * 5000,
    "\x00",
    "\ud800",
    "a.b",
    "..",
    "care_unit_id ",
    "limit\n",
    "Tolvan Tolvansson",
    "\u202e",
    "0",
)


# What a sane caller sends, by argument; with these the calls get past the first checks.
SANE: dict[str, tuple[Any, ...]] = {
    "start": (
        "2026-09-15",
        "2026-09-17T11:00:00+02:00",
        "2026-09-14T12:00:00+02:00",
        "2026-10-25",
        "1900-01-01",
        "2026-12-01",
    ),
    "end": (
        "2026-09-20",
        "2026-09-17T11:30:00+02:00",
        "2026-10-26",
        "2026-09-16T08:00:00Z",
        "2199-12-31",
        "2026-12-31",
    ),
    "care_unit_id": ("L0_1", "L0_2"),
    "resource_id": ("1021", "1022", "emr_id:1021", "hsa_id:SE2321000131-E000000012345"),
    "healthcare_service_id": ("301", "302"),
    "part_of_day": ("morning", "afternoon", "evening"),
    "limit": (1, 20, 100),
    "cursor": (base64.urlsafe_b64encode(b"2026-09-15T09:45:00+02:00|1021|302|900").decode(),),
    "first_name": ("Tolvan", "\u00c5sa", "Lars-G\u00f6ran"),
    "last_name": ("Tolvansson", "Testdotter", "O'Testigan"),
    "birth_date": ("1912-12-12", "1971-10-02"),
    "state": ("draft", "awaiting_approval", "withdrawn", "filed"),
    "expect": ("Tolvansson", "1912-12-12", "Testdotter"),
    "draft": (True, False),
    "template_id": ("leyr_unstructured", "leyr_acute_visit"),
    "action": ("cancel", "cancel", "cancel", "reschedule", "confirm"),
    "comment": ("Tar med tolk", "x" * 301, "\u202eRing\nnu"),
    "external_id": ("191212121212", "18991228-9809", "nhs_number:9990000018", "AB-1234"),
    "phones": ([], ["+46 70-123 45 67"], ["0701234567"] * 6, [""]),
    "emails": ([], ["ny@example.org"], ["nobody"]),
}


def nested(depth: int) -> Any:
    """Return lists and objects within each other."""
    value: Any = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def text(rng: random.Random) -> str:
    """Return any text."""
    size = rng.choice((1, 3, 20, 200))
    ranges = ((32, 126), (0, 0x2FF), (0, 0xFFFF), (0x10000, 0x10FFFF))
    low, high = rng.choice(ranges)
    return "".join(chr(rng.randint(low, high)) for _ in range(size))


def cursor(rng: random.Random) -> str:
    """Return what could pass for a cursor."""
    start = rng.choice(MOMENTS)
    parts = [start, rng.choice(TEXTS[-10:]), "301", rng.choice(("1800", "x", "-1", "\u0661"))]
    raw = "|".join(parts[: rng.randint(1, 4)])
    return base64.urlsafe_b64encode(raw.encode("utf-8", "replace")).decode()[: rng.randint(1, 400)]


def value(rng: random.Random) -> Any:
    """Return any value of any JSON type."""
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: rng.choice(PATIENTS),
        lambda: rng.choice(MOMENTS),
        lambda: rng.choice(TEXTS),
        lambda: rng.choice(OTHERS),
        lambda: text(rng),
        lambda: cursor(rng),
        lambda: nested(rng.choice((2, 50, 200))),
    )
    return rng.choices(kinds, weights=(25, 20, 20, 17, 10, 5, 3))[0]()


def arguments(rng: random.Random, tool: ToolSpec, good: dict[str, Any]) -> dict[str, Any]:
    """Return a call: a good one with some arguments replaced, left out or added."""
    call = dict(good)
    names = list(tool.input_schema().get("properties", {}))
    for name in names:
        chance = rng.random()
        if chance < 0.15:
            call[name] = value(rng)
        elif chance < 0.40 and name in SANE:
            call[name] = rng.choice(SANE[name])
        elif chance < 0.45:
            call.pop(name, None)
    if rng.random() < 0.15:
        call[rng.choice(NAMES) if rng.random() < 0.8 else text(rng)] = value(rng)
    return call
