"""Every setting: its default, what it takes, what it refuses, and that it keeps a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.settings import SETTINGS, Settings, load
from leyr_mcp.server.values import Secret
from tests.e2e.wire import PROJECT

CREDENTIALS = {
    "LEYR_CLIENT_ID": "client",
    "LEYR_CLIENT_SECRET": "canary-secret",
    "LEYR_EMR": "webdoc",
}
COBALT = {
    "COBALT_CLIENT_ID": "a",
    "COBALT_CLIENT_SECRET": "b",
    "COBALT_ACCESS_TOKEN": "c",
    "LEYR_MCP_BACKEND": "leyr",
    "LEYR_MCP_TIMEZONE": "Europe/Stockholm",
}
# What these name is checked where it is used.
LISTS = ("LEYR_MCP_TOOLSETS", "LEYR_MCP_ALLOWED_HOSTS", "LEYR_MCP_ALLOWED_ORIGINS")
SECRETS = (
    *("LEYR_CLIENT_SECRET", "LEYR_MCP_DATA_KEY", "COBALT_CLIENT_SECRET"),
    *("COBALT_ACCESS_TOKEN", "COBALT_WEBHOOK_SECRET", "LEYR_MCP_STATE_KEYS"),
    *("LEYR_MCP_DATABASE_URL", "LEYR_MCP_PAGE_CLIENT_SECRET"),
)
PARTS = ("name", "given", "field", "value")
GOOD: list[tuple[str, str, str, Any]] = [
    (
        "LEYR_BASE_URL",
        " https://leyr.example.org/api/ ",
        "base_url",
        "https://leyr.example.org/api",
    ),
    ("LEYR_BASE_URL", "http://127.0.0.1:8260/api", "base_url", "http://127.0.0.1:8260/api"),
    ("LEYR_BASE_URL", "http://[::1]:8260/api", "base_url", "http://[::1]:8260/api"),
    ("LEYR_BASE_URL", "http://localhost/api", "base_url", "http://localhost/api"),
    ("LEYR_CLIENT_ID", "client\n", "client_id", "client"),
    ("LEYR_MCP_LOG_FORMAT", " json ", "log_format", "json"),
    ("LEYR_MCP_PAGE_CLIENT_ID", "page\n", "page_client_id", "page"),
    ("LEYR_MCP_NODE_NAME", " node-1.a ", "node_name", "node-1.a"),
    ("LEYR_EMR", "takecare", "emr", "takecare"),
    ("LEYR_CARE_UNIT_ID", "L0_1", "care_unit_id", "L0_1"),
    ("LEYR_RESOURCE_ID", "hsa_id:SE2321000131-E000000012345", "resource_id", None),
    ("COBALT_BASE_URL", "http://localhost:1/v1/", "cobalt_base_url", "http://localhost:1/v1"),
    ("COBALT_CLIENT_ID", "ci_1\n", "cobalt_client_id", "ci_1"),
    ("COBALT_LOCATION_ID", "9b409d24-aa13", "cobalt_location_id", "9b409d24-aa13"),
    ("COBALT_FOLDER", " Lab results ", "cobalt_folder", "Lab results"),
    ("LEYR_MCP_BACKEND", "cobalt", "backend", "cobalt"),
    ("LEYR_MCP_BACKEND", "leyr", "backend", "leyr"),
    ("LEYR_MCP_BACKEND", "sandbox", "backend", "sandbox"),
    ("LEYR_MCP_ENVIRONMENT", "test", "environment", "test"),
    ("LEYR_MCP_ENVIRONMENT", "production", "environment", "production"),
    ("LEYR_MCP_STATE_DIR", "/srv/leyr mcp/å", "state_dir", Path("/srv/leyr mcp/å")),
    ("LEYR_MCP_APPROVAL", "trusted", "approval", "trusted"),
    ("LEYR_MCP_APPROVAL_HOSTS", "my-host, Other Host", "approval_hosts", ("my-host", "Other Host")),
    ("LEYR_MCP_APPROVAL_HOSTS", " none ", "approval_hosts", ()),
    ("LEYR_MCP_WRITE_DEADLINE_S", "1.5", "write_deadline_s", 1.5),
    ("LEYR_MCP_GRACE_S", "3", "grace_s", 3.0),
    (
        "LEYR_MCP_ROOTS",
        " /srv/files : /var/scans ",
        "roots",
        (Path("/srv/files"), Path("/var/scans")),
    ),
    (
        "LEYR_MCP_LETTERHEAD",
        "Ekens vårdcentral | Storgatan 12 |",
        "letterhead",
        ("Ekens vårdcentral", "Storgatan 12"),
    ),
    ("LEYR_MCP_LANGUAGE", "nb", "language", "nb"),
    ("LEYR_MCP_TIMEZONE", "Europe/Oslo", "timezone", ZoneInfo("Europe/Oslo")),
    ("LEYR_MCP_TOOLSETS", " notes, ,patients ", "toolsets", ("notes", "patients")),
    ("LEYR_MCP_ROLE", "front-desk", "role", "front-desk"),
    ("LEYR_MCP_ROLE", "scribe", "role", "scribe"),
    ("LEYR_MCP_PUBLIC_URL", "https://mcp.example.org/", "public_url", "https://mcp.example.org"),
    ("LEYR_MCP_ALLOWED_HOSTS", "a:1, b", "allowed_hosts", ("a:1", "b")),
    ("LEYR_MCP_ALLOWED_ORIGINS", "https://a", "allowed_origins", ("https://a",)),
    ("LEYR_MCP_AUTH_ISSUER", "https://id.example.org", "auth_issuer", "https://id.example.org"),
    ("LEYR_MCP_AUTH_ISSUER", " https://id.example.org/ ", "auth_issuer", "https://id.example.org/"),
    ("LEYR_MCP_AUTH_AUDIENCE", "api://mcp", "auth_audience", "api://mcp"),
    ("LEYR_MCP_USERS_FILE", "/etc/users.json", "users_file", Path("/etc/users.json")),
    ("LEYR_MCP_READ_ONLY", "1", "read_only", True),
    ("LEYR_MCP_READ_ONLY", "Yes", "read_only", True),
    ("LEYR_MCP_READ_ONLY", "false", "read_only", False),
    ("LEYR_MCP_LOG_LEVEL", "debug", "log_level", "DEBUG"),
]
BAD = {
    "LEYR_BASE_URL": [
        "canary",
        "ftp://canary.example.org",
        "https://",
        "https://canary@api.leyr.io/api",
        "https://user:canary@api.leyr.io/api",
        "https://@canary.example.org",
        "https://canary.example.org/api?key=1",
        "https://canary.example.org/api#part",
        "https://canary.example.org:99999/api",
        "https://canary.example.org:port/api",
        "https://[canary]/api",
        "https://[::1/canary",
        "https://canary.example.org/a b",
        "https://canary.example.org/a\nb",
        "https://canäry.example.org",
        "https://canary.example.org\\@evil.example.org",
        "http://canary.example.org/api",
        "http://localhost.canary.org/api",
        "http://127.0.0.2/canary",
        "http://0.0.0.0/canary",
        "HTTP://canary.example.org/api",
    ],
    "LEYR_CLIENT_ID": ["canary canary", "canäry", "canary\r\nX-Other: 1", "canary\x00"],
    "LEYR_CLIENT_SECRET": ["canary canary", "canäry", "canary\r\nX-Other: 1", "canary\x00"],
    "LEYR_MCP_DATA_KEY": ["canary canary", "canäry", "canary\r\nX", "canary\x00"],
    "LEYR_MCP_DATABASE_URL": [
        "canary",
        "https://canary/db",
        "postgres://canary/db",
        "POSTGRESQL://canary/db",
        "postgresql:canary",
        "postgresql://user:canary@localhost:port/db",
        "postgresql://user:canary@[::1/db",
        "postgresql://localhost/canary#part",
        "postgresql://user:canary canary@localhost/db",
        "postgresql://user:canary@db.example.org/db?sslmode=disable",
        "postgresql://user:canary@localhost,db.example.org/db?sslmode=prefer",
        "postgresql://user:canary@localhost/db?host=db.example.org&sslmode=allow",
    ],
    "LEYR_MCP_PAGE_CLIENT_ID": ["canary canary", "canäry"],
    "LEYR_MCP_PAGE_CLIENT_SECRET": ["canary canary", "canäry"],
    "LEYR_MCP_LOG_FORMAT": ["canary", "JSON"],
    "LEYR_MCP_NODE_NAME": ["canary/x", "canary x", ".."],
    "LEYR_EMR": ["canary/../x", "canary canary", "..", "canary?x", "canary" * 30],
    "LEYR_CARE_UNIT_ID": ["canary/x", "..", ".", "canary%2e"],
    "LEYR_RESOURCE_ID": ["canary/x", "canary x"],
    "COBALT_BASE_URL": ["canary", "http://canary.example.org/v1", "https://canary@x/v1"],
    "COBALT_CLIENT_ID": ["canary canary", "canäry", "canary\r\nX-Other: 1"],
    "COBALT_CLIENT_SECRET": ["canary canary", "canäry"],
    "COBALT_ACCESS_TOKEN": ["canary canary", "canary\x00"],
    "COBALT_LOCATION_ID": ["canary/x", "..", "canary x"],
    "COBALT_FOLDER": ["canary\nother", "canary\x00"],
    "COBALT_WEBHOOK_SECRET": ["canary canary", "canäry", "canary,b,c"],
    "LEYR_MCP_BACKEND": ["canary", "LEYR", "Cobalt"],
    "LEYR_MCP_ENVIRONMENT": ["canary", "prod"],
    "LEYR_MCP_STATE_DIR": ["canary/relative", "canary\n", "~canary-nobody/state"],
    "LEYR_MCP_APPROVAL": ["canary", "Trusted", "none"],
    "LEYR_MCP_APPROVAL_HOSTS": ["canary\nother", "canary\x00"],
    "LEYR_MCP_WRITE_DEADLINE_S": ["canary", "0", "-1", "nan", "inf", "61"],
    "LEYR_MCP_GRACE_S": ["canary", "0.4", "1e9", "60 s"],
    "LEYR_MCP_ROOTS": [
        "canary",
        "/",
        "/srv:canary",
        "/srv/../canary",
        "~canary-nobody/files",
        "/srv\n",
        "./canary",
    ],
    "LEYR_MCP_LETTERHEAD": ["canary\nother", "c" * 101, "a|b|c|d|e|f|canary"],
    "LEYR_MCP_LANGUAGE": ["canary", "SV", "no"],
    "LEYR_MCP_TIMEZONE": ["canary", "Europe", "/etc/canary", "../canary", " "],
    "LEYR_MCP_ROLE": ["canary", "Scribe"],
    "LEYR_MCP_PUBLIC_URL": ["canary", "http://canary.example.org"],
    "LEYR_MCP_AUTH_ISSUER": ["canary", "http://canary.example.org"],
    "LEYR_MCP_AUTH_AUDIENCE": ["canary\n"],
    "LEYR_MCP_STATE_KEYS": ["canary", "canary" * 6 + ",canary", "canary canary"],
    "LEYR_MCP_USERS_FILE": ["canary/users.json", "canary\n"],
    "LEYR_MCP_READ_ONLY": ["canary", "2", "maybe"],
    "LEYR_MCP_LOG_LEVEL": ["canary", "TRACE", "10"],
}


def test_without_any_setting_the_sandbox_runs() -> None:
    settings = load({})
    assert settings.client_secret.reveal() == ""
    assert settings == Settings(
        base_url="https://api.leyr.io/api",
        client_id="",
        client_secret=settings.client_secret,
        emr="webdoc",
        care_unit_id="",
        resource_id="",
        cobalt_base_url="https://api.usecobalt.com/v1",
        cobalt_client_id="",
        cobalt_client_secret=settings.cobalt_client_secret,
        cobalt_access_token=settings.cobalt_access_token,
        cobalt_location_id="",
        cobalt_folder="Documents",
        cobalt_webhook_secret=(),
        backend="sandbox",
        environment=None,
        state_dir=Path.home() / ".local/state/leyr-mcp",
        database_url=settings.database_url,
        node_name="",
        data_key=settings.data_key,
        approval="required",
        approval_hosts=("claude-ai", "claude-code", "Visual Studio Code", "cursor-vscode"),
        write_deadline_s=60.0,
        grace_s=120.0,
        roots=(),
        letterhead=(),
        language="sv",
        timezone=ZoneInfo("Europe/Stockholm"),
        toolsets=(),
        role=None,
        public_url="",
        allowed_hosts=(),
        allowed_origins=(),
        auth_issuer="",
        auth_audience="",
        page_client_id="",
        page_client_secret=settings.page_client_secret,
        state_keys=(),
        users_file=None,
        read_only=False,
        log_level="INFO",
        log_format="text",
    )


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_empty_setting_is_as_good_as_none(setting: Any) -> None:
    given = getattr(load({setting.name: ""}), setting.field)
    usual = getattr(load({}), setting.field)
    assert str(given) == str(usual)


@pytest.mark.parametrize(PARTS, GOOD)
def test_good_value_is_taken(name: str, given: str, field: str, value: Any) -> None:
    settings = load({**CREDENTIALS, **COBALT, name: given})
    assert getattr(settings, field) == (given if value is None else value)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_bad_value_is_refused_by_name_and_never_repeated(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load({**CREDENTIALS, name: value})
    message = refused.value.message
    assert message.startswith(f"{name} ")
    assert "canary" not in message
    assert "\n" not in message
    assert message.endswith(".")


def test_every_setting_is_tested() -> None:
    names = {setting.name for setting in SETTINGS}
    assert {name for name, *_ in GOOD} | {*SECRETS} == names
    assert BAD.keys() | {*LISTS} == names
    assert {setting.field for setting in SETTINGS} == {*Settings.__dataclass_fields__}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LEYR_CLIENT_SECRT", " Did you mean LEYR_CLIENT_SECRET?"),
        ("LEYR_MCP_TIME_ZONE", " Did you mean LEYR_MCP_TIMEZONE?"),
        ("LEYR_QQQQQQQQQQQQQ", ""),
    ],
)
def test_unknown_setting_is_refused_with_a_suggestion(name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load({name: "canary"})
    assert refused.value.message == f"{name} is not a setting of this server.{hint}"


def test_other_variables_are_none_of_its_business() -> None:
    load({"LEYRA": "x", "MCP_LEYR_EMR": "x", "leyr_emr": "x", "PATH": "/bin"})


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"LEYR_CLIENT_ID": "canary"}, "LEYR_CLIENT_SECRET"),
        ({"LEYR_CLIENT_SECRET": "canary"}, "LEYR_CLIENT_ID"),
        ({"LEYR_CLIENT_ID": " ", "LEYR_CLIENT_SECRET": "canary"}, "LEYR_CLIENT_ID"),
        ({"LEYR_CLIENT_ID": "canary", "LEYR_CLIENT_SECRET": " "}, "LEYR_CLIENT_SECRET"),
        ({"LEYR_MCP_BACKEND": "leyr"}, "LEYR_CLIENT_ID"),
        ({"LEYR_CLIENT_ID": "canary", "LEYR_CLIENT_SECRET": "canary"}, "LEYR_EMR"),
    ],
)
def test_half_of_what_is_needed_is_refused(given: dict[str, str], missing: str) -> None:
    with pytest.raises(ConfigError, match=missing) as refused:
        load(given)
    assert "canary" not in refused.value.message


def test_credentials_choose_the_real_record_unless_told_otherwise() -> None:
    assert load(CREDENTIALS).backend == "leyr"
    assert load({**CREDENTIALS, "LEYR_MCP_BACKEND": "sandbox"}).backend == "sandbox"


def test_secret_never_prints_itself() -> None:
    settings = load(CREDENTIALS)
    secret = settings.client_secret
    shown = f"{settings!r} {settings} {secret!r} {secret} {[secret]} {{'a': {secret}}}"
    assert "canary" not in shown
    assert secret.reveal() == "canary-secret"
    with pytest.raises(AttributeError):
        secret.__dict__  # noqa: B018 - there is none to dump
    assert not isinstance(Secret("x"), str)


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("linux", {}, ".local/state/leyr-mcp"),
        ("linux", {"XDG_STATE_HOME": "relative"}, ".local/state/leyr-mcp"),
        ("darwin", {}, "Library/Application Support/leyr-mcp"),
        ("win32", {}, "AppData/Local/leyr-mcp"),
    ],
)
def test_state_folder_is_where_the_system_keeps_such_things(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], folder: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    assert load(environ).state_dir == Path.home() / folder


def test_state_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load({"XDG_STATE_HOME": "/x/state"}).state_dir == Path("/x/state/leyr-mcp")
    assert load({"LEYR_MCP_STATE_DIR": "~/mine"}).state_dir == Path.home() / "mine"
    monkeypatch.setattr("sys.platform", "win32")
    assert load({"LOCALAPPDATA": "/c/local"}).state_dir == Path("/c/local/leyr-mcp")


def test_every_setting_is_documented() -> None:
    readme = (PROJECT / "README.md").read_text()
    table = readme.partition("<!-- settings:begin -->")[2].partition("<!-- settings:end -->")[0]
    for setting in SETTINGS:
        assert f"| `{setting.name}` |" in table
        assert setting.doc in table
        assert setting.doc.endswith(".")
