"""Who holds a lease: one process on one machine, named so that another can tell if it is dead."""

from __future__ import annotations

import os
import platform
import secrets


def new_owner() -> str:
    """Return a name for a worker of this process."""
    return f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Return whether the process of that name certainly ended; True only on this machine."""
    node, _, rest = owner.rpartition(":")[0].rpartition(":")
    if os.name != "posix" or node != platform.node() or not (rest.isascii() and rest.isdigit()):
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # somebody else's process now, or no number of one
        return False
    return False
