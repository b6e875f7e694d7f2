"""`federation schema …`: the API as a schema."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.app import default_schema, public_schema
from federation.cli.options import HERE, Home, no_home_here, node_at
from federation.cli.output import Output

app = typer.Typer(no_args_is_help=True, help="The GraphQL schema.")


@app.command("print")
def print_schema(
    context: typer.Context,
    federated: Annotated[bool, typer.Option("--federated", help="As a subgraph of Apollo Federation.")] = False,
    directives: Annotated[bool, typer.Option(help="With the scopes that open each field.")] = True,
    home: Home = HERE,
) -> None:
    """Prints the schema (SDL), with the scopes that open each field."""
    if no_home_here(context, home):
        Output().note("There is no node here; this is the schema under the default policy.")
        Output().text(default_schema(federated=federated, directives=directives))
        return
    with node_at(home) as node:
        Output().text(public_schema(node, federated=federated, directives=directives))
