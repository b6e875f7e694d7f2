"""Runs the programs of this folder, which stand on libraries that nobody here wrote."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def ran(program: str, **given: Any) -> Any:
    """What a program tells when it is given this."""
    words = ["node", str(HERE / program)]
    ended = subprocess.run(words, input=json.dumps(given), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
