"""The deployment files, as far as a machine without a container engine can check them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parent.parent / "deploy"
BIN = Path(sys.executable).parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_container_file_has_no_finding() -> None:
    checked = run(str(BIN / "hadolint"), str(DEPLOY / "Containerfile"))
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_compose_file_is_clean_yaml() -> None:
    config = DEPLOY.parent / ".yamllint"
    checked = run(str(BIN / "yamllint"), "-s", "-c", str(config), str(DEPLOY / "compose.yaml"))
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_container_is_not_root_and_its_file_system_is_read_only() -> None:
    users = re.findall(r"^USER (\S+)$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert users[-1] == "10001:10001"
    node = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["node"]
    assert node["read_only"] is True
    assert node["cap_drop"] == ["ALL"]
    assert "ports" not in node


def test_every_file_that_the_compose_file_names_exists_or_is_made_by_the_documented_steps() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    named = [item["file"] for group in ("configs", "secrets") for item in compose[group].values()]
    made = {"./database_password"}
    missing = {name for name in named if name not in made and not (DEPLOY / name).exists()}
    assert missing == set()
    documented = (DEPLOY.parent / "docs" / "deploy.md").read_text()
    assert all(Path(name).name in documented for name in made)


def test_the_compose_file_asks_for_exactly_two_values() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) == {"NODE_NAME", "NODE_DOMAIN"}


def test_the_start_script_is_valid_shell() -> None:
    checked = run("sh", "-n", str(DEPLOY / "start.sh"))
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_the_unit_is_understood_and_hardened() -> None:
    checked = run("systemd-analyze", "verify", str(DEPLOY / "federation.service"))
    findings = [line for line in checked.stderr.splitlines() if "is not executable" not in line]
    assert findings == []
    scored = run("systemd-analyze", "security", "--offline=yes", "--threshold=15", str(DEPLOY / "federation.service"))
    assert scored.returncode == 0, scored.stdout[-300:]
