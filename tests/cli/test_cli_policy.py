"""`policy …`: shown, checked, compared, put in force and taken back; a bad file changes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.conftest import Cli, not_confirmed


@pytest.fixture
def file(cli: Cli, home: Path, tmp_path: Path) -> Path:
    """The policy in force, as a file to edit."""
    path = tmp_path / "policy.toml"
    path.write_text(cli("policy", "show", home=home).out)
    return path


def edited(file: Path, before: str, after: str) -> Path:
    head, mark, tail = file.read_text().partition("[resource]")
    assert before in tail
    file.write_text(head + mark + tail.replace(before, after, 1))
    return file


def test_the_policy_in_force_is_a_file_that_changes_nothing(cli: Cli, home: Path, file: Path) -> None:
    assert cli("policy", "check", file, "--json", home=home).json["ok"] is True
    assert cli("policy", "diff", file, "--json", home=home).json == []
    applied = cli("policy", "apply", file, "--json", home=home).json
    assert (applied["applied"], applied["changes"]) == (False, [])


def test_a_narrowing_is_applied_and_rolled_back(cli: Cli, home: Path, file: Path) -> None:
    before = cli("policy", "show", "--json", home=home).json
    edited(file, 'eligibility = "open"', 'eligibility = "partner"')
    different = cli("policy", "diff", file, "--json", home=home)
    assert different.code == 3
    assert different.json == [
        {
            "type": "resource",
            "field": "eligibility",
            "step": "exact",
            "before": '"open"',
            "after": '"partner"',
            "direction": "narrower",
        }
    ]
    tried = cli("policy", "apply", file, "--dry-run", "--json", home=home).json
    assert (tried["applied"], len(tried["changes"])) == (False, 1)
    assert cli("policy", "show", "--json", home=home).json == before
    applied = cli("policy", "apply", file, "--json", home=home).json
    assert applied["applied"] is True
    assert cli("policy", "show", "--json", home=home).json["version"] == applied["version"] != before["version"]
    assert (home / "policy.toml").read_text() == cli("policy", "show", "--json", home=home).json["policy"]
    assert cli("policy", "rollback", "--yes", "--json", home=home).json["version"] == before["version"]
    assert cli("policy", "show", "--json", home=home).json == before
    assert len(cli("policy", "show", "--history", "--json", home=home).json) >= 2


def test_a_difference_shows_who_opens_a_step_as_policy_files_write_it(
    cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "policy.toml"
    file.write_text("""[resource]
