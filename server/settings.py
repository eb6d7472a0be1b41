"""The settings: the only reader of the environment.

Each one is documented, checked and named when wrong.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from leyr_mcp.server import values
from leyr_mcp.server.addresses import web_address
from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.values import Secret

Backend = Literal["leyr", "cobalt", "sandbox"]
Environment = Literal["test", "production"] | None
Role = Literal["front-desk", "scribe"] | None
Policy = Literal["required", "trusted"]
Language = Literal["sv", "nb", "en"]

# The record system of the sandbox that stands for Cobalt.
COBALT = "cobalt"


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: how it is read and what the tables say of it."""

    name: str
    default: str
    doc: str
    parse: Callable[[str], Any]

    @property
    def field(self) -> str:
        """The attribute of `Settings` that it fills."""
        if self.name.startswith("COBALT_"):
            return self.name.lower()
        prefix = "LEYR_MCP_" if self.name.startswith("LEYR_MCP_") else "LEYR_"
        return self.name.removeprefix(prefix).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that an operator can set, checked."""

    base_url: str
    client_id: str
    client_secret: Secret
    emr: str
    care_unit_id: str
    resource_id: str
    cobalt_base_url: str
    cobalt_client_id: str
    cobalt_client_secret: Secret
    cobalt_access_token: Secret
    cobalt_location_id: str
    cobalt_folder: str
    cobalt_webhook_secret: tuple[Secret, ...]
    backend: Backend
    environment: Environment
    state_dir: Path
    database_url: Secret
    node_name: str
    data_key: Secret
    approval: Policy
    approval_hosts: tuple[str, ...]
    write_deadline_s: float
    grace_s: float
    roots: tuple[Path, ...]
    letterhead: tuple[str, ...]
    language: Language
    timezone: ZoneInfo
    toolsets: tuple[str, ...]
    role: Role
    public_url: str
    allowed_hosts: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    auth_issuer: str
    auth_audience: str
    page_client_id: str
    page_client_secret: Secret
    state_keys: tuple[Secret, ...]
    users_file: Path | None
    read_only: bool
    log_level: str
    log_format: str

    @property
    def through_cobalt(self) -> bool:
        """Whether the record is reached through Cobalt, or through what stands for it."""
        return self.emr == COBALT and self.backend != "leyr"


SETTINGS: tuple[Setting, ...] = (
    Setting("LEYR_BASE_URL", "https://api.leyr.io/api", "Where Leyr's API is.", web_address),
    Setting(
        "LEYR_CLIENT_ID",
        "",
        "Client id of your Leyr application. Without it the sandbox runs.",
        values.credential,
    ),
    Setting("LEYR_CLIENT_SECRET", "", "Its secret. Never shown or logged.", values.secret),
    Setting(
        "LEYR_EMR",
        "",
        "The record system, as Leyr spells it: `webdoc`, `takecare`, ... "
        "Required with credentials; `webdoc` in the sandbox, which is one of Cobalt's with "
        "`cobalt`.",
        values.id_text,
    ),
    Setting(
        "LEYR_CARE_UNIT_ID",
        "",
        "The care unit used when a call names none. Not needed where there is only one.",
        values.id_text,
    ),
    Setting(
        "LEYR_RESOURCE_ID",
        "",
        "The resource in whose name notes and documents are written.",
        values.id_text,
    ),
    Setting(
        "COBALT_BASE_URL", "https://api.usecobalt.com/v1", "Where Cobalt's API is.", web_address
    ),
    Setting("COBALT_CLIENT_ID", "", "Client id of your Cobalt account.", values.credential),
    Setting("COBALT_CLIENT_SECRET", "", "Its secret. Never shown or logged.", values.secret),
    Setting(
        "COBALT_ACCESS_TOKEN",
        "",
        "The clinic's access token, from Cobalt's Link page. Never shown or logged.",
        values.secret,
    ),
    Setting(
        "COBALT_LOCATION_ID",
        "",
        "The location used when a call names none: its id in the record system (`ehr_id`).",
        values.id_text,
    ),
    Setting(
        "COBALT_FOLDER",
        "Documents",
        "The folder of the record system into which a document goes that names no `type`.",
        values.text_line,
    ),
    Setting(
        "COBALT_WEBHOOK_SECRET",
        "",
        "The secret with which Cobalt signs its webhooks; during a rotation the new and the old "
        "one, with a comma between them. Only `leyr-mcp webhooks` needs it.",
        values.secrets,
    ),
    Setting(
        "LEYR_MCP_BACKEND",
        "",
        "`leyr`, `cobalt` or `sandbox`. Unset: the one whose credentials are set, else `sandbox`.",
        values.one_of("", "leyr", "cobalt", "sandbox"),
    ),
    Setting(
        "LEYR_MCP_ENVIRONMENT",
        "",
        "`production` refuses test identifiers, `test` refuses live ones. Unset: both are taken.",
        values.one_of("", "test", "production"),
    ),
    Setting(
        "LEYR_MCP_STATE_DIR",
        "",
        "Folder of local state. Unset: the user's state folder.",
        values.text_line,
    ),
    Setting(
        "LEYR_MCP_DATABASE_URL",
        "",
        "The PostgreSQL database that several machines share: `postgresql://...`, and the extra "
        "`postgres`. Unset: a file in the state folder. Never shown or logged.",
        values.database,
    ),
    Setting(
        "LEYR_MCP_NODE_NAME",
        "",
        "The name of this node's chain in the audit trail of such a database. Unset: the name of "
        "the host. It must be a name of its own, and stay.",
        values.id_text,
    ),
    Setting(
        "LEYR_MCP_DATA_KEY",
        "",
        "The key of local data: 32 bytes, as base64. Unset: one is made in the user's folder of "
        "configuration, for its owner alone.",
        values.secret,
    ),
    Setting(
        "LEYR_MCP_APPROVAL",
        "required",
        "`required`: a person approves every write. `trusted`: calls that name `expect` file "
        "without asking, unless a check stands against it.",
        values.one_of("required", "trusted"),
    ),
    Setting(
        "LEYR_MCP_APPROVAL_HOSTS",
        "claude-ai, claude-code, Visual Studio Code, cursor-vscode",
        "Clients, as they name themselves, whose own question to the person counts as approval. "
        "`none`: only the review page and the terminal count.",
        values.hosts,
    ),
    Setting(
        "LEYR_MCP_WRITE_DEADLINE_S",
        "60",
        "Seconds until a write is given up as in doubt.",
        values.seconds(60),
    ),
    Setting(
        "LEYR_MCP_GRACE_S",
        "",
        "Seconds after which a write that cannot be found is given to a person. Unset: 120, and "
        "600 with Cobalt, which writes minutes later.",
        values.seconds(3600),
    ),
    Setting(
        "LEYR_MCP_ROOTS",
        "",
        "Folders from which files may be attached by path, with `:` (on Windows `;`) between them. "
        "Unset: none; the user chooses each file on a page. The sandbox has samples of its own.",
        values.folders,
    ),
    Setting(
        "LEYR_MCP_LETTERHEAD",
        "",
        "What stands at the top of a PDF made of a draft: the clinic's name, address and so on, "
        "lines with `|` between them.",
        values.lines,
    ),
    Setting(
        "LEYR_MCP_LANGUAGE",
        "sv",
        "The language of the fixed words in such a PDF: `sv`, `nb` or `en`.",
        values.one_of("sv", "nb", "en"),
    ),
    Setting(
        "LEYR_MCP_TIMEZONE",
        "",
        "The clinic's zone, in which times are shown. Unset: `Europe/Stockholm`; with Cobalt it "
        "must be set, and its sandbox is in `America/Chicago`.",
        values.zone,
    ),
    Setting("LEYR_MCP_TOOLSETS", "", "Toolsets to offer, by comma. Unset: all.", values.names),
    Setting(
        "LEYR_MCP_ROLE",
        "",
        "`front-desk` never receives note text, `scribe` never contact data.",
        values.one_of("", "front-desk", "scribe"),
    ),
    Setting(
        "LEYR_MCP_PUBLIC_URL",
        "",
        "HTTP: under which address clients reach this server, without the path `/mcp`.",
        values.web_address_or_none,
    ),
    Setting(
        "LEYR_MCP_ALLOWED_HOSTS",
        "",
        "HTTP: further names under which it is reached, with the port, by comma.",
        values.names,
    ),
    Setting(
        "LEYR_MCP_ALLOWED_ORIGINS",
        "",
        "HTTP: web pages that may speak to it, as `https://app.example.org`, by comma.",
        values.names,
    ),
    Setting(
        "LEYR_MCP_AUTH_ISSUER",
        "",
        "HTTP: who makes the tokens, exactly as they name it. Without it nobody signs in, which "
        "only the sandbox allows, and only on this machine.",
        values.issuer,
    ),
    Setting(
        "LEYR_MCP_AUTH_AUDIENCE",
        "",
        "HTTP: what tokens must be for. Unset: the public address with `/mcp`.",
        values.text_line,
    ),
    Setting(
        "LEYR_MCP_PAGE_CLIENT_ID",
        "",
        "HTTP: the review page's client id at the issuer, which sends browsers back to "
        "`/review/signed-in` below the public address. Without it there is no page.",
        values.credential,
    ),
    Setting(
        "LEYR_MCP_PAGE_CLIENT_SECRET",
        "",
        "HTTP: its secret, if it has one. Never shown or logged.",
        values.secret,
    ),
    Setting(
        "LEYR_MCP_STATE_KEYS",
        "",
        "HTTP: keys that seal what a client carries between two calls, the same on all nodes, each "
        "of 32 characters or more, by comma; the first seals, all open. Unset: one for each node.",
        values.state_keys,
    ),
    Setting(
        "LEYR_MCP_USERS_FILE",
        "",
        "HTTP: a file (JSON, or TOML by its name), for its owner alone, that says of users, by "
        "their subject, `author_id`, `care_unit_id`, `care_units`, `role`, `tenant` and `name`.",
        values.path_or_none,
    ),
    Setting("LEYR_MCP_READ_ONLY", "0", "`1` offers no tool that writes.", values.flag),
    Setting("LEYR_MCP_LOG_LEVEL", "INFO", "`DEBUG`, `INFO`, `WARNING` or `ERROR`.", values.level),
    Setting(
        "LEYR_MCP_LOG_FORMAT",
        "text",
        "`text`, or `json`: an object on each line, of servers.",
        values.one_of("text", "json"),
    ),
)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings found in the environment.

    Raises:
        ConfigError: One is wrong or unknown; the sentence names it and never its value.
    """
    environ = os.environ if environ is None else environ
    _refuse_unknown(environ)
    found: dict[str, Any] = {}
    for setting in SETTINGS:
        try:
            found[setting.field] = setting.parse(environ.get(setting.name) or setting.default)
        except ValueError as exc:
            raise ConfigError(f"{setting.name} {exc}.") from exc
    _choose_backend(found)
    cobalt = found["emr"] == COBALT and found["backend"] != "leyr"
    if found["grace_s"] is None:
        found["grace_s"] = 600.0 if cobalt else 120.0
    found["timezone"] = found["timezone"] or _usual_zone(found, cobalt=cobalt)
    found["environment"] = found["environment"] or None
    found["role"] = found["role"] or None
    found["state_dir"] = _state_dir(found["state_dir"], environ)
    return Settings(**found)


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = [setting.name for setting in SETTINGS]
    for name in environ:
        if name.startswith(("LEYR_", "COBALT_")) and name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{name} is not a setting of this server.{hint}")


