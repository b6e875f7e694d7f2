"""`policy.toml` in the home: taken at a start where it was edited, and by no other command; safe at every crash."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cli.conftest import Cli, Ran
from federation.cli.policy_file import put_in_force, take_policy_file
from federation.errors import Conflict
from federation.node import open_node
from federation.policies.rules import Policy, load_policy, opening_text
from federation.settings import load_settings

WIDE, NARROW, NARROWER = (f'[resource]\neligibility = "{tier}"\n' for tier in ("open", "community", "partner"))

KILLED = """
import json, os, shutil, signal, sys
from pathlib import Path
from federation.cli import policy, run

def killed(point, words):
    left = int(point) if point.isdigit() else 0
    def watch(event, given):
        nonlocal left
        if event not in ("open", "os.rename", "os.remove") or not Path(str(given[0])).name.startswith("policy."):
            return
        if point.isdigit() or event == point:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    os._exit(run(words))

point, home, *words = sys.argv[1:]
for number in range(1 if point else 20):
    copy = shutil.copytree(home, f"{home}-{number}") if not point else home
    child = os.fork()
    if child == 0:
        killed(point or str(number), [*words, "--home", str(copy)])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("ended", status)
    if status >= 0:
        break
"""
"""A command that is killed at a point, or copies of its home with one kill each, at every point, until it ends. Points
are where it opens, replaces or removes the policy file or one beside it: `os.rename` comes right after the commit,
`os.remove` right after the file was replaced."""


def killed(point: str, home: Path, file: Path) -> list[int]:
    """How `policy apply` ended: at that point, or (empty) at each."""
    words = ["policy", "apply", str(file), "--yes", "--json"]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, point, str(home), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [int(line.split()[1]) for line in ended.stdout.splitlines() if line.startswith("ended ")]


@pytest.fixture
def written(home: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Writes a policy file that is not in the home."""

    def write(text: str) -> Path:
        path = tmp_path / "wanted.toml"
        path.write_text(text)
        return path

    return write


def eligibility(policy: Policy) -> str:
    """The tier that opens the field that the files are about."""
    (opening,) = [opening for _, opening in policy.rule("resource", "eligibility").steps]
    return opening_text("resource", opening).strip('"')


def in_force(home: Path) -> str:
    with closing(open_node(load_settings(home)[0])) as node:
        return eligibility(node.policies.current())


def started(home: Path) -> None:
    """What a start does with the file."""
    with closing(open_node(load_settings(home)[0])) as node:
        take_policy_file(node)


def applied(cli: Cli, home: Path, file: Path) -> Ran:
    ended = cli("policy", "apply", file, "--yes", "--json", home=home)
    assert ended.code == 0, ended
    return ended


def test_a_file_changed_by_hand_is_in_force_from_the_next_start_and_for_no_other_command(cli: Cli, home: Path) -> None:
    own = home / "policy.toml"
    own.write_text(NARROW)
    for words in (("doctor",), ("peer", "list"), ("record", "list"), ("policy", "diff", own), ("policy", "show")):
        assert cli(*words, home=home).code in (0, 3)
        assert in_force(home) == "open"
    started(home)
    assert in_force(home) == "community"
    assert cli("policy", "diff", own, "--json", home=home).json == []


def test_what_differs_is_said_by_policy_commands_and_the_doctor(
    cli: Cli, home: Path, written: Callable[[str], Path]
) -> None:
    own = home / "policy.toml"
    differs = f"{own} differs from what is in force; the next start puts it in force.\n"
    assert cli("policy", "show", home=home).err == ""
    own.write_text(NARROW)
    other = written(NARROWER)
    for words in (
        ("show",),
        ("check", other),
        ("diff", other),
        ("apply", other, "--dry-run"),
        ("preview", "--as", "member"),
        ("explain", "resource.title", "--as", "member"),
    ):
        assert cli("policy", *words, home=home).err == differs, words
        assert differs not in cli("policy", *words, home=home).out
    (finding,) = [row for row in cli("doctor", "--json", home=home).json if row["code"] == "POLICY_FILE"]
    assert finding["finding"] == differs.strip()
    assert f"federation policy apply {own}" in finding["mend"]
    assert cli("policy", "apply", own, "--json", home=home).err == ""
    assert cli("policy", "show", home=home).err == ""
    assert "POLICY_FILE" not in cli("doctor", home=home).out


def test_a_difference_is_against_what_is_in_force(cli: Cli, home: Path, written: Callable[[str], Path]) -> None:
    applied(cli, home, written(NARROW))
    (home / "policy.toml").write_text(NARROWER)
    (change,) = cli("policy", "diff", written(WIDE), "--json", home=home).json
    assert (change["field"], change["direction"]) == ("eligibility", "wider")
    (change,) = cli("policy", "diff", home / "policy.toml", "--json", home=home).json
    assert (change["field"], change["direction"]) == ("eligibility", "narrower")


def test_an_apply_that_changes_nothing_still_mends_the_file(
    cli: Cli, home: Path, written: Callable[[str], Path]
) -> None:
    applied(cli, home, written(NARROW))
    (home / "policy.toml").write_text(WIDE)
    assert applied(cli, home, written(NARROW)).json["applied"] is False
    assert 'eligibility = "community"' in (home / "policy.toml").read_text()
    started(home)
    assert in_force(home) == "community"