summary = { opens = "community", not_jurisdiction = ["XY"] }
eligibility = [["resource:partner"], ["notice:partner", "resource:community"]]
area = { exact = "partner", sub_region = "partner" }
amount = { exact = "nobody", band = [["notice:partner"]] }
""")
    rows = cli("policy", "diff", file, "--json", home=home).json
    assert [tuple(row.values()) for row in rows] == [
        ("resource", "summary", "exact", '"open"', '{ opens = "community", not_jurisdiction = ["XY"] }', "narrower"),
        (
            *("resource", "eligibility", "exact", '"open"'),
            *('[["notice:partner", "resource:community"], ["resource:partner"]]', "narrower"),
        ),
        ("resource", "area", "exact", '"network"', '"partner"', "wider"),
        ("resource", "area", "sub_region", '"open"', '"partner"', "narrower"),
        ("resource", "amount", "exact", '"partner"', '"nobody"', "narrower"),
        ("resource", "amount", "band", '"community"', '[["notice:partner"]]', "wider and narrower"),
    ]
    assert cli("policy", "apply", file, "--dry-run", "--json", home=home).json["changes"] == rows
    shown = cli("policy", "diff", file, home=home).out.splitlines()[1:]
    assert [re.split(r"  +", line.strip()) for line in shown] == [[*row.values()] for row in rows]


def test_a_widening_is_asked_about(cli: Cli, home: Path, file: Path, no_answer: None) -> None:
    whole = file.read_text()
    edited(file, 'eligibility = "open"', 'eligibility = "partner"')
    narrowed = cli("policy", "apply", file, "--json", home=home).json["version"]
    file.write_text(whole)
    assert cli("policy", "apply", file, home=home).code == 1
    assert cli("policy", "rollback", home=home).code == 1
    for words in (("apply", file), ("rollback",)):
        assert not_confirmed(cli("policy", *words, "--json", home=home))
    assert cli("policy", "show", "--json", home=home).json["version"] == narrowed
    assert cli("policy", "apply", file, "--yes", home=home).code == 0
    assert cli("policy", "show", "--json", home=home).json["version"] != narrowed


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('title = "open"', 'titel = "open"', "titel"),
        ('title = "open"', 'title = "everybody"', "everybody"),
        ('title = "open"', "title = []", "title"),
        ('title = "open"', "title = ", "TOML"),
        ('title = "open"', 'title = [["persons:open"]]', "persons"),
        ('site = "sealed"', 'site = "open"', "site"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "apply", "diff"])
def test_a_bad_file_is_refused_with_file_line_and_reason_and_changes_nothing(
    verb: str, before: str, after: str, said: str, cli: Cli, home: Path, file: Path
) -> None:
    in_force = cli("policy", "show", "--json", home=home).json
    edited(file, before, after)
    lines = file.read_text().splitlines()
    number = next(at for at, line in enumerate(lines, 1) if line.strip() == after.strip())
    ended = cli("policy", verb, file, home=home)
    assert ended.code == 1
    assert ended.err.startswith(f"POLICY_INVALID: {file}:{number}: ")
    assert said in ended.err
    assert cli("policy", "show", "--json", home=home).json == in_force


def test_a_file_is_checked_where_there_is_no_node(
    cli: Cli, home: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file.write_text('[resource]\neligibility = "partner"\n')
    assert cli("policy", "check", file, "--json").json == cli("policy", "check", file, "--json", home=home).json
    file.write_text('[resource]\ntitel = "open"\n')
    assert cli("policy", "check", file).err.startswith(f"POLICY_INVALID: {file}:2: ")


def test_a_file_in_another_encoding_is_refused(cli: Cli, home: Path, file: Path) -> None:
    file.write_bytes(b"# \xe9\n" + file.read_bytes())
    ended = cli("policy", "apply", file, home=home)
    assert ended.code == 1
    assert ended.err == f"POLICY_INVALID: {file}:1: this is not UTF-8 text\n"


def test_what_a_viewer_sees_is_previewed_and_explained(cli: Cli, home: Path, file: Path) -> None:
    made = cli("client", "add", "reader", "--scopes", "resource:partner", "--json", home=home).json

    def seen(viewer: str, *more: object) -> dict[tuple[str, str], str]:
        rows = cli("policy", "preview", "--as", viewer, *more, "--json", home=home).json
        return {(row["type"], row["field"]): row["step"] for row in rows}

    assert seen("anonymous")["resource", "title"] == "withheld"
    assert seen(made["client_id"])["resource", "area"] == "country"
    assert seen(made["client_id"])["resource", "site"] == "withheld"
    assert seen("member")["resource", "area"] == "exact"
    edited(file, 'title = "open"', 'title = "nobody"')
    assert seen(made["client_id"], "--file", file)["resource", "title"] == "withheld"
    told = cli("policy", "explain", "resource.area", "--as", made["client_id"], "--json", home=home).json
    assert (told["field"], told["step"]) == ("resource.area", "country")
    assert told["reasons"]
    assert (
        "resource.area: country" in cli("policy", "explain", "resource.area", "--as", made["client_id"], home=home).out
    )


@pytest.mark.parametrize(
    "words",
    [
        ("preview", "--as", "nobody-known"),
        ("explain", "resource.colour", "--as", "member"),
        ("explain", "x", "--as", "member"),
    ],
)
def test_an_unknown_viewer_or_field_is_said_so(words: tuple[str, ...], cli: Cli, home: Path) -> None:
    ended = cli("policy", *words, home=home)
    assert ended.code == 1
    assert ended.err.startswith("NOT_FOUND: ")


def test_there_may_be_nothing_to_roll_back(cli: Cli, home: Path) -> None:
    ended = cli("policy", "rollback", "--yes", home=home)
    assert ended.code == 1
    assert "Traceback" not in ended.err
