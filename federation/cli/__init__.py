"""The command line `federation`: noun verb; parses, calls, prints. Exit 0 ok, 1 failed, 2 usage, 3 findings."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence

import typer

from federation.cli.nouns import Nouns
from federation.cli.output import FAILED, Output
from federation.errors import FederationError, Unavailable

app = typer.Typer(
    name="federation",
    cls=Nouns,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def federation() -> None:
    """A node for a human rights protection network."""


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and gives its exit code; errors are printed as one sentence."""
    try:
        app(list(arguments))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else FAILED
    except FederationError as error:
        Output("--json" in arguments).error(error.message, code=error.code)
        return FAILED
    except OSError as error:  # a full disk, a file that may not be written: what the machine says, of which file
        try:
            Output("--json" in arguments).error(_sentence(error), code=Unavailable.code)
        except OSError:  # it is standard output that cannot be written
            Output().error(_sentence(error), code=Unavailable.code)
        return FAILED
    return 0


def _sentence(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{place}the disk is full. Make room and try again."
    return f"{place}{error.strerror or 'input or output failed'}."


UNCOLLECTED = 50_000
"""How many objects come before garbage is looked for: by default every import looks, a seventh of a start's time."""


def main() -> None:
    """The entry point of the `federation` command. Files that it makes are for their owner alone."""
    gc.set_threshold(UNCOLLECTED)
    os.umask(0o077)
    sys.exit(run(sys.argv[1:]))
