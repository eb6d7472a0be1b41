"""The programs of the filing row: hosts, the bare requests, and the record that all of them ask.

A host answers for its person at once, in either era of the protocol.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from typing import IO, Any, Literal

from bench.client import PROTOCOL, Piped, limit, result_of, to_line
from bench.contestants import LAST_NAME, ROOT, BenchError, Contestant, Sample, base_env

Era = Literal["2025-11-25", "2026-07-28"]
ERAS: tuple[Era, ...] = ("2025-11-25", "2026-07-28")
OLDER, MODERN = ERAS
# One of the hosts whose question to the person counts as approval.
_CLIENT = {"name": "claude-code", "version": "1"}
_CAN_ASK: dict[str, Any] = {"elicitation": {"form": {}}}
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": _CLIENT,
    "io.modelcontextprotocol/clientCapabilities": _CAN_ASK,
}
_NOTE = {
    "patient_id": "se_personal_number:191212121212",
    "title": "Visit",
    "expect": LAST_NAME,
}
_CALL, _ASKED = 1, 2
_NOTE_ID = re.compile(r"(/medical-notes/)[^/?]+")

Request = dict[str, str]


class Record(Piped):
    """The record system: how long it takes to answer can be changed while it runs."""

    def __init__(self, seen: Sample, log: IO[bytes]) -> None:
        command = (sys.executable, str(ROOT / "bench" / "record.py"))
        super().__init__(Contestant("record", command, base_env(), {}), log)
        seed = {"patients": seen.patients, "resources": seen.resources, "services": seen.services}
        with limit(self.name):
            self._send(seed)
            self.port = int(self._receive() or 0)

    def turn(self, delay_s: float) -> list[Request]:
        """Change the delay, and return the requests since the last change.

        Raises:
            BenchError: It ended.
        """
        with limit(self.name):
            self._send(delay_s)
            line = self._receive()
        if not line:
            raise BenchError("record: it ended; see its log in .work/")
        asked: list[Request] = json.loads(line)
        return asked


class Host(Piped):
    """A client over our server, whose person says yes to every question at once."""

    def __init__(self, contestant: Contestant, era: Era, log: IO[bytes]) -> None:
        super().__init__(contestant, log)
        self._era = era
        try:
            with limit(self.name):
                self._begin()
        except BaseException:
            self.close()
            raise

    def file(self, content: str) -> float:
        """Return how long it took from the call until the note was filed, the answer included.

        Raises:
            BenchError: It was not filed.
        """
        arguments = {**_NOTE, "content": content}
        params: dict[str, Any] = {"name": "write_note", "arguments": arguments}
        with limit(self.name):
            began = time.perf_counter()
            line = self._filed_modern(params) if self._era == MODERN else self._filed_older(params)
            took = time.perf_counter() - began
        found = result_of(self.name, line, _CALL).get("structuredContent") or {}
        if (found.get("status"), found.get("verified")) != ("filed", "equal"):
            raise BenchError(f"{self.name}: write_note did not file the note")
        return took

    def _begin(self) -> None:
        if self._era == MODERN:
            self._send(_request(0, "server/discover", {"_meta": _META}))
            result_of(self.name, self._receive(), 0)
            return
        hello = {"protocolVersion": PROTOCOL, "capabilities": _CAN_ASK, "clientInfo": _CLIENT}
        self._send(_request(0, "initialize", hello))
        result_of(self.name, self._receive(), 0)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _filed_older(self, params: dict[str, Any]) -> bytes:
        """Answer the question that comes in the middle of the call."""
        self._send(_request(_CALL, "tools/call", params))
        asked = json.loads(self._receive())
        if asked.get("method") != "elicitation/create":
            raise BenchError(f"{self.name}: the person was not asked")
        self._send({"jsonrpc": "2.0", "id": asked["id"], "result": _yes(asked["params"])})
        return self._receive()

    def _filed_modern(self, params: dict[str, Any]) -> bytes:
        """Make the call again, with the answer to the question that the first one ended with."""
        params = {**params, "_meta": _META}
        self._send(_request(_ASKED, "tools/call", params))
        result = result_of(self.name, self._receive(), _ASKED)
        if result.get("resultType") != "input_required":
            raise BenchError(f"{self.name}: the person was not asked")
        questions = result["inputRequests"].items()
        params["inputResponses"] = {key: _yes(asked["params"]) for key, asked in questions}
        params["requestState"] = result["requestState"]
        self._send(_request(_CALL, "tools/call", params))
        return self._receive()


class Bare(Piped):
    """The requests alone."""

    def make(self, requests: list[Request]) -> float:
        """Return how long these took, one after the other.

        Raises:
            BenchError: One was refused.
        """
        line = to_line(requests)
        with limit(self.name):
            began = time.perf_counter()
            self._stdin.write(line)
            self._stdin.flush()
            answer = self._receive()
            took = time.perf_counter() - began
        if not answer:
            raise BenchError(f"{self.name}: a request failed; see its log in .work/")
        return took


def bare(name: str, ours: Contestant) -> Contestant:
    """Return the program that makes the bare requests to the same record as ours."""
    script = ROOT / "bench" / "servers" / "bare_requests.py"
    return dataclasses.replace(ours, name=name, command=(sys.executable, str(script)))


def shapes(requests: list[Request]) -> list[str]:
    """Return what was asked, without the ids of notes."""
    return [f"{asked['method']} {_unnamed(asked['target'])}" for asked in requests]


def repeatable(requests: list[Request]) -> list[Request]:
    """Return the same requests for another note."""
    return [{**asked, "target": _unnamed(asked["target"])} for asked in requests]


def _unnamed(target: str) -> str:
    return _NOTE_ID.sub(r"\g<1>{note}", target)


def _request(number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _yes(asked: dict[str, Any]) -> dict[str, Any]:
    content = dict.fromkeys(asked["requestedSchema"]["properties"], True)
    return {"action": "accept", "content": content}
