"""A client on one pipe: lines, as little of our own work per call as there can be.

Not the SDK's client, so that the client is not what is measured. Linux only: there the CPU time and
the memory of another process can be read.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from bench.contestants import BenchError, Contestant

PROTOCOL = "2025-11-25"
_AT_MOST_S = 60
_INITIALIZE = {
    "protocolVersion": PROTOCOL,
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


@dataclass(frozen=True, slots=True)
class Start:
    """From the spawn to the answer to `tools/list`."""

    wall_s: float
    cpu_s: float
    tools: dict[str, Any]


class Piped:
    """One running program that answers lines with lines."""

    def __init__(self, contestant: Contestant, log: IO[bytes]) -> None:
        self.name = contestant.name
        self._process = subprocess.Popen(
            contestant.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=contestant.env,
        )

    def cpu_s(self) -> float:
        """Return the CPU time of the process so far, in all its threads."""
        return time.clock_gettime(
            (~self._process.pid << 3) | 2
        )  # its CPU clock, as POSIX numbers it

    def peak_memory_kb(self) -> int:
        """Return the most memory that the process has held."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0])

    def forget_peak(self) -> int:
        """Have that figure begin anew, and return what the process holds now."""
        place = Path(f"/proc/{self._process.pid}")
        (place / "clear_refs").write_text("5", encoding="ascii")
        status = (place / "status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0])

    def close(self) -> None:
        """End the program as a client does, by hanging up; kill it when that does not help."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        return self._process.stdout

    def _send(self, message: object) -> None:
        self._stdin.write(to_line(message))
        self._stdin.flush()

    def _receive(self) -> bytes:
        return self._stdout.readline()


class Session(Piped):
    """One running MCP server."""

    def __init__(self, contestant: Contestant, log: IO[bytes]) -> None:
        self._arguments = contestant.arguments
        began = time.perf_counter()
        super().__init__(contestant, log)
        try:
            with limit(self.name):
                self.ask("initialize", _INITIALIZE)
                self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
                tools = self.ask("tools/list", {})
                self.start = Start(time.perf_counter() - began, self.cpu_s(), tools)
        except BaseException:
            self.close()
            raise

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the result of one request.

        Raises:
            BenchError: It is an error, or there is none.
        """
        self._send({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})
        return result_of(self.name, self._receive(), 0)

    def calls(self, count: int) -> list[float]:
        """Return how long each of so many `find_patient` calls took, one after the other.

        Raises:
            BenchError: One of them did not find the patient.
        """
        params = {"name": "find_patient", "arguments": self._arguments}
        requests = [
            to_line({"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": params})
            for n in range(1, count + 1)
        ]
        write, read, clock = self._stdin.write, self._receive, time.perf_counter
        flush = self._stdin.flush
        took, answers = [], []
        with limit(self.name):
            for request in requests:
                began = clock()
                write(request)
                flush()
                answers.append(read())
                took.append(clock() - began)
        for number, answer in enumerate(answers, 1):
            result = result_of(self.name, answer, number)
            if result.get("isError") or self._arguments["last_name"] not in str(result["content"]):
                raise BenchError(f"{self.name}: find_patient did not find the patient")
        return took


def to_line(message: object) -> bytes:
    """Return a message as one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def result_of(name: str, line: bytes, number: int) -> dict[str, Any]:
    """Return the result that a line holds.

    Raises:
        BenchError: It is an error, or the answer to another request, or there is none.
    """
    if not line:
        raise BenchError(f"{name}: the server ended; see its log in .work/")
    answer = json.loads(line)
    if answer.get("id") != number or "result" not in answer:
        raise BenchError(f"{name}: an unexpected answer: {line[:300].decode(errors='replace')}")
    result: dict[str, Any] = answer["result"]
    return result


@contextlib.contextmanager
def limit(name: str) -> Iterator[None]:
    """Interrupt a read that would wait for ever."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise BenchError(f"{name}: no answer within {_AT_MOST_S} s; see its log in .work/")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_AT_MOST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
