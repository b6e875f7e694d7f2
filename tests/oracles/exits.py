"""The exits of a node, listed by the machine from what is built: routes, root fields, commands, files, tables; and
which of them a request was for. One that no oracle drives has to stand among the exemptions, with its reason."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import orjson
import typer
from graphql import FieldNode, FragmentDefinitionNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, parse
from starlette.applications import Starlette
from starlette.routing import Match, Route

from federation.cli import app as command_line
from federation.storage.metadata import all_metadata
from oracles.network import Said

EXEMPT: Mapping[str, str] = {
    "command demo": "It starts three nodes as processes of their own; the acceptance tests search all that they print.",
    "command serve": "It blocks, and answers by the routes alone, which are driven; what it prints is a link.",
    "command worker": "It blocks and prints nothing; the sweeping and pulling that it does are driven by themselves.",
}
"""Exits that no oracle drives, each with the reason. They stand in tests/snapshots/exit_exemptions.txt too, which may
only lose lines."""


def routes(app: Starlette) -> set[str]:
    """`route METHOD PATH` of each route; HEAD goes with GET."""
    found = set()
    for route in app.routes:
        if isinstance(route, Route):
            for method in sorted(route.methods or {"POST"}):
                found |= {f"route {method} {route.path}"} if method != "HEAD" else set()
        else:
            found.add(f"route {type(route).__name__} {getattr(route, 'path', '?')}")
    return found


def roots(schema: GraphQLSchema) -> set[str]:
    """`query NAME`, `mutation NAME`, `subscription NAME` of each root field, those of a subgraph and of introspection
    too."""
    kinds = {"query": schema.query_type, "mutation": schema.mutation_type, "subscription": schema.subscription_type}
    found = {f"{kind} {name}" for kind, made in kinds.items() if made is not None for name in made.fields}
    return found | {"query __schema", "query __type"}


@cache
def command_tree() -> Any:
    """The root of the commands, made once."""
    return typer.main.get_command(command_line)


def commands() -> set[str]:
    """`command NOUN VERB` of each command."""

    def walk(command: Any, name: str) -> Iterable[str]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield f"command {name}"
            return
        for each, made in inner.items():
            yield from walk(made, f"{name} {each}".strip())

    return set(walk(command_tree(), ""))


def files(home: Path) -> set[str]:
    """`file NAME` of each file in a home, relative to it; of those with a moment in their name one stands for all."""
    return {f"file {path.relative_to(home)}" for path in home.rglob("*") if path.is_file()}


def tables() -> set[str]:
    """`table NAME` of each table."""
    return {f"table {table.name}" for table in all_metadata().sorted_tables}


# Which exits something was


def exits_of(app: Starlette, said: Said) -> set[str]:
    """The exits by which an answer came: its route, and the root fields that it has data for."""
    scope = {"type": "http", "method": said.method, "path": _path(said.url), "root_path": ""}
    found = {
        f"route {said.method} {route.path}"
        for route in app.routes
        if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL
    }
    return found | answered_roots(said) if _path(said.url) == "/graphql" else found


def _path(url: str) -> str:
    return "/" + url.partition("?")[0].split("/", 3)[-1] if "://" in url else url.partition("?")[0]


def answered_roots(said: Said) -> set[str]:
    """The root fields of a GraphQL request that were answered with data: what was refused shows nothing."""
    try:
        asked = _asked_roots(orjson.loads(said.asked)["query"])
        data = orjson.loads(said.body).get("data") or {}
    except (ValueError, LookupError, TypeError, GraphQLError):
        return set()
    return {root for shown_as, root in asked if shown_as in data}


@lru_cache(4096)
def _asked_roots(query: str) -> tuple[tuple[str, str], ...]:
    """The root fields that a document asks for: under which name each is answered, and which it is."""
    document = parse(query, no_location=True)
    parts = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    return tuple(
        ((each.alias or each.name).value, f"{made.operation.value} {each.name.value}")
        for made in document.definitions
        if isinstance(made, OperationDefinitionNode)
        for each in _fields(made.selection_set, parts)
    )


def _fields(selected: Any, parts: Mapping[str, FragmentDefinitionNode]) -> list[FieldNode]:
    found: list[FieldNode] = []
    for each in selected.selections:
        if isinstance(each, FieldNode):
            found.append(each)
        else:
            inner = getattr(each, "selection_set", None) or parts[each.name.value].selection_set
            found += _fields(inner, parts)
    return found


def command_of(arguments: Sequence[str]) -> str | None:
    """The command that a command line names, or None."""
    command, names = command_tree(), []
    for each in arguments:
        inner = getattr(command, "commands", None)
        if inner is None:
            break
        if each not in inner:
            return None
        command = inner[each]
        names.append(each)
    return f"command {' '.join(names)}" if getattr(command, "commands", None) is None else None


# What is amiss


def amiss(
    listed: Collection[str], driven: Collection[str], exempt: Mapping[str, str], allowed: Sequence[str]
) -> list[str]:
    """Sentences on exits that nobody drives, on exemptions that are new, without a reason, or no longer needed."""
    found = [f"{each}: no oracle drives it" for each in sorted(set(listed) - set(driven) - exempt.keys())]
    found += [f"{each}: it is driven, take it off the exemptions" for each in sorted(exempt.keys() & set(driven))]
    found += [
        f"{each}: there is no such exit, take it off the exemptions" for each in sorted(exempt.keys() - {*listed})
    ]
    found += [f"{each}: an exemption may not be added" for each in sorted(exempt.keys() - {*allowed})]
    found += [f"{each}: exempt no longer, take it off the snapshot" for each in sorted({*allowed} - exempt.keys())]
    return found + [f"{each}: an exemption needs a reason" for each, why in exempt.items() if len(why.split()) < 4]
