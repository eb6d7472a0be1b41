"""What tests of several parts of the server share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import postgres


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    """The PostgreSQL server of this run."""
    postgres.see_installed()
    with postgres.running(postgres.of_this_run(tmp_path_factory)) as found:
        yield found
