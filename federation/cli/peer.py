"""`federation peer …`: invite, accept, compare words, grant, look, freeze, revoke."""

from __future__ import annotations

import shlex
from datetime import date
from typing import Annotated, Any

import typer

from federation.cli.options import HERE, DryRun, Home, Json, Yes, node_at, split
from federation.cli.output import Output, cell
from federation.cli.reading import exchange_state, key_state
from federation.errors import BadInput, Conflict
from federation.node import Node
from federation.peers import agreements, trust
from federation.peers.agreements import Partner
from federation.peers.holdings import holdings, known_from

app = typer.Typer(no_args_is_help=True, help="Other nodes: who they are and what they were granted.")

Name = Annotated[str, typer.Argument(help="The peer's local name, as `peer list` shows it.")]


def described(who: Partner) -> dict[str, Any]:
    """A peer as rows and JSON show it."""
    return {
        "name": who.name,
        "issuer": who.issuer,
        "state": "frozen" if who.frozen else who.state,
        "verified": who.verified,
        "scopes": sorted(who.scopes),
        "purpose": who.purpose,
        "until": who.until,
        "affiliation": who.affiliation,
        "jurisdiction": who.jurisdiction,
        "narrowing": {f"{kind}.{name}": step for (kind, name), step in sorted(who.narrowing.items())},
    }