@pytest.mark.parametrize("verb", ["serve", "worker"])
def test_a_broken_file_stops_the_start_and_no_other_command(verb: str, cli: Cli, home: Path) -> None:
    own = home / "policy.toml"
    own.write_text('[resource]\ntitel = "open"\n')
    ended = cli(verb, home=home)
    assert ended.code == 1
    assert ended.err.strip().splitlines()[-1].startswith(f"POLICY_INVALID: {own}:2: ")
    listed = cli("policy", "show", home=home)
    assert listed.code == 0
    assert listed.err.startswith(f"{own}:2: ")
    assert "the next start stops" in listed.err
    assert cli("peer", "list", home=home).err == ""


def test_a_broken_file_stops_every_start_also_after_another_policy_was_put_in_force(
    cli: Cli, home: Path, written: Callable[[str], Path]
) -> None:
    (home / "policy.toml").write_text("[resource\n")
    assert killed("os.rename", home, written(NARROW)) == [-signal.SIGKILL]
    assert in_force(home) == "community"
    assert cli("worker", home=home).code == 1


@pytest.mark.parametrize("verb", ["serve", "worker"])
def test_a_real_start_takes_the_file_and_says_so_in_its_log(verb: str, cli: Cli, home: Path) -> None:
    (home / "policy.toml").write_text(NARROW)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [verb, "--home", str(home), *(("--port", str(port)) if verb == "serve" else ())]
    with subprocess.Popen(
        [sys.executable, "-m", "federation", *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stderr is not None
            taken = next((line for line in process.stderr if "policy_file_taken" in line), "")
        finally:
            process.kill()
    assert '"wider": 0' in taken
    assert '"narrower": 1' in taken
    assert in_force(home) == "community"


@pytest.mark.parametrize("left", ["nothing", "a policy", "an edited file"])
def test_wherever_an_apply_is_killed_what_was_decided_last_holds_after_the_next_start(
    left: str, cli: Cli, home: Path, written: Callable[[str], Path]
) -> None:
    if left != "nothing":
        applied(cli, home, written(NARROW))
    if left == "an edited file":
        (home / "policy.toml").write_text(WIDE)
    before, outcomes = in_force(home), []
    ends = killed("", home, written(NARROWER))
    assert ends == [-signal.SIGKILL] * (len(ends) - 1) + [0]
    for place in range(len(ends)):
        copy = home.with_name(f"{home.name}-{place}")
        with closing(open_node(load_settings(copy)[0])) as node:
            held = eligibility(node.policies.current())
            take_policy_file(node)
            outcomes.append((held, eligibility(node.policies.current())))
            put_in_force(node, load_policy(NARROWER, node.catalogue), node.policies.current().version)
            take_policy_file(node)
            assert eligibility(node.policies.current()) == "partner"  # the same again mends it
        assert NARROWER.splitlines()[1] in (copy / "policy.toml").read_text()
    assert len(outcomes) > 3
    taken = "open" if left == "an edited file" else before  # an edit is a decision too, until a policy is applied
    assert set(outcomes) == {(before, taken), ("partner", "partner")}
    assert outcomes.index(("partner", "partner")) < len(outcomes) - 2  # killed more than once after the commit


def test_a_file_that_cannot_be_replaced_is_not_taken_in_the_place_of_what_was_applied(
    cli: Cli, home: Path, written: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(cli, home, written(WIDE))
    applied(cli, home, written(NARROW))
    (home / "policy.toml").write_text(WIDE)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", refuse)
        ended = cli("policy", "apply", written(NARROWER), "--json", home=home)
    assert ended.code == 1
    assert ended.json["error"]["code"] == "UNAVAILABLE"
    assert "The policy is in force, but " in ended.json["error"]["message"]
    assert not (home / "policy.new").exists()
    started(home)
    assert in_force(home) == "partner"
    assert "leaves it alone: another policy was put in force after it" in cli("policy", "show", home=home).err
    (home / "policy.toml").write_text(WIDE + "# by hand\n")
    started(home)
    assert in_force(home) == "open"


def test_a_policy_is_not_put_in_force_over_one_that_it_was_not_compared_with(home: Path) -> None:
    with closing(open_node(load_settings(home)[0])) as node:
        wide, narrow, narrower = (load_policy(text, node.catalogue) for text in (WIDE, NARROW, NARROWER))
        put_in_force(node, narrower, node.policies.current().version)
        kept = (home / "policy.toml").read_bytes()
        with pytest.raises(Conflict, match="meanwhile"):
            put_in_force(node, wide, narrow.version)
        assert node.policies.current().version == narrower.version
        assert (home / "policy.toml").read_bytes() == kept
        assert not (home / "policy.new").exists()


def test_two_that_are_killed_one_after_the_other_leave_the_later_in_force(
    cli: Cli, home: Path, written: Callable[[str], Path]
) -> None:
    """The first wrote its file and did not settle it; the second decided over that one and wrote none."""
    applied(cli, home, written(NARROWER))
    assert killed("os.remove", home, written(WIDE)) == killed("os.rename", home, written(NARROW)) == [-signal.SIGKILL]
    assert 'eligibility = "open"' in (home / "policy.toml").read_text()
    assert in_force(home) == "community"
    started(home)
    assert in_force(home) == "community"
