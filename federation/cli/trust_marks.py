"""`federation trust mark …`: marks that this node gives, and, as an anchor, who else may."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from federation.cli.options import HERE, DryRun, Home, Json, node_at, split
from federation.cli.output import Output
from federation.errors import BadInput, Conflict
from federation.peers import agreements
from federation.peers.vouching import store
from federation.peers.vouching.marks import DELEGATION, MAX_MARK, MAX_TYPE
from federation.peers.vouching.statements import is_identifier, read_keys, read_signed

app = typer.Typer(no_args_is_help=True, help="Marks that a node fulfils something. They grant nothing.")

Name = Annotated[str, typer.Argument(help="The peer's local name, as `peer list` shows it.")]
Kind = Annotated[str, typer.Argument(help="The type of the mark: an address that says what it means.")]
DAY = 86_400


def _checked(kind: str) -> str:
    if not is_identifier(kind) or len(kind) > MAX_TYPE:
        raise BadInput("The type of a mark is an address, like https://node.example/marks/name.")
    return kind


@app.command("issue")
def issue_mark(
    name: Name,
    kind: Kind,
    days: Annotated[int | None, typer.Option(min=1, help="For how many days it is renewed; on and on without.")] = None,
    delegation: Annotated[
        Path | None, typer.Option(help="File with the delegation of the owner of this type of marks.")
    ] = None,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Gives a peer a mark. It gets it when it next asks, and shows it if this node is its superior."""
    told = None if delegation is None else _delegation_in(delegation)
    with node_at(home, dry_run=dry_run) as node:
        who, now = agreements.partner(node.database, name), node.world.timestamp()
        if not who.asked:
            raise Conflict(f"{name} is not verified, or it is frozen or revoked: compare the eight words first.")
        until = None if days is None else now + days * DAY
        store.give_mark(node.database, store.GivenMark(_checked(kind), who.pid, until, told), now)
        if kind not in store.mark_rules(node.database):
            store.rule_marks(node.database, kind, [node.me.issuer], None)
    Output(json, dry_run).result({"name": name, "type": kind}, f"{name} is given the mark {kind}.")


@app.command("revoke")
def revoke_mark(name: Name, kind: Kind, home: Home = HERE, json: Json = False, dry_run: DryRun = False) -> None:
    """Takes a mark back: it is not renewed, and ends by itself within 48 hours."""
    with node_at(home, dry_run=dry_run) as node:
        store.take_mark(node.database, kind, agreements.partner(node.database, name).pid)
    Output(json, dry_run).result({"name": name, "type": kind}, f"The mark {kind} of {name} is not renewed any more.")


@app.command("list")
def list_marks(home: Home = HERE, json: Json = False) -> None:
    """Lists the marks that this node gives, and the types that it knows as an anchor."""
    with node_at(home) as node:
        names = {who.pid: who.name for who in agreements.partners(node.database)}
        rules = store.mark_rules(node.database)
        rows: list[dict[str, Any]] = [
            {"type": each.kind, "given_to": names.get(each.pid), "issuers": rules.get(each.kind, ([], None))[0]}
            for each in store.given_marks(node.database)
        ]
        given = {row["type"] for row in rows}
        rows += [
            {"type": kind, "given_to": None, "issuers": issuers}
            for kind, (issuers, _) in rules.items()
            if kind not in given
        ]
    Output(json).rows(("type", "given_to", "issuers"), rows, "No marks yet. `federation trust mark issue` gives one.")


@app.command("allow")
def allow_marks(
    kind: Kind,
    issuer: Annotated[
        list[str] | None, typer.Option(help="Who may give them; anybody in the federation without.")
    ] = None,
    owner: Annotated[
        Path | None, typer.Option(help='JSON file with the owner: {"sub": …, "jwks": {"keys": […]}}.')
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Know this type no more.")] = False,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """As an anchor: says who may give marks of a type, and who owns it. Replaces what was said before."""
    issuers, owned = split(issuer or []), _owner_in(owner)
    if not all(map(is_identifier, issuers)):
        raise BadInput("An issuer is the address of a node, like https://node.example.")
    with node_at(home, dry_run=dry_run) as node:
        if forget:
            store.unrule_marks(node.database, kind)
        else:
            store.rule_marks(node.database, _checked(kind), issuers, owned)
    told = (
        f"Marks of the type {kind} are not known here any more."
        if forget
        else f"Marks of the type {kind} are known here."
    )
    Output(json, dry_run).result({"type": kind, "issuers": issuers}, told)


def _delegation_in(file: Path) -> str:
    try:
        token = file.read_text(encoding="ascii").strip()
        read_signed(token, DELEGATION, MAX_MARK)
    except ValueError:
        raise BadInput(f"{file} is no signed delegation.") from None
    return token


def _owner_in(file: Path | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        owner = jsonlib.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise BadInput(f"{file} is no JSON file.") from None
    if not isinstance(owner, dict) or not is_identifier(owner.get("sub")):
        raise BadInput(f"{file} does not name the owner's address as `sub`.")
    read_keys(owner.get("jwks"), "The owner")
    return {"sub": owner["sub"], "jwks": owner["jwks"]}
