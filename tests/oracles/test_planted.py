"""A leak that is planted in an exit of each kind is reported by the run through all exits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlcipher3

import federation.cli.formats
import federation.cli.peer
import federation.edge
from federation.formats import hsds_export, icalendar
from federation.peers.dress import Dresser
from federation.peers.wire import line
from federation.schema import problems
from federation.schema.endpoint import GraphQLEndpoint
from federation.schema.reads import Reads
from oracles.commands import Run
from oracles.decode import sqlite_cells, tokens, tokens_in
from oracles.desk import Desk, copied
from oracles.driving import drive_exchange, drive_files, drive_graphql, drive_of, drive_routes, drive_tables
from oracles.questions import Questions
from oracles.stage import Stage


@dataclass
class Planting:
    """Where a leak is planted: a value that nobody may be shown, and a copy of the home."""

    patch: pytest.MonkeyPatch
    secret: str
    run: Run

    @property
    def stage(self) -> Stage:
        return self.run.stage

    def ask(self, *roots: str, asker: str = "client-mixed") -> None:
        questions = Questions(self.stage.steward.endpoint._core, self.stage.records)
        drive_graphql(self.run.drive, self.stage, questions, askers=[asker], only=roots)


def in_a_list(planting: Planting) -> None:
    run, added = Reads.run, f'"seen":"{planting.secret}","extensions":'.encode()
    planting.patch.setattr(Reads, "run", lambda *said: run(*said).replace(b'"extensions":', added))
    planting.ask("resources")


def in_what_a_gateway_gets(planting: Planting) -> None:
    standard, added = GraphQLEndpoint._standard, f'"seen":"{planting.secret}","extensions":'.encode()
    planting.patch.setattr(GraphQLEndpoint, "_standard", lambda *said: standard(*said).replace(b'"extensions":', added))
    planting.ask("_entities")


def in_the_payload_of_a_mutation(planting: Planting) -> None:
    standard, added = GraphQLEndpoint._standard, f'"seen":"{planting.secret}","extensions":'.encode()
    planting.patch.setattr(GraphQLEndpoint, "_standard", lambda *said: standard(*said).replace(b'"extensions":', added))
    planting.ask("mutation amendNotice", asker="steward")


def in_an_error(planting: Planting) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(planting.secret)

    planting.patch.setattr(planting.stage.node.gate, "_run", broken)
    planting.patch.setattr(problems, "_masked", lambda cause: (f"It broke: {cause}", {"code": "INTERNAL"}))
    planting.ask("resources")


def in_the_exchange(planting: Planting) -> None:
    dress, added = Dresser.dress, line({"k": "note", "x": planting.secret})
    planting.patch.setattr(Dresser, "dress", lambda *said: [*dress(*said), added])
    drive_exchange(planting.run.drive, planting.stage, askers=["peer-narrowed"])


def in_a_header(planting: Planting) -> None:
    headers = [*federation.edge._RAW_HEADERS, (b"x-seen", planting.secret.encode())]
    planting.patch.setattr(federation.edge, "_RAW_HEADERS", headers)
    drive_routes(planting.run.drive, planting.stage, only=["GET /health/live"])


def in_what_a_command_prints(planting: Planting) -> None:
    described = federation.cli.peer.described
    planting.patch.setattr(federation.cli.peer, "described", lambda who: described(who) | {"purpose": planting.secret})
    planting.run("peer", "list")


def in_a_file_that_a_command_writes(planting: Planting) -> None:
    write = federation.cli.formats.write_records
    planting.patch.setattr(
        federation.cli.formats, "write_records", lambda records: [*write(records), planting.secret.encode()]
    )
    file = planting.run.path("all.json")
    ran = planting.run("export", "json", file, "--type", "space")
    planting.run.drive.look({ran.command}, file.read_bytes(), own_values(planting.stage, "space"))


def in_a_service(planting: Planting) -> None:
    made = hsds_export.service_of
    planting.patch.setattr(hsds_export, "service_of", lambda *said: made(*said) | {"alert": planting.secret})
    _written_for_a_peer(planting, "hsds")


def in_an_event(planting: Planting) -> None:
    made = icalendar.event_of

    def told(*said: Any) -> Any:
        event = made(*said)
        if event is not None:
            event.add("x-note", f"{'long ' * 12}{planting.secret}")  # folded in the middle
        return event

    planting.patch.setattr(icalendar, "event_of", told)
    _written_for_a_peer(planting, "icalendar")


def _written_for_a_peer(planting: Planting, form: str) -> None:
    file = planting.run.path("file")
    ran = planting.run("export", form, file, "--as", "peer-narrowed")
    planting.run.drive.look({ran.command}, file.read_bytes(), planting.stage.expected("peer-narrowed").allowed)


def own_values(stage: Stage, key: str) -> frozenset[str]:
    """All tokens of own records of a type."""
    return frozenset().union(*(rec.everything() for rec in stage.records if rec.own and rec.type == key))


def in_a_file_of_the_home(planting: Planting) -> None:
    (planting.run.desk.home / "keys" / "note").write_text(planting.secret)
    drive_files(planting.run.drive, planting.run.desk.home)


def in_a_table(planting: Planting) -> None:
    database = planting.run.desk.home / "node.db"
    with sqlcipher3.connect(str(database)) as connection:
        connection.execute("INSERT INTO meta (key, value) VALUES ('note', ?)", [planting.secret])
    connection.close()
    drive_tables(planting.run.drive, planting.stage.records, sqlite_cells(database))


PLACES: Mapping[str, Callable[[Planting], None]] = {
    made.__name__: made
    for made in (
        in_a_list, in_what_a_gateway_gets, in_the_payload_of_a_mutation, in_an_error, in_the_exchange, in_a_header,
        in_what_a_command_prints, in_a_file_that_a_command_writes, in_a_service, in_an_event,
        in_a_file_of_the_home, in_a_table,
    )
}  # fmt: skip


def sealed_value(stage: Stage) -> str:
    """A value that no viewer sees in any step: the person behind a contact."""
    rec = next(each for each in stage.records if each.type == "resource" and each.variant == "clear")
    (token,) = tokens(rec.document["contact"]["person"])
    return token


@pytest.mark.parametrize("place", PLACES)
def test_a_planted_leak_is_reported(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    desk = Desk(copied(stage.node.settings.home, tmp_path / "river"))
    planting = Planting(monkeypatch, sealed_value(stage), Run(drive_of(stage), desk, stage, tmp_path))
    PLACES[place](planting)
    assert [each for each in planting.run.drive.leaks if each.endswith(planting.secret)], "it was not seen"


def test_a_leak_into_the_log_is_seen(stage: Stage, log_lines: list[str]) -> None:
    secret: Any = sealed_value(stage)
    logging.getLogger("another.library").debug("it says %s", secret)
    assert secret in tokens_in("\n".join(log_lines))
