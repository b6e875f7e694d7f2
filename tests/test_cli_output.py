"""What commands print: names that others chose can neither style, hide nor move anything on the terminal."""

from datetime import datetime, timedelta, timezone
from json import loads

import pytest

from federation.cli.output import Output, cell

HOSTILE = "[/b][conceal]x[/conceal] \x1b]0;PWNED\x07\x1b[2J \x9b31m \u202eevil \u061c\u2028"
OBEYED = "\x1b\x07\x9b\u202e\u061c\u2028"


@pytest.mark.parametrize("json", [False, True])
def test_markup_and_escapes_in_cells_are_only_text(json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    Output(json).rows(("name",), [{"name": HOSTILE}], "nothing")
    said = capsys.readouterr().out
    assert "[/b][conceal]x[/conceal]" in said
    assert not set(OBEYED) & set(said)


def test_json_means_the_same_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(json=True)
    out.result({"name": HOSTILE}, "")
    out.error(HOSTILE, code="CONFLICT")
    first, second = capsys.readouterr().out.splitlines()
    assert not set(OBEYED) & set(first + second)
    assert loads(first) == {"name": HOSTILE}
    assert loads(second)["error"]["message"] == HOSTILE


def test_sentences_and_errors_are_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.result({}, HOSTILE)
    out.note(HOSTILE)
    out.error(HOSTILE, code="CONFLICT")
    out.text(HOSTILE)
    said = capsys.readouterr()
    assert (said.out + said.err).count("[/b]") == 4
    for sign in ("\x1b]", "\x07", "\u202e"):
        assert sign not in said.out + said.err


LONG = {"id": "i" * 90, "title": "many words " * 9 + "end", "status": "SHARED"}


def test_a_table_for_a_program_has_a_line_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    Output().rows(("id", "title", "status"), [LONG], "nothing")
    _, row = capsys.readouterr().out.splitlines()
    assert row.split("  ") == [*LONG.values()]


@pytest.mark.parametrize("width", [20, 80, 120])
def test_an_id_is_whole_on_every_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    Output().rows(("id", "title", "status"), [LONG], "nothing")
    said = capsys.readouterr().out
    assert LONG["id"] in said
    assert len(said.splitlines()) == 2
    Output().rows(("title", "status"), [LONG], "nothing")
    assert (len(capsys.readouterr().out.splitlines()) > 2) is (width < 100)


def test_an_empty_list_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    Output().rows(("name",), [], "Nothing yet. `federation peer invite` links to one.")
    assert "peer invite" in capsys.readouterr().out


def test_a_moment_and_what_has_parts_are_written_as_people_read_them() -> None:
    nairobi = timezone(timedelta(hours=3))
    assert cell(datetime(2027, 1, 2, 3, 4, 5, 678, nairobi)) == "2027-01-02T00:04:05Z"
    assert cell({"resource.area": "sub_region", "resource.amount": "nobody"}) == (
        "resource.area=sub_region, resource.amount=nobody"
    )
    assert cell({}) == cell([]) == cell(None) == "–"
