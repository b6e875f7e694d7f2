"""`federation client … | grant … | token …`: programs that may ask this node, what people allowed them, and people's
tokens for scripts."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from federation.cli.options import HERE, DryRun, Home, Json, Yes, node_at, split
from federation.cli.output import Output
from federation.errors import BadInput, NotFound
from federation.oauth import clients, grants, personal, registering
from federation.oauth.clients import ClientView, Kind, NewClient
from federation.oauth.personal import PersonalTokenView
from federation.oauth.realm import REGISTER_PATH

if TYPE_CHECKING:
    from federation.node import Node

client_app = typer.Typer(no_args_is_help=True, help="Programs that may ask for tokens here.")
grant_app = typer.Typer(no_args_is_help=True, help="What people allowed programs to do on their behalf.")
token_app = typer.Typer(no_args_is_help=True, help="Personal tokens for scripts: `:open` only.")

Scopes = Annotated[list[str], typer.Option(help="Like resource:open; several with commas.")]

Redirects = Annotated[
    list[str] | None, typer.Option("--redirect-uri", help="Where it leads people back to; it then asks people only.")
]
Public = Annotated[bool, typer.Option("--public", help="It runs where no key can be kept: in a browser, on a phone.")]

_GIVEN = ("name", "scopes", "revoked")


def write_private(path: Path, content: bytes) -> None:
    """Writes a new file that only its owner can read, whole or not at all. Raises FileExistsError rather than
    overwrite."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        path.unlink()
        raise


def _row(key: str, id: str, each: ClientView | PersonalTokenView) -> dict[str, Any]:
    """What a list says of a program or a token: its id under `key`, and _GIVEN."""
    return {key: id, "name": each.name, "scopes": list(each.scopes), "revoked": each.revoked_at is not None}


def _write_key(node: Node, made: NewClient, path: Path) -> None:
    try:
        write_private(path, orjson.dumps(dict(made.private_jwk)))
    except OSError:
        clients.revoke_client(node.database, node.world, made.client_id)  # nobody has its key
        raise


