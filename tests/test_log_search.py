"""The search of the suite's logs is not blind."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from log_search import HANDLE, PUBLIC, SECRET, LogSearch, watching

from federation.oauth.accounts import hashed
from federation.telemetry import logger
from federation.world import World, real_world


@pytest.fixture
def search() -> LogSearch:
    return LogSearch()


@pytest.mark.parametrize("purpose", sorted(SECRET))
def test_a_secret_is_found_in_whichever_form_it_is_written(search: LogSearch, purpose: str) -> None:
    drawn = real_world().draw(purpose, size=20)
    search.note(purpose, drawn)
    for form in sorted(search.secrets):
        search.lines = ["all is well", f"a line with {form} in it"]
        assert search.found() == search.lines[1:]


def test_what_is_no_secret_is_let_stand(search: LogSearch) -> None:
    search.note("client-id", b"x" * 20)
    search.note("setup-link", b"y" * 20)
    search.lines = [(b"x" * 20).hex(), "y" * 20]
    assert search.found() == []


@pytest.mark.parametrize(
    "text",
    ["eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.AAAA", "fedp_AAAAAAAAAAAAAAAAAAAA", "fedr_AAAAAAAAAAAAAAAAAAAA",
     "fedi_AAAAAAAAAAAAAAAAAAAA", "federation-invite-AAAAAAAAAAAAAAAAAAAA", '{"d": "AAAAAAAAAAAAAAAAAAAAAAAA"}',
     "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG"],
)  # fmt: skip
def test_what_looks_like_a_secret_is_found_though_nobody_noted_it(search: LogSearch, text: str) -> None:
    search.lines = [f"got {text}"]
    assert search.found() == search.lines


def test_draws_passwords_and_lines_are_noted_and_files_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.Logger, "handle", HANDLE)  # what is logged here is nobody else's
    watched = watching()
    inner = next(watched)
    drawn = World(real_world().now).draw("setup-link", size=24)
    hashed("a password of nobody")
    logging.getLogger("x").warning("it was %s", drawn.hex())
    logger("y").warning("typed", text="a password of nobody")
    (tmp_path / "node.log").write_text("fine\nfedp_AAAAAAAAAAAAAAAAAAAA\n")
    inner.read(tmp_path)
    found = inner.found()
    watched.close()
    assert len(found) == 3
    assert inner.purposes == {"setup-link"}


def test_no_purpose_is_both() -> None:
    assert not SECRET & PUBLIC
