"""One lab for all tests through tools and devices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mpsearch.testing.lab.bench import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as started:
        yield started
