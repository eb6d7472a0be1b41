"""What Cobalt pushes: whether it is Cobalt's, which event it is, and for which jobs it may matter.

Nothing rests on it: the time of a webhook is not signed, and its delivery may be lost, late,
doubled or out of order. It only says when to look at the log of events, which tells the truth.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from leyr_mcp.server.ehr.cobalt.api import CobaltApi, text
from leyr_mcp.server.ehr.cobalt.errors import body_of
from leyr_mcp.server.ehr.cobalt.events import Event, event_of
from leyr_mcp.server.errors import UpstreamContractError

SIGN_IN = "access_token.login_required"
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[!-~]{1,200}")
# Under these names an answer may tell the secret.
_SECRETS = ("webhook_secret_key", "webhook_secret", "secret")


def is_signed(raw: bytes, header: str, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets signed a body: as it came, or as Cobalt's own sample reads it."""
    given = header.strip()
    if not _SIGNATURE.fullmatch(given):
        return False
    found = False
    for body in _forms(raw):
        for secret in secrets:
            made = hmac.digest(secret.encode(), body, "sha256").hex()
            found |= hmac.compare_digest(made, given)
    return found


def _forms(raw: bytes) -> Iterator[bytes]:
    """Yield what may have been signed: the bytes, and the compact JSON that JavaScript makes."""
    yield raw
    try:
        parsed = json.loads(raw, parse_float=_number)
        again = json.dumps(parsed, ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):  # no JSON, or half a character
        return
    if again != raw:
        yield again


def _number(written: str) -> float | int:
    value = float(written)
    return int(value) if value.is_integer() and abs(value) < 1e21 else value  # noqa: PLR2004 - JavaScript's bound


def event_in(raw: bytes, webhook_id: str | None) -> Event | None:
    """Return the event of a body in either shape; None if it is none, or not the one announced."""
    event = event_of(body_of(raw))
    if event is None or not _ID.fullmatch(event.id):
        return None
    return event if webhook_id in (None, event.id) else None


def jobs_of(event: Event) -> tuple[str, ...]:
    """Return how the acknowledgement of its job may have been kept."""
    acks = ("", *sorted(event.acks))
    numbers = ("", event.job_id) if event.job_id else ("",)
    return tuple(f"{number}:{ack}" for number in numbers for ack in acks if number or ack)


class Webhooks(CobaltApi):
    """`POST /webhook`: where Cobalt is to send its events."""

    async def register_webhook(self, url: str) -> str:
        """Register an address and return the secret that signs what is sent there.

        Raises:
            UpstreamError: Cobalt refused it, or told no secret.
        """
        body = await self._write("POST", "webhook", {"webhook_url": url})
        inner = body.get("webhook")
        places: tuple[dict[str, Any], ...] = (body, inner if isinstance(inner, dict) else {})
        for place in places:
            for name in _SECRETS:
                if found := text(place.get(name)):
                    return found
        raise UpstreamContractError("Cobalt told no secret for the webhook.")
