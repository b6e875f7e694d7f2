"""One run through every exit of a node, each at least once, as it is asked in a test: what was asked and looked
through is written down, and with it what was found where it must not be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from federation.gate import PageRequest, ShapeField
from federation.peers import agreements
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.registry import RECORD_TYPES
from federation.storage.items import Put
from oracles import exits
from oracles.checks import Expected, column_tokens, objects, wrong, wrong_put
from oracles.decode import cell_tokens, tokens, tokens_in
from oracles.network import Said, reconcile, standing
from oracles.network import changes as pulled
from oracles.questions import SECRET_INPUT, Question, Questions
from oracles.routes import ANONYMOUS_ROUTES
from oracles.seeing import Rec
from oracles.stage import Asker, Stage

Cells = Iterable[tuple[str, str, Any]]


@dataclass
class Drive:
    """What was driven, what leaked, and which tokens each exit showed."""

    universe: frozenset[str]
    driven: set[str] = field(default_factory=set)
    leaks: set[str] = field(default_factory=set)
    shown: dict[str, set[str]] = field(default_factory=dict)

    def look(
        self, ways: Collection[str], content: bytes, allowed: frozenset[str] = frozenset(), who: str = ""
    ) -> frozenset[str]:
        """Looks through what came out by some exits: gives the tokens in it."""
        held = tokens_in(content) & self.universe
        self.driven |= set(ways)
        for way in ways:
            self.shown.setdefault(way, set()).update(held)
        named = f"{', '.join(sorted(ways))} to {who}"
        self.leaks |= {f"{named}: {token}" for token in held - allowed}
        return held

    def say(self, ways: Collection[str], problems: Iterable[str]) -> None:
        """Puts down other things that are wrong."""
        self.leaks |= {f"{', '.join(sorted(ways))}: {each}" for each in problems}


def drive_of(stage: Stage) -> Drive:
    """A run that has not begun."""
    return Drive(stage.expected("nobody").universe)


ASKERS = ("public", "client-mixed", "peer-narrowed", "steward")
"""Who asks in such a run: one of each kind, with rights that differ from type to type."""


def drive_graphql(
    drive: Drive, stage: Stage, questions: Questions, *, askers: Sequence[str] = ASKERS, only: Collection[str] = ()
) -> None:
    """Every root field, by those of its questions that show most; `only` names the root fields, all without."""
    for name in askers:
        asker = stage.askers[name]
        expected = stage.expected(name)
        with stage.without_waiting():
            for question in telling(questions, writing=name == "steward"):
                if not only or question.root in only:
                    said = asker.caller.post("/graphql", question.body)
                    _look_at_answer(drive, stage, asker, expected, said)


def drive_ledger(drive: Drive, stage: Stage) -> None:
    """A question above `open` that waits for the real ledger."""
    asker = stage.askers["client-mixed"]
    said = asker.caller.post("/graphql", b'{"query": "{ resources { nodes { id amount { minimum } } } }"}')
    assert said.json()["data"]["resources"]["nodes"]
    drive.look(exits.exits_of(stage.app, said), said.told, stage.expected(asker.name).allowed, asker.name)


def telling(questions: Questions, *, writing: bool) -> Iterator[Question]:
    """Of each root field the questions that select everything, and a few of the others."""
    for root, several in questions.by_root().items():
        whole = [each for each in several if each.name.startswith(("select", "all"))]
        yield from whole if root != "node" else several[:20]
        yield from several[len(whole) :: max(1, len(several) // 4)][:4]
    yield from questions.introspection()
    if writing:
        for root, several in questions.mutations().items():
            ends = root in ("shareRecord", "withdrawRecord")  # of what is not its own a node refuses both
            yield from (each for each in several if "relayed" in each.name or ("bad" not in each.name and not ends))


def _look_at_answer(drive: Drive, stage: Stage, asker: Asker, expected: Expected, said: Said) -> None:
    ways = exits.exits_of(stage.app, said) | exits.answered_roots(said)
    drive.look(ways, said.told, expected.allowed, asker.name)
    if said.status == 200:
        found = [each for each in objects(said.json().get("data")) if each.get("validUntil")]
        drive.say(ways, (text for each in found for text in wrong(expected, each)))


def drive_exchange(drive: Drive, stage: Stage, *, askers: Sequence[str] = ("peer-narrowed", "peer-state")) -> None:
    """Whole slices and what follows them, as peers are sent them."""
    for name in askers:
        asker = stage.askers[name]
        expected = stage.expected(name)
        answers = reconcile(asker.caller, f"drive {name}")
        for said in (*answers, *pulled(asker.caller, standing(answers))):
            ways = exits.exits_of(stage.app, said)
            drive.look(ways, said.told, expected.wired, name)
            puts = [each for each in said.lines() if each["k"] == "put"] if said.status == 200 else []
            drive.say(ways, (text for put in puts for text in wrong_put(expected, put)))


def live(stage: Stage) -> None:
    """What a node does by itself: it sweeps, anchors its ledger, sets aside what a peer should not have sent; and a
    peer goes on from where it stood."""
    node = stage.node
    node.sweep()
    node.gate.page(
        Viewer(ViewerKind.CLIENT, "reader", frozenset({"resource:open"})),
        PageRequest(("resource",), {"resource": (ShapeField("id", "id"),)}),
    )
    node.ledger.anchor()
    rec = next(each for each in stage.records if each.variant == "relayed" and each.terms is not None)
    put = Put(rec.type, rec.id, node.keys.origin, (1, 1, 0), 0, rec.terms, (node.keys.origin,), rec.values, None)
    with node.database.write() as connection:
        done = node.intake.accept(connection, agreements.partner(node.database, "delta").pid, [put])
    assert done.quarantined


def drive_routes(drive: Drive, stage: Stage, *, only: Collection[str] = ()) -> None:
    """Every other route, with what it takes and with what it refuses; `only` names some, all without."""
    for name, ask in ANONYMOUS_ROUTES.items():
        for said in ask(stage) if not only or name in only else ():
            drive.look(exits.exits_of(stage.app, said), said.told)
            if SECRET_INPUT.encode() in said.body.lower():
                drive.say([said.url], ["it repeats what was sent"])


def drive_files(drive: Drive, home: Path) -> None:
    """Every file of a home but the database, which is looked through table by table."""
    for path in sorted(each for each in home.rglob("*") if each.is_file()):
        if path.name not in DATABASE_FILES:
            drive.look({f"file {path.relative_to(home)}"}, path.read_bytes())


DATABASE_FILES = ("node.db", "node.db-wal", "node.db-shm")


PLACE = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")


def drive_tables(drive: Drive, records: Sequence[Rec], cells: Cells) -> None:
    """Every table of a database that holds something, decoded: each value stands in its own columns alone."""
    places = column_tokens(records)
    by_table = {kind.table: key for key, kind in RECORD_TYPES.items()}
    own = frozenset().union(*(rec.everything() for rec in records if rec.own))
    places["place_cells", "code"] = frozenset(
        each for held in places.values() for each in held if PLACE.fullmatch(each)
    )
    listed = list(cells)
    for table in {table for table, _, _ in listed}:
        drive.look({f"table {table.partition('_fts')[0]}"}, b"")
    for (table, column), held in cell_tokens(listed).items():
        allowed = own if table in by_table and column == "home" else _in_column(places, table, column)
        name = f"table {table.partition('_fts')[0]}"
        drive.look({name}, "\n".join(sorted(held)).encode(), allowed, column)


def _in_column(places: Mapping[tuple[str, str], frozenset[str]], table: str, column: str) -> frozenset[str]:
    """What a column may hold: of a text index all words of texts that are searched."""
    base, _, index = table.partition("_fts")
    if index or column == "fts":
        return frozenset().union(*(each for (of, _), each in places.items() if of == base))
    name, _, step = column.partition("__")
    return places.get((base, column), places.get((base, f"{name}__{step.partition('__')[0]}"), frozenset()))


def written(records: Iterable[Rec]) -> frozenset[str]:
    """The tokens of the documents of own records that are still there."""
    told = [str(rec.document) for rec in records if rec.own and rec.status != "withdrawn"]
    return frozenset().union(*map(tokens, told))
