"""Events as FHIR R4: each one is held against the structure of the resource and its patterns."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from leyr_mcp.server.errors import CODES
from leyr_mcp.server.filing import audit
from leyr_mcp.server.filing.audit import About, AuditTrail, Reader, Who
from leyr_mcp.server.filing.fhir import audit_event
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.sqlite import SqliteStore
from leyr_mcp.server.storage.store import AuditEntry

KEYS = Keys(bytes(range(32)))
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TOLVAN = "se_personal_number:199006022397"
ANNA = Who(
    subject="anna", issuer="https://id.example", name="Anna Ek", role="physician",
    client="Claude Desktop", client_version="1.2", network="127.0.0.1",
)  # fmt: skip
SEEN = About(
    patient=TOLVAN, care_unit="L0_1", object_type="note", object_id="N-1", object_version=2,
    object_hash="ab" * 32, draft_id="d1", approval_id="a1", request_id="r-1",
)  # fmt: skip

# What R4 allows: name -> (least, most, kind); most is 1 or None for a list.
Shape = dict[str, tuple[int, int | None, Any]]
CODING: Shape = {
    "system": (0, 1, "uri"), "code": (0, 1, "code"), "display": (0, 1, "string"),
}  # fmt: skip
CONCEPT: Shape = {"coding": (0, None, CODING), "text": (0, 1, "string")}
IDENTIFIER: Shape = {"system": (0, 1, "uri"), "value": (0, 1, "string")}
REFERENCE: Shape = {
    "type": (0, 1, "uri"), "identifier": (0, 1, IDENTIFIER), "display": (0, 1, "string"),
}  # fmt: skip
NETWORK: Shape = {"address": (0, 1, "string"), "type": (0, 1, ("1", "2", "3", "4", "5"))}
AGENT: Shape = {
    "type": (0, 1, CONCEPT), "role": (0, None, CONCEPT), "who": (0, 1, REFERENCE),
    "name": (0, 1, "string"), "requestor": (1, 1, "boolean"), "network": (0, 1, NETWORK),
}  # fmt: skip
SOURCE: Shape = {
    "site": (0, 1, "string"), "observer": (1, 1, REFERENCE), "type": (0, None, CODING),
}  # fmt: skip
DETAIL: Shape = {"type": (1, 1, "string"), "valueString": (1, 1, "string")}
ENTITY: Shape = {
    "what": (0, 1, REFERENCE), "type": (0, 1, CODING), "role": (0, 1, CODING),
    "detail": (0, None, DETAIL),
}  # fmt: skip
EVENT: Shape = {
    "resourceType": (1, 1, ("AuditEvent",)), "id": (0, 1, "id"), "type": (1, 1, CODING),
    "subtype": (0, None, CODING), "action": (0, 1, ("C", "R", "U", "D", "E")),
    "recorded": (1, 1, "instant"), "outcome": (0, 1, ("0", "4", "8", "12")),
    "outcomeDesc": (0, 1, "string"), "purposeOfEvent": (0, None, CONCEPT),
    "agent": (1, None, AGENT), "source": (1, 1, SOURCE), "entity": (0, None, ENTITY),
}  # fmt: skip
PRIMITIVES = {
    "uri": re.compile(r"[a-z]+:\S+|Patient"),
    "code": re.compile(r"[^\s]+( [^\s]+)*"),
    "string": re.compile(r".*\S.*", re.DOTALL),
    "id": re.compile(r"[A-Za-z0-9.-]{1,64}"),
    "instant": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?(Z|[+-][0-9:]{5})"),
}


def check(value: Any, shape: Any, place: str) -> None:
    if isinstance(shape, tuple):
        assert value in shape, place
    elif shape == "boolean":
        assert isinstance(value, bool), place
    elif isinstance(shape, str):
        assert isinstance(value, str), place
        assert PRIMITIVES[shape].fullmatch(value), place
    else:
        assert isinstance(value, dict), place
        assert value, f"{place} is empty"
        assert set(value) <= set(shape), place
        for name, (least, most, inner) in shape.items():
            found = value.get(name)
            assert found is not None or not least, f"{place}.{name}"
            if found is not None and most is None:
                assert isinstance(found, list), f"{place}.{name}"
                assert found, f"{place}.{name}"
            for part in [] if found is None else found if most is None else [found]:
                check(part, inner, f"{place}.{name}")


def valid(event: dict[str, Any]) -> dict[str, Any]:
    """Return it after a check of its whole structure, as it would be sent."""
    sent: dict[str, Any] = json.loads(json.dumps(event))
    assert sent == event
    check(sent, EVENT, "AuditEvent")
    assert sum(agent["requestor"] for agent in sent["agent"]) == 1
    return sent


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    store = SqliteStore(None, KEYS)
    await store.open()
    yield store
    await store.close()


async def as_fhir(
    store: SqliteStore, entry: AuditEntry, *, with_patients: bool = False
) -> dict[str, Any]:
    await store.append(entry, now=NOON, durable=False)
    events = [e async for e in Reader(store, KEYS).events(with_patients=with_patients)]
    return valid(audit_event(events[-1]))


def trail(store: SqliteStore) -> AuditTrail:
    return AuditTrail(store, clock=lambda: NOON, device="node 1", origin="leyr:webdoc")


def entries(made: AuditTrail) -> dict[str, AuditEntry]:
    found = {}
    for kind in audit.FILING_ACTS:
        found[f"intent {kind}"] = made.intent(kind, ANNA, SEEN)
        found[f"outcome {kind}"] = made.outcome(kind, ANNA, SEEN, error="upstream_busy")
    for event in audit.LOCAL_ACTS:
        found[event] = made.local(event, Who(subject="x"))
    for tool, act in audit.TOOL_ACTS.items():
        found[tool] = made._entry(act, ANNA, SEEN)
    for code in CODES:
        found[code] = made._entry(audit.TOOL_ACTS["get_note"], Who(subject="x"), SEEN, error=code)
    return found


async def test_every_event_has_the_structure_of_the_resource(store: SqliteStore) -> None:
    for name, entry in entries(trail(store)).items():
        for with_patients in (False, True):
            found = await as_fhir(store, entry, with_patients=with_patients)
            assert found["outcome"] == str(entry.outcome), name
            assert found["action"] == entry.action, name


async def test_patient_read_follows_the_pattern(store: SqliteStore) -> None:
    made = trail(store)
    await made.read("get_note", ANNA, SEEN)
    (event,) = [e async for e in Reader(store, KEYS).events(with_patients=True)]
    found = valid(audit_event(event))
    assert found["id"] == "node-1-1"
    assert found["type"]["code"] == "rest"
    assert [c["code"] for c in found["subtype"]] == ["read", "read"]
    assert found["recorded"] == "2026-03-02T12:00:00.000Z"
    assert "outcomeDesc" not in found
    user, client, server = found["agent"]
    assert user["who"]["identifier"] == {"system": "https://id.example", "value": "anna"}
    assert (user["name"], user["requestor"], user["role"]) == (
        "Anna Ek", True, [{"text": "physician"}],
    )  # fmt: skip
    assert user["type"]["coding"][0]["code"] == "IRCP"
    assert client["type"]["coding"][0]["code"] == "110152"
    assert client["who"]["display"] == "Claude Desktop 1.2"
    assert client["network"] == {"address": "127.0.0.1", "type": "2"}
    assert server["type"]["coding"][0]["code"] == "110153"
    assert found["source"]["site"] == "L0_1"
    patient, data, request = found["entity"]
    assert patient["type"]["code"] == patient["role"]["code"] == "1"
    assert patient["what"]["identifier"]["value"] == TOLVAN
    assert (data["type"]["code"], data["role"]["code"]) == ("2", "4")
    assert data["what"]["identifier"]["value"] == "N-1"
    detail = {(part["type"], part["valueString"]) for part in data["detail"]}
    assert detail >= {
        ("data-category", "notes"), ("object-version", "2"), ("origin", "leyr:webdoc"),
        ("chain-sequence", "1"), ("chain-mac", event["mac"]),
    }  # fmt: skip
    assert request["type"]["code"] == "XrequestId"
    assert request["what"]["identifier"]["value"] == "r-1"


async def test_write_turns_the_roles_around(store: SqliteStore) -> None:
    found = await as_fhir(store, trail(store).intent("note", ANNA, SEEN))
    roles = [agent["type"]["coding"][0]["code"] for agent in found["agent"]]
    assert roles == ["AUT", "110153", "110152"]
    assert [c["code"] for c in found["subtype"]] == ["create", "file"]


async def test_patient_is_a_digest_unless_opened(store: SqliteStore) -> None:
    found = await as_fhir(store, trail(store).intent("note", ANNA, SEEN))
    assert "199006022397" not in json.dumps(found)
    identifier = found["entity"][0]["what"]["identifier"]
    assert identifier == {
        "system": "urn:leyr-mcp:patient-key",
        "value": store.patient_key(TOLVAN),
    }


async def test_refusal_says_its_code(store: SqliteStore) -> None:
    made = trail(store)
    await made.refused("find_patient", ANNA, error="identifier_checksum")
    (event,) = [e async for e in Reader(store, KEYS).events()]
    found = valid(audit_event(event))
    assert (found["outcome"], found["outcomeDesc"]) == ("4", "identifier_checksum")
    assert [c["code"] for c in found["subtype"]] == ["search", "search"]
    assert all(entity["type"]["code"] != "1" for entity in found["entity"])


@pytest.mark.parametrize("event", get_args(audit.Event))
def test_every_name_of_an_event_has_a_type(event: str) -> None:
    found = valid(audit_event({"event": event, "action": "E", "outcome": 0, "seq": 1}))
    assert found["subtype"][-1] == {"system": "urn:leyr-mcp:event", "code": event}
    local = event in {"draft", "approve", "reject", "amend"}
    assert (found["type"]["code"] == "110110") is local


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"seq": 7, "damaged": True, "mac": "00", "prev": "00"},
        {"outcome": 99, "action": "X"},
        {"client": {"name": "x"}, "network": "stdio"},
        {"user": {"subject": "x", "issuer": None}, "client": {"name": "x"}},
        {
            "device": "ö" * 200,
            "seq": 10**9,
            "network": "https://a.example/b",
            "client": {"name": "x"},
        },
    ],
)
def test_event_of_which_little_is_known_is_valid_too(event: dict[str, Any]) -> None:
    found = valid(audit_event(event))
    assert found["outcome"] == "8"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("10.0.0.1", "2"),
        ("2001:db8::1", "2"),
        ("clinic.example", "1"),
        ("https://clinic.example/x", "5"),
    ],
)
def test_network_is_told_by_its_form(address: str, kind: str) -> None:
    found = audit_event({"client": {"name": "x"}, "network": address})
    assert found["agent"][0]["network"] == {"address": address, "type": kind}