@client_app.command("add")
def add_client(
    name: Annotated[str, typer.Argument(help="What the program is, for your own list.")],
    scopes: Scopes,
    redirect_uri: Redirects = None,
    public: Public = False,
    key_file: Annotated[Path | None, typer.Option(help="Write the private key there instead of printing it.")] = None,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Registers a program and gives out its private key, once."""
    out = Output(json, dry_run)
    if key_file and public:
        raise BadInput("A public program has no key.", field="key_file")
    if key_file and key_file.exists():
        raise BadInput(f"{key_file} exists; choose another name for the key.", field="key_file")
    with node_at(home, dry_run=dry_run) as node:
        made = clients.add_client(
            node.database,
            node.world,
            name,
            frozenset(split(scopes)),
            node.scopes,
            redirect_uris=tuple(redirect_uri or ()),
            public=public,
        )
        if key_file and not dry_run:
            _write_key(node, made, key_file)
    if dry_run:  # neither key nor id is kept
        out.result({"scopes": list(made.scopes)}, f"a client with {', '.join(made.scopes)}")
    else:
        _show(out, made, key_file)


def _show(out: Output, made: NewClient, key_file: Path | None) -> None:
    """Prints a new client's id, and its private key if it has one that stands in no file."""
    result: dict[str, object] = {"client_id": made.client_id, "scopes": list(made.scopes)}
    key = dict(made.private_jwk)
    if not key:
        out.result(result, f"client_id: {made.client_id}")
        return
    result |= {"key_file": str(key_file)} if key_file else {"private_jwk": key}
    shown = f"private key in {key_file}" if key_file else orjson.dumps(key).decode()
    out.result(result, f"client_id: {made.client_id}\n{shown}")
    if not key_file:
        out.note("The private key is shown this once and not kept here.")


@client_app.command("invite")
def invite_client(
    name: Annotated[str, typer.Argument(help="What the program is; people are told this name.")],
    scopes: Scopes,
    redirect_uri: Redirects = None,
    public: Public = False,
    days: Annotated[int, typer.Option(min=1, max=registering.MAX_DAYS)] = 7,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Prints a token with which one program registers itself, once, with its own key and no more than is said here."""
    kind = Kind(frozenset(split(scopes)), tuple(redirect_uri or ()), public)
    with node_at(home, dry_run=dry_run) as node:
        token = registering.invite_client(node.database, node.world, name, kind, node.scopes, days)
        at = f"{node.settings.url}{REGISTER_PATH}"
    result = {} if dry_run else {"initial_access_token": token, "registration_endpoint": at}
    out = Output(json, dry_run)
    out.result(result, f"an invitation for {days} days" if dry_run else token)
    if not dry_run:
        out.note(f"It works once, for {days} days, as the Bearer token of a registration at {at}.")


@client_app.command("list")
def list_clients(home: Home = HERE, json: Json = False) -> None:
    """Lists the programs."""
    with node_at(home) as node:
        rows = [
            _row("client_id", each.client_id, each)
            | {"redirect_uris": list(each.redirect_uris), "public": each.public, "calls_itself": each.calls_itself}
            for each in clients.list_clients(node.database)
        ]
    Output(json).rows(
        ("client_id", *_GIVEN, "redirect_uris", "public", "calls_itself"),
        rows,
        "No clients yet. `federation client add` registers one.",
    )


@client_app.command("revoke")
def revoke_client(
    client_id: Annotated[str, typer.Argument()],
    home: Home = HERE,
    json: Json = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Ends a program's access at once, with all its tokens."""
    Output(json, dry_run).confirm(f"Revoke {client_id}?", yes=yes)
    with node_at(home, dry_run=dry_run) as node:
        clients.revoke_client(node.database, node.world, client_id)
    Output(json, dry_run).result(
        {"client_id": client_id, "revoked": True}, f"{client_id} is revoked; its tokens are dead."
    )


@grant_app.command("list")
def list_grants(home: Home = HERE, json: Json = False) -> None:
    """Lists what people allowed programs, with the name under which the ledger tells of each."""
    with node_at(home) as node:
        now = node.world.timestamp()
        rows = [
            {
                "grant_id": each.grant_id,
                "client_id": each.client_id,
                "account": each.handle,
                "ledger": f"{each.client_id}/{each.sub}",
                "scopes": list(each.scopes),
                "until": datetime.fromtimestamp(each.ends_at, UTC).date().isoformat(),
                "in_force": each.revoked_at is None and each.ends_at > now,
            }
            for each in grants.list_grants(node.database)
        ]
    columns = ("grant_id", "client_id", "account", "ledger", "scopes", "until", "in_force")
    Output(json).rows(columns, rows, "Nobody has allowed a program anything.")


@grant_app.command("revoke")
def revoke_grant(
    grant_id: Annotated[str, typer.Argument()],
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Ends what a person allowed a program, at once, with all tokens that came of it."""
    with node_at(home, dry_run=dry_run) as node:
        if not grants.end_grant(node.database, node.world, grant_id):
            raise NotFound("There is no such grant in force; `federation grant list` shows those there are.")
    Output(json, dry_run).result({"grant_id": grant_id, "revoked": True}, f"{grant_id} is over; its tokens are dead.")


@token_app.command("issue")
def issue_token(
    name: Annotated[str, typer.Argument(help="Whose it is and what for.")],
    scopes: Scopes,
    days: Annotated[int, typer.Option(min=1, max=366)] = 90,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Makes a Bearer token for scripts; it can open published fields only."""
    with node_at(home, dry_run=dry_run) as node:
        text, token_id = personal.issue_personal_token(
            node.database, node.world, name, frozenset(split(scopes)), node.scopes, days
        )
    told = f"a token for {days} days" if dry_run else text
    Output(json, dry_run).result({} if dry_run else {"token": text, "token_id": token_id}, told)


@token_app.command("list")
def list_tokens(home: Home = HERE, json: Json = False) -> None:
    """Lists the personal tokens, never their text."""
    with node_at(home) as node:
        rows = [_row("token_id", each.token_id, each) for each in personal.list_personal_tokens(node.database)]
    Output(json).rows(("token_id", *_GIVEN), rows, "No personal tokens yet.")


@token_app.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument()],
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Ends a personal token at once."""
    with node_at(home, dry_run=dry_run) as node:
        personal.revoke_personal_token(node.database, node.world, token_id)
    Output(json, dry_run).result({"token_id": token_id, "revoked": True}, f"{token_id} is revoked.")
