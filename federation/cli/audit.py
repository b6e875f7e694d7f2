"""`federation audit …`: what crossed the doors, and whether the record of it is whole."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from federation.audit import LedgerEntry
from federation.cli.options import HERE, Home, Json, node_at
from federation.cli.output import FINDINGS, Output

app = typer.Typer(no_args_is_help=True, help="The ledger of what crossed the doors.")


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
    columns = ("seq", "at", "viewer", "kind", "type", "records", "policy")
    Output(json).rows(columns, rows, "Nothing above `open` has crossed the doors yet.")


def _row(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": entry.at,
        "viewer": entry.viewer,
        "kind": entry.kind,
        "type": entry.body.get("type"),
        "records": len(entry.body.get("ids", ())),
        "policy": str(entry.body.get("policy", ""))[:16],
    }


@app.command()
def verify(home: Home = HERE, json: Json = False) -> None:
    """Checks every hash chain and anchor; exit 3 where something was changed, removed or reordered."""
    out = Output(json)
    with node_at(home) as node:
        findings = [str(found) for found in node.ledger.verify()]
    out.rows(("finding",), [{"finding": found} for found in findings], "The ledger is whole.")
    if findings:
        raise typer.Exit(FINDINGS)
