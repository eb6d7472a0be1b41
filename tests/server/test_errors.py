"""The error classes: a known code each, a next step, and nothing but what they were given."""

from __future__ import annotations

import pytest

from leyr_mcp.server import errors
from leyr_mcp.server.errors import CODES, InputError, LeyrMcpError, UpstreamError

CLASSES = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, LeyrMcpError)
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_class_has_a_known_code_and_a_next_step(kind: type[LeyrMcpError]) -> None:
    error = kind("It did not work.")
    assert error.code in CODES
    assert (error.next_step, error.retry) == CODES[error.code]
    assert str(error) == error.message == "It did not work."
    assert error.field is None
    assert kind.__name__.endswith("Error")


@pytest.mark.parametrize("code", CODES)
def test_code_reads_as_a_name_and_its_step_as_a_sentence(code: str) -> None:
    assert code == code.lower().strip("_")
    step, retry = CODES[code]
    assert step[0].isupper()
    assert step.endswith(".")
    assert retry in ("no", "after", "same_call")


def test_own_code_and_step_replace_those_of_the_class() -> None:
    error = InputError(
        "Wrong.", code="not_found", field="start", next_step="Stop.", retry_after_s=2.0
    )
    assert (error.code, error.field, error.next_step) == ("not_found", "start", "Stop.")
    assert (error.retry, error.retry_after_s) == ("no", 2.0)


def test_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        InputError("Wrong.", code="no_such_code")


def test_upstream_failure_is_taken_for_received_unless_said_otherwise() -> None:
    error = UpstreamError("Wrong.", status=503, vendor_code="E1", request_id="r1")
    assert error.not_received is False
    assert (error.status, error.vendor_code, error.request_id) == (503, "E1", "r1")
