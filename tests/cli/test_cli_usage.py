"""What every command has in common: exit codes, help, plain sentences, `--json`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.conftest import Cli
from federation.cli import app
from federation.cli.nouns import NOUNS

COMMANDS = {
    "demo": (),
    "init": (),
    "serve": (),
    "worker": (),
    "doctor": (),
    "sync": (),
    "peer": ("invite", "accept", "verify", "grant", "list", "show", "holdings", "freeze", "revoke"),
    "policy": ("show", "check", "diff", "apply", "rollback", "preview", "explain"),
    "record": ("list", "show", "add", "withdraw"),
    "import": ("hsds", "csv"),
    "export": ("hsds", "csv", "icalendar", "json"),
    "client": ("add", "list", "revoke"),
    "token": ("issue",),
    "audit": ("list", "show", "verify"),
    "db": ("upgrade", "check", "move"),
    "schema": ("print",),
    "config": ("show",),
}
WORDS = [(noun, verb) if verb else (noun,) for noun, verbs in COMMANDS.items() for verb in (None, *verbs)]


def command(*words: str) -> Any:
    """A command of the tree."""
    found = typer.main.get_command(app)
    for word in words:
        found = found.commands[word]  # type: ignore[attr-defined]
    return found


def leaves(found: Any, *words: str) -> list[tuple[str, ...]]:
    """The words of every command that is no group."""
    inner = getattr(found, "commands", None)
    if inner is None:
        return [words]
    return [leaf for name, each in inner.items() for leaf in leaves(each, *words, name)]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_command_of_the_interface_exists_and_explains_itself(words: tuple[str, ...], cli: Cli) -> None:
    shown = cli(*words, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert command(*words).help
    assert "Usage: " in shown.out


def test_the_list_of_commands_says_what_each_says_of_itself(cli: Cli) -> None:
    shown = " ".join(cli("--help").out.split())
    for noun in NOUNS:
        says = command(noun).help.partition("\n")[0]
        assert f" {noun} {NOUNS[noun].says}" in shown
        assert says == NOUNS[noun].says or says.startswith(f"{NOUNS[noun].says} "), noun


def test_a_command_imports_what_it_needs_and_not_what_others_need(home: Path) -> None:
    """Each of these takes longer to import than a simple command may take to run."""
    slow = {"sqlalchemy", "alembic", "strawberry", "uvicorn", "psycopg", "structlog", "phonenumbers"}
    of_a_server = {"alembic", "strawberry", "uvicorn", "starlette"}
    for words, unwanted in (
        (("--help",), slow | {"rich", "pydantic"}),
        (("config", "show"), slow),
        (("record", "list"), of_a_server),
    ):
        told = f"from federation.cli import run; run({[*words]!r}); import sys; print(*sys.modules, file=sys.stderr)"
        ended = subprocess.run(
            [sys.executable, "-c", told],
            env=os.environ | {"FEDERATION_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.stdout
        assert unwanted & set(ended.stderr.split()) == set(), words


def test_every_option_and_command_says_what_it_is() -> None:
    for words in leaves(command()):
        one = command(*words)
        assert one.help, words
        for parameter in one.params:
            if parameter.param_type_name == "option" and parameter.name not in ("help", "first", "limit", "days"):
                assert parameter.help, (words, parameter.name)


@pytest.mark.parametrize(
    "words",
    [
        ("fly",),
        ("peer", "fly"),
        ("peer", "list", "--fast"),
        ("record", "list", "--first", "many"),
        ("record", "list", "--first", "0"),
        ("client", "add"),
        ("policy", "check", "/nowhere/policy.toml"),
        ("serve", "--port", "0"),
        ("init", "--name", "River"),
    ],
    ids=" ".join,
)
def test_misuse_is_exit_2_with_a_sentence(words: tuple[str, ...], cli: Cli, home: Path) -> None:
    ended = cli(*words)
    assert ended.code == 2
    assert "Error: " in ended.err or "Usage: " in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


@pytest.mark.parametrize("words", [(), ("peer",), ("policy",)], ids=str)
def test_without_a_verb_the_help_is_shown(words: tuple[str, ...], cli: Cli) -> None:
    ended = cli(*words)
    assert ended.code == 2
    assert "Commands" in ended.out + ended.err


NEEDS_A_HOME = [
    ("doctor",),
    ("sync",),
    ("serve",),
    ("worker",),
    ("peer", "list"),
    ("policy", "show"),
    ("record", "list"),
    ("client", "list"),
    ("token", "list"),
    ("audit", "verify"),
    ("db", "check"),
    ("db", "upgrade"),
    ("schema", "print"),
    ("config", "show"),
]


@pytest.mark.parametrize("words", NEEDS_A_HOME, ids=" ".join)
def test_without_a_home_one_sentence_says_how_to_make_one(words: tuple[str, ...], cli: Cli, tmp_path: Path) -> None:
    ended = cli(*words, home=tmp_path)
    assert ended.code == 1
    assert ended.out == ""
    assert ended.err.startswith("SETTINGS_INVALID: ")
    assert "federation init" in ended.err
    assert len(ended.err.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [words for words in NEEDS_A_HOME if words[0] not in ("serve", "worker", "schema")])
def test_with_json_an_error_is_json(words: tuple[str, ...], cli: Cli, tmp_path: Path) -> None:
    ended = cli(*words, "--json", home=tmp_path)
    assert ended.code == 1
    assert set(ended.json["error"]) == {"code", "message"}
    assert ended.err == ""


@pytest.mark.parametrize("json", [False, True], ids=["for a person", "for a program"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("db", "move", "sqlite:////nonexist/x.db", "--yes"), "/nonexist/x.db"),
        (("export", "json", "/nonexist/f"), "/nonexist/f: No such file or directory."),
        (("export", "csv", "/proc/f"), "/proc/f: "),
        (("export", "hsds", "/proc/f"), "/proc/f: "),
        (("export", "icalendar", "/nonexist/f"), "/nonexist/f: No such file or directory."),
        (("client", "add", "x", "--scopes", "resource:open", "--key-file", "/nonexist/k"), "/nonexist/k: No such"),
        (("policy", "apply", "{file}", "--yes"), "policy.new: Is a directory."),
        (("export", "json", "/dev/full/x"), "/dev/full/x: Not a directory."),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_what_the_machine_refuses_is_one_sentence(
    words: tuple[str, ...], said: str, json: bool, cli: Cli, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "policy.toml").write_text('[resource]\ntitle = "community"\n')
    (home / "policy.new").mkdir()  # in the way of what is written before a policy is put in force
    words = tuple(word.format(file=tmp_path / "policy.toml") for word in words)
    ended = cli(*words, *(("--json",) if json else ()), home=home)
    message = ended.json["error"]["message"] if json else ended.err.removeprefix("UNAVAILABLE: ")
    assert ended.code == 1
    assert said in message
    assert len(message.strip().splitlines()) == 1
    if json:
        assert (ended.err, ended.json["error"]["code"]) == ("", "UNAVAILABLE")


def test_a_home_that_cannot_be_made_is_one_sentence(cli: Cli) -> None:
    ended = cli("init", "--home", "/proc/nope", "--name", "N", "--url", "http://127.0.0.1:9", "--scope", "local")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "UNAVAILABLE: /proc/nope: No such file or directory.\n"


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["for a person", "for a program"])
def test_a_full_disk_under_standard_output_is_said_so(more: tuple[str, ...], home: Path) -> None:
    words = ["policy", "show", "--home", str(home), *more]
    with open("/dev/full", "w", encoding="utf-8") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "federation", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, "UNAVAILABLE: the disk is full. Make room and try again.\n")


def test_the_home_may_come_from_the_environment(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDERATION_HOME", str(home))
    assert cli("peer", "list", "--json").json == []


def test_the_module_runs_as_a_program_with_its_exit_code() -> None:
    ended = subprocess.run([sys.executable, "-m", "federation", "fly"], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert "No such command 'fly'" in ended.stderr
