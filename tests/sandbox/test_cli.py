import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from leyr_mcp.sandbox import cli
from leyr_mcp.sandbox.faults import KINDS

COMMAND = [sys.executable, "-m", "leyr_mcp.sandbox.cli"]
LINE = re.compile(
    r"LEYR_BASE_URL=(http://127\.0\.0\.1:\d+/api) LEYR_CLIENT_ID=(\S+)"
    r" LEYR_CLIENT_SECRET=(\S+) LEYR_EMR=(\S+)\n"
)


@contextmanager
def running(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", httpx2.Client]]:
    """Yield a sandbox in a process of its own on a free port, and a client of it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments], stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = LINE.fullmatch(process.stdout.readline())
            assert found
            headers = {"x-leyr-client-id": found[2], "x-leyr-client-secret": found[3]}
            with httpx2.Client(base_url=f"{found[1]}/emrs/{found[4]}", headers=headers) as client:
                yield process, client
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_ends_cleanly(number: signal.Signals) -> None:
    with running() as (process, client):
        assert client.get("/care-units").json()[0]["id"] == "L0_1"
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")


def test_its_options_reach_the_sandbox(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    options = ["--emr", "takecare", "--state", str(state), "--now", "2026-10-23T07:00:00+02:00"]
    options += ["--client-id", "clinic", "--client-secret", "s3cret"]
    options += ["--fault", "429:operation=care_units-find_care_units,times=2,retry_after=5"]
    options += ["--fault", "503:method=get,path=/resources$,times=null"]
    with running(*options) as (process, client):
        first = client.get("/care-units")
        assert (first.status_code, first.headers["retry-after"]) == (429, "5")
        assert [client.get("/care-units").status_code for _ in range(2)] == [429, 200]
        assert client.get("/care-units/10/resources").status_code == 503
        slot = client.get("/care-units/10/timeslots").json()[0]
        assert slot["start"] == "2026-10-23T08:00:00+02:00"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert state.exists()


def test_a_taken_port_is_told_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["--port", str(port)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"Port {port} cannot be used: Address already in use.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--emr", "webdok"], ["takecare", "webdoc"]),
        (["--fault", "earthquake"], list(KINDS)),
        (["--fault", "503:times=0"], ["fault 503: times"]),
        (["--fault", "503:colour=red"], ["fault 503: colour"]),
        (["--fault", "503:path=("], ["fault 503: path"]),
        (["--fault", "503:operation=notes"], ["fault 503: operation", "patients-get_patient"]),
        (["--host", "192.0.2.1"], ["127.0.0.1"]),
        (["--port", "70000"], ["0 to 65535"]),
        (["--port", "x"], ["0 to 65535"]),
        (["--now", "2026-03-02T07:00:00"], ["with an offset"]),
        (["--now", "monday"], ["with an offset"]),
        (["--wrong"], ["--wrong"]),
    ],
)
def test_wrong_options_are_explained(
    arguments: list[str], told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(word in err for word in told)


def test_a_state_that_cannot_be_used_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"not a database, " * 100)
    for path in (tmp_path / "no" / "folder", broken):
        assert cli.main(["--state", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == err.count("The state cannot be used: ") == 2


def test_help_ends_with_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert "--fault KIND[:key=value,...]" in capsys.readouterr().out
