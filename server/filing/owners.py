"""Who holds a lease: one process on one machine, named so that another can tell if it is dead.

Where several machines share a store, two of them may bear one name, and in two containers of one
machine every process has another number: only a lease that ran out then tells that its holder is
gone. So what is named here is the running system and its own count of processes.
"""

from __future__ import annotations

import os
import platform
import secrets
from functools import cache
from hashlib import sha256
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")


def new_owner() -> str:
    """Return a name for a worker of this process."""
    return f"{here()}:{os.getpid()}:{secrets.token_hex(4)}"


@cache
def here() -> str:
    """Return what all processes share that this one can see, and no others: since the last boot."""
    told = f"{_read(_BOOT)} {_count()}".strip()
    return (
        f"{platform.node()}.{sha256(told.encode()).hexdigest()[:12]}" if told else platform.node()
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""  # a system that has no such file


def _count() -> str:
    try:
        return str(_PROCESSES.readlink())
    except OSError:
        return ""


def is_dead(owner: str) -> bool:
    """Return whether the process of that name certainly ended; True only on this machine."""
    node, _, rest = owner.rpartition(":")[0].rpartition(":")
    if os.name != "posix" or node != here() or not (rest.isascii() and rest.isdigit()):
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # somebody else's process now, or no number of one
        return False
    return False
