"""The nouns of the command line. A noun's module is imported when the noun is asked for: what one command needs, no
other waits for, and `--help` waits for none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Noun(NamedTuple):
    """A noun: the module in this folder, what it is called there, and what the list of commands says of it."""

    module: str
    name: str
    says: str


NOUNS: Mapping[str, Noun] = {
    "demo": Noun("demo", "demo", "Starts three linked nodes, river, west and aurora, and stops them with Ctrl-C."),
    "init": Noun("nodes", "init", "Makes a node home: settings, keys and database."),
    "serve": Noun("serving", "serve", "Serves the node: API, OAuth and exchange."),
    "worker": Noun("serving", "worker", "Runs only the background work: exchange with the peers, and the sweeper."),
    "doctor": Noun(
        "nodes", "doctor", "Says what is wrong or dangerous, each with its mend; exit 3 where there is something."
    ),
    "sync": Noun("nodes", "sync", "Pulls from the peers now, shows progress, and ends; exit 1 where one failed."),
    "peer": Noun("peer", "app", "Other nodes: who they are and what they were granted."),
    "trust": Noun("trust", "app", "Who vouches for whom: chains, anchors, superiors, marks. They grant nothing."),
    "policy": Noun("policy", "app", "Who may see which field how exactly."),
    "record": Noun("record", "app", "The node's own records."),
    "import": Noun("formats", "import_app", "Records from files."),
    "export": Noun("formats", "export_app", "Records to files."),
    "keys": Noun("keys", "app", "The node's own keys."),
    "client": Noun("access", "client_app", "Programs that may ask for tokens here."),
    "grant": Noun("access", "grant_app", "What people allowed programs to do on their behalf."),
    "token": Noun("access", "token_app", "Personal tokens for scripts: `:open` only."),
    "user": Noun("user", "app", "Accounts of this network's own people."),
    "db": Noun("db", "app", "The database."),
    "schema": Noun("schema", "app", "The GraphQL schema."),
    "config": Noun("config", "app", "The settings."),
    "audit": Noun("audit", "app", "The ledger of what crossed the doors."),
}


@cache
def command(noun: str) -> Any:
    """The command or group of a noun, from its module."""
    module, name, _ = NOUNS[noun]
    made = getattr(import_module(f"federation.cli.{module}"), name)
    around = typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(made, typer.Typer):
        around.add_typer(made, name=noun)
    else:
        around.command(noun)(made)
    return typer.main.get_group(around).commands[noun]


class _Commands(Mapping[str, Any]):
    """All commands by noun; each is made when it is looked up."""

    def __getitem__(self, noun: str) -> Any:
        if noun not in NOUNS:
            raise KeyError(noun)
        return command(noun)

    def __iter__(self) -> Iterator[str]:
        return iter(NOUNS)

    def __len__(self) -> int:
        return len(NOUNS)


class Nouns(TyperGroup):
    """The group of all nouns, which says what they are without importing them."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more | {"commands": None})
        self.commands = _Commands()  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:
        """The nouns, in the order of the table."""
        del ctx
        return list(NOUNS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of nouns in `--help`."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, noun.says) for name, noun in NOUNS.items()])
