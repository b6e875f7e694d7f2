"""The README, pasted: its commands give what it prints, on a demonstration of the sample data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.federation_demo import ENVIRONMENT, RunningDemo

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def block(language: str, holding: str) -> str:
    """The one block of that language that holds a text."""
    (found,) = [body for kind, body in BLOCKS if kind == language and holding in body]
    return found


@pytest.fixture
def policy_kept(demo: RunningDemo) -> Iterator[None]:
    """What a test puts in force at river is taken back in the end."""
    before = demo.done("river", "policy", "show")["policy"]
    yield
    demo.done("river", "policy", "rollback", "--yes")
    assert demo.done("river", "policy", "show")["policy"] == before


def printed(demo: RunningDemo) -> str:
    """What the demonstration said once it was ready."""
    log = (demo.directory.parent / f"{demo.directory.name}.log").read_text(encoding="utf-8")
    return log[log.index("Three linked") :]


def pasted(demo: RunningDemo, commands: str, at: Path) -> subprocess.CompletedProcess[str]:
    """A block as a person pastes it, with the ports, homes and the environment of this demonstration."""
    text = re.sub(r":870(\d)/", lambda found: f":{demo.port + int(found[1])}/", commands)
    text = text.replace("demo/", f"{demo.directory}/").replace(
        ".venv/bin/federation", f"{sys.executable} -m federation"
    )
    return subprocess.run(
        ["sh", "-c", text], cwd=at, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_demo_prints_what_the_readme_shows(demo: RunningDemo) -> None:
    shown = block("text", "are ready")
    said = printed(demo).replace(str(demo.directory), "demo")
    said = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{8700 + int(found[1]) - demo.port}", said)
    masked = re.compile(r"\(\d+ s\)")
    assert masked.sub("(N s)", said).strip() == masked.sub("(N s)", shown).strip()


def test_the_example_that_the_demo_prints_can_be_pasted(demo: RunningDemo) -> None:
    (line,) = [line for line in printed(demo).splitlines() if line.strip().startswith("curl")]
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert len(json.loads(ended.stdout)["data"]["opportunities"]["edges"]) == 3


def test_the_query_gives_the_result_that_is_shown(demo: RunningDemo, tmp_path: Path) -> None:
    ended = pasted(demo, block("sh", "EMERGENCY_GRANT"), tmp_path)
    assert json.loads(ended.stdout) == json.loads(block("json", '"data"'))


def test_the_policy_file_is_applied_as_shown(demo: RunningDemo, policy_kept: None, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(block("toml", "[resource]"), encoding="utf-8")
    lines = [line for line in block("sh", "policy diff").splitlines() if line]
    diff, apply, explain = (pasted(demo, line, tmp_path) for line in lines)
    assert diff.returncode == 3, diff.stderr
    assert "narrower" in diff.stdout
    assert apply.returncode == 0, apply.stderr
    assert "in force" in apply.stdout
    assert explain.stdout.startswith("resource.area: sub_region"), explain.stdout + explain.stderr


def test_a_node_of_ones_own_is_made_as_shown(demo: RunningDemo, tmp_path: Path) -> None:
    init, doctor, serve = [line for line in block("sh", "federation init").splitlines() if line]
    made = pasted(demo, init, tmp_path)
    assert made.returncode == 0, made.stderr
    examined = pasted(demo, doctor, tmp_path)
    assert examined.returncode == 3
    assert "NO_STEWARD" in examined.stdout
    assert serve.startswith(".venv/bin/federation serve --home node")  # what the demonstration runs three times
