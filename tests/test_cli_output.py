"""What commands print: names that others chose can neither style, hide nor move anything on the terminal."""

from json import loads

import pytest

from federation.cli.output import Output

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


def test_an_empty_list_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    Output().rows(("name",), [], "Nothing yet. `federation peer invite` links to one.")
    assert "peer invite" in capsys.readouterr().out
