"""`federation db | schema | config`: the database's shape, the API's schema, and where each setting came from."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import SecretStr

from federation.app import public_schema
from federation.cli.moving import move_database
from federation.cli.options import HERE, Home, Json, Yes, node_at
from federation.cli.output import FINDINGS, Output
from federation.settings import Settings, load_settings
from federation.storage.backup import back_up
from federation.storage.database import open_database
from federation.storage.migrating import check as check_schema
from federation.storage.migrating import migrate
from federation.world import real_world

db_app = typer.Typer(no_args_is_help=True, help="The database.")
schema_app = typer.Typer(no_args_is_help=True, help="The GraphQL schema.")
config_app = typer.Typer(no_args_is_help=True, help="The settings.")


def _key(settings: Settings) -> bytes | None:
    return settings.database_key.get_secret_value().encode() if settings.database_key else None


@db_app.command()
def upgrade(home: Home = HERE, json: Json = False) -> None:
    """Brings the tables to this version, after a backup."""
    settings, _ = load_settings(home)
    database = open_database(settings.effective_database_url, _key(settings))
    try:
        kept = back_up(database, settings.home, real_world())
        migrate(database)
    finally:
        database.close()
    Output(json).result({"backup": str(kept) if kept else None}, "The database is up to date.")


@db_app.command()
def check(home: Home = HERE, json: Json = False) -> None:
    """Compares the tables with what this version expects; exit 3 where they differ."""
    settings, _ = load_settings(home)
    database = open_database(settings.effective_database_url, _key(settings))
    try:
        findings = list(check_schema(database))
    finally:
        database.close()
    rows = [{"finding": str(found)} for found in findings]
    Output(json).rows(("finding",), rows, "The tables are as they should be.")
    if rows:
        raise typer.Exit(FINDINGS)


@db_app.command()
def move(
    target: Annotated[str, typer.Argument(help="postgresql://… or sqlite:///… of an empty database.")],
    home: Home = HERE,
    json: Json = False,
    yes: Yes = False,
) -> None:
    """Copies everything into another, empty database; then set `database_url` to it. Stop the node first."""
    settings, _ = load_settings(home)
    if not yes and not json:
        typer.confirm("Is the node stopped?", abort=True)
    out = Output(json)
    with out.progress("rows") as bar:
        task = bar.task_ids[0]
        copied = move_database(settings, target, lambda done: bar.update(task, completed=done))
    out.result({"rows": copied}, f"{copied} rows are copied. Set `database_url` in federation.toml to use them.")


@schema_app.command("print")
def print_schema(
    federated: Annotated[bool, typer.Option("--federated", help="As a subgraph of Apollo Federation.")] = False,
    directives: Annotated[bool, typer.Option(help="With the scopes that open each field.")] = True,
    home: Home = HERE,
) -> None:
    """Prints the schema (SDL), with the scopes that open each field."""
    with node_at(home) as node:
        Output().text(public_schema(node, federated=federated, directives=directives))


@config_app.command()
def show(
    home: Home = HERE,
    json: Json = False,
    origin: Annotated[bool, typer.Option("--origin", help="Where each came from.")] = False,
) -> None:
    """Shows the settings in force; secrets only as set or not."""
    settings, origins = load_settings(home)
    rows = []
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr) or (name == "database_url" and value):
            value = "(set)"
        elif isinstance(value, frozenset | tuple):
            value = sorted(value)
        rows.append({"setting": name, "value": value, **({"origin": origins[name]} if origin else {})})
    Output(json).rows(("setting", "value", *(("origin",) if origin else ())), rows, "")
