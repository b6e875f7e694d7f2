"""Writing records for others: what the formats hold of each type, and the way to it through the gate, as the viewer
for whom the file is made. What is above `open` in it is in the ledger, under that viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from federation.errors import BadInput
from federation.formats.seen import Seen
from federation.gate import PageRequest, ShapeField
from federation.node import Node
from federation.policies.viewer import Viewer
from federation.records.codes import CodeLists

PAGE = 100


@dataclass(frozen=True)
class Form:
    """A format: the types that it holds, the fields of each that it asks for, and how records become the pieces of a
    file: one for each that is in it, and `around` more. `counts` is what it calls them."""

    types: tuple[str, ...]
    fields: Callable[[str], tuple[str, ...]]
    pieces: Callable[[Iterable[Seen], CodeLists], Iterator[bytes]]
    around: int
    counts: str


def hsds() -> Form:
    """Offers as services of HSDS."""
    from federation.formats import hsds_export, hsds_terms

    return Form(hsds_terms.HELD, hsds_terms.fields_held, hsds_export.services, 1, "services")


def icalendar() -> Form:
    """What has a date, as a calendar. Its library is imported only here: no other command waits for it."""
    from federation.formats import icalendar as form

    return Form(tuple(form.DATED), form.fields_held, form.calendar, 2, "events")


def seen_by(node: Node, viewer: Viewer, form: Form, types: Sequence[str] = ()) -> Iterator[Seen]:
    """The records of these types, or of all that the format holds, as the viewer sees them, own and received. Raises
    BadInput for a type that the format does not hold."""
    for type_key in types:
        if type_key not in form.types:
            raise BadInput(f"This format does not hold {type_key}; it holds: {', '.join(form.types)}.", field="type")
    return _pages(node, viewer, form, tuple(dict.fromkeys(types)) or form.types)


def _pages(node: Node, viewer: Viewer, form: Form, types: Sequence[str]) -> Iterator[Seen]:
    for type_key in types:
        shape = tuple(ShapeField(name, name) for name in form.fields(type_key))
        after: str | None = None
        more = True
        while more:
            page = node.gate.page(viewer, PageRequest((type_key,), {type_key: shape}, first=PAGE, after=after))
            for row in page.rows:
                yield Seen(type_key, row.gid, orjson.loads(row.json))
            more, after = page.has_next, page.rows[-1].cursor if page.rows else None
