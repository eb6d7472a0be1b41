"""The control plane over HTTP, under /_sandbox. It asks for no credentials: serve on loopback only.

| request                                 | effect                                            |
| --------------------------------------- | ------------------------------------------------- |
| GET  /_sandbox                          | record system, clock, options, counts             |
| POST /_sandbox/reset, /_sandbox/seed    | start afresh; replace the data by the seed        |
| GET, PUT, DELETE /_sandbox/clock        | read; set `{"now": …}`; real time again           |
| POST /_sandbox/clock/advance            | move by `{"seconds": …}`                          |
| GET, PATCH /_sandbox/options            | read; change switches                             |
| GET, POST, DELETE /_sandbox/faults      | list; add one; lift all (`?id=` lifts one)        |
| POST /_sandbox/late-commits             | let waiting late commits take effect now          |
| GET, DELETE /_sandbox/requests          | read the log; empty it                            |
| GET  /_sandbox/state                    | all data (`?patient=` any id: of one patient)     |
| GET  /_sandbox/sms                      | Leyr: the text messages with their codes          |
| GET, POST /_sandbox/jobs                | Cobalt: what is queued; carry all of it out now   |
| GET, POST, DELETE /_sandbox/outcomes    | Cobalt: what becomes of the next jobs             |
| GET, POST, DELETE /_sandbox/deliveries  | Cobalt: webhooks tried; what becomes of the next  |
| GET, PUT, DELETE /_sandbox/login        | Cobalt: whether the clinic must sign in again     |
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from leyr_mcp.sandbox.control import Ask as More
from leyr_mcp.sandbox.control import Plane
from leyr_mcp.sandbox.errors import ApiError, bad, not_allowed, not_found
from leyr_mcp.sandbox.faults import Fault
from leyr_mcp.sandbox.models import Moment
from leyr_mcp.sandbox.wire import (
    Incoming,
    Reply,
    error_reply,
    json_reply,
    parse_json,
    parse_query,
    validate,
)

CONTROL = "/_sandbox"


class ClockSetting(BaseModel):
    """A time to stop the clock at."""

    model_config = ConfigDict(extra="forbid")

    now: Moment


class ClockStep(BaseModel):
    """Seconds to move the clock by."""

    model_config = ConfigDict(extra="forbid")

    seconds: float


@dataclass(frozen=True)
class Ask:
    """A request to the control plane."""

    control: Plane
    request: Incoming
    body: bytes


def answer_control(control: Plane, request: Incoming, body: bytes | None) -> Reply:
    """Carry out a request to the control plane."""
    try:
        act = _control(control, request)
        return json_reply(act(Ask(control, request, body or b"")))
    except ApiError as error:
        return error_reply(error)


def _control(control: Plane, request: Incoming) -> Callable[["Ask"], object]:
    methods = _routes(control).get(request.raw_path.removeprefix(CONTROL).rstrip("/"))
    if methods is None:
        raise not_found("Control")
    if request.method not in methods:
        raise not_allowed(request.method, tuple(methods))
    return methods[request.method]


def _summary(ask: Ask) -> object:
    return {
        "emr": ask.control.emr,
        "now": ask.control.clock.now().isoformat(),
        "options": _options(ask),
        "patients": ask.control.people(),
        "faults": len(ask.control.faults.active()),
        "requests": len(ask.control.requests.entries),
        "late_commits": len(ask.control.late_commits),
        "controls": [
            f"{method} {CONTROL}{path}"
            for path, methods in _routes(ask.control).items()
            for method in methods
        ],
    }


def _reset(ask: Ask) -> object:
    ask.control.reset()
    return _summary(ask)


def _seed(ask: Ask) -> object:
    ask.control.seed()
    return _summary(ask)


def _clock(ask: Ask) -> object:
    return {"now": ask.control.clock.now().isoformat()}


def _set_clock(ask: Ask) -> object:
    ask.control.clock.set(validate(ClockSetting, _json(ask.body), "body").now)
    ask.control.moved()
    return _clock(ask)


def _run_clock(ask: Ask) -> object:
    ask.control.clock.run()
    return _clock(ask)


def _advance(ask: Ask) -> object:
    try:
        ask.control.clock.advance(validate(ClockStep, _json(ask.body), "body").seconds)
    except (OverflowError, ValueError) as error:
        raise bad("BAD_REQUEST", "seconds leads out of the calendar", "body.seconds") from error
    ask.control.moved()
    return _clock(ask)


def _change_options(ask: Ask) -> object:
    changes = _json(ask.body)
    if not isinstance(changes, dict):
        raise bad("BAD_REQUEST", "The body must be an object", "body")
    validate(type(ask.control.switches), {**ask.control.switches.model_dump(), **changes}, "body")
    ask.control.switch(changes)
    return _options(ask)


def _faults(ask: Ask) -> object:
    return [fault.model_dump() for fault in ask.control.faults.active()]


def _add_fault(ask: Ask) -> object:
    return ask.control.faults.add(validate(Fault, _json(ask.body), "body")).model_dump()


def _clear_faults(ask: Ask) -> object:
    wanted = parse_query(ask.request.raw_query).get("id")
    if wanted is None:
        return {"cleared": ask.control.faults.clear()}
    if not wanted.isascii() or not wanted.isdigit():
        raise bad("BAD_REQUEST", "id must be a number", "query.id")
    return {"cleared": ask.control.faults.clear(int(wanted))}


def _run_late(ask: Ask) -> object:
    return {"committed": ask.control.late_commits.run()}


def _requests(ask: Ask) -> object:
    return [asdict(entry) for entry in ask.control.requests.entries]


def _clear_requests(ask: Ask) -> object:
    cleared = len(ask.control.requests.entries)
    ask.control.requests.entries.clear()
    return {"cleared": cleared}


def _state(ask: Ask) -> object:
    try:
        return ask.control.state(parse_query(ask.request.raw_query).get("patient"))
    except KeyError as error:
        raise not_found("Patient") from error


def _json(body: bytes) -> object:
    return parse_json(body, "application/json")


def _options(ask: Ask) -> object:
    found = ask.control.switches.model_dump()
    return {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in found.items()
    }


def _routes(control: Plane) -> dict[str, dict[str, Callable[[Ask], object]]]:
    more = control.more()
    asked = {
        path: {method: _asking(act) for method, act in methods.items()}
        for path, methods in more.items()
    }
    return {**_ROUTES, **asked}


def _asking(act: More) -> Callable[[Ask], object]:
    """Return what reads the body of a request, if it has one, and asks."""

    def asked(ask: Ask) -> object:
        try:
            return act(_json(ask.body) if ask.body else None)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(["body", *(str(part) for part in first["loc"])])
            raise bad("BAD_REQUEST", f"{place}: {first['msg']}", place) from error

    return asked


_ROUTES: dict[str, dict[str, Callable[[Ask], object]]] = {
    "": {"GET": _summary},
    "/reset": {"POST": _reset},
    "/seed": {"POST": _seed},
    "/clock": {"GET": _clock, "PUT": _set_clock, "DELETE": _run_clock},
    "/clock/advance": {"POST": _advance},
    "/options": {"GET": _options, "PATCH": _change_options},
    "/faults": {"GET": _faults, "POST": _add_fault, "DELETE": _clear_faults},
    "/late-commits": {"POST": _run_late},
    "/requests": {"GET": _requests, "DELETE": _clear_requests},
    "/state": {"GET": _state},
}
