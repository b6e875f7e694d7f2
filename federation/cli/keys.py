"""`federation keys list | rotate`: the node's own keys, by their thumbprints. No private key is ever printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from federation.cli.options import HERE, DryRun, Home, Json, Yes, node_at
from federation.cli.output import Output
from federation.cli.reading import moment
from federation.errors import BadInput, SettingsInvalid
from federation.keys import NodeKeys, rotate_tokens
from federation.keys.node import NAMES, load_key_file
from federation.peers import origins
from federation.peers.handing import tell_all
from federation.peers.statements import rotate_peer
from federation.settings import load_settings
from federation.world import World, real_world

app = typer.Typer(no_args_is_help=True, help="The node's own keys.")

Rotate = Callable[[Path, World, str, bool], NodeKeys]

ROTATES: Mapping[str, Rotate] = {
    "peer": lambda home, world, url, leaked: rotate_peer(home, world, url, leaked=leaked),
    "provenance": lambda home, world, _url, leaked: origins.rotate_provenance(home, world, leaked=leaked),
    "tokens": lambda home, world, _url, leaked: rotate_tokens(home, world, leaked=leaked),
}
"""How the key of each name is replaced: where, under which address, and whether the old one is in other hands."""


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
    return moment(seconds or None)


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
    settings, world = load_settings(home)[0], real_world()
    before = _present(home, world, key, lost=key == "peer" and leaked)
    out.confirm(f"Replace the {key} key?", yes=yes)
    if dry_run:
        out.result({"key": key, "replaced": before}, f"the {key} key {before}")
        return
    after = getattr(ROTATES[key](settings.home, world, settings.url, leaked), key).thumbprint
    result: dict[str, Any] = {"key": key, "replaced": before, "thumbprint": after}
    unknown: list[str] = []
    if key == "peer":
        with node_at(home) as node:
            known, unknown = tell_all(node.database, node.world, node.me, node.outbound)
        result |= {"known_to": known, "not_known_to": unknown}
    out.result(result, f"The {key} key is {after} now; it was {before or 'gone'}.")
    if not json:
        out.note("Make a new backup of `keys/` in the home; the old one no longer holds the key in force.")
    if unknown and leaked:
        out.note(f"Each of these has to run `federation peer rekey` and send you the invitation: {', '.join(unknown)}.")
    elif unknown:
        out.note(f"Not reached; told when they are next asked, or ask: {', '.join(unknown)}.")


def _present(home: Path, world: World, key: str, *, lost: bool) -> str | None:
    """The thumbprint of the key in force; None where it is gone or broken, and may be."""
    try:
        return load_key_file(home, world, key).key.thumbprint
    except SettingsInvalid:
        if not lost:
            raise
        return None
