"""Viewers by the names under which commands take them: what is previewed, explained or written for somebody else."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.errors import NotFound
from federation.node import Node
from federation.peers import agreements
from federation.policies.viewer import Viewer, ViewerKind, anonymous
from federation.records.registry import RECORD_TYPES

PUBLIC = "public"
"""Everything that may be published: every `:open` scope, whatever the node's `public_scopes` opens on its web."""

As = Annotated[
    str, typer.Option("--as", help="A peer's name, a client's id, `public`, `anonymous` (by public_scopes), `member`.")
]


def viewer_named(node: Node, name: str) -> Viewer:
    """The viewer that a person means. Raises NotFound for a name of nobody, and of a client that is revoked."""
    if name == PUBLIC:
        return anonymous(frozenset(f"{key}:open" for key in RECORD_TYPES))
    if name == "anonymous":
        return anonymous(node.settings.public_scopes)
    if name == "member":
        return Viewer(ViewerKind.MEMBER, "member")
    for who in agreements.partners(node.database):
        if name in (who.name, who.issuer):
            return agreements.viewer_of(who)
    client = node.realm.active_client(name)
    if client is None:
        raise NotFound("There is no peer or client of that name.")
    return Viewer(client.kind, client.client_id, client.scopes)
