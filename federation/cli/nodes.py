"""`federation init | doctor | sync`: a node as a whole."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from federation.cli.examining import examine
from federation.cli.options import HERE, DryRun, Home, Json, node_at
from federation.cli.output import FAILED, FINDINGS, Output
from federation.errors import BadInput, FederationError, Unavailable
from federation.node import Node, create_home
from federation.peers import agreements
from federation.peers.agreements import Partner
from federation.peers.loop import Pulled, alone_with, note
from federation.settings import FILE_NAME, planned_settings

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE_SECONDS = 120


def init(
    name: Annotated[str, typer.Option(help="The network's name as peers see it.")],
    url: Annotated[str, typer.Option(help="The node's public address, like https://node.example.")],
    scope: Annotated[str, typer.Option(help="local, subnational, national, regional or international.")],
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Makes a node home: settings, keys and database. What is there already is never overwritten."""
    if (home / FILE_NAME).exists():
        raise BadInput(f"{home / FILE_NAME} exists; this is a node home already.")
    values = {"name": name, "url": url, "scope": scope}
    if dry_run:
        planned_settings(home, values)
    else:
        create_home(home, values)
    done = "would be" if dry_run else "is"
    Output(json).result(
        {"home": str(home), "name": name, "url": url, "dry_run": dry_run},
        f"The home of {name} {done} at {home}. Nothing leaves it until you share records and grant scopes.\n"
        f"Next:  federation serve --home {shlex.quote(str(home))}{_port(url)}",
    )


def _port(url: str) -> str:
    """The flag with which `serve` listens where the address of a node on this machine points."""
    parts = urlsplit(url)
    return f" --port {parts.port}" if parts.hostname in ("127.0.0.1", "localhost") and parts.port else ""


def doctor(home: Home = HERE, json: Json = False) -> None:
    """Says what is wrong or dangerous, each with its mend; exit 3 where there is something."""
    with node_at(home) as node:
        findings = examine(node)
    rows = [{"code": found.code, "finding": found.sentence, "mend": found.mend} for found in findings]
    Output(json).rows(("code", "finding", "mend"), rows, "Nothing found that is wrong or dangerous.")
    if rows:
        raise typer.Exit(FINDINGS)


def sync(
    peer: Annotated[str | None, typer.Argument(help="One peer's name; all of them without it.")] = None,
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Pulls from the peers now, shows progress, and ends; exit 1 where one failed."""
    out, failed = Output(json), False
    rows: list[dict[str, object]] = []
    with node_at(home) as node:
        known = agreements.partners(node.database)
        for who in known if peer is None else [agreements.partner(node.database, peer)]:
            if (reason := _not_asked(who)) is not None:
                rows.append({"peer": who.name, "problem" if peer else "skipped": reason})
                failed = failed or peer is not None
                continue
            with out.progress(f"from {who.name}") as bar:
                try:
                    pulled = _pulled(node, who, partial(_advance, bar))
                except FederationError as error:
                    failed = True
                    rows.append({"peer": who.name, "problem": error.message})
                    continue
            rows.append({"peer": who.name, "taken": pulled.taken, "withdrawn": pulled.withdrawn})
    columns = (
        "peer",
        *(name for name in ("taken", "withdrawn", "problem", "skipped") if any(name in row for row in rows)),
    )
    out.rows(columns, rows, "No peers yet. `federation peer invite` links to one.")
    if failed:
        raise typer.Exit(FAILED)


def _not_asked(who: Partner) -> str | None:
    """Why a peer is not pulled, and what to do; None for one that is."""
    if who.asked:
        return None
    named = shlex.quote(who.name)
    if who.state == "revoked":
        return f"{who.name} was revoked, so it is not pulled. To link anew: federation peer invite"
    if not who.verified:
        words = f'federation peer words {named}, then federation peer verify {named} --words "…"'
        return f"{who.name} is not verified, so it is not pulled. Compare the eight words with them: {words}"
    return f"{who.name} is frozen, so it is not pulled. To go on: federation peer unfreeze {named}"


def _pulled(node: Node, who: Partner, progress: Callable[[int], None]) -> Pulled:
    """One pull to the end, after the one that the serving process may have under way."""
    with alone_with(node.database, node.world, who, f"sync-{os.getpid()}", PATIENCE_SECONDS) as alone:
        if not alone:
            see = f"federation peer show {shlex.quote(who.name)}"
            raise Unavailable(f"Another process is pulling from {who.name}; see how far with `{see}`.")
        try:
            pulled = node.puller.sync(who, progress)
        except FederationError as failed:
            _note(node, who, Pulled(who.name, error=failed.code))
            raise
        _note(node, who, pulled)
        return pulled


def _note(node: Node, who: Partner, pulled: Pulled) -> None:
    """So that `peer show` tells of this pull too. Where it cannot be written, how the pull ended is what is told."""
    if who.asked:
        with suppress(FederationError):
            note(node.database, node.world, who, pulled, node.settings.exchange_interval)


def _advance(bar: Progress, done: int) -> None:
    bar.update(bar.task_ids[0], completed=done)
