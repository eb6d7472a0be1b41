"""The server's own command in a process that kills itself at one step of filing.

`python killed.py STEP NTH` serves as `leyr-mcp` does until STEP is reached for the NTH time.
"""

from __future__ import annotations

import os
import signal
import sys

from leyr_mcp.server.cli import serve
from leyr_mcp.server.filing.checkpoints import NAMES, hooked


def main(step: str, nth: int) -> int:
    """Serve over stdio; nothing is closed and nobody is told when the step comes."""
    if step not in NAMES:
        raise ValueError(step)
    left = nth

    def hook(name: str) -> None:
        nonlocal left
        left -= name == step
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with hooked(hook):
        return serve.main([])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
