"""`federation user …`: accounts of this network's own people. No password is ever typed or shown here: links are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from federation.cli.options import HERE, DryRun, Home, Json, Yes, node_at, split
from federation.cli.output import Output
from federation.cli.reading import moment
from federation.errors import BadInput, NotFound
from federation.node import Node
from federation.oauth import accounts, factors, sessions
from federation.policies.viewer import ViewerKind

app = typer.Typer(no_args_is_help=True, help="Accounts of this network's own people.")

Handle = Annotated[str, typer.Argument(help="What the person logs in with.")]


@app.command()
def add(
    handle: Handle,
    name: Annotated[str, typer.Option(help="The person's name, as others here see it.")],
    kind: Annotated[Literal["steward", "member"], typer.Option(help="Stewards run the network, members see it.")],
    scopes: Annotated[
        list[str] | None, typer.Option(help="What the person may do; several with commas. Stewards: everything.")
    ] = None,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Makes an account and prints a link, good once within a day, with which its owner sets the password."""
    with node_at(home, dry_run=dry_run) as node:
        granted = None if scopes is None else _known(node, frozenset(split(scopes)))
        accounts.add_account(node.database, node.world, handle, name, kind=ViewerKind(kind), scopes=granted)
        link = accounts.setup_link(node.database, node.world, node.settings.url, handle)
        made = next(each for each in accounts.list_accounts(node.database) if each.handle == handle)
    out, row = Output(json, dry_run), {"handle": handle, "kind": kind, "scopes": list(made.scopes)}
    if dry_run:  # the link is not kept
        out.result(row, f"{handle}, a {kind}")
        return
    out.result(row | {"link": link}, f"{handle} sets a password within a day at:\n{link}")


@app.command("list")
def list_users(home: Home = HERE, json: Json = False) -> None:
    """Lists the accounts, and what each shows beside its password."""
    with node_at(home) as node:
        rows = [_row(node, each) for each in accounts.list_accounts(node.database)]
    columns = ("handle", "name", "kind", "scopes", "password", "app", "passkeys", "recovery_codes", "disabled")
    Output(json).rows(columns, rows, "No accounts yet. `federation user add` makes one.")


@app.command()
def reset(handle: Handle, home: Home = HERE, json: Json = False, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Takes an account all it logs in with, ends its sessions and what programs may do for it; prints a new link."""
    out = Output(json, dry_run)
    out.confirm(f"Take {handle} password, app, passkeys and codes, and end every session?", yes=yes)
    with node_at(home, dry_run=dry_run) as node:
        ended = len(sessions.list_sessions(node.database, node.world, handle))
        link = accounts.reset_account(node.database, node.world, node.settings.url, handle)
    row: dict[str, Any] = {"handle": handle, "sessions_ended": ended}
    if dry_run:  # the link is not kept
        out.result(row, f"{handle} is reset; sessions ended: {ended}")
        return
    out.result(row | {"link": link}, f"Sessions ended: {ended}. {handle} sets a new password within a day at:\n{link}")


@app.command()
def disable(handle: Handle, home: Home = HERE, json: Json = False, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Closes an account at once, with its sessions. Its handle stays taken."""
    out = Output(json, dry_run)
    out.confirm(f"Close the account {handle}?", yes=yes)
    with node_at(home, dry_run=dry_run) as node:
        accounts.disable_account(node.database, node.world, handle)
    out.result({"handle": handle, "disabled": True}, f"{handle} is closed; its sessions are ended.")


@app.command("sessions")
def list_sessions(
    handle: Handle,
    end: Annotated[bool, typer.Option("--end", help="End them all.")] = False,
    home: Home = HERE,
    json: Json = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Lists where a person is logged in; with --end they are logged out everywhere at once."""
    out = Output(json, dry_run)
    if end:
        out.confirm(f"Log {handle} out everywhere?", yes=yes)
    with node_at(home, dry_run=dry_run) as node:
        if handle not in {each.handle for each in accounts.list_accounts(node.database)}:
            raise NotFound(accounts.NO_ACCOUNT)
        found = sessions.list_sessions(node.database, node.world, handle)
        if end:
            sessions.end_sessions(node.database, handle)
    if end:
        out.result(
            {"handle": handle, "sessions_ended": len(found)}, f"Sessions of {handle} that were ended: {len(found)}"
        )
        return
    rows = [
        {
            "session": each.session_id,
            "begun": moment(each.begun_at),
            "seen": moment(each.seen_at),
            "second": each.second,
        }
        for each in found
    ]
    out.rows(("session", "begun", "seen", "second"), rows, f"{handle} is not logged in anywhere.")


def _known(node: Node, scopes: frozenset[str]) -> frozenset[str]:
    if unknown := sorted(scopes - node.scopes):
        raise BadInput(f"There is no scope {', '.join(unknown)}; docs/scopes.md lists those there are.", field="scopes")
    return scopes


def _row(node: Node, each: accounts.AccountView) -> dict[str, Any]:
    has = factors.factors_of(node.database, each.handle)
    return {
        "handle": each.handle,
        "name": each.name,
        "kind": each.kind.value,
        "scopes": list(each.scopes),
        "password": each.has_password,
        "app": has.totp,
        "passkeys": has.passkeys,
        "recovery_codes": has.recovery_codes,
        "disabled": each.disabled_at is not None,
    }
