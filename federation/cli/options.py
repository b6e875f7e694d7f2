"""Options that commands share, and the one way from a home directory to an opened node, which alone imports it: a
command that opens none, or only explains itself, does not wait for that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from federation.node import Node

Home = Annotated[
    Path,
    typer.Option(envvar="FEDERATION_HOME", help="The node's home directory.", file_okay=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]

HERE = Path()


def split(listed: list[str]) -> list[str]:
    """Values given several times, or with commas or spaces between."""
    return [part for item in listed for part in item.replace(",", " ").split()]


def no_home_here(context: typer.Context, home: Path) -> bool:
    """Whether no home was named, and where the command was given there is none: some commands can do without."""
    from federation.settings import FILE_NAME

    named = context.get_parameter_source("home")
    return named is not None and named.name == "DEFAULT" and not (home / FILE_NAME).exists()


@contextmanager
def node_at(home: Path, *, dry_run: bool = False, **flags: object) -> Iterator[Node]:
    """The node at `home`, opened for one command and closed after it; with `dry_run` nothing that it writes is kept.
    Raises SettingsInvalid."""
    from federation.node import open_node
    from federation.settings import load_settings
    from federation.telemetry import configure_logging

    settings, _ = load_settings(home, flags)
    configure_logging("warning" if settings.log_level == "info" else settings.log_level, json=False)
    node = open_node(settings)
    try:
        with node.database.trial() if dry_run else nullcontext():
            yield node
    finally:
        node.close()
