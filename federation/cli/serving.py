"""`federation serve | worker`: the processes of a node."""

from __future__ import annotations

import os
import signal
import threading
from typing import Annotated

import typer
import uvicorn

from federation.cli.examining import first_setup_link
from federation.cli.listening import BoundedHead, check_free
from federation.cli.options import HERE, Home
from federation.cli.output import FAILED, Output
from federation.cli.policy_file import take_policy_file
from federation.node import open_node, run_background
from federation.oauth.accounts import has_steward
from federation.settings import load_settings
from federation.telemetry import configure_logging

MOST_CONNECTIONS = 500
GRACE_SECONDS = 10


def serve(
    home: Home = HERE,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Processes.")] = 1,
) -> None:
    """Serves the node: API, OAuth and exchange. Backs up and migrates the database first."""
    settings, _ = load_settings(home)
    configure_logging(settings.log_level)
    check_free(host, port)  # before a setup link is printed: a new one ends that of the node that listens there
    node = open_node(settings, migrating=True)
    try:
        take_policy_file(node)
        if not has_steward(node.database):
            Output().note(f"No steward yet. Set one up within a day at:  {first_setup_link(node)}")
    finally:
        node.close()
    os.environ["FEDERATION_HOME"] = str(home.resolve())
    os.environ["WEB_CONCURRENCY"] = str(workers)  # each process has its share of the limits
    try:
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
    except SystemExit as ended:  # the server's own codes mean something else here
        raise typer.Exit(FAILED if ended.code else 0) from None


def worker(home: Home = HERE) -> None:
    """Runs only the background work: exchange with the peers, and the sweeper."""
    settings, _ = load_settings(home)
    configure_logging(settings.log_level)
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    node = open_node(settings)
    try:
        take_policy_file(node)
        run_background(node, ending)
    finally:
        node.close()
