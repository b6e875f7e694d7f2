"""The documentation says what is there: settings, commands, scopes, and commands that can be pasted."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from federation.cli import app
from federation.policies.loading import load_policy
from federation.policies.tiers import ACTION_SCOPES
from federation.records.registry import RECORD_TYPES, catalogue
from federation.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").glob("*.md"))


def described(page: str) -> set[str]:
    """The words in code marks in the first column of a page's tables."""
    return set(re.findall(r"^\| `([^`]+)`", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE))


def commands() -> dict[str, Any]:
    """Every command by its words."""
    found: dict[str, Any] = {}

    def walk(command: Any, path: tuple[str, ...]) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, (*path, name))
        else:
            found[" ".join(path)] = command

    walk(typer.main.get_command(app), ())
    return found


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_every_setting_is_documented_and_no_other() -> None:
    assert described("settings.md") == set(Settings.model_fields)


def test_every_command_is_documented_and_no_other() -> None:
    assert described("commands.md") == set(commands())


def test_every_scope_is_documented() -> None:
    assert described("scopes.md") >= ACTION_SCOPES | {f"{kind}:open" for kind in RECORD_TYPES}


THREATS = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")


def suite() -> set[str]:
    """The names of all tests."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)}


def test_every_threat_has_a_control_a_default_and_tests_that_exist() -> None:
    headings = [heading for heading in re.findall(r"^## (.+)$", THREATS, re.MULTILINE) if "checklist" not in heading]
    assert len(headings) == 6
    names = suite()
    for heading in headings:
        rows = THREATS.partition(f"## {heading}\n")[2].partition("\n## ")[0].splitlines()
        threats = [line.split("|")[1:-1] for line in rows if line.startswith("| ") and not line.startswith("| threat ")]
        assert threats, heading
        for threat, control, default, _, tests in ([cell.strip() for cell in row] for row in threats):
            assert all((threat, control, default)), heading
            known(tests, names, threat)


def known(cell: str, names: set[str], where: str) -> set[str]:
    """The tests that a cell names; each exists."""
    found: set[str] = set()
    wanted = re.findall(r"`(test_\w+\*?)`", cell)
    assert wanted, where
    for name in wanted:
        fit = {one for one in names if one == name or (name.endswith("*") and one.startswith(name[:-1]))}
        assert fit, f"{where}: no test is called {name}"
        found |= fit
    return found


def test_each_of_the_fifty_rows_leads_to_its_tests_and_no_test_to_another_row() -> None:
    rows = [line.split("|")[1:-1] for line in THREATS.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row[0]) for row in rows] == list(range(1, 51))
    names = suite()
    for number, what, _, tests in rows:
        assert what.strip()
        assert any(name.startswith(f"test_row_{int(number):02d}_") for name in known(tests, names, number))
    assert all(re.match(r"test_row_(0[1-9]|[1-4]\d|50)_", name) for name in names if name.startswith("test_row_"))


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists_with_its_options(page: Path) -> None:
    known = commands()
    shown = 0
    for block in blocks(page.read_text(encoding="utf-8"), "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if not re.match(r"(\.venv/bin/)?federation ", line):
                continue
            arguments = shlex.split(line, comments=True)[1:]
            name = next((name for name in known if arguments[: len(name.split())] == name.split()), None)
            assert name is not None, line
            options = {option for parameter in known[name].params for option in parameter.opts}
            used = {word.split("=")[0] for word in arguments if word.startswith("--")}
            assert used <= options | {"--help"}, line
            shown += 1
    if page.name in ("README.md", "commands.md"):
        assert shown > 0


def test_policy_files_in_the_docs_pass_every_check() -> None:
    found = [block for page in (ROOT / "README.md", *PAGES) for block in blocks(page.read_text("utf-8"), "toml")]
    assert found
    for block in found:
        assert tomllib.loads(block)
        load_policy(block, catalogue(), "docs")


@pytest.mark.parametrize("page", [ROOT / "README.md", *ROOT.glob("docs/**/*.md")], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_no_page_or_file_holds_a_path_of_one_machine_or_the_address_of_a_registry() -> None:
    wrong = re.compile(r"/wor[k]/|/roo[t]/|py[p]i\.org|pythonhoste[d]|registry\.np[m]")
    for path in (*ROOT.glob("docs/**/*.md"), ROOT / "README.md", *ROOT.glob("locks/*"), *ROOT.glob("deploy/*")):
        assert not wrong.search(path.read_text(encoding="utf-8")), path
