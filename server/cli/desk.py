"""What the commands that work on drafts share: the store that is there, who decides, and filing.

People are asked between the parts that run in the event loop and never within one, so that Ctrl-C
ends a question at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from leyr_mcp.server import logs
from leyr_mcp.server.app import App, build
from leyr_mcp.server.cli import typed
from leyr_mcp.server.cli.parsing import fail
from leyr_mcp.server.cli.terminal import Screen
from leyr_mcp.server.cli.typed import NoTerminalError
from leyr_mcp.server.errors import ConfigError, InputError, LeyrMcpError
from leyr_mcp.server.filing.audit import Who, local_user
from leyr_mcp.server.filing.desk import Desk
from leyr_mcp.server.filing.entries import Entry, Person
from leyr_mcp.server.filing.passphrase import Passphrase, Refused
from leyr_mcp.server.filing.shelf import NO_SUCH_DRAFT
from leyr_mcp.server.filing.timing import utc_now
from leyr_mcp.server.settings import Settings, load
from leyr_mcp.server.storage.place import data_keys

T = TypeVar("T")
CHANNEL = "terminal"
WAIT_S = 60.0
_DRAIN_S = 10.0


class NotRecognisedError(Exception):
    """Whoever typed did not give the approver's passphrase."""


class UsageError(Exception):
    """The options do not fit together, or not here."""


