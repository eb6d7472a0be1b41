"""Sealing: what is sealed opens only where it was sealed, and shows nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.keys import Keys
from leyr_mcp.server.storage.seal import EMPTY, Sealer, patient_key
from tests.server.storage.builders import KEYS, PATIENT

SEALER = Sealer(KEYS)


@given(st.binary(max_size=200), st.text(max_size=20), st.integers(0, 9))
def test_what_is_sealed_opens_in_its_place(value: bytes, row: str, version: int) -> None:
    sealed = SEALER.seal("payload", value, "versions", row, version)
    assert SEALER.open("payload", sealed, "versions", row, version) == value
    assert len(sealed) == len(value) + EMPTY
    assert SEALER.seal("payload", value, "versions", row, version) != sealed


def test_it_opens_nowhere_else() -> None:
    sealed = SEALER.seal("payload", b"canary", "versions", "d_1", 1)
    for sealer, label, place in (
        (SEALER, "payload", ("versions", "d_1", 2)),
        (SEALER, "payload", ("versions", "d_2", 1)),
        (SEALER, "payload", ("drafts", "d_1", 1)),
        (SEALER, "ledger", ("versions", "d_1", 1)),
        (Sealer(Keys(bytes(32))), "payload", ("versions", "d_1", 1)),
    ):
        with pytest.raises(StorageError) as caught:
            sealer.open(label, sealed, *place)  # type: ignore[arg-type]  # a row of the table
        assert "canary" not in str(caught.value)


@given(st.data())
def test_no_changed_byte_goes_unseen(data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal("patient", PATIENT.encode(), "audit", 1, "patient"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(StorageError):
        SEALER.open("patient", bytes(sealed), "audit", 1, "patient")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" * 40, b"\x01" + b"x" * 20])
def test_what_was_never_sealed_is_refused(sealed: bytes) -> None:
    with pytest.raises(StorageError):
        SEALER.open("payload", sealed, "versions", "d_1", 1)


def test_a_sealer_shows_no_key() -> None:
    assert repr(SEALER) == "Sealer(***)"
    assert repr(KEYS) == "Keys(***)"


def test_names_depend_on_the_key() -> None:
    assert patient_key(KEYS, PATIENT) == SEALER.patient_key(PATIENT)
    assert patient_key(Keys(bytes(32)), PATIENT) != SEALER.patient_key(PATIENT)
    assert SEALER.remote_key("note", "ab", "c") != SEALER.remote_key("note", "a", "bc")


def test_the_ciphers_are_loaded_on_first_use_only() -> None:
    program = (
        "import sys\n"
        "from leyr_mcp.server.storage.sqlite import SqliteStore\n"
        "from leyr_mcp.server.storage.keys import Keys\n"
        "SqliteStore(None, Keys(bytes(32)))\n"
        "sys.exit('cryptography' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
