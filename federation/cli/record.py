"""`federation record …`: the node's own records, as its steward sees them."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from federation.cli.options import HERE, DryRun, Home, Json, Yes, node_at
from federation.cli.output import FINDINGS, Output
from federation.cli.reading import list_records, whole
from federation.errors import BadInput
from federation.formats.imports import RowProblem, record_uuid
from federation.formats.jsonlines import Told, read_records
from federation.intake import Imported, Incoming
from federation.records.registry import RECORD_TYPES

if TYPE_CHECKING:
    from federation.node import Node

app = typer.Typer(no_args_is_help=True, help="The node's own records.")

NO_ID = "names no id of a record; leave it out for a new one"

Gid = Annotated[str, typer.Argument(help="The record's id, as `record list` shows it.")]


def type_named(name: str) -> str:
    """The type key for what a person writes: `resource`, `fundingCall` or `funding_call`."""
    for key, record_type in RECORD_TYPES.items():
        if name in (key, record_type.table, record_type.graphql):
            return key
    raise BadInput(f"There is no type {name[:40]}; one of: {', '.join(RECORD_TYPES)}.", field="type")


@app.command("list")
def list_type(
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="Like resource.")] = "resource",
    first: Annotated[int, typer.Option(min=1, max=100)] = 50,
    after: Annotated[str | None, typer.Option(help="The cursor that the page before ended with.")] = None,
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Lists records of one type, own and received."""
    key = type_named(type_name)
    out = Output(json)
    with node_at(home) as node:
        page = list_records(node, key, first, after)
    out.rows(("id", "title", "status", "origin"), page.rows, f"No {key} records yet. `record add FILE` puts some in.")
    if page.has_next and not json:
        out.note(f"More:  federation record list {key} --after {page.after}")


@app.command()
def show(gid: Gid, home: Home = HERE, json: Json = False) -> None:
    """Shows the whole of an own record, sealed fields too. Mind who looks over your shoulder."""
    with node_at(home) as node:
        document = whole(node, gid)
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    Output(json).result({"id": gid, "document": document}, text)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON: one {type, document} or a list.")],
    share: Annotated[bool, typer.Option("--share", help="Share what can be shared; else it stays a draft.")] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Confirm warnings about personal details.")] = False,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Adds records from a JSON file, or amends those that it names; what is refused is reported, the rest goes in."""
    out = Output(json, dry_run)
    records = read_records(file)
    with node_at(home, dry_run=dry_run) as node:
        named = [_named(node, file.name, place, each) for place, each in enumerate(records, 1)]
        done = node.intake.import_many(node.operator, _incoming(named, share), confirm=confirm)
    ids = [gid for gid in done.gids if gid is not None]
    refused = _refused(named, done)
    lines = [f"Record {each['record']} of {file.name}: {each['problem']}" for each in refused]
    if dry_run:  # ids are given when records are kept
        lines.insert(0, f"{len(ids)} records would be added.")
        out.result({"records": len(ids), "refused": refused}, "\n".join(lines))
    else:
        out.result({"ids": ids, "refused": refused}, "\n".join([*ids, *lines]))
    if refused:
        raise typer.Exit(FINDINGS)


Named = tuple[Told, bytes | None]
"""What a file tells, and the id under which it is stored: None for a new record."""


def _incoming(records: list[Named | RowProblem], share: bool) -> Iterator[Incoming]:
    for place, record in enumerate(records, 1):
        if not isinstance(record, RowProblem):
            told, id = record
            yield Incoming(told.type, told.document, id, share, place)


def _refused(records: list[Named | RowProblem], done: Imported) -> list[dict[str, Any]]:
    """What could not be read and what the intake refused, in the order of the file."""
    unread = [
        {"record": place, "field": None, "problem": f"It {record.reason}."}
        for place, record in enumerate(records, 1)
        if isinstance(record, RowProblem)
    ]
    refused = [{"record": each.line, "field": each.field, "problem": each.message} for each in done.refused]
    return sorted((*unread, *refused), key=itemgetter("record"))


def _named(node: Node, file: str, place: int, record: Told | RowProblem) -> Named | RowProblem:
    """A record with the id that the file names: an own one, or one made of it."""
    if isinstance(record, RowProblem) or record.id is None:
        return record if isinstance(record, RowProblem) else (record, None)
    made = record_uuid(record.id, record.type, node.keys.origin, node.keys.secret)
    return RowProblem(file, place, NO_ID) if made is None else (record, made.bytes)


@app.command()
def share(
    gid: Gid,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Shares a draft: from now on the policy decides who sees it."""
    with node_at(home, dry_run=dry_run) as node:
        node.intake.share(node.operator, gid)
    Output(json, dry_run).result({"id": gid, "status": "shared"}, f"{gid} is shared.")


@app.command()
def withdraw(
    gid: Gid,
    home: Home = HERE,
    json: Json = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Withdraws a record: every peer that holds it is told to delete it."""
    Output(json, dry_run).confirm("Withdraw the record everywhere?", yes=yes)
    with node_at(home, dry_run=dry_run) as node:
        node.intake.withdraw(node.operator, gid)
    Output(json, dry_run).result(
        {"id": gid, "status": "withdrawn"}, f"{gid} is withdrawn; peers delete it at their next pull."
    )
