"""Faults that a node could have and that nobody would see in its answers: each makes something hidden move a byte.

They are planted at one seam each, for the time of a test.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from federation.cli import exporting
from federation.errors import ForbiddenField, NotFound
from federation.formats import hsds_export, icalendar
from federation.gate import Gate
from federation.intake import Intake
from federation.keys import b64
from federation.peers import serve
from federation.policies.tiers import Tier
from federation.policies.viewer import Viewer
from federation.records.registry import RECORD_TYPES
from federation.records.rows import bits
from federation.schema.endpoint import GraphQLEndpoint
from federation.storage import own, revisions
from federation.storage.ids import parse_global_id
from federation.storage.relation import Relation
from federation.storage.slices import Slices

Patch = pytest.MonkeyPatch


def hidden_writes_are_journaled_as_relevant(patch: Patch) -> None:
    def relevant(self: Slices, change: Any) -> bool:
        view = self.views.get(change.type)
        return view is not None and (view.arm_of(change.before) or view.arm_of(change.after)) is not None

    patch.setattr(Slices, "relevant", relevant)


def cursors_are_made_of_the_position(patch: Patch) -> None:
    def token(source: Any, standing: Any, before: str, served: bytes) -> str:
        with source.database.read() as connection:
            last = connection.execute(text("SELECT max(pos) FROM change")).scalar_one()
        return b64(hashlib.sha256(f"{standing.pid} {last}".encode()).digest()[:24])

    patch.setattr(serve, "_token", token)


def counts_are_of_what_is_stored(patch: Patch) -> None:
    def count(self: Gate, viewer: Viewer, type_keys: Any, *_: Any, **__: Any) -> int:
        with self._database.read() as connection:
            tables = [RECORD_TYPES[key].table for key in type_keys]
            return sum(connection.execute(text(f"SELECT count(*) FROM {each}")).scalar_one() for each in tables)

    patch.setattr(Gate, "count", count)


def lists_are_in_the_order_of_arrival(patch: Patch) -> None:
    tail = Relation._tail
    patch.setattr(Relation, "_tail", lambda *said: re.sub(r"ORDER BY \S+", "ORDER BY t.rid", tail(*said)))


def an_error_tells_what_may_not_be_seen(patch: Patch) -> None:
    get = Gate.get

    def told(self: Gate, viewer: Viewer, gid: str, *shape: Any, **more: Any) -> Any:
        row = get(self, viewer, gid, *shape, **more)
        if row is None:
            try:
                kind, _, id = parse_global_id(gid)
            except NotFound:
                return None
            with self._database.read() as connection:
                table = RECORD_TYPES[kind].table
                found = connection.execute(text(f"SELECT home FROM {table} WHERE id = :id"), {"id": id}).first()
            if found is not None:
                raise ForbiddenField(f"You may not see {str(found[0])[:60]}.")
        return row

    patch.setattr(Gate, "get", told)


def the_search_looks_into_hidden_text(patch: Patch) -> None:
    def searched(view: Any, arm: Any) -> list[tuple[str, str]]:
        told = [spec for spec in view.type.fields.values() if spec.searched and spec.open_steps]
        return [(spec.name, f"{spec.name}__{spec.open_steps[0].name}") for spec in told]

    patch.setattr(Relation, "_searched", staticmethod(searched))


def ids_count_up(patch: Patch) -> None:
    create, numbers = Intake.create, {}  # type: ignore[var-annotated]

    def counted(self: Intake, actor: Viewer, kind: str, document: Any, *, id: bytes | None = None, **how: Any) -> str:
        number = next(numbers.setdefault(self, itertools.count(1)))
        return create(self, actor, kind, document, id=number.to_bytes(16, "big"), **how)

    patch.setattr(Intake, "create", counted)


def revisions_count_hidden_writes(patch: Patch) -> None:
    count = revisions.count

    def every(*written: Any) -> revisions.Counted:
        counted = count(*written)
        counts = revisions._read(counted.kept)
        revisions._add(counts, Tier.OPEN, revisions._WHOLE)
        return replace(counted, kept=revisions._written(counts))

    patch.setattr(revisions, "count", every)


def masks_take_every_step_for_changed(patch: Patch) -> None:
    patch.setattr(own, "mask", lambda kind, before, after: (1 << len(tuple(bits(kind)))) - 1)


def costs_grow_with_what_is_stored(patch: Patch) -> None:
    cost = GraphQLEndpoint._cost

    def grown(self: GraphQLEndpoint, asked: int) -> dict[str, int]:
        with self._roots.gate._database.read() as connection:
            stored = connection.execute(text("SELECT count(*) FROM sealed_words")).scalar_one()
        return cost(self, asked + stored)

    patch.setattr(GraphQLEndpoint, "_cost", grown)


def services_are_numbered_by_the_last_write(patch: Patch) -> None:
    made = hsds_export.service_of
    patch.setattr(exporting, "_pages", _with_the_last_write(exporting._pages))
    patch.setattr(hsds_export, "service_of", lambda record, codes: made(record, codes) | {"alert": _number(record)})


def events_have_a_sequence_of_every_write(patch: Patch) -> None:
    made = icalendar.event_of

    def counted(record: Any, codes: Any) -> Any:
        event = made(record, codes)
        if event is not None:
            event.add("sequence", _number(record))
        return event

    patch.setattr(exporting, "_pages", _with_the_last_write(exporting._pages))
    patch.setattr(icalendar, "event_of", counted)


def _with_the_last_write(pages: Callable[..., Any]) -> Callable[..., Any]:
    def numbered(node: Any, *said: Any) -> Iterator[Any]:
        with node.database.read() as connection:
            last = connection.execute(text("SELECT max(pos) FROM change")).scalar_one()
        for record in pages(node, *said):
            yield replace(record, values={**record.values, "last_write": last})

    return numbered


def _number(record: Any) -> int:
    return int(record.values["last_write"])


FAULTS: Mapping[str, Callable[[Patch], None]] = {
    made.__name__: made
    for made in (
        hidden_writes_are_journaled_as_relevant,
        cursors_are_made_of_the_position,
        counts_are_of_what_is_stored,
        lists_are_in_the_order_of_arrival,
        an_error_tells_what_may_not_be_seen,
        the_search_looks_into_hidden_text,
        ids_count_up,
        revisions_count_hidden_writes,
        masks_take_every_step_for_changed,
        costs_grow_with_what_is_stored,
        services_are_numbered_by_the_last_write,
        events_have_a_sequence_of_every_write,
    )
}
