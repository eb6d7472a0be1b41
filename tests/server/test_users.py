"""The table of users: read, checked, read again when it changes, and never half believed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.users import SCOPES, User, Users

CLAIMS = {"sub": "dr-ek", "iss": "https://id.example.org"}
ALL = frozenset(SCOPES)


def table(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "users.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    path.chmod(0o600)
    return path


def of(users: Users, **more: Any) -> User:
    return users.of({**CLAIMS, **more}, ALL, "scribe")


def test_without_a_table_the_issuer_alone_decides() -> None:
    found = of(Users(None))
    assert (found.subject, found.author_id, found.care_unit_id, found.role) == (
        *("dr-ek", None, None, None),
    )
    assert found.care_units is None
    assert found.may("ehr.read")


def test_whom_a_table_does_not_name_has_no_author_and_no_place(tmp_path: Path) -> None:
    users = Users(table(tmp_path, {"other": {"author_id": "1"}}))
    for more in ({}, {"leyr_role": "scribe"}, {"sub": "*"}, {"sub": "Other"}, {"sub": "other "}):
        found = of(users, **more)
        assert (found.author_id, found.care_unit_id) == (None, None)
        assert found.care_units == frozenset()


def test_the_row_of_everybody_else_is_theirs_and_claims_come_before_it(tmp_path: Path) -> None:
    usual = {"care_units": ["u1"], "role": "front-desk", "tenant": "t1"}
    users = Users(table(tmp_path, {"*": usual, "other": {"care_units": []}}))
    found = of(users)
    assert (found.care_units, found.role, found.tenant) == (
        *(frozenset({"u1"}), "front-desk", "t1"),
    )
    claimed = of(users, leyr_author_id="9", leyr_tenant="t2")
    assert (claimed.care_units, claimed.role, claimed.author_id, claimed.tenant) == (
        *(frozenset({"u1"}), "front-desk", "9", "t2"),
    )
    assert of(users, sub="other").care_units == frozenset()
    assert of(users, sub="other").role is None
    assert of(users, leyr_role="root").care_units == frozenset()


def test_a_row_that_names_no_care_units_is_for_all_of_them(tmp_path: Path) -> None:
    assert of(Users(table(tmp_path, {"dr-ek": {}}))).care_units is None


def test_a_table_may_be_toml(tmp_path: Path) -> None:
    path = tmp_path / "users.toml"
    path.write_text('[dr-ek]\nauthor_id = "1021"\n["*"]\ncare_units = []\n', encoding="utf-8")
    path.chmod(0o600)
    assert of(Users(path)).author_id == "1021"
    path.write_text("[dr-ek\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        Users(path)


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_table_that_others_may_touch_is_not_taken(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(tmp_path, {"dr-ek": {"author_id": "1"}})
    users = Users(path)
    path.write_text(json.dumps({"dr-ek": {"author_id": "22"}}), encoding="utf-8")
    path.chmod(mode)
    assert of(users).author_id == "1"
    assert "chmod 600" in caplog.text
    path.chmod(0o600)
    assert of(users).author_id == "22"
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        Users(path)


def test_a_table_that_is_no_file_or_too_large_is_not_taken(tmp_path: Path) -> None:
    for name in ("folder.json", "large.json"):
        path = tmp_path / name
        if name == "folder.json":
            path.mkdir()
        else:
            path.write_bytes(b" " * (4 * 1024 * 1024) + b"{}")
            path.chmod(0o600)
        with pytest.raises(ConfigError):
            Users(path)


def test_the_table_says_who_somebody_is(tmp_path: Path) -> None:
    row = {"name": "Dr Ek", "author_id": "1021", "care_units": ["u1"], "role": "scribe"}
    found = of(Users(table(tmp_path, {"dr-ek": row})), name="Ignored", leyr_author_id="9")
    assert (found.name, found.author_id, found.care_unit_id, found.role) == (
        *("Dr Ek", "1021", "u1", "scribe"),
    )
    assert found.care_units == frozenset({"u1"})


def test_a_claim_counts_for_whom_the_table_does_not_name(tmp_path: Path) -> None:
    users = Users(table(tmp_path, {"other": {}}))
    found = of(users, leyr_author_id="9", leyr_care_units=["a", "b"], leyr_care_unit_id="a")
    assert (found.author_id, found.care_unit_id) == ("9", "a")
    assert found.care_units == frozenset({"a", "b"})


@pytest.mark.parametrize(
    "wrong", [{"leyr_role": "root"}, {"leyr_care_units": "all"}, {"leyr_author_id": 5}]
)
def test_a_claim_that_cannot_be_used_lets_nobody_loose(wrong: dict[str, Any]) -> None:
    assert of(Users(None), **wrong).care_units == frozenset()


def test_scopes_that_are_not_ours_are_nothing() -> None:
    found = Users(None).of(CLAIMS, frozenset({"ehr.read", "admin"}), None)
    assert found.scopes == {"ehr.read"}
    assert not found.may("admin")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '"x"',
        {"a": []},
        {"a": {"admin": True}},
        {"a": {"role": "root"}},
        {"a": {"author_id": 5}},
        {"a": {"name": ""}},
        {"a": {"name": "x\ny"}},
        {"a": {"care_units": "u1"}},
        {"a": {"care_units": [5]}},
        {"a": {"care_units": None}},
        {"a": {"tenant": 5}},
        '{"a": {}, "a": {"role": "scribe"}}',
        '{"a": {"role": "scribe", "role": null}}',
        "[" * 100_000,
    ],
)
def test_a_table_that_cannot_be_understood_stops_the_start(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Users(table(tmp_path, content))
    assert caught.value.message.startswith("LEYR_MCP_USERS_FILE")


def test_a_table_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Users(tmp_path / "none.json")


def test_a_change_counts_and_a_broken_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(tmp_path, {"dr-ek": {"author_id": "1"}})
    users = Users(path)
    table(tmp_path, {"dr-ek": {"author_id": "22"}})
    assert of(users).author_id == "22"
    table(tmp_path, "{broken")
    assert of(users).author_id == "22"
    assert "not taken" in caplog.text
    os.unlink(path)  # noqa: PTH108 - as an operator's editor does
    assert of(users).author_id == "22"
