"""Addresses of databases: on this machine as given, over a network encrypted."""

from __future__ import annotations

import pytest

from leyr_mcp.server.addresses import database_address


@pytest.mark.parametrize(
    "local",
    [
        "",
        "postgresql://user:secret@localhost/db",
        "postgresql://127.0.0.1:5433/db?sslmode=disable",
        "postgresql://[::1]/db",
        "postgresql:///db",
        "postgresql:///db?host=/run/postgresql",
        "postgresql://user@/db?host=/run/postgresql,/tmp",
        "postgresql://localhost:5432,127.0.0.1:5433/db",
    ],
)
def test_what_stays_on_this_machine_is_taken_as_it_is(local: str) -> None:
    assert database_address(local) == local


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgresql://db.example.org/x", "postgresql://db.example.org/x?sslmode=require"),
        (
            "postgresql://u:p@db.example.org:5433/x?application_name=a",
            "postgresql://u:p@db.example.org:5433/x?application_name=a&sslmode=require",
        ),
        (
            "postgresql://localhost:1,db.example.org:2/x",
            "postgresql://localhost:1,db.example.org:2/x?sslmode=require",
        ),
        (
            "postgresql:///x?host=/run,db.example.org",
            "postgresql:///x?host=/run,db.example.org&sslmode=require",
        ),
        *(
            (f"postgresql://db.example.org/x?sslmode={way}",) * 2
            for way in ("require", "verify-ca", "verify-full")
        ),
    ],
)
def test_what_goes_over_a_network_is_encrypted(given: str, taken: str) -> None:
    assert database_address(given) == taken


@pytest.mark.parametrize("way", ["disable", "allow", "prefer", "other"])
def test_what_would_go_in_the_clear_is_refused(way: str) -> None:
    with pytest.raises(ValueError, match="must be encrypted"):
        database_address(f"postgresql://db.example.org/x?sslmode={way}")
