"""`federation trust …`: who vouches for whom. Nothing here grants a scope."""

from __future__ import annotations

import json as jsonlib
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from federation.cli.options import HERE, DryRun, Home, Json, node_at, split
from federation.cli.output import FAILED, Output
from federation.cli.reading import moment
from federation.cli.trust_marks import app as marks_app
from federation.errors import BadInput, Conflict, FederationError
from federation.node import Node
from federation.peers import agreements
from federation.peers.agreements import Partner
from federation.peers.vouching import store
from federation.peers.vouching.chains import path_of, read_chain
from federation.peers.vouching.policy import read_policy
from federation.peers.vouching.renewal import issue, refresh
from federation.peers.vouching.standing import Standing, note_standing, standing_of
from federation.peers.vouching.statements import LONGEST_HOURS, SHORTEST_HOURS, USUAL_HOURS, is_identifier

app = typer.Typer(
    no_args_is_help=True, help="Who vouches for whom: chains, anchors, superiors, marks. They grant nothing."
)
anchor_app = typer.Typer(no_args_is_help=True, help="Where chains may end.")
hints_app = typer.Typer(no_args_is_help=True, help="The superiors that this node names.")
app.add_typer(anchor_app, name="anchor")
app.add_typer(hints_app, name="hints")
app.add_typer(marks_app, name="mark")

Name = Annotated[str, typer.Argument(help="The peer's local name, as `peer list` shows it.")]
DAY = 86_400
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


def trusted(node: Node, name: str) -> Partner:
    """A peer that statements may be made about. Raises NotFound, Conflict."""
    who = agreements.partner(node.database, name)
    if not who.asked:
        raise Conflict(f"{name} is not verified, or it is frozen or revoked: compare the eight words first.")
    return who


