"""`federation schema …`: the API as a schema."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.app import public_schema
from federation.cli.options import HERE, Home, node_at
from federation.cli.output import Output

app = typer.Typer(no_args_is_help=True, help="The GraphQL schema.")


@app.command("print")
def print_schema(
    federated: Annotated[bool, typer.Option("--federated", help="As a subgraph of Apollo Federation.")] = False,
    directives: Annotated[bool, typer.Option(help="With the scopes that open each field.")] = True,
    home: Home = HERE,
) -> None:
    """Prints the schema (SDL), with the scopes that open each field."""
    with node_at(home) as node:
        Output().text(public_schema(node, federated=federated, directives=directives))
