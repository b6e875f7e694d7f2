"""`federation audit …`: what crossed the doors, and whether the record of it is whole."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from federation.audit import LedgerEntry
from federation.cli.options import HERE, Home, Json, node_at
from federation.cli.output import FINDINGS, Output
from federation.errors import NotFound
from federation.records.registry import RECORD_TYPES
from federation.records.rows import bits

app = typer.Typer(no_args_is_help=True, help="The ledger of what crossed the doors.")

_POLICY_SHOWN = 16


@app.command("list")
def list_entries(
    viewer: Annotated[str | None, typer.Option(help="Only what this peer or client was shown.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Lists entries, newest first: who was shown which records, in which steps, under which policy."""
    with node_at(home) as node:
        rows = [_row(entry) for entry in node.ledger.newest(limit, viewer)]
    if not json:
        for row in rows:
            row["policy"] = row["policy"][:_POLICY_SHOWN]
    columns = ("seq", "at", "viewer", "kind", "type", "records", "policy")
    Output(json).rows(columns, rows, "Nothing above `open` has crossed the doors yet.")


@app.command()
def show(
    seq: Annotated[int, typer.Argument(help="The entry's number, as `audit list` shows it.")],
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Shows one entry whole: the ids of its records and the steps of their fields. The ledger holds no values."""
    with node_at(home) as node:
        found = node.ledger.entries(after=seq - 1, limit=1)
    if not found or found[0].seq != seq:
        raise NotFound("The ledger has no entry with this number; it may be older than the ledger is kept.")
    row = _row(found[0])
    lines = [f"{name}: {row[name]}" for name in ("seq", "at", "viewer", "kind", "type", "policy")]
    for name in ("ids", "steps"):
        lines += [f"{name}:" + ("" if row[name] else " none"), *(f"  {each}" for each in row[name])]
    Output(json).result(row, "\n".join(lines))


@app.command()
def verify(home: Home = HERE, json: Json = False) -> None:
    """Checks every hash chain and anchor; exit 3 where something was changed, removed or reordered."""
    out = Output(json)
    with node_at(home) as node:
        findings = [str(found) for found in node.ledger.verify()]
    out.rows(("finding",), [{"finding": found} for found in findings], "The ledger is whole.")
    if findings:
        raise typer.Exit(FINDINGS)


def _row(entry: LedgerEntry) -> dict[str, Any]:
    ids = list(entry.body.get("ids", ()))
    return {
        "seq": entry.seq,
        "at": entry.at,
        "viewer": entry.viewer,
        "kind": entry.kind,
        "type": entry.body.get("type"),
        "records": len(ids),
        "policy": str(entry.body.get("policy", "")),
        "ids": ids,
        "steps": _steps(str(entry.body.get("type")), str(entry.body.get("mask", "0"))),
    }


def _steps(type_key: str, mask: str) -> list[str]:
    """The steps of a mask as `field.step`, in the order of the type's fields."""
    named = bits(RECORD_TYPES[type_key]) if type_key in RECORD_TYPES else ()
    return [f"{name}.{step}" for at, (name, step) in enumerate(named) if int(mask, 16) >> at & 1]
