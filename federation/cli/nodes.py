"""`federation init | serve | worker | doctor | sync`: a node as a whole."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer
import uvicorn
from rich.progress import Progress

from federation.app import Node, create_home, open_node, run_background
from federation.cli.examining import examine, first_setup_link
from federation.cli.listening import BoundedHead
from federation.cli.options import HERE, DryRun, Home, Json, node_at
from federation.cli.output import FINDINGS, Output
from federation.errors import BadInput, FederationError, Unavailable
from federation.oauth.accounts import has_steward
from federation.peers import agreements
from federation.peers.loop import Pulled, alone_with
from federation.settings import FILE_NAME, load_settings
from federation.telemetry import configure_logging

MOST_CONNECTIONS = 500
GRACE_SECONDS = 10
PATIENCE_SECONDS = 120


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (init, serve, worker, doctor, sync):
        app.command()(command)


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
    if not dry_run:
        create_home(home, {"name": name, "url": url, "scope": scope})
    done = "would be" if dry_run else "is"
    Output(json).result(
        {"home": str(home), "name": name, "url": url, "dry_run": dry_run},
        f"The home of {name} {done} at {home}. Nothing leaves it until you share records and grant scopes.\n"
        f"Next:  federation serve --home {home}",
    )


def serve(
    home: Home = HERE,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Processes.")] = 1,
) -> None:
    """Serves the node: API, OAuth and exchange. Backs up and migrates the database first."""
    settings, _ = load_settings(home)
    configure_logging(settings.log_level)
    node = open_node(settings, migrating=True)
    try:
        if not has_steward(node.database):
            Output().note(f"No steward yet. Set one up within a day at:  {first_setup_link(node)}")
    finally:
        node.close()
    os.environ["FEDERATION_HOME"] = str(home.resolve())
    uvicorn.run(
        "federation.app:create",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        http=BoundedHead,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=30,
    )


def worker(home: Home = HERE) -> None:
    """Runs only the background work: exchange with the peers, and the sweeper."""
    settings, _ = load_settings(home)
    configure_logging(settings.log_level)
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    node = open_node(settings)
    try:
        run_background(node, ending)
    finally:
        node.close()


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
    out = Output(json)
    failed = False
    with node_at(home) as node:
        names = [peer] if peer else [who.name for who in agreements.partners(node.database) if who.asked]
        rows: list[dict[str, object]] = []
        for name in names:
            with out.progress(f"from {name}") as bar:
                try:
                    pulled = _pulled(node, name, partial(_advance, bar))
                except FederationError as error:
                    failed = True
                    rows.append({"peer": name, "problem": error.message})
                    continue
            rows.append({"peer": name, "taken": pulled.taken, "withdrawn": pulled.withdrawn})
    out.rows(("peer", "taken", "withdrawn", "problem"), rows, "No peers yet. `federation peer invite` links to one.")
    if failed:
        raise typer.Exit(1)


def _pulled(node: Node, name: str, progress: Callable[[int], None]) -> Pulled:
    """One pull to the end, after the one that the serving process may have under way."""
    who = agreements.partner(node.database, name)
    with alone_with(node.database, node.world, who, f"sync-{os.getpid()}", PATIENCE_SECONDS) as alone:
        if not alone:
            raise Unavailable(
                f"Another process is pulling from {name}; see how far with `federation peer show {name}`."
            )
        return node.puller.sync(who, progress)


def _advance(bar: Progress, done: int) -> None:
    bar.update(bar.task_ids[0], completed=done)
