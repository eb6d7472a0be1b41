"""How a draft comes to a person's yes: who may ask, what is asked, and what follows an answer.

A question is made from the stored drafts alone and names version and digest, so the same drafts
always give the same question, and an answer to another question counts for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from zoneinfo import ZoneInfo

from leyr_mcp.server.filing.asking import Answer, Caller, Field, Question, Tell
from leyr_mcp.server.filing.desk import Desk
from leyr_mcp.server.filing.entries import Entry, Person
from leyr_mcp.server.filing.preview import preview

WAIT_S = 20.0
# Clients give a call up after a minute.
CALL_S = 55.0
TELL_S = 2.0


async def settle(
    desk: Desk,
    caller: Caller,
    entries: Sequence[Entry],
    zone: ZoneInfo,
    *,
    wait_s: float | None = None,
) -> list[Entry]:
    """Take drafts as far as they go now: file unasked what may be, ask about the rest, wait.

    Returns the drafts as they stand then, in the same order. All of them are waited for `wait_s`
    together, and less where answering the question took most of the time that clients give a call.
    """
    loop = asyncio.get_running_loop()
    latest = loop.time() + CALL_S
    for entry in entries:
        if entry.waits and caller.unattended and _unasked(desk, entry):
            await desk.approve(entry, _policy(caller))
    now = [await desk.entry(entry.id) for entry in entries]
    waiting = [entry for entry in now if entry.waits]
    if waiting and caller.ask is not None:
        person = caller.person

        async def decide(answer: Answer) -> None:
            await apply(desk, waiting, answer, person)

        await decide(await caller.ask(question(waiting, zone), decide))
    ends = min(latest, loop.time() + (WAIT_S if wait_s is None else wait_s))
    async with _telling(desk, caller, entries):
        return [await desk.outcome(entry, max(0.0, ends - loop.time())) for entry in entries]


@asynccontextmanager
async def _telling(desk: Desk, caller: Caller, entries: Sequence[Entry]) -> AsyncIterator[None]:
    """Tell the client how far its drafts have come, as long as it waits for them."""
    if caller.tell is None:
        yield
        return
    task = asyncio.create_task(_tell(desk, caller.tell, [entry.id for entry in entries]))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):  # a client that is gone is told nothing
            await task


async def _tell(desk: Desk, tell: Tell, draft_ids: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        await asyncio.sleep(TELL_S)
        states = [(await desk.entry(draft_id)).draft.state for draft_id in draft_ids]
        said = f"{states.count('filed')} of {len(states)} filed"
        if queued := states.count("accepted"):
            said += f", {queued} queued by the record system"
        await tell(loop.time() - began, f"{said}.")


async def apply(desk: Desk, entries: Sequence[Entry], answer: Answer, person: Person) -> None:
    """Do what a person decided; where nobody did, the drafts stay as they are.

    So do those that stopped waiting since, even if they wait again: that is another question.
    """
    for entry in entries:
        decided = None if answer is None else answer.get(entry.id)
        if decided is None or (await desk.entry(entry.id)).bound != entry.bound:
            continue
        if decided:
            await desk.approve(entry, person)
        else:
            await desk.decline(entry, person)


def question(entries: Sequence[Entry], zone: ZoneInfo) -> Question:
    """Return what to ask about these drafts."""
    one = len(entries) == 1
    previews = [preview(entry, zone) for entry in entries]
    texts = [shown.text() for shown in previews]
    fields = tuple(
        Field(
            draft_id=entry.id,
            title="File this?" if one else f"File {number}: {shown.title}?",
            bound=entry.bound,
        )
        for number, (entry, shown) in enumerate(zip(entries, previews, strict=True), 1)
    )
    if one:
        lead = "Shall this be filed in the health record? Filing cannot be undone."
    else:
        lead = f"Shall these {len(entries)} be filed in the health record? Filing cannot be undone."
        texts = [f"--- {number} ---\n{text}" for number, text in enumerate(texts, 1)]
    about = tuple(entry.about for entry in entries)
    return Question("\n\n".join([lead, *texts]), fields, about)


def _unasked(desk: Desk, entry: Entry) -> bool:
    """Return whether the settings let this draft be filed without a person.

    What was sent or sent back before is for a person to look at, and so is what concerns a patient
    whom nobody named; a patient who is yet to be created cannot be the wrong one.
    """
    draft, shown = entry.draft, entry.shown
    if desk.policy != "trusted" or shown.blocked or draft.attempt or draft.reason:
        return False
    return shown.expected == "equal" or draft.kind == "patient"


def _policy(caller: Caller) -> Person:
    return Person(name="policy trusted", channel="policy", who=caller.who)
