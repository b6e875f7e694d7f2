"""`federation config …`: the settings, and where each came from."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import SecretStr

from federation.cli.options import HERE, Home, Json
from federation.cli.output import Output
from federation.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, help="The settings.")


@app.command()
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
        if isinstance(value, SecretStr) or (name in ("database_url", "limits_url") and value):
            value = "(set)"
        elif isinstance(value, frozenset | tuple):
            value = sorted(value)
        rows.append({"setting": name, "value": value, **({"origin": origins[name]} if origin else {})})
    Output(json).rows(("setting", "value", *(("origin",) if origin else ())), rows, "")
