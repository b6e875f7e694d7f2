"""Logs hold names and counts: no token, no value that an exception carries, no line that somebody else made up."""

import json
import logging

import pytest

from federation.telemetry import configure_logging, logger


@pytest.fixture(autouse=True)
def as_before():
    root = logging.getLogger()
    before = (root.handlers, root.level)
    yield
    root.handlers, root.level = before


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_exception_is_told_by_kind_and_place_and_not_by_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    try:
        raise ValueError("value cny12345678")
    except ValueError:
        logging.getLogger("somewhere").exception("it broke")
        logger("node").exception("it_broke_here")
    for entry in lines(capsys):
        assert entry["kind"] == "ValueError"
        assert any("test_telemetry.py" in place for place in entry["places"])  # type: ignore[union-attr]
        assert "cny12345678" not in json.dumps(entry)


def test_tokens_and_private_keys_are_cut_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    logger("node").info("seen", a="eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.sig", b='{"d": "c2VjcmV0"}')
    (entry,) = lines(capsys)
    assert (entry["a"], entry["b"]) == ("[redacted]", "{[redacted]}")


def test_a_value_chosen_by_others_makes_no_line_and_no_flood(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", json=False)
    logger("node").info("linked", peer="west\nerror: all is lost\x1b[2J" + "x" * 5000)
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "\x1b[2J" not in said
    assert len(said) < 1000
