"""`federation keys list | rotate`: the node's own keys, by their thumbprints. No private key is ever printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from federation.cli.options import HERE, DryRun, Home, Json, Yes, node_at
from federation.cli.output import Output
from federation.errors import BadInput
from federation.keys import NodeKeys, rotate_tokens
from federation.keys.node import NAMES
from federation.node import Node
from federation.peers import origins

app = typer.Typer(no_args_is_help=True, help="The node's own keys.")

Rotate = Callable[[Node, bool], NodeKeys]

ROTATES: Mapping[str, Rotate] = {
    "provenance": lambda node, leaked: origins.rotate_provenance(node.settings.home, node.world, leaked=leaked),
    "tokens": lambda node, leaked: rotate_tokens(node.settings.home, node.world, leaked=leaked),
}
"""How the key of each name is replaced; told whether the old one is in other hands."""


@app.command("list")
def list_keys(home: Home = HERE, json: Json = False) -> None:
    """Lists the node's keys by their thumbprints: since when, what they replaced, and up to when that counts."""
    with node_at(home) as node:
        rows = list(_rows(node.keys))
    Output(json).rows(("key", "thumbprint", "since", "replaced", "counts_until"), rows, "No keys.")


def _rows(keys: NodeKeys) -> Iterator[dict[str, Any]]:
    for name in NAMES:
        for each in keys.earlier.get(name, ()):
            times = {"replaced": _time(each.replaced), "counts_until": _time(each.until)}
            yield {"key": name, "thumbprint": each.key.thumbprint, "since": _time(each.since)} | times
        now = {"key": name, "thumbprint": getattr(keys, name).thumbprint, "since": _time(keys.since.get(name, 0))}
        yield now | {"replaced": None, "counts_until": None}


def _time(seconds: int) -> str | None:
    """A moment to the second; None where it is not known, or never came."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


@app.command()
def rotate(
    key: Annotated[str, typer.Argument(help=f"One of {', '.join(ROTATES)}.")],
    leaked: Annotated[
        bool, typer.Option(help="The old key may be in other hands: what it signed ends at once.")
    ] = False,
    home: Home = HERE,
    json: Json = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Puts a new key in the place of one of the node's own. Running processes take it within a second."""
    if key not in ROTATES:
        raise BadInput(f"There is no key {key[:40]!r} to rotate; one of: {', '.join(ROTATES)}.", field="key")
    out = Output(json, dry_run)
    out.confirm(f"Replace the {key} key?", yes=yes)
    with node_at(home, dry_run=dry_run) as node:
        before = getattr(node.keys, key).thumbprint
        after = before if dry_run else getattr(ROTATES[key](node, leaked), key).thumbprint
    result = {"key": key, "replaced": before} | ({} if dry_run else {"thumbprint": after})
    out.result(result, f"the {key} key {before}" if dry_run else f"The {key} key is {after} now; it was {before}.")
