"""Readers are lent once each; who cannot wait is told at once."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from federation.errors import Unavailable
from federation.storage.pool import NoneFree, ReaderPool, without_waiting


class Connection:
    """A connection that knows whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_whoever_waits_too_long_is_told_that_the_node_is_busy() -> None:
    pool = ReaderPool(Connection, 1, 0.01)
    with pool.lent(), pytest.raises(Unavailable), pool.lent():
        pass
    with pool.lent() as again:
        assert not again.closed


def test_without_waiting_a_reader_is_lent_that_is_open_and_free_or_none() -> None:
    pool = ReaderPool(Connection, 2, 30.0)
    with without_waiting(), pytest.raises(NoneFree), pool.lent():  # opening one takes time too
        pass
    with pool.lent() as first:
        pass
    with without_waiting(), pool.lent() as same:
        assert same is first
    began = time.monotonic()
    with ExitStack() as all_lent:
        all_lent.enter_context(pool.lent())
        all_lent.enter_context(pool.lent())
        with without_waiting(), pytest.raises(NoneFree), pool.lent():
            pass
    assert time.monotonic() - began < 1
    with pool.lent(), pool.lent():  # nothing was lost on the way
        pass


def test_a_reader_that_failed_is_closed_and_its_place_is_free() -> None:
    pool = ReaderPool(Connection, 1, 0.01)
    with pytest.raises(ZeroDivisionError), pool.lent() as broken:
        raise ZeroDivisionError
    assert broken.closed
    with pool.lent() as fresh:
        assert fresh is not broken
        pool.close()
    assert fresh.closed
