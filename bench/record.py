"""A record system that takes notes, answers after a delay, and tells what it was asked.

As thin as asyncio allows, so that it is not what is measured. The first line on stdin holds its
patients, resources and services; the first line on stdout is the port. Each further line on stdin
is the delay in seconds from then on, and is answered with the requests since the one before. It
ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any

END = b"\r\n\r\n"
_NOTES = "medical-notes"


class Record:
    """What is stored, and what was asked."""

    def __init__(self, seed: dict[str, list[dict[str, Any]]]) -> None:
        self._lists = {
            "patients": seed["patients"],
            "resources": seed["resources"],
            "healthcare-services": seed["services"],
        }
        self._notes: dict[str, dict[str, Any]] = {}
        self._asked: list[dict[str, str]] = []
        self.delay_s = 0.0

    def turn(self, delay_s: float) -> list[dict[str, str]]:
        """Change the delay, and return the requests since the last change."""
        asked, self._asked, self.delay_s = self._asked, [], delay_s
        return asked

    def answer(self, method: str, target: str, body: bytes) -> bytes:
        """Carry out a request and return the whole answer."""
        self._asked.append({"method": method, "target": target, "body": body.decode()})
        found = self._found(method, target.partition("?")[0].split("/"), body)
        return _response(HTTPStatus.OK if found is not None else HTTPStatus.NOT_FOUND, found)

    def _found(self, method: str, path: list[str], body: bytes) -> object:
        match method, path[-3:]:
            case "POST", [_, _, last] if last == _NOTES:
                return self._written(json.loads(body))
            case "GET", [_, middle, note_id] if middle == _NOTES:
                return self._notes.get(note_id)
            case "GET", [_, _, last] if last in self._lists:
                return self._lists[last]
            case "GET", [_, "patients", _]:
                return self._lists["patients"][0]
            case _:
                return None

    def _written(self, note: dict[str, Any]) -> dict[str, Any]:
        note_id = f"note-{len(self._notes) + 1}"
        self._notes[note_id] = {"id": note_id, "created_at": "2026-01-01T12:00:00Z", **note}
        return self._notes[note_id]


class Http(asyncio.Protocol):
    """Keep-alive HTTP/1.1; each request of a connection waits for the answer to the last one."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection's writing end."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._out = transport

    def data_received(self, data: bytes) -> None:
        """Carry a request out once it is complete; its answer goes out after the delay."""
        self._rest += data
        head, end, rest = self._rest.partition(END)
        length = _length(head)
        if not end or len(rest) < length:
            return
        self._rest = rest[length:]
        method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
        answer = self._record.answer(method, target, rest[:length])
        if self._record.delay_s:
            asyncio.get_running_loop().call_later(self._record.delay_s, self._out.write, answer)
        else:
            self._out.write(answer)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


def _response(status: HTTPStatus, content: object) -> bytes:
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}".encode() + END + body


async def main() -> None:
    record = Record(json.loads(sys.stdin.buffer.readline()))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Http(record), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        print(json.dumps(record.turn(float(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
