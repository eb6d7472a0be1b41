"""Where the local store and its key are: the key always in another folder than what it opens."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from leyr_mcp.server.errors import ConfigError
from leyr_mcp.server.settings import Settings
from leyr_mcp.server.storage.keys import Keys, load_or_make, parse


def database_path(settings: Settings) -> Path:
    """Return the file of the store: one for each health record.

    What was drafted for an invented patient, or for another clinic's, can so never be sent to this
    one. The name of a real record's file holds no secret: what it is of stands in it as a digest.
    """
    name = f"{settings.backend}-{settings.emr}"
    if settings.backend != "sandbox":
        name += f"-{_digest(settings)}"
    return settings.state_dir / f"leyr-mcp-{name}.sqlite3"


def schema_name(settings: Settings) -> str:
    """Return the schema of the store in a database: one for each health record, as with files."""
    plain = re.sub(r"[^a-z0-9]+", "_", settings.emr.lower())[:20]
    return f"leyr_mcp_{settings.backend}_{plain}_{_digest(settings)}"


def _digest(settings: Settings) -> str:
    """Return what tells health records apart and holds no secret."""
    parts = [settings.emr]
    if settings.backend == "leyr":
        parts = [settings.base_url, settings.client_id, settings.emr]
    elif settings.backend == "cobalt":  # an access token stands for one clinic
        token = settings.cobalt_access_token.reveal()
        parts = [settings.cobalt_base_url, settings.cobalt_client_id, token]
    return sha256(" ".join(parts).encode()).hexdigest()[:12]


def node_name(settings: Settings) -> str:
    """Return the name under which this node has a chain of its own in a database."""
    return settings.node_name or platform.node() or "unnamed"


def node_head_path(settings: Settings) -> Path:
    """Return the file of the head of this node's chain, which the database cannot reach."""
    node = sha256(node_name(settings).encode()).hexdigest()[:12]
    return settings.state_dir / f"{schema_name(settings)}-{node}.head"


def has_store(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Return whether there is a store, as far as this machine knows; nothing is made by asking.

    To one in a database everybody who uses it has a key.

    Raises:
        ConfigError: There is no place for a key.
    """
    if not settings.database_url.reveal():
        return database_path(settings).exists()
    given = settings.data_key.reveal()
    return bool(given) or key_path(environ, state_dir=settings.state_dir).exists()


def key_path(environ: Mapping[str, str], *, state_dir: Path) -> Path:
    """Return the file of the data key, in the user's folder of configuration.

    Raises:
        ConfigError: It would lie in the state folder, or no home folder is known.
    """
    try:
        path = _config_dir(environ) / "leyr-mcp" / "data.key"
        inside = path.resolve().is_relative_to(state_dir.resolve())
    except (RuntimeError, OSError) as exc:
        raise ConfigError("No home folder is known, so there is no place for the key.") from exc
    if inside:
        raise ConfigError(
            "LEYR_MCP_STATE_DIR holds the folder of the key; choose another, so that whoever "
            "copies the one does not have the other."
        )
    return path


def data_keys(given: str, environ: Mapping[str, str], *, state_dir: Path, make: bool) -> Keys:
    """Return the keys of a store: of the data key given, else of the one in its file.

    Raises:
        ConfigError: It is no key, or there is no file and none may be made.
        StorageError: The file cannot be read or made.
    """
    if given:
        return parse(given)
    key_file = key_path(environ, state_dir=state_dir)
    if not make and not key_file.exists():
        raise ConfigError("The key of the local store is not where it was; nothing can be read.")
    return load_or_make(key_file)


def _config_dir(environ: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or Path.home() / "AppData/Roaming")
    if sys.platform == "darwin":
        return Path.home() / "Library/Preferences"
    given = Path(environ.get("XDG_CONFIG_HOME") or "")
    # The standard has a relative one ignored.
    return given if given.is_absolute() else Path.home() / ".config"
