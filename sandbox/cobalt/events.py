"""The log of events: made when a job ends, asked for by filter, pushed as webhooks.

A record of the log and a pushed event name the same things differently, as Cobalt's do.
"""

import secrets
from datetime import date, datetime
from typing import Any

from leyr_mcp.sandbox.cobalt.clinic import REFERENCE
from leyr_mcp.sandbox.cobalt.store import Body, Store
from leyr_mcp.sandbox.cobalt.wire import Refused, page_of

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
SIZES = (50, 100)


def new_id(length: int = 24) -> str:
    """Return a fresh id of lower-case letters and digits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def zulu(moment: datetime) -> str:
    """Return a time in UTC with a Z."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def record(
    store: Store, kind: str, data: Body, *, job: int | None, now: datetime, older: bool = False
) -> Body:
    """Log an event and return it."""
    webhooks = store.all("webhook")
    event = {
        "id": f"evt_{new_id()}",
        "type": kind,
        "job_id": None if job is None else str(job),
        "created": zulu(now),
        "data": data,
        "webhook_url": webhooks[0]["url"] if webhooks else None,
        "delivery_status": None,
        "attempts": 0,
        "older": older,
    }
    store.put("event", str(event["id"]), event)
    return event


def pushed(event: Body) -> Body:
    """Return an event as a webhook carries it."""
    if event["type"].endswith("live_fetch_completed"):
        told = {
            "id": event["id"],
            "access_token_reference_id": REFERENCE,
            "timestamp": event["created"],
            "action": "sync",
            "type": event["type"],
        }
    else:
        told = {
            "id": event["id"],
            "access_token_reference_id": REFERENCE,
            "object": "event",
            "created": event["created"],
            "type": event["type"],
        }
    if event["job_id"] is not None:
        told["job_id"] = event["job_id"]
    return {**told, "data": event["data"]}


def logged(event: Body) -> Body:
    """Return an event as the log tells it."""
    delivered = event["delivery_status"] == "success"
    common = {"job_id": event["job_id"], "access_token_reference_id": REFERENCE}
    if event["older"]:
        return {
            "id": event["id"],
            "object": "event",
            "type": event["type"],
            "created": event["created"],
            "status": "completed",
            "delivered": delivered,
            "delivery_attempts": event["attempts"],
            "last_delivery_attempt": None,
            "response_status_code": None,
            **common,
            "data": event["data"],
        }
    return {
        "event_id": event["id"],
        "event_type": event["type"],
        "created_at": event["created"],
        "webhook_url": event["webhook_url"],
        "delivery_status": event["delivery_status"],
        **common,
        "data": event["data"],
    }


def find(store: Store, query: dict[str, str]) -> Body:
    """Return a page of the log.

    Raises:
        Refused: a filter cannot be read.
    """
    first, last = day(query, "start_date"), day(query, "end_date")
    found = [
        event
        for event in store.all("event")
        if query.get("job_id") in (None, event["job_id"])
        and query.get("event_type") in (None, event["type"])
        and query.get("delivery_status") in (None, event["delivery_status"])
        and (first is None or _day(event) >= first)
        and (last is None or _day(event) <= last)
    ]
    order = query.get("sort", "-created_at")
    if order not in ("created_at", "-created_at"):
        raise Refused("Invalid sort. Must be created_at or -created_at")
    if order.startswith("-"):
        found.reverse()
    part, paging = page_of(found, query, SIZES)
    return {"success": True, "webhook_events": [logged(e) for e in part], "pagination": paging}


def day(query: dict[str, str], name: str) -> date | None:
    """Return a date of a query.

    Raises:
        Refused: it is none.
    """
    if name not in query:
        return None
    try:
        return date.fromisoformat(query[name])
    except ValueError as error:
        raise Refused(f"Invalid {name}. Must be in YYYY-MM-DD format") from error


def _day(event: dict[str, Any]) -> date:
    return datetime.fromisoformat(event["created"]).date()
