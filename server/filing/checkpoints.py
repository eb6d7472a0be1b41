"""The steps of filing at which a test may stop the process; nothing happens at them in production.

A step that commits, sends or reads carries one, so that "what if it dies here" is asked of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

STAGING = (
    "copied",  # a piece of a file is staged
    "inspected",  # a whole file is staged and was looked at, no draft holds it
)
NAMES = (
    *STAGING,
    "given",  # a piece of a staged file was given to be sent
    "due",  # an approved draft is leased for its pre-check
    "checked",  # the pre-check is over
    "claimed",  # `sending` is committed, no byte has left
    "answered",  # the record system answered or failed, nothing of it is stored
    "recorded",  # the outcome is committed
    "dropped",  # the staged file of what is filed is deleted
    "verified",  # the read-back is committed
    "expired",  # the leases of dead processes were ended
    "taken",  # a draft in doubt is leased for a look-up
    "looked",  # the look-up is over, nothing of it is stored
    "asked",  # a queued job was asked for, nothing of the answer is stored
    "concluded",  # what followed from it is committed
)

_HOOK: ContextVar[Callable[[str], None] | None] = ContextVar("checkpoint", default=None)


def checkpoint(name: str) -> None:
    """Tell the hook, if a test installed one, that this step is reached."""
    hook = _HOOK.get()
    if hook is not None:
        hook(name)


@contextmanager
def hooked(hook: Callable[[str], None]) -> Iterator[None]:
    """Call `hook` at each step of tasks that are started inside the block."""
    token = _HOOK.set(hook)
    try:
        yield
    finally:
        _HOOK.reset(token)
