"""Faults seeded into the OAuth code: each is noticed by the tests that are there for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.oauth import FAULTS
from faults.planting import Fault

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def ended() -> dict[str, str]:
    """How the tests ended under each fault."""
    words = [sys.executable, "-m", "faults"]
    found = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    ran = subprocess.run(words, cwd=ROOT, env=found, capture_output=True, text=True, timeout=400, check=False)
    assert ran.returncode == 0, ran.stderr
    said: dict[str, str] = json.loads(ran.stdout.splitlines()[-1])
    return said


def test_there_are_as_many_faults_as_were_asked_for_each_with_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 20


def test_without_a_fault_the_tests_pass(ended: dict[str, str]) -> None:
    assert ended["sound"] == "passed"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_seeded_fault_is_noticed(ended: dict[str, str], fault: Fault) -> None:
    assert ended[fault.name] == "noticed"