def _choose_backend(found: dict[str, Any]) -> None:
    leyr = _all_or_none(found, ("client_id", "client_secret"))
    cobalt = _all_or_none(
        found, ("cobalt_client_id", "cobalt_client_secret", "cobalt_access_token")
    )
    if leyr and cobalt and not found["backend"]:
        raise ConfigError(
            "The credentials of Leyr and of Cobalt are set: choose one by LEYR_MCP_BACKEND."
        )
    usual = "leyr" if leyr else "cobalt" if cobalt else "sandbox"
    backend = found["backend"] = cast("Backend", found["backend"] or usual)
    if backend == "leyr" and not leyr:
        raise ConfigError("LEYR_MCP_BACKEND is leyr, but LEYR_CLIENT_ID is missing.")
    if backend == "cobalt" and not cobalt:
        raise ConfigError("LEYR_MCP_BACKEND is cobalt, but COBALT_CLIENT_ID is missing.")
    if backend == "leyr" and not found["emr"]:
        raise ConfigError("LEYR_EMR is missing: name the record system, for example webdoc.")
    if backend == "cobalt":
        found["emr"] = COBALT
    elif backend == "sandbox":
        found["emr"] = found["emr"] or "webdoc"


def _all_or_none(found: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Return whether credentials are set.

    Raises:
        ConfigError: Some of them are, and some are not.
    """
    given = {name: str(_bare(found[name])) for name in names}
    missing = [name for name, value in given.items() if not value]
    if missing and len(missing) < len(names):
        field = missing[0].upper()
        name = field if field.startswith("COBALT_") else f"LEYR_{field}"
        whole = "both credentials" if len(names) == 2 else "all three credentials"  # noqa: PLR2004
        raise ConfigError(f"{name} is missing: set {whole}, or none for the sandbox.")
    return not missing


def _bare(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _usual_zone(found: dict[str, Any], *, cobalt: bool) -> ZoneInfo:
    if found["backend"] == "cobalt":
        raise ConfigError(
            "LEYR_MCP_TIMEZONE is missing: name the clinic's zone, for example America/Chicago."
        )
    return ZoneInfo("America/Chicago" if cobalt else "Europe/Stockholm")


def _state_dir(given: str, environ: Mapping[str, str]) -> Path:
    try:
        path = Path(given).expanduser() if given else _usual_state_dir(environ)
    except RuntimeError as exc:
        raise ConfigError("LEYR_MCP_STATE_DIR must be set: no home folder is known.") from exc
    if not path.is_absolute():
        raise ConfigError("LEYR_MCP_STATE_DIR must be an absolute path.")
    return path


def _usual_state_dir(environ: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "leyr-mcp"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/leyr-mcp"
    given = Path(environ.get("XDG_STATE_HOME") or "")
    # The standard has a relative one ignored.
    return (given if given.is_absolute() else Path.home() / ".local/state") / "leyr-mcp"
