"""The command line `federation`: noun verb; parses, calls, prints. Exit 0 ok, 1 failed, 2 usage, 3 findings."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from federation.cli import access, audit, demo, formats, nodes, peer, policy, record, upkeep
from federation.cli.output import FAILED, Output
from federation.errors import FederationError

app = typer.Typer(
    name="federation",
    help="A node for a human rights protection network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _module in (demo, nodes):
    _module.register(app)
for _name, _group in (
    ("peer", peer.app),
    ("policy", policy.app),
    ("record", record.app),
    ("import", formats.import_app),
    ("export", formats.export_app),
    ("client", access.client_app),
    ("token", access.token_app),
    ("db", upkeep.db_app),
    ("schema", upkeep.schema_app),
    ("config", upkeep.config_app),
    ("audit", audit.app),
):
    app.add_typer(_group, name=_name)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and gives its exit code; errors are printed as one sentence."""
    try:
        app(list(arguments))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else FAILED
    except FederationError as error:
        Output("--json" in arguments).error(error.message, code=error.code)
        return FAILED
    return 0


def main() -> None:
    """The entry point of the `federation` command. Files that it makes are for their owner alone."""
    os.umask(0o077)
    sys.exit(run(sys.argv[1:]))