@dataclass(frozen=True, slots=True)
class Filed:
    """A draft after it was decided on; `changed` if it was no longer the version that was read."""

    entry: Entry
    changed: bool = False

    @property
    def done(self) -> bool:
        """Whether it is in the record."""
        return self.entry.draft.state == "filed"

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        draft = self.entry.draft
        found: dict[str, Any] = {
            "draft_id": draft.id,
            "version": draft.version,
            "kind": draft.kind,
            "status": draft.state,
            "record_id": draft.remote_id,
            "verified": draft.verified,
            "reason": draft.reason or None,
        }
        if self.changed:
            found["changed"] = True
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A server's parts, without a server, for one command."""

    settings: Settings
    app: App
    who: Who
    runner: asyncio.Runner

    @property
    def desk(self) -> Desk:
        """The only way to write."""
        return self.app.desk()

    @property
    def sandbox(self) -> bool:
        """Whether no real record is reached, so that no passphrase is needed."""
        return self.app.sandbox is not None

    def check_writes(self) -> None:
        """Refuse to file where the settings say that nothing is written.

        Raises:
            UsageError: They do.
        """
        if self.settings.read_only:
            raise UsageError("LEYR_MCP_READ_ONLY is set, so nothing is filed.")

    @property
    def keeper(self) -> Passphrase:
        """The approver's passphrase."""
        return Passphrase(self.settings.state_dir, clock=utc_now)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one part in the event loop."""
        return self.runner.run(work)

    def has_store(self) -> bool:
        """Return whether anything was ever stored here; nothing is made by asking.

        Raises:
            ConfigError: The store is there, but its key is not.
        """
        if not self.app.has_store():
            return False
        given = self.settings.data_key.reveal()
        data_keys(given, os.environ, state_dir=self.settings.state_dir, make=False)
        return True

    async def entries(self, ids: Sequence[str]) -> list[Entry]:
        """Return drafts by their ids, each once, as they are shown to a person now.

        Raises:
            InputError: There is no such draft.
        """
        if not self.has_store():
            raise self._no_such_draft()
        try:
            found = [await self.desk.entry(draft_id) for draft_id in dict.fromkeys(ids)]
        except InputError as exc:
            raise self._no_such_draft() if exc.message == NO_SUCH_DRAFT else exc from exc
        await self.seen("get_draft", found)
        return found

    def _no_such_draft(self) -> InputError:
        """Say where was looked: a terminal often lacks the settings that the client gives."""
        settings = self.settings
        base = settings.cobalt_base_url if settings.through_cobalt else settings.base_url
        where = "the sandbox" if self.sandbox else f"{settings.emr} at {base}"
        return InputError(
            f"{NO_SUCH_DRAFT} Looked among the drafts for {where}; the settings here must be "
            "those of the client that drafted it.",
            code="not_found",
        )

    async def seen(self, tool: str, entries: Sequence[Entry]) -> None:
        """Store whose data is about to be shown, each patient once.

        Raises:
            StorageError: It was not stored, so nothing may be shown.
        """
        alone = len(entries) == 1
        abouts = {
            entry.draft.patient_key: entry.about if alone else replace(entry.about, draft_id=None)
            for entry in entries
        }
        await self.app.journal.answered(tool, self.who, tuple(abouts.values()))

    def anyone(self) -> Person:
        """Return whoever sits here: enough to decline, and for all of the sandbox."""
        return Person(name=local_user(), channel=CHANNEL, who=self.who)

    def recognised(self, passphrase: str, entries: Sequence[Entry]) -> Person:
        """Return the approver, whose passphrase this is.

        Raises:
            NotRecognisedError: It is not; that is stored, and nothing is filed.
        """
        found = self.keeper.verify(passphrase)
        if isinstance(found, Refused):
            self.run(self._refused(f"passphrase_{found.reason}", entries))
            raise NotRecognisedError(found.message)
        who = replace(self.who, name=found.name)
        return Person(name=found.name, channel=CHANNEL, who=who)

    def asked_for_passphrase(self, entries: Sequence[Entry]) -> Person:
        """Return the approver after typing the passphrase, which no screen shows.

        Raises:
            NotRecognisedError: None is set, or it is another.
        """
        if self.sandbox:
            return self.anyone()
        approver = self.keeper.approver()
        if approver is None:
            raise NotRecognisedError(Refused("unset").message)
        return self.recognised(typed.hidden(f"Passphrase of {approver.name}: "), entries)

    async def file(self, entries: Sequence[Entry], person: Person) -> list[Filed]:
        """Approve these versions, and return what became of them within a minute.

        A draft that is on its way already is only waited for.
        """
        changed = {entry.id for entry in entries if not await self._approved(entry, person)}
        ends = asyncio.gather(*(self.desk.outcome(entry, WAIT_S) for entry in entries))
        return [Filed(entry, entry.id in changed) for entry in await ends]

    async def _approved(self, entry: Entry, person: Person) -> bool:
        """Approve a version, if it still has to be; False if it is no longer the one that waits."""
        if entry.draft.state == "draft":
            await self.desk.submit(entry, person.who)
        elif not entry.waits:
            return True
        return await self.desk.approve(entry, person)

    async def _refused(self, cause: str, entries: Sequence[Entry]) -> None:
        _, trail = await self.app.journal.opened()
        for entry in entries:
            event = trail.local("approve", self.who, entry.about, error="invalid_argument")
            event.fields.update(channel=CHANNEL, cause=cause)
            await trail.append(event)


@contextmanager
def opened(command: str, *, log_level: str = "ERROR") -> Iterator[Office]:
    """Yield an office; what is under way when it closes may take ten more seconds.

    Raises:
        ConfigError: A setting is wrong.
    """
    settings = load()
    logs.configure(log_level)
    app = build(settings)
    with asyncio.Runner() as runner:
        who = Who(subject=local_user(), client=command)
        try:
            yield Office(settings=settings, app=app, who=who, runner=runner)
        finally:
            runner.run(app.close(drain_s=_DRAIN_S))


def ended(work: Callable[[], int]) -> int:
    """Return the exit code of a command; what is wrong with it is one sentence on stderr."""
    try:
        return work()
    except (ConfigError, UsageError, NoTerminalError) as exc:
        return fail(str(exc), 2)
    except NotRecognisedError as exc:
        return fail(f"{exc} Nothing was filed.", 1, name="not_recognised")
    except EOFError:
        return fail("The input ended too early. Nothing was filed.", 1)
    except UnicodeError:  # its own text repeats a part of what was typed
        return fail("What was typed is no text in this terminal's encoding.", 1)
    except LeyrMcpError as exc:
        return fail(exc.message, 1, name=exc.code)


def screen(*, as_json: bool) -> Screen:
    """Return where people read: not where programs do."""
    return Screen(sys.stderr if as_json else sys.stdout)
