"""`federation policy …`: who may see what, as TOML files that are checked before they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from federation.cli.options import HERE, DryRun, Home, Json, Yes, no_home_here, node_at
from federation.cli.output import FINDINGS, Output
from federation.cli.policy_file import difference, put_in_force, read_policy
from federation.cli.viewers import As, viewer_named
from federation.errors import NotFound
from federation.node import Node
from federation.policies.decide import decide, explain
from federation.policies.policy import canonical
from federation.policies.rules import Change, Opening, diff, opening_text
from federation.records.registry import catalogue

app = typer.Typer(no_args_is_help=True, help="Who may see which field how exactly.")

File = Annotated[Path, typer.Argument(help="A policy file (TOML).", exists=True, dir_okay=False)]


@contextmanager
def _node_at(home: Path, file: Path | None = None) -> Iterator[Node]:
    """The node at `home`; a line on standard error says where the file there is not what is in force, unless the
    command is about that `file` anyhow."""
    with node_at(home) as node:
        own = file is not None and file.resolve() == node.settings.policy_file.resolve()
        if not own and (sentence := difference(node)) is not None:
            Output().note(sentence)
        yield node


def _described(node: Node, changes: list[Change]) -> list[dict[str, Any]]:
    """Changes as rows and JSON show them: who opens a step, as policy files write it, and which way it goes."""
    return [
        {
            "type": change.type,
            "field": change.field,
            "step": change.step,
            "before": _opening(node, change, change.before),
            "after": _opening(node, change, change.after),
            "direction": " and ".join(
                word for word, so in (("wider", change.wider), ("narrower", change.narrower)) if so
            ),
        }
        for change in changes
    ]


def _opening(node: Node, change: Change, opening: Opening) -> str:
    field = node.catalogue.types[change.type].fields[change.field]
    return opening_text(change.type, opening, dict(field.steps)[change.step])


COLUMNS = ("type", "field", "step", "before", "after", "direction")


@app.command()
def show(
    home: Home = HERE,
    json: Json = False,
    history: Annotated[bool, typer.Option("--history", help="Every policy that was in force, newest first.")] = False,
) -> None:
    """Prints the policy in force as a file that can be edited and applied."""
    out = Output(json)
    with _node_at(home) as node:
        policy, entries = node.policies.current(), node.policies.history()
    if history:
        rows = [{"number": entry.number, "version": entry.version[:16], "at": entry.at} for entry in entries]
        out.rows(("number", "version", "at"), rows, "No policy was applied yet; the defaults are in force.")
    else:
        out.result({"version": policy.version, "policy": canonical(policy)}, canonical(policy).rstrip())


@app.command()
def check(context: typer.Context, file: File, home: Home = HERE, json: Json = False) -> None:
    """Checks a policy file; says file, line and reason if it does not hold."""
    if no_home_here(context, home):
        policy = read_policy(catalogue(), file)
    else:
        with _node_at(home, file) as node:
            policy = read_policy(node.catalogue, file)
    Output(json).result({"ok": True, "version": policy.version}, f"{file} is a valid policy.")


@app.command("diff")
def show_difference(file: File, home: Home = HERE, json: Json = False) -> None:
    """Shows what a file would change of the policy in force; exit 3 where it changes something."""
    with _node_at(home, file) as node:
        changes = _described(node, diff(node.policies.current(), read_policy(node.catalogue, file)))
    Output(json).rows(COLUMNS, changes, "The file changes nothing.")
    if changes:
        raise typer.Exit(FINDINGS)


@app.command()
def apply(file: File, home: Home = HERE, json: Json = False, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Puts a policy file in force, for the very next answer. A file that fails a check changes nothing."""
    out = Output(json, dry_run)
    with _node_at(home, file) as node:
        policy = read_policy(node.catalogue, file)
        before = node.policies.current()
        changes = diff(before, policy)
        described = _described(node, changes)
        if not json:
            out.rows(COLUMNS, described, "The file changes nothing.")
        if not dry_run:
            if any(change.wider for change in changes):
                out.confirm("This shows more to some. Go on?", yes=yes)
            if changes or difference(node) is not None:
                put_in_force(node, policy, before.version)
    out.result(
        {"version": policy.version, "changes": described, "applied": bool(changes) and not dry_run},
        f"Policy {policy.version[:16]} is in force.",
    )


@app.command()
def rollback(home: Home = HERE, json: Json = False, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Puts the policy before this one back in force."""
    out = Output(json, dry_run)
    with _node_at(home) as node:
        before, policy = node.policies.current(), node.policies.previous()
        changes = diff(before, policy)
        described = _described(node, changes)
        if not json:
            out.rows(COLUMNS, described, "That changes nothing.")
        out.confirm("Go back to the policy before?", yes=yes)
        if not dry_run:
            put_in_force(node, policy, before.version)
    told = f"Policy {policy.version[:16]} is in force again."
    out.result({"version": policy.version, "changes": described}, told)


@app.command()
def preview(
    viewer: As,
    file: Annotated[Path | None, typer.Option(help="As if this file were in force.", exists=True)] = None,
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Shows, per type and field, the step that a peer, a client or the public sees."""
    with _node_at(home, file) as node:
        policy = read_policy(node.catalogue, file) if file else node.policies.current()
        who = viewer_named(node, viewer)
        rows = [
            {"type": kind, "field": field, "step": decide(policy, who, kind).steps.get(field, "withheld")}
            for kind, rules in node.catalogue.types.items()
            for field in rules.fields
        ]
    Output(json).rows(("type", "field", "step"), rows, "There are no types.")


@app.command("explain")
def explain_field(
    field: Annotated[str, typer.Argument(help="Like resource.area.")],
    viewer: As,
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Says in sentences why a viewer sees a field as exactly as it does, and no more."""
    kind, _, name = field.partition(".")
    with _node_at(home) as node:
        if kind not in node.catalogue.types or node.catalogue.types[kind].field(name) is None:
            raise NotFound(f"There is no field {field[:80]}; write it like resource.area.")
        found = explain(node.policies.current(), viewer_named(node, viewer), kind, name)
    Output(json).result(
        {"field": field, "step": found.step, "reasons": list(found.reasons)},
        "\n".join((f"{field}: {found.step or 'withheld'}", *(f"- {reason}" for reason in found.reasons))),
    )
