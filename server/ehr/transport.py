"""One HTTP call to a record system.

It is built, bounded, retried if it only reads, and its failures are named. The only module that
touches the HTTP library. It talks to the library's transport and not to its client: no redirects,
cookies, proxies or decoding exist at this level, and a call costs half as much. URLs carry national
numbers, so nothing here is ever logged or put into an exception.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterable, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Any
from urllib.parse import urlencode

import httpx2
from pydantic_core import to_json

from leyr_mcp.server import telemetry
from leyr_mcp.server.ehr.lanes import Lanes
from leyr_mcp.server.ehr.resilience import ATTEMPTS, Breaker, Budget, backoff_s, retry_after_s
from leyr_mcp.server.errors import (
    InputError,
    UpstreamContractError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
)

ASGIApp = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]

READ_DEADLINE_S = 30.0
BODY_LIMIT = 2 * 1024 * 1024
DOCUMENT_LIMIT = 29 * 1024 * 1024

Filter = Callable[[bytes], bytes]

_TARGET_LIMIT = 8_000
# Nothing in this alphabet needs quoting, ends a segment or begins a query.
_SEGMENT = re.compile(r"[A-Za-z0-9._:-]{1,130}")
_TIMEOUTS = {"connect": 5.0, "write": 15.0, "read": 30.0, "pool": 5.0}
_SUCCESS = range(200, 300)
_TOO_LARGE = "The record system's answer is larger than allowed."
_REPEATABLE = frozenset({408, 429, 500, 502, 503, 504})

# The library's failures by what they tell about the request. A test enumerates the library's
# exceptions and fails on one that is in none of these.
NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
MAYBE_SENT = (
    httpx2.ReadTimeout,
    httpx2.WriteTimeout,
    httpx2.ReadError,
    httpx2.WriteError,
    httpx2.CloseError,
    httpx2.RemoteProtocolError,
    httpx2.LocalProtocolError,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of an answer is read, and by which filter; each attempt has a fresh one.

    What a filter passes on is held to `BODY_LIMIT`, whatever the limit of what it takes in. A file
    comes as it is; everything else must be JSON.
    """

    limit: int = BODY_LIMIT
    fresh: Callable[[], Filter] | None = None
    file: bool = False


WHOLE = Reading()


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer whose body was read to its end."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer outside 2xx, for the vendor's module to name."""

    status: int
    body: bytes
    is_json: bool
    retry_after_s: float | None