@app.command()
def vouch(
    name: Name,
    metadata_policy: Annotated[
        Path | None, typer.Option(help="JSON file with a metadata policy for the peer and all below it.")
    ] = None,
    max_path_length: Annotated[
        int | None, typer.Option(min=0, help="How many nodes may stand between this one and a subject.")
    ] = None,
    hours: Annotated[
        int, typer.Option(min=SHORTEST_HOURS, max=LONGEST_HOURS, help="How long one statement lives.")
    ] = USUAL_HOURS,
    days: Annotated[int | None, typer.Option(min=1, help="For how many days it is renewed; on and on without.")] = None,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Vouches for a peer: who trusts this node's word sees whose node it is. It grants the peer nothing."""
    policy = _policy_in(metadata_policy)
    with node_at(home, dry_run=dry_run) as node:
        who, now = trusted(node, name), node.world.timestamp()
        until = None if days is None else now + days * DAY
        constraints = {} if max_path_length is None else {"max_path_length": max_path_length}
        kept = store.Subordinate(who.pid, hours, policy, constraints, until)
        store.put_subordinate(node.database, kept)
        issue(node.entity, who, kept)
        made = store.subordinates(node.database)[who.pid]
    row = {"name": name, "issuer": who.issuer, "hours": hours, "until": moment(until), "expires": moment(made.expires)}
    Output(json, dry_run).result(
        row,
        f"This node vouches for {name}: a statement until {row['expires']}, renewed while you stand by it.\n"
        f"They name this node with `federation trust hints add`; then their chain shows it.",
    )


def _policy_in(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        policy = jsonlib.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise BadInput(f"{file} is no JSON file.") from None
    read_policy(policy)
    return policy


@app.command()
def unvouch(name: Name, home: Home = HERE, json: Json = False, dry_run: DryRun = False) -> None:
    """Vouches for a peer no more. What was said before ends by itself within its hours."""
    with node_at(home, dry_run=dry_run) as node:
        who = agreements.partner(node.database, name)
        ended = store.drop_subordinate(node.database, who.pid)
        last = moment(ended.expires) if ended.expires > node.world.timestamp() else None
    told = f"Chains over this node hold at the longest until {last}." if last else "No statement is in force."
    Output(json, dry_run).result({"name": name, "expires": last}, f"This node vouches for {name} no more. {told}")


@app.command("list")
def list_subordinates(home: Home = HERE, json: Json = False) -> None:
    """Lists the peers that this node vouches for."""
    with node_at(home) as node:
        names = {who.pid: who for who in agreements.partners(node.database)}
        rows = [
            {
                "name": names[each.pid].name,
                "issuer": names[each.pid].issuer,
                "hours": each.hours,
                "expires": moment(each.expires),
                "renewed": names[each.pid].asked and (each.until is None or each.until > node.world.timestamp()),
                "until": moment(each.until),
            }
            for each in store.subordinates(node.database).values()
        ]
    columns = ("name", "issuer", "hours", "expires", "renewed", "until")
    Output(json).rows(columns, rows, "This node vouches for nobody. `federation trust vouch PEER` does.")


@app.command("refresh")
def refresh_now(
    peer: Annotated[str | None, typer.Argument(help="One peer's name; all of them without it.")] = None,
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Asks the peers for their chains now; exit 1 where one did not answer."""
    rows: list[dict[str, Any]] = []
    with node_at(home) as node:
        known = agreements.partners(node.database)
        for who in [each for each in known if each.asked] if peer is None else [trusted(node, peer)]:
            problem = None
            try:
                refresh(node.entity, who)
            except FederationError as failed:
                problem = failed.message
            note_standing(node.entity, who)
            rows.append({"peer": who.name, "standing": standing_of(node.entity, who).state, "problem": problem})
    Output(json).rows(("peer", "standing", "problem"), rows, "No verified peers yet.")
    if any(row["problem"] for row in rows):
        raise typer.Exit(FAILED)


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="A peer's local name; this node itself without it.")] = None,
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Shows who vouches for a peer, by what it last handed over; without a name, who vouches for this node."""
    with node_at(home) as node:
        if name is None:
            row, told = _own(node)
        else:
            row, told = _shown(name, standing_of(node.entity, agreements.partner(node.database, name)))
    Output(json).result(row, told)


def _own(node: Node) -> tuple[dict[str, Any], str]:
    paths = [list(path_of(read_chain(chain))) for chain in node.entity.chains()[1:]]
    row = {
        "issuer": node.me.issuer,
        "thumbprint": node.keys.peer.thumbprint,
        "superiors": [who.name for who in node.entity.superiors()],
        "chains": paths,
    }
    named = ", ".join(who.name for who in node.entity.superiors()) or "none named"
    lines = [f"{row['issuer']}, key {row['thumbprint']}", f"Superiors: {named}"]
    lines += [f"  {_arrows(path)}" for path in paths]
    lines += [f"  {why}" for who in node.entity.superiors() if (why := node.entity.silence_of(who))]
    return row, "\n".join(lines)


def _arrows(path: list[str] | tuple[str, ...]) -> str:
    return " ← ".join(path)


def _shown(name: str, found: Standing) -> tuple[dict[str, Any], str]:
    row = {
        "name": name,
        "standing": found.state,
        "since": moment(found.since or None),
        "chains": [
            {"path": list(chain.path), "anchor": chain.anchor, "expires": moment(chain.expires)}
            for chain in found.chains
        ],
        "marks": [{"type": mark.type, "issuer": mark.issuer, "expires": moment(mark.expires)} for mark in found.marks],
        "problems": list(found.reasons),
        "elsewhere": [list(path) for path in found.elsewhere],
        "heard": moment(found.heard),
    }
    lines = [_headline(name, found)]
    for chain in found.chains:
        lines.append(f"  {_arrows(chain.path)}   until {moment(chain.expires)}")
    for mark in found.marks:
        lines.append(f"  mark {mark.type}, given by {mark.issuer}" + _until(mark.expires))
    for path in found.elsewhere:
        lines.append(f"  {_arrows(path)}   (not verified: it ends at no anchor of this node)")
    lines += [f"  {reason}" for reason in found.reasons]
    failure = f" Last failure: {found.error}." if found.error else ""
    lines.append(f"Heard from it: {row['heard'] or 'never'}.{failure}")
    lines.append("A chain says who vouches. It grants nothing: scopes come of `federation peer grant` alone.")
    return row, "\n".join(lines)


def _until(seconds: int | None) -> str:
    return f", until {moment(seconds)}" if seconds is not None else ", without an end"


def _headline(name: str, found: Standing) -> str:
    if found.state == store.VOUCHED:
        vouching = dict.fromkeys(chain.path[1] for chain in found.chains if len(chain.path) > 1)
        return f"{name} is vouched for by {', '.join(vouching)}." if vouching else f"{name} is an anchor here."
    if found.state == store.ENDED:
        return f"{name} was vouched for, and since {moment(found.since)} no chain holds any more."
    return f"Nobody whom this node trusts vouches for {name}."


@anchor_app.command("add")
def add_anchor(
    issuer: Annotated[str, typer.Argument(help="The anchor's address, like https://node.example.")],
    thumbprint: Annotated[
        list[str], typer.Option(help="Of its key, as `trust show` prints it there; several with commas.")
    ],
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Pins an anchor: chains that end at its key count here. Compare the thumbprint over another channel."""
    prints = split(thumbprint)
    if not is_identifier(issuer):
        raise BadInput("An anchor is the address of a node, like https://node.example.")
    if not prints or not all(map(_THUMBPRINT.fullmatch, prints)):
        raise BadInput("A thumbprint has 43 letters and digits; copy the whole of it.")
    with node_at(home, dry_run=dry_run) as node:
        store.pin_anchor(node.database, issuer, prints, node.world.timestamp())
    Output(json, dry_run).result({"issuer": issuer, "thumbprints": sorted(prints)}, f"{issuer} is an anchor here.")


@anchor_app.command("remove")
def remove_anchor(
    issuer: Annotated[str, typer.Argument(help="The anchor's address.")],
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Lets go of an anchor: chains that end there count no more, at once."""
    with node_at(home, dry_run=dry_run) as node:
        store.unpin_anchor(node.database, issuer)
    Output(json, dry_run).result({"issuer": issuer}, f"{issuer} is no anchor here any more.")


@anchor_app.command("list")
def list_anchors(home: Home = HERE, json: Json = False) -> None:
    """Lists the pinned anchors with the thumbprints of their keys."""
    with node_at(home) as node:
        rows = [
            {"issuer": issuer, "thumbprints": sorted(pinned)} for issuer, pinned in store.anchors(node.database).items()
        ]
    Output(json).rows(("issuer", "thumbprints"), rows, "No anchors yet: no chain counts here but this node's own word.")


@hints_app.command("add")
def add_hint(name: Name, home: Home = HERE, json: Json = False, dry_run: DryRun = False) -> None:
    """Names a peer as a superior of this node. Peers are told; everybody only with `federation_public`."""
    with node_at(home, dry_run=dry_run) as node:
        who = trusted(node, name)
        store.add_superior(node.database, who.pid, node.world.timestamp())
    Output(json, dry_run).result({"name": name, "issuer": who.issuer}, f"{name} is named as a superior.")


@hints_app.command("remove")
def remove_hint(name: Name, home: Home = HERE, json: Json = False, dry_run: DryRun = False) -> None:
    """Names a peer as a superior no more."""
    with node_at(home, dry_run=dry_run) as node:
        store.drop_superior(node.database, agreements.partner(node.database, name).pid)
    Output(json, dry_run).result({"name": name}, f"{name} is not named as a superior any more.")


@hints_app.command("list")
def list_hints(home: Home = HERE, json: Json = False) -> None:
    """Lists the superiors that this node names, and why one does not vouch for it."""
    with node_at(home) as node:
        pids = set(store.superiors(node.database))
        rows = [
            {"name": who.name, "issuer": who.issuer, "problem": node.entity.silence_of(who)}
            for who in agreements.partners(node.database)
            if who.pid in pids
        ]
    columns = ("name", "issuer", "problem")
    Output(json).rows(columns, rows, "No superiors named. `federation trust hints add PEER` does.")
