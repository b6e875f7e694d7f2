"""`federation db …`: the database and its shape."""

from __future__ import annotations

from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.engine import make_url

from federation.cli.moving import move_database
from federation.cli.options import HERE, DryRun, Home, Json, Yes
from federation.cli.output import FINDINGS, Output
from federation.settings import FILE_NAME, Settings, load_settings
from federation.storage.backup import back_up
from federation.storage.database import open_database
from federation.storage.migrating import check as check_schema
from federation.storage.migrating import migrate
from federation.world import real_world

app = typer.Typer(no_args_is_help=True, help="The database.")


def _key(settings: Settings) -> bytes | None:
    return settings.database_key.get_secret_value().encode() if settings.database_key else None


@app.command()
def upgrade(home: Home = HERE, json: Json = False, dry_run: DryRun = False) -> None:
    """Brings the tables to this version, after a backup."""
    settings, _ = load_settings(home)
    kept = None
    with closing(open_database(settings.effective_database_url, _key(settings))) as database:
        if not dry_run:
            kept = back_up(database, settings.home, real_world())
        with database.trial() if dry_run else nullcontext():
            migrate(database)
    Output(json, dry_run).result({"backup": str(kept) if kept else None}, "The database is up to date.")


@app.command()
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


@app.command()
def move(
    target: Annotated[str, typer.Argument(help="postgresql://… or sqlite:///… of an empty database.")],
    home: Home = HERE,
    json: Json = False,
    yes: Yes = False,
) -> None:
    """Copies everything into another, empty database, and says how to use that from then on. Stop the node first."""
    settings, _ = load_settings(home)
    Output(json).confirm("Is the node stopped?", yes=yes)
    out = Output(json)
    with out.progress("rows") as bar:
        task = bar.task_ids[0]
        copied = move_database(settings, target, lambda done: bar.update(task, completed=done))
    then = _how_to_use(settings, target)
    out.result({"rows": copied, "next": then}, f"{copied} rows are copied. {then}")


def _how_to_use(settings: Settings, target: str) -> str:
    """What to change in the home so that the node uses the database into which it was copied."""
    file, own = settings.home / FILE_NAME, settings.home / "node.db"
    if not target.startswith("sqlite"):
        key = " and remove database_key, which encrypts SQLite alone" if settings.database_key else ""
        return f"To use them, set database_url in {file} to that address{key}."
    place = make_url(target).database or ""
    put = "" if Path(place).resolve() == own.resolve() else f"put {place} in the home as {own}"
    removed = f"remove database_url from {file}" if settings.database_url else ""
    return f"To use them, {' and '.join(step for step in (put, removed) if step)}."
