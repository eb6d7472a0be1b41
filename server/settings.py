"""The settings: the only reader of the environment.

Each one is documented, checked and named when wrong.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from leyr_mcp.server.errors import ConfigError

Backend = Literal["leyr", "cobalt", "sandbox"]
Environment = Literal["test", "production"] | None
Role = Literal["front-desk", "scribe"] | None
Policy = Literal["required", "trusted"]
Language = Literal["sv", "nb", "en"]

# The record system of the sandbox that stands for Cobalt.
COBALT = "cobalt"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,130}")
_HEADER = re.compile(r"[!-~]*")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/%@\[\]-]+")
_LEAST_S = 0.5
_MOST_SECRETS = 2
_LEAST_KEY = 32
_MOST_LINES, _LONGEST_LINE = 6, 100
_LIKE = "must be an address like https://api.leyr.io/api"


class Secret:
    """A value that never prints itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "***"


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
    state_keys: tuple[Secret, ...]
    users_file: Path | None
    read_only: bool
    log_level: str

    @property
    def through_cobalt(self) -> bool:
        """Whether the record is reached through Cobalt, or through what stands for it."""
        return self.emr == COBALT and self.backend != "leyr"


def _text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be printable text on one line")
    return value.strip()


def _id(value: str) -> str:
    """Return what can stand in an address as it is."""
    if value.strip() and not _ID.fullmatch(value.strip()):
        raise ValueError("must be an id: letters, digits, dot, hyphen, underscore or colon")
    return value.strip()


def _credential(value: str) -> str:
    """Return what can be sent in a header; a file's last line break is forgiven."""
    if not _HEADER.fullmatch(value.strip()):
        raise ValueError("must be ASCII characters without spaces")
    return value.strip()


def _secret(value: str) -> Secret:
    return Secret(_credential(value))


def _secrets(value: str) -> tuple[Secret, ...]:
    found = tuple(map(_secret, filter(None, map(str.strip, value.split(",")))))
    if len(found) > _MOST_SECRETS:
        raise ValueError("must be one secret, or two with a comma between them")
    return found


def _url(value: str) -> str:
    text = value.strip()
    if not _ADDRESS.fullmatch(text):
        raise ValueError(_LIKE)
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError as exc:  # its own text repeats a part of the address
        raise ValueError(_LIKE) from exc
    if not host:
        raise ValueError(_LIKE)
    if "@" in url.netloc:
        raise ValueError("must not hold credentials")
    if url.scheme == "http" and host not in LOOPBACK:
        raise ValueError("must be https (plain http only on this machine)")
    return text.rstrip("/")


def _url_or_none(value: str) -> str:
    return _url(value) if value.strip() else ""


def _issuer(value: str) -> str:
    """Return it to the letter: names are compared, and a slash at the end is a part of one."""
    return value.strip() if _url_or_none(value) else ""


def _state_keys(value: str) -> tuple[Secret, ...]:
    found = tuple(map(_secret, filter(None, map(str.strip, value.split(",")))))
    if any(len(key.reveal()) < _LEAST_KEY for key in found):
        raise ValueError(f"must be keys of {_LEAST_KEY} characters or more")
    return found


def _path_or_none(value: str) -> Path | None:
    text = _text(value)
    if text and not Path(text).is_absolute():
        raise ValueError("must be an absolute path")
    return Path(text) if text else None


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.strip() not in allowed:
            raise ValueError(f"must be {' or '.join(a for a in allowed if a)}")
        return value.strip()

    return parse


def _flag(value: str) -> bool:
    known = {
        "": False,
        "0": False,
        "false": False,
        "no": False,
        "1": True,
        "true": True,
        "yes": True,
    }
    if value.strip().lower() not in known:
        raise ValueError("must be 1 or 0")
    return known[value.strip().lower()]