@app.command()
def invite(
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Prints one invitation: send it to one network over a channel that you trust. It works once, for seven days."""
    with node_at(home, dry_run=dry_run) as node:
        text = trust.invite(node.database, node.world, node.me)
    told = "one invitation, made anew each time" if dry_run else text
    out = Output(json, dry_run)
    out.result({} if dry_run else {"invitation": text}, told)
    if not (json or dry_run):
        out.note(
            "They run `federation peer accept` with it; then `federation peer list` shows them here, by their name."
        )


@app.command()
def accept(
    invitation: Annotated[str, typer.Argument(help="The string that the other network sent.")],
    name: Annotated[str | None, typer.Option(help="What to call the peer here.")] = None,
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Links to the network that sent the invitation, and prints the eight words to compare."""
    with node_at(home) as node:
        who = trust.accept(node.database, node.world, node.me, node.outbound, invitation, name)
        words = " ".join(trust.words_of(node.me, who))
    if who.verified:  # it asked for this node's new key; nothing changed here
        told = f"{who.name} knows this node's new key. They compare these words with you before they show more:\n\n"
        Output(json).result({**described(who), "words": words}, f"{told}    {words}")
        return
    Output(json).result(
        {**described(who), "words": words},
        f"{who.name} is pinned, and not yet verified. Compare these words with them over another channel:\n\n"
        f'    {words}\n\nIf they see the same:  federation peer verify {shlex.quote(who.name)} --words "…"',
    )


@app.command()
def words(name: Name, home: Home = HERE, json: Json = False) -> None:
    """Prints the eight words to compare with a peer over another channel."""
    with node_at(home) as node:
        who = agreements.partner(node.database, name)
        if trust.is_awaited(node.database, who):
            raise Conflict(f"{name} has not shown its new key yet; it has to accept the invitation first.")
        found = " ".join(trust.words_of(node.me, who))
    Output(json).result({"name": name, "words": found}, found)


@app.command()
def verify(
    name: Name,
    words: Annotated[str, typer.Option(help="The eight words as the other side reads them out.")],
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Confirms that the peer's words are the same as here: nobody stands between."""
    with node_at(home, dry_run=dry_run) as node:
        who = trust.verify(node.database, node.me, name, words)
    Output(json, dry_run).result(described(who), f"{who.name} is verified.")


@app.command()
def rekey(
    name: Name,
    home: Home = HERE,
    json: Json = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Gives up the key of a peer at once, and prints an invitation by which it shows a new one; the agreement stays."""
    out = Output(json, dry_run)
    out.confirm(f"Give up the key of {name}? What came by it goes until new words are compared.", yes=yes)
    with node_at(home, dry_run=dry_run) as node:
        text = trust.rekey(node.database, node.world, node.me, name)
        gone = node.puller.let_go()
        who = agreements.partner(node.database, name)
    told = "one invitation, made anew each time" if dry_run else text
    out.result({**described(who), **({} if dry_run else {"invitation": text})}, told)
    out.note(f"{name} has no key until it accepts this invitation, and is not verified; {gone} records left with it.")


@app.command()
def grant(
    name: Name,
    scopes: Annotated[list[str], typer.Option(help="Like resource:community; several with commas.")],
    purpose: Annotated[str, typer.Option(help="What for, like coordination.")],
    until: Annotated[str, typer.Option(help="The last day, like 2027-06-30.")],
    narrow: Annotated[
        list[str] | None, typer.Option(help="Like resource.area=sub_region, or resource.amount=nobody.")
    ] = None,
    home: Home = HERE,
    json: Json = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Grants scopes to a peer for a purpose until a day; replaces what was granted before."""
    out = Output(json, dry_run)
    wanted, last, narrowing = split(scopes), _day(until), _narrowing(narrow or [])

    def granted(node: Node) -> Partner:
        return agreements.grant(node.database, node.world, node.catalogue, name, wanted, purpose, last, narrowing)

    with node_at(home, dry_run=dry_run) as node:
        if not (yes or dry_run):
            before = agreements.partner(node.database, name)
            with node.database.trial():  # what is refused is refused before anybody is asked
                after = granted(node)
            if agreements.widens(before, after, node.catalogue):
                out.confirm(f"This shows more to {name}, or for longer. Go on?", yes=yes)
        who = granted(node)
    out.result(described(who), f"{who.name} has {', '.join(sorted(who.scopes))} until {who.until}.")


@app.command("set")
def describe(
    name: Name,
    affiliation: Annotated[
        str | None, typer.Option(help="none, domestic_state, foreign_state, intergovernmental, or unknown.")
    ] = None,
    jurisdiction: Annotated[str | None, typer.Option(help="Country that hosts it, like KE, or unknown.")] = None,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Enters what you know of a peer; policies can ask for it. What is unknown fails every condition."""
    with node_at(home, dry_run=dry_run) as node:
        who = agreements.describe(node.database, name, affiliation, jurisdiction)
    Output(json, dry_run).result(
        described(who), f"{who.name}: {who.affiliation or 'unknown'}, {who.jurisdiction or 'unknown'}."
    )


@app.command()
def rename(
    name: Name,
    wanted: Annotated[str, typer.Argument()],
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Calls a peer something else here."""
    with node_at(home, dry_run=dry_run) as node:
        who = agreements.rename(node.database, name, wanted)
    Output(json, dry_run).result(described(who), f"{name} is called {who.name} now.")


@app.command("list")
def list_peers(home: Home = HERE, json: Json = False) -> None:
    """Lists the peers."""
    with node_at(home) as node:
        found = [described(who) for who in agreements.partners(node.database)]
    columns = ("name", "issuer", "state", "verified", "purpose", "until")
    Output(json).rows(columns, found, "No peers yet. `federation peer invite` makes an invitation.")


@app.command()
def show(name: Name, home: Home = HERE, json: Json = False) -> None:
    """Shows one peer, what it was granted, and how the exchange with it goes."""
    with node_at(home) as node:
        row = described(agreements.partner(node.database, name)) | exchange_state(node, name) | key_state(node, name)
    lines = [f"{key.replace('_', ' ')}: {cell(value)}" for key, value in row.items()]
    Output(json).result(row, "\n".join(lines))


@app.command("holdings")
def show_holdings(name: Name, home: Home = HERE, json: Json = False) -> None:
    """Lists what a peer was sent: record, finest step of each field, policy, first and last time served."""
    with node_at(home) as node:
        found, since = holdings(node.source, name), known_from(node.database)
    rows = [
        {
            "type": held.type,
            "id": held.gid,
            "steps": held.steps if json else [f"{field}:{step}" for field, step in sorted(held.steps.items())],
            "policies": held.policies if json else [version[:12] for version in held.policies],
            "first": held.first,
            "last": held.last,
            "withdrawn": held.gone,
        }
        for held in found
    ]
    columns = ("type", "id", "steps", "policies", "first", "last", "withdrawn")
    out = Output(json)
    out.rows(columns, rows, f"{name} was sent nothing" + (f" since {since}." if since else "."))
    if since:
        out.note(f"Times are known since {since}: what has no first one was sent before that day.")


@app.command()
def freeze(
    name: Name,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Answers a peer nothing at all, and asks it nothing, until `peer unfreeze`."""
    with node_at(home, dry_run=dry_run) as node:
        who = agreements.freeze(node.database, name)
    Output(json, dry_run).result(described(who), f"{who.name} is frozen: it gets no token and no answer.")


@app.command()
def unfreeze(
    name: Name,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Goes on with a frozen peer as before."""
    with node_at(home, dry_run=dry_run) as node:
        who = agreements.unfreeze(node.database, name)
    Output(json, dry_run).result(described(who), f"{who.name} is no longer frozen.")


@app.command()
def revoke(
    name: Name,
    home: Home = HERE,
    json: Json = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Ends the agreement: at its next pull the peer is told to withdraw all that it holds from here."""
    Output(json, dry_run).confirm(f"End the agreement with {name}?", yes=yes)
    with node_at(home, dry_run=dry_run) as node:
        who = agreements.revoke(node.database, name)
        gone = node.puller.let_go()
    Output(json, dry_run).result(
        described(who),
        f"{who.name} is revoked, and what came by it is removed here ({gone} records). Withdrawals are offered to it;"
        " what a dishonest receiver keeps cannot be known.",
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text[:20]!r} is no day; write it like 2027-06-30.", field="until") from None


def _narrowing(listed: list[str]) -> dict[tuple[str, str], str | None]:
    narrowing: dict[tuple[str, str], str | None] = {}
    for item in split(listed):
        place, equals, step = item.partition("=")
        kind, dot, field = place.partition(".")
        if not (equals and dot and kind and field and step):
            raise BadInput(f"{item[:80]!r} is not understood; write type.field=step.", field="narrowing")
        narrowing[(kind, field)] = None if step == "nobody" else step
    return narrowing
