"""An issuer of tokens for the measured nodes: two documents on loopback, users by number."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

KID = "bench"
_BYTES = 32


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer while it answers."""

    origin: str
    key: ec.EllipticCurvePrivateKey

    def token(self, user: int, audience: str) -> str:
        """Return a token of a user that is good for most of an hour."""
        now = int(time.time())
        claims = {"iss": self.origin, "aud": audience, "sub": f"user-{user}", "client_id": "bench"}
        claims |= {"scope": "ehr.read", "iat": now, "exp": now + 3_000}  # type: ignore[dict-item]
        head = {"alg": "ES256", "typ": "at+jwt", "kid": KID}
        signed = f"{_text(json.dumps(head).encode())}.{_text(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_text(r.to_bytes(_BYTES, 'big') + s.to_bytes(_BYTES, 'big'))}"


@contextlib.contextmanager
def issuing() -> Iterator[Issuer]:
    """Run an issuer in a thread of its own, which has next to nothing to do."""
    key = ec.generate_private_key(ec.SECP256R1())
    ready: list[Any] = []
    started = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(key, ready, started)), daemon=True)
    thread.start()
    started.wait(10)
    origin, loop, stop = ready
    try:
        yield Issuer(origin, key)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


async def _serve(
    key: ec.EllipticCurvePrivateKey, ready: list[Any], started: threading.Event
) -> None:
    point = key.public_key().public_numbers()
    x, y = (_text(number.to_bytes(_BYTES, "big")) for number in (point.x, point.y))
    keys = {"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": KID, "use": "sig"}]}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = keys if b" /keys " in head else {"issuer": origin, "jwks_uri": f"{origin}/keys"}
        body = json.dumps(found).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        writer.write(body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    stop = asyncio.Event()
    ready.extend((origin, asyncio.get_running_loop(), stop))
    started.set()
    async with server:
        await stop.wait()