def _names(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _seconds(most: int) -> Callable[[str], float | None]:
    def parse(value: str) -> float | None:
        if not value.strip():
            return None
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not _LEAST_S <= seconds <= most:
            raise ValueError(f"must be a number of seconds from {_LEAST_S} to {most}")
        return seconds

    return parse


def _folders(value: str) -> tuple[Path, ...]:
    """Return absolute folders, none of which is a whole disk."""
    found = []
    for part in filter(None, map(str.strip, _text(value).split(os.pathsep))):
        try:
            path = Path(part).expanduser()
        except RuntimeError as exc:
            raise ValueError("must name folders that can be found") from exc
        if not path.is_absolute() or ".." in path.parts or path == Path(path.anchor):
            raise ValueError(f"must be absolute folders, with {os.pathsep} between them")
        found.append(path)
    return tuple(found)


def _lines(value: str) -> tuple[str, ...]:
    lines = tuple(part.strip() for part in _text(value).split("|") if part.strip())
    if len(lines) > _MOST_LINES or any(len(line) > _LONGEST_LINE for line in lines):
        raise ValueError(f"must be at most {_MOST_LINES} lines of {_LONGEST_LINE} characters")
    return lines


def _hosts(value: str) -> tuple[str, ...]:
    return () if value.strip() == "none" else _names(_text(value))


def _zone(value: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(value.strip()) if value else None
    except (KeyError, ValueError, OSError) as exc:
        raise ValueError("must be a time zone like Europe/Stockholm") from exc


def _level(value: str) -> str:
    return _one_of("DEBUG", "INFO", "WARNING", "ERROR")(value.strip().upper())


SETTINGS: tuple[Setting, ...] = (
    Setting("LEYR_BASE_URL", "https://api.leyr.io/api", "Where Leyr's API is.", _url),
    Setting(
        "LEYR_CLIENT_ID",
        "",
        "Client id of your Leyr application. Without it the sandbox runs.",
        _credential,
    ),
    Setting("LEYR_CLIENT_SECRET", "", "Its secret. Never shown or logged.", _secret),
    Setting(
        "LEYR_EMR",
        "",
        "The record system, as Leyr spells it: `webdoc`, `takecare`, ... "
        "Required with credentials; `webdoc` in the sandbox, which is one of Cobalt's with "
        "`cobalt`.",
        _id,
    ),
    Setting(
        "LEYR_CARE_UNIT_ID",
        "",
        "The care unit used when a call names none. Not needed where there is only one.",
        _id,
    ),
    Setting(
        "LEYR_RESOURCE_ID", "", "The resource in whose name notes and documents are written.", _id
    ),
    Setting("COBALT_BASE_URL", "https://api.usecobalt.com/v1", "Where Cobalt's API is.", _url),
    Setting("COBALT_CLIENT_ID", "", "Client id of your Cobalt account.", _credential),
    Setting("COBALT_CLIENT_SECRET", "", "Its secret. Never shown or logged.", _secret),
    Setting(
        "COBALT_ACCESS_TOKEN",
        "",
        "The clinic's access token, from Cobalt's Link page. Never shown or logged.",
        _secret,
    ),
    Setting(
        "COBALT_LOCATION_ID",
        "",
        "The location used when a call names none: its id in the record system (`ehr_id`).",
        _id,
    ),
    Setting(
        "COBALT_FOLDER",
        "Documents",
        "The folder of the record system into which a document goes that names no `type`.",
        _text,
    ),
    Setting(
        "COBALT_WEBHOOK_SECRET",
        "",
        "The secret with which Cobalt signs its webhooks; during a rotation the new and the old "
        "one, with a comma between them. Only `leyr-mcp webhooks` needs it.",
        _secrets,
    ),
    Setting(
        "LEYR_MCP_BACKEND",
        "",
        "`leyr`, `cobalt` or `sandbox`. Unset: the one whose credentials are set, else `sandbox`.",
        _one_of("", "leyr", "cobalt", "sandbox"),
    ),
    Setting(
        "LEYR_MCP_ENVIRONMENT",
        "",
        "`production` refuses test identifiers, `test` refuses live ones. Unset: both are taken.",
        _one_of("", "test", "production"),
    ),
    Setting(
        "LEYR_MCP_STATE_DIR", "", "Folder of local state. Unset: the user's state folder.", _text
    ),
    Setting(
        "LEYR_MCP_DATA_KEY",
        "",
        "The key of local data: 32 bytes, as base64. Unset: one is made in the user's folder of "
        "configuration, for its owner alone.",
        _secret,
    ),
    Setting(
        "LEYR_MCP_APPROVAL",
        "required",
        "`required`: a person approves every write. `trusted`: calls that name `expect` file "
        "without asking, unless a check stands against it.",
        _one_of("required", "trusted"),
    ),
    Setting(
        "LEYR_MCP_APPROVAL_HOSTS",
        "claude-ai, claude-code, Visual Studio Code, cursor-vscode",
        "Clients, as they name themselves, whose own question to the person counts as approval. "
        "`none`: only the review page and the terminal count.",
        _hosts,
    ),
    Setting(
        "LEYR_MCP_WRITE_DEADLINE_S",
        "60",
        "Seconds until a write is given up as in doubt.",
        _seconds(60),
    ),
    Setting(
        "LEYR_MCP_GRACE_S",
        "",
        "Seconds after which a write that cannot be found is given to a person. Unset: 120, and "
        "600 with Cobalt, which writes minutes later.",
        _seconds(3600),
    ),
    Setting(
        "LEYR_MCP_ROOTS",
        "",
        "Folders from which files may be attached by path, with `:` (on Windows `;`) between them. "
        "Unset: none; the user chooses each file on a page. The sandbox has samples of its own.",
        _folders,
    ),
    Setting(
        "LEYR_MCP_LETTERHEAD",
        "",
        "What stands at the top of a PDF made of a draft: the clinic's name, address and so on, "
        "lines with `|` between them.",
        _lines,
    ),
    Setting(
        "LEYR_MCP_LANGUAGE",
        "sv",
        "The language of the fixed words in such a PDF: `sv`, `nb` or `en`.",
        _one_of("sv", "nb", "en"),
    ),
    Setting(
        "LEYR_MCP_TIMEZONE",
        "",
        "The clinic's zone, in which times are shown. Unset: `Europe/Stockholm`; with Cobalt it "
        "must be set, and its sandbox is in `America/Chicago`.",
        _zone,
    ),
    Setting("LEYR_MCP_TOOLSETS", "", "Toolsets to offer, by comma. Unset: all.", _names),
    Setting(
        "LEYR_MCP_ROLE",
        "",
        "`front-desk` never receives note text, `scribe` never contact data.",
        _one_of("", "front-desk", "scribe"),
    ),
    Setting(
        "LEYR_MCP_PUBLIC_URL",
        "",
        "HTTP: under which address clients reach this server, without the path `/mcp`.",
        _url_or_none,
    ),
    Setting(
        "LEYR_MCP_ALLOWED_HOSTS",
        "",
        "HTTP: further names under which it is reached, with the port, by comma.",
        _names,
    ),
    Setting(
        "LEYR_MCP_ALLOWED_ORIGINS",
        "",
        "HTTP: web pages that may speak to it, as `https://app.example.org`, by comma.",
        _names,
    ),
    Setting(
        "LEYR_MCP_AUTH_ISSUER",
        "",
        "HTTP: who makes the tokens, exactly as they name it. Without it nobody signs in, which "
        "only the sandbox allows, and only on this machine.",
        _issuer,
    ),
    Setting(
        "LEYR_MCP_AUTH_AUDIENCE",
        "",
        "HTTP: what tokens must be for. Unset: the public address with `/mcp`.",
        _text,
    ),
    Setting(
        "LEYR_MCP_STATE_KEYS",
        "",
        "HTTP: keys that seal what a client carries between two calls, the same on all nodes, each "
        "of 32 characters or more, by comma; the first seals, all open. Unset: one for each node.",
        _state_keys,
    ),
    Setting(
        "LEYR_MCP_USERS_FILE",
        "",
        "HTTP: a file (JSON, or TOML by its name), for its owner alone, that says of users, by "
        "their subject, `author_id`, `care_unit_id`, `care_units`, `role`, `tenant` and `name`.",
        _path_or_none,
    ),
    Setting("LEYR_MCP_READ_ONLY", "0", "`1` offers no tool that writes.", _flag),
    Setting("LEYR_MCP_LOG_LEVEL", "INFO", "`DEBUG`, `INFO`, `WARNING` or `ERROR`.", _level),
)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings found in the environment.

    Raises:
        ConfigError: One is wrong or unknown; the sentence names it and never its value.
    """
    environ = os.environ if environ is None else environ
    _refuse_unknown(environ)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        try:
            values[setting.field] = setting.parse(environ.get(setting.name) or setting.default)
        except ValueError as exc:
            raise ConfigError(f"{setting.name} {exc}.") from exc
    _choose_backend(values)
    cobalt = values["emr"] == COBALT and values["backend"] != "leyr"
    if values["grace_s"] is None:
        values["grace_s"] = 600.0 if cobalt else 120.0
    values["timezone"] = values["timezone"] or _usual_zone(values, cobalt=cobalt)
    values["environment"] = values["environment"] or None
    values["role"] = values["role"] or None
    values["state_dir"] = _state_dir(values["state_dir"], environ)
    return Settings(**values)


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = [setting.name for setting in SETTINGS]
    for name in environ:
        if name.startswith(("LEYR_", "COBALT_")) and name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{name} is not a setting of this server.{hint}")


def _choose_backend(values: dict[str, Any]) -> None:
    leyr = _all_or_none(values, ("client_id", "client_secret"))
    cobalt = _all_or_none(
        values, ("cobalt_client_id", "cobalt_client_secret", "cobalt_access_token")
    )
    if leyr and cobalt and not values["backend"]:
        raise ConfigError(
            "The credentials of Leyr and of Cobalt are set: choose one by LEYR_MCP_BACKEND."
        )
    usual = "leyr" if leyr else "cobalt" if cobalt else "sandbox"
    backend = values["backend"] = cast("Backend", values["backend"] or usual)
    if backend == "leyr" and not leyr:
        raise ConfigError("LEYR_MCP_BACKEND is leyr, but LEYR_CLIENT_ID is missing.")
    if backend == "cobalt" and not cobalt:
        raise ConfigError("LEYR_MCP_BACKEND is cobalt, but COBALT_CLIENT_ID is missing.")
    if backend == "leyr" and not values["emr"]:
        raise ConfigError("LEYR_EMR is missing: name the record system, for example webdoc.")
    if backend == "cobalt":
        values["emr"] = COBALT
    elif backend == "sandbox":
        values["emr"] = values["emr"] or "webdoc"


def _all_or_none(values: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Return whether credentials are set.

    Raises:
        ConfigError: Some of them are, and some are not.
    """
    given = {name: str(_bare(values[name])) for name in names}
    missing = [name for name, value in given.items() if not value]
    if missing and len(missing) < len(names):
        field = missing[0].upper()
        name = field if field.startswith("COBALT_") else f"LEYR_{field}"
        whole = "both credentials" if len(names) == 2 else "all three credentials"  # noqa: PLR2004
        raise ConfigError(f"{name} is missing: set {whole}, or none for the sandbox.")
    return not missing


def _bare(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _usual_zone(values: dict[str, Any], *, cobalt: bool) -> ZoneInfo:
    if values["backend"] == "cobalt":
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
