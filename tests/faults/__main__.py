"""Runs the tests that must notice each fault, each fault in a process of its own; prints how each ended, as JSON.

On SQLite alone: a server for each would take longer than everything else. `sound` is the same tests over code without
a fault: all must pass there, or their failing would show nothing.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

import pytest

from faults.oauth import FAULTS
from faults.planting import Fault

OPTIONS = ("-q", "-x", "-p", "no:xdist", "--no-header", "--tb=no")


FILES = sorted({file for fault in FAULTS for file in fault.files})


def main() -> int:
    """Exit code 0; what came out stands in the JSON: `noticed`, `survived`, or why neither."""
    with contextlib.redirect_stdout(io.StringIO()):  # what this imports, no child has to
        pytest.main([*OPTIONS, "--collect-only", *FILES])
        importlib.import_module("hypothesis")
    tests = importlib.import_module("conftest")
    with tempfile.TemporaryDirectory() as folder:
        os.environ[tests.MADE_BEFORE] = str(tests.made_template(Path(folder) / "node.db"))
        gc.collect()
        gc.freeze()  # what is here stays: no child looks through it for garbage
        sys.stdout.write(json.dumps({"sound": ended(None)} | {fault.name: ended(fault) for fault in FAULTS}))
    return 0


def ended(fault: Fault | None) -> str:
    """How the tests end with a fault planted, in a child of this process that has everything imported already."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        said = "broke"
        try:
            said = _tried(fault)
        except BaseException:
            said = traceback.format_exc(limit=3)
        finally:
            os.write(writing, said.encode()[:4000])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(child, 0)
    return said


def _tried(fault: Fault | None) -> str:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    if fault is None:
        files = FILES
        words = " or ".join(sorted({f"({each.tests})" for each in FAULTS}))
    else:
        fault.plant()
        files, words = list(fault.files), fault.tests
    code = pytest.main([*OPTIONS, "-k", f"({words}) and not postgresql", *files])
    if fault is None:
        return "passed" if code == pytest.ExitCode.OK else f"exit {code}"
    return {pytest.ExitCode.TESTS_FAILED: "noticed", pytest.ExitCode.OK: "survived"}.get(code, f"exit {code}")


if __name__ == "__main__":
    sys.exit(main())
