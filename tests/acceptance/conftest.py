"""One real demonstration for the acceptance tests that change something; each leaves it linked and in step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from acceptance.federation_demo import RunningDemo, free_ports, running_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """Three linked nodes with the invented sample."""
    with running_demo(tmp_path_factory.mktemp("acceptance") / "demo", free_ports(3)) as running:
        yield running
