"""The exits of a node, listed by the machine from what is built: routes, root fields, commands, files, errors. Beside
each of the ones that are not driven from the schema stands how it is driven."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import typer
from graphql import GraphQLSchema
from starlette.applications import Starlette
from starlette.routing import Route

from federation.cli import app as command_line
from federation.storage.migrating import all_metadata
from oracles.network import Said
from oracles.questions import SECRET_INPUT
from oracles.stage import Stage


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
    """`query NAME`, `mutation NAME`, `subscription NAME` of each root field."""
    kinds = {"query": schema.query_type, "mutation": schema.mutation_type, "subscription": schema.subscription_type}
    return {f"{kind} {name}" for kind, made in kinds.items() if made is not None for name in made.fields}


def commands() -> set[str]:
    """`command NOUN VERB` of each command."""

    def walk(command: Any, name: str) -> Iterable[str]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield f"command {name}"
            return
        for each, made in inner.items():
            yield from walk(made, f"{name} {each}".strip())

    return set(walk(typer.main.get_command(command_line), ""))


def files(home: Path) -> set[str]:
    """`file NAME` of each file in a home, relative to it."""
    return {f"file {path.relative_to(home)}" for path in home.rglob("*") if path.is_file()}


def tables() -> set[str]:
    """`table NAME` of each table."""
    return {f"table {table.name}" for table in all_metadata().sorted_tables}


def _get(path: str) -> Callable[[Stage], list[Said]]:
    def ask(stage: Stage) -> list[Said]:
        url = stage.node.settings.url
        return [
            stage.network.call("GET", url + path),
            stage.network.call("GET", f"{url}{path}?q={SECRET_INPUT}"),
            stage.network.call("DELETE", url + path),
        ]

    return ask


def _form(path: str) -> Callable[[Stage], list[Said]]:
    """Forms that are refused, and a token of a good client, which the callers of the stage have asked for too."""

    def ask(stage: Stage) -> list[Said]:
        url, kind = stage.node.settings.url + path, {"content-type": "application/x-www-form-urlencoded"}
        bad = [b"", b"a=b", f"grant_type={SECRET_INPUT}&token={SECRET_INPUT}".encode(), b"\xff"]
        found = [stage.network.call("POST", url, kind, body) for body in bad]
        stage.askers["client-mixed"].caller.post("/graphql", b"{}")
        return found + [said for said in stage.network.said if said.url == url][-4:]

    return ask


def _join(stage: Stage) -> list[Said]:
    url = stage.node.settings.url + "/exchange/join"
    bodies = [b"", b"a.b.c", SECRET_INPUT.encode()]
    found = [stage.network.call("POST", url, {}, body) for body in bodies]
    return found + [said for said in stage.network.said if said.url == url]


def _graphql(stage: Stage) -> list[Said]:
    """Requests that are none, with a wrong method, kind, token or form."""
    url = stage.node.settings.url + "/graphql"
    json = {"content-type": "application/json"}
    body = orjson.dumps({"query": f'{{ search(text: "{SECRET_INPUT}") {{ nodes {{ id '})
    return [
        stage.network.call("GET", f"{url}?query={SECRET_INPUT}"),
        stage.network.call("POST", url, {"content-type": "text/plain"}, body),
        stage.network.call("POST", url, json, body),
        stage.network.call("POST", url, json, b"[1]"),
        stage.network.call("POST", url, json | {"authorization": f"Bearer {SECRET_INPUT}"}, body),
        stage.network.call("POST", url, json | {"authorization": f"DPoP {SECRET_INPUT}"}, body),
        stage.network.call("POST", url, json | {"dpop": SECRET_INPUT}, body),
    ]


def _exchange(path: str) -> Callable[[Stage], list[Said]]:
    def ask(stage: Stage) -> list[Said]:
        url, caller = stage.node.settings.url + path, stage.askers["peer-partner"].caller
        bad = [b"", b"[]", b"{", orjson.dumps({"run": SECRET_INPUT, "cursor": SECRET_INPUT, "type": SECRET_INPUT})]
        bad.append(orjson.dumps({"cursor": "x", "limit": -1}))
        return [stage.network.call("POST", url, {}, b"{}"), *(caller.post(path, body) for body in bad)]

    return ask


def _elsewhere(stage: Stage) -> list[Said]:
    url = stage.node.settings.url
    return [stage.network.call("GET", f"{url}/{SECRET_INPUT}"), stage.network.call("POST", f"{url}/", {}, b"x")]


ANONYMOUS_ROUTES: Mapping[str, Callable[[Stage], list[Said]]] = {
    "elsewhere": _elsewhere,
    "POST /graphql": _graphql,
    "GET /graphql/schema.graphql": _get("/graphql/schema.graphql"),
    "GET /health/live": _get("/health/live"),
    "GET /health/ready": _get("/health/ready"),
    "GET /.well-known/oauth-authorization-server": _get("/.well-known/oauth-authorization-server"),
    "GET /.well-known/oauth-protected-resource/graphql": _get("/.well-known/oauth-protected-resource/graphql"),
    "GET /.well-known/jwks.json": _get("/.well-known/jwks.json"),
    "POST /oauth/token": _form("/oauth/token"),
    "POST /oauth/revoke": _form("/oauth/revoke"),
    "POST /exchange/join": _join,
    "POST /exchange/changes": _exchange("/exchange/changes"),
    "POST /exchange/reconcile": _exchange("/exchange/reconcile"),
}
"""How each route is driven beside what askers put to GraphQL and the exchange: with what it refuses."""
