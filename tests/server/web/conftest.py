"""What the tests of the review page share."""

from __future__ import annotations

from tests.server.cli.conftest import _logging_as_it_was

__all__ = ["_logging_as_it_was"]