class Transport:
    """Sends requests below one base URL, with the same headers on each."""

    def __init__(
        self,
        base_url: str,
        headers: Sequence[tuple[str, str]],
        *,
        name_refusal: Callable[[Refusal], UpstreamError],
        app: ASGIApp | None = None,
        deadline_s: float = READ_DEADLINE_S,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = httpx2.URL(base_url)
        self._prefix = self._base.raw_path.rstrip(b"/").decode("ascii")
        self._headers = httpx2.Headers(
            [
                (b"Host", self._base.netloc),
                *((name.encode("ascii"), value.encode("ascii")) for name, value in headers),
                (b"Accept", b"application/json"),
                (b"Accept-Encoding", b"identity"),
                (b"User-Agent", b"leyr-mcp"),
            ]
        )
        self._name_refusal = name_refusal
        self._app = app
        self._http: httpx2.AsyncBaseTransport | None = None
        self._deadline_s = deadline_s
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._sleep = sleep
        self._budget = Budget()
        self._breaker = Breaker(monotonic)
        self._last_date: tuple[str | None, float] = (None, 0.0)

    def clock_skew_s(self) -> float | None:
        """Return how far this machine's clock is ahead.

        Ahead of the upstream's, that is, if the last answer told.
        """
        said, at = self._last_date
        if said is None:
            return None
        try:
            return at - parsedate_to_datetime(said).timestamp()
        except (ValueError, TypeError):
            return None

    async def close(self) -> None:
        """Close the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def read(
        self,
        segments: Sequence[str],
        query: Sequence[tuple[str, str]] = (),
        *,
        reading: Reading = WHOLE,
    ) -> Answer:
        """Return the answer to a GET, tried up to three times within the deadline.

        Raises:
            UpstreamError: With its code, when no attempt gave an answer that can be used.
        """
        return await self.send("GET", segments, query, reading=reading, repeatable=True)

    async def send(  # noqa: PLR0913 - what one request may need, each part named
        self,
        method: str,
        segments: Sequence[str],
        query: Sequence[tuple[str, str]] = (),
        *,
        body: bytes | AsyncIterable[bytes] | None = None,
        length: int = 0,
        content_type: str | None = None,
        reading: Reading = WHOLE,
        deadline_s: float | None = None,
        repeatable: bool = False,
    ) -> Answer:
        """Return the answer to one request; repeat it only if `repeatable`.

        Raises:
            UpstreamError: `not_received` is true only when the upstream certainly never saw it.
        """
        target = self._target(segments, query)
        deadline = deadline_s or self._deadline_s
        ends = time.monotonic() + deadline
        if (wait := self._breaker.wait_s()) > 0:
            raise _unreachable(
                "The record system has failed repeatedly and is left alone for a while.",
                not_received=True,
                retry_after_s=wait,
            )
        attempt = 0
        while True:
            attempt += 1
            try:
                async with asyncio.timeout_at(
                    asyncio.get_running_loop().time() + ends - time.monotonic()
                ):
                    request = self._request(method, target, body, length, content_type)
                    answer = await self._told(request, segments, reading)
            except TimeoutError:
                self._breaker.record(ok=False)
                raise UpstreamUnavailableError(
                    "The record system did not answer in time.", code="upstream_busy"
                ) from None
            except UpstreamError as exc:
                self._breaker.record(ok=not _is_outage(exc))
                pause = self._wait_before_next(exc, attempt, ends) if repeatable else None
                if pause is None:
                    raise
            except BaseException:  # cancelled, or the body broke: it says nothing of the upstream
                self._breaker.release()
                raise
            else:
                self._breaker.record(ok=True)
                self._budget.success()
                return answer
            await self._sleep(pause)

    def _wait_before_next(self, exc: UpstreamError, attempt: int, ends: float) -> float | None:
        """Return how long to wait before trying again, or None when this failure is the answer."""
        if attempt >= ATTEMPTS or not (_is_outage(exc) or exc.status in _REPEATABLE):
            return None
        wait = exc.retry_after_s
        if wait is None:
            wait = backoff_s(attempt, rng=self._rng)
        if time.monotonic() + wait >= ends:
            return None
        after_timeout = exc.status is None and exc.code == "upstream_busy"
        return wait if self._budget.take(after_timeout=after_timeout) else None

    def _target(self, segments: Sequence[str], query: Sequence[tuple[str, str]]) -> bytes:
        """Return path and query; no segment of it can be anything but the id it was."""
        for segment in segments:
            if segment in (".", "..") or not _SEGMENT.fullmatch(segment):
                raise InputError("An id holds characters that no record system uses.")
        target = "/".join((self._prefix, *segments))
        try:
            found = (
                f"{target}?{urlencode(query)}".encode("ascii") if query else target.encode("ascii")
            )
        except UnicodeEncodeError:  # half a character
            found = b""
        if not 0 < len(found) <= _TARGET_LIMIT:
            raise InputError("A text cannot be part of the record system's address.")
        return found

    def _request(
        self,
        method: str,
        target: bytes,
        body: bytes | AsyncIterable[bytes] | None,
        length: int,
        content_type: str | None,
    ) -> httpx2.Request:
        """Build a request whose scheme, host and port no target can move."""
        # Over a socket the target goes beside the base URL, which so is not parsed again each time.
        extensions: dict[str, Any] = {"timeout": _TIMEOUTS, "target": target}
        url = self._base if self._app is None else self._base.copy_with(raw_path=target)
        if body is None:
            empty = httpx2.ByteStream(b"")
            return httpx2.Request(
                method, url, headers=self._headers, stream=empty, extensions=extensions
            )
        headers = self._headers.copy()
        headers["Content-Length"] = str(len(body) if isinstance(body, bytes) else length)
        if content_type is not None:
            headers["Content-Type"] = content_type
        return httpx2.Request(method, url, headers=headers, content=body, extensions=extensions)

    async def _told(
        self, request: httpx2.Request, segments: Sequence[str], reading: Reading
    ) -> Answer:
        """Make one attempt, and tell how it went where somebody listens."""
        listening = telemetry.current()
        if listening is None:
            return await self._once(request, reading)
        with listening.asked(request.method, segments) as tell:
            try:
                answer = await self._once(request, reading)
            except UpstreamError as exc:
                tell(exc.code)
                raise
            tell("ok")
            return answer

    async def _once(self, request: httpx2.Request, reading: Reading) -> Answer:
        try:
            response = await self._connection().handle_async_request(request)
            try:
                return await self._receive(response, reading)
            finally:
                await response.aclose()
        except NOT_SENT as exc:
            raise _unreachable("The record system cannot be reached.", not_received=True) from exc
        except (httpx2.ReadTimeout, httpx2.WriteTimeout) as exc:
            raise UpstreamUnavailableError(
                "The record system did not answer in time.", code="upstream_busy"
            ) from exc
        except MAYBE_SENT as exc:
            raise _unreachable("The connection to the record system broke.") from exc
        except ConnectionRefusedError as exc:  # an embedded application has no socket to refuse on
            raise _unreachable("The record system cannot be reached.", not_received=True) from exc
        except OSError as exc:  # of TLS, for one, in the middle of an answer
            raise _unreachable("The connection to the record system broke.") from exc

    def _connection(self) -> httpx2.AsyncBaseTransport:
        """Open the pool on first use: certificates are not loaded before a call needs them."""
        if self._http is None:
            if self._app is not None:
                self._http = httpx2.ASGITransport(self._app)
            else:
                secure = self._base.scheme == "https"
                checked = httpx2.create_ssl_context() if secure else None
                self._http = Lanes(lambda: _lane(checked))
        return self._http

    async def _receive(self, response: httpx2.Response, reading: Reading) -> Answer:
        headers = response.headers
        self._last_date = headers.get("date"), time.time()
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise UpstreamContractError(
                "The record system sent a compressed answer, which is not accepted."
            )
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        is_json = kind.endswith("json")
        ok = response.status_code in _SUCCESS
        if ok and not is_json and not reading.file:
            raise UpstreamContractError("The record system did not answer with JSON.")
        if ok:
            return Answer(response.status_code, await _bounded(response, reading))
        body = await _bounded(response, WHOLE)
        retry_after = retry_after_s(headers.get("retry-after"), now=time.time())
        raise self._name_refusal(Refusal(response.status_code, body, is_json, retry_after))


async def _bounded(response: httpx2.Response, reading: Reading) -> bytes:
    parts: list[bytes] = []
    size = passed = 0
    limit, keep = reading.limit, None if reading.fresh is None else reading.fresh()
    stream = response.stream
    if not isinstance(stream, httpx2.AsyncByteStream):
        raise UpstreamContractError("The record system's answer cannot be read.")
    async for part in stream:
        size += len(part)
        if size > limit:
            raise UpstreamContractError(_TOO_LARGE)
        if keep is None:
            parts.append(part)
        elif kept := keep(part):
            passed += len(kept)
            if passed > BODY_LIMIT:
                raise UpstreamContractError(_TOO_LARGE)
            parts.append(kept)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _lane(checked: SSLContext | None) -> httpx2.AsyncHTTPTransport:
    """Return what has one connection; what it speaks through is ours."""
    # Not at the top: the library below the library is loaded at the first request.
    from leyr_mcp.server.ehr.network import Backend  # noqa: PLC0415

    made = httpx2.AsyncHTTPTransport(
        verify=checked or False, trust_env=False, limits=httpx2.Limits(max_connections=1)
    )
    made._pool._network_backend = Backend()  # noqa: SLF001 - pinned by a test
    return made


def _unreachable(
    message: str, *, not_received: bool = False, retry_after_s: float | None = None
) -> UpstreamUnavailableError:
    return UpstreamUnavailableError(message, not_received=not_received, retry_after_s=retry_after_s)


def _is_outage(exc: UpstreamError) -> bool:
    return isinstance(exc, UpstreamUnavailableError | UpstreamRateLimitError)


def encoded(body: dict[str, Any]) -> bytes:
    """Return a body as JSON.

    Raises:
        InputError: A text in it cannot be sent.
    """
    try:
        return to_json(body)
    except ValueError:  # half a character: Python's JSON reader lets one through
        raise InputError("A text holds characters that cannot be sent.") from None
