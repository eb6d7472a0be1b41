"""What the bench concludes from what it measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import measure
from bench.contestants import BARE, CONTROL, GENERATED, OURS, Contestant
from bench.measure import CALLS, START_WALL, Samples, _turned, middle, sizes
from bench.report import exit_code


def samples(ours: float, control: float = 1.0) -> Samples:
    found = Samples(rounds=4)
    for drift in (1.0, 3.0, 0.5, 1.2):  # the machine's mood, which no ratio may show
        for server, calls in ((OURS, ours), (BARE, 1.0), (CONTROL, control), (GENERATED, 0.8)):
            found.add(CALLS, server, [calls * drift, calls * drift * 1.1])
            found.add(START_WALL, server, [drift])
    return found


def test_ratio_does_not_show_what_slows_every_server() -> None:
    assert samples(1.5).ratio(CALLS, OURS, BARE).median == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("ours", "control", "code"), [(1.5, 1.0, 0), (1.1, 1.0, 1), (1.5, 1.05, 3), (1.1, 0.95, 3)]
)
def test_exit_code_tells_gates_and_control(ours: float, control: float, code: int) -> None:
    assert exit_code(samples(ours, control)) == code


def test_each_server_is_in_each_place_equally_often() -> None:
    servers = [Contestant(name, (), {}, {}) for name in "abcd"]
    orders = [[server.name for server in _turned(servers, turn)] for turn in range(8)]
    for place in range(4):
        assert sorted(order[place] for order in orders) == sorted("abcd" * 2)


def test_interval_holds_the_median_and_widens_with_fewer_rounds() -> None:
    many, few = middle([float(n) for n in range(100)]), middle([1.0, 2.0, 3.0, 4.0])
    assert (many.low, many.median, many.high) == (40.0, 49.5, 59.0)
    assert (few.low, few.median, few.high) == (1.0, 2.5, 4.0)


def test_model_sees_name_description_and_input_schema_only() -> None:
    tool = {"name": "a", "description": "b", "inputSchema": {}, "outputSchema": {"x": "y" * 99}}
    assert sizes({"tools": [tool]}) == {"tools": 1, "bytes": 182, "model_bytes": 49}


def test_no_part_of_it_stands_in_for_a_module_of_python() -> None:
    """Some of them run as programs, and find their own folder before Python's."""
    names = {path.stem for path in Path(measure.__file__).parent.glob("*.py")}
    assert names & sys.stdlib_module_names == set()
