"""The door out: the only way in which records leave, whoever asks. Project first, query second, in SQL.

Every method takes the viewer first. It must never give more than that viewer's projections, name a withheld column or
tell absent from forbidden; above `open` nothing leaves before the ledger has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from sqlalchemy import Connection

from federation.audit import Ledger
from federation.errors import NotFound
from federation.policies.decide import class_key
from federation.policies.rules import Policy
from federation.policies.viewer import Viewer
from federation.records.codes import CodeLists
from federation.records.filters import Filter
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES
from federation.storage.bounded import Bounded
from federation.storage.cost import check_fields
from federation.storage.cursors import CursorSeal
from federation.storage.database import Database
from federation.storage.dialect import dialect_of
from federation.storage.following import ChangePage, follow
from federation.storage.ids import pairwise_id, parse_global_id
from federation.storage.journal import START, Position
from federation.storage.naming import PlaceNames
from federation.storage.paging import Asked, Page, PageRequest, Row, Seal, ask, made_rows, sealer
from federation.storage.pairwise import pairwise_parameters
from federation.storage.preparing import ClassSizes, Crossing, Prepared, PreparedShelf, crossings
from federation.storage.relation import OrderBy, Relation, fetch, parameters
from federation.storage.shapes import Shape, ShapeField
from federation.storage.slices import Changes, Item, Slices
from federation.storage.view import View
from federation.storage.viewing import Sight, TermsShelf, make_view
from federation.storage.writing import full_mask

__all__ = ["ChangePage", "Changes", "Gate", "Item", "OrderBy", "Page", "PageRequest", "Prepared", "Row", "Shape"]
__all__ += ["ShapeField"]

COUNT_CAP = 1001
"""Counts stop here: more than a thousand is told as that."""


class Gate:
    """See the module. `policy` gives the policy in force; keys of cursors and pairwise ids derive from the node's
    `secret`; the `ledger` has everything above `open` before it leaves."""

    def __init__(
        self, database: Database, policy: Callable[[], Policy], codes: CodeLists, ledger: Ledger, secret: bytes
    ) -> None:
        self._database, self._policy, self._ledger, self._secret = database, policy, ledger, secret
        self._dialect = dialect_of(database.dialect)
        self._context, self._names = Context(codes), PlaceNames(codes)
        self._seal = CursorSeal(secret)
        self._shelf = TermsShelf()
        self._views: Bounded[View] = Bounded(2000)
        self._sizes = ClassSizes()
        self._prepared = PreparedShelf(self._sizes)

    def visible(self, viewer: Viewer, type_key: str) -> View:
        """All that the viewer sees of a type: arms of rows, each with one projection. KeyError for no type."""
        policy = self._policy()
        with self._database.reader() as connection:
            return self._view(connection, Sight.of(policy, viewer, self._shelf.version(connection)), type_key)

    def page(self, viewer: Viewer, request: PageRequest) -> Page:
        """A page of records in the viewer's projections.

        Raises ForbiddenField for a filter or order by a withheld field, BadInput for what cannot be asked and for a
        cursor of another class or query, CostExceeded, Unavailable (ledger or time limit).
        """
        return self._run(viewer, None, ask(request, self._context), request)

    def prepare(self, viewer: Viewer, request: PageRequest) -> Prepared:
        """The request made ready; it holds for all viewers of equal rights and for all values of equal structure."""
        asked, policy = ask(request, self._context), self._policy()
        with self._database.reader() as connection:
            return self._ready(connection, policy, viewer, asked)

    def run(self, viewer: Viewer, prepared: Prepared, request: PageRequest) -> Page:
        """As `page`, of a prepared request. What was prepared for other rights or another structure is made anew."""
        return self._run(viewer, prepared, ask(request, self._context), request)

    def _run(self, viewer: Viewer, prepared: Prepared | None, asked: Asked, request: PageRequest) -> Page:
        policy = self._policy()
        with self._database.reader() as connection:
            ready = self._ready(connection, policy, viewer, asked, prepared)
            values = self._values(viewer, ready.relation, asked)
            values["limit"] = request.first + 1
            seal = sealer(self._seal, lambda: asked.binding(ready.views, viewer.subject))
            statement = ready.relation.first_page
            if request.after is not None:
                mark = self._seal.open(request.after, asked.binding(ready.views, viewer.subject))
                values |= {"after_key": mark.key, "after_id": mark.id}
                statement = ready.relation.next_page
            self._sizes.check(connection, ready.rights, ready.small)
            found = fetch(connection, ready.relation, statement, values)
        rows = self._out(viewer, "page", policy, ready, found[: request.first], seal)
        return Page(rows, len(found) > request.first, request.after is not None)

    def get(
        self, viewer: Viewer, gid: str, shape: Shape | Mapping[str, Shape], *, every_status: bool = False
    ) -> Row | None:
        """One record by its shown id, or None: absent and forbidden look alike. `shape` may be given by type;
        `every_status` (at home) finds drafts and past ones too."""
        try:
            type_key, mark, id = parse_global_id(gid)
        except NotFound:
            return None
        wanted = shape.get(type_key, ()) if isinstance(shape, Mapping) else shape
        asked = ask(PageRequest((type_key,), {type_key: wanted}, every_status=every_status), self._context)
        policy = self._policy()
        with self._database.reader() as connection:
            ready = self._ready(connection, policy, viewer, asked)
            if ready.relation.pairwise and any(mark):
                return None
            values = self._values(viewer, ready.relation, asked) | {"one": id if ready.relation.pairwise else gid}
            found = fetch(connection, ready.relation, ready.relation.one, values)
        seal = sealer(self._seal, lambda: asked.binding(ready.views, viewer.subject))
        return next(iter(self._out(viewer, "get", policy, ready, found, seal)), None)

    def count(
        self, viewer: Viewer, type_keys: Sequence[str], where: Filter | None = None, search: str | None = None,
        *, also: Mapping[str, Filter] | None = None,
    ) -> int:  # fmt: skip
        """How many records match in the viewer's projections; 1001 means more than a thousand. Errors as of `page`."""
        asked = ask(PageRequest(tuple(type_keys), {}, where, search=search, also=also or {}), self._context)
        policy = self._policy()
        with self._database.reader() as connection:
            ready = self._ready(connection, policy, viewer, asked)
            values = self._values(viewer, ready.relation, asked) | {"limit": COUNT_CAP}
            self._sizes.check(connection, ready.rights, ready.small)
            found = fetch(connection, ready.relation, ready.relation.counted, values)
        for source in ready.relation.sources:
            above = source.above or source.told
            self._enter(viewer, "count", policy, Crossing(source.type_key, above, 0, (), source.mask))
        return int(found[0][0]) if found else 0

    def home(self, viewer: Viewer, gid: str) -> dict[str, Any]:
        """The whole document of an own record, sealed values too, for accounts of this node. Raises NotFound for
        anybody else and for a record that is not there."""
        type_key, _, _ = parse_global_id(gid)
        found = None
        if viewer.at_home:
            table, name = RECORD_TYPES[type_key].table, self._dialect.param("gid")
            with self._database.reader() as connection:
                statement = f"SELECT home FROM {table} WHERE gid={name} AND via=0"  # noqa: S608
                found = connection.execute(statement, {"gid": gid}).fetchone()
        if found is None:
            raise NotFound("There is no record with this id.", field="id")
        crossing = Crossing(type_key, True, 1, (gid,), full_mask(type_key))
        self._enter(viewer, "home", self._policy(), crossing)
        return json.loads(found[0])

    def since(
        self, viewer: Viewer, after: Position, most_bytes: int, *, scanned: Position = START,
        connection: Connection | None = None,
    ) -> Changes:  # fmt: skip
        """What the viewer's class saw happen after a position, for the exchange: its pages are entered as served, not
        in the ledger. `connection`: the snapshot in which the grant was read; `scanned`: see `Slices.since`."""
        with self._snapshot(self._policy(), viewer, connection) as slices:
            return slices.since(after, most_bytes, scanned)

    def slice(
        self, viewer: Viewer, type_key: str, after_id: bytes, limit: int, *, connection: Connection | None = None
    ) -> tuple[Item, ...]:
        """All that the viewer's class sees of a type, in the order of shown ids after one; as of `since`."""
        with self._snapshot(self._policy(), viewer, connection) as slices:
            return slices.slice(type_key, after_id, limit)

    def changes(
        self, viewer: Viewer, after: str | None, first: int, types: Sequence[str] = tuple(RECORD_TYPES)
    ) -> ChangePage:
        """The next page for a client that follows its view: first all of it, then what changes. Raises BadInput for
        a cursor that is none, and for too large a page."""
        ask(PageRequest(tuple(types), {}, first=first), self._context)
        policy = self._policy()
        name = class_key(policy, viewer, policy.catalogue, self._context.codes.version)
        with self._snapshot(policy, viewer, None, types) as slices:
            page = follow(slices, types, f"{name} {viewer.subject}", self._seal, after, first)
        for item in page.items:
            self._enter(viewer, "changes", policy, Crossing(item.type, item.above, 1, (item.gid,)))
        return page

    @contextmanager
    def _snapshot(
        self, policy: Policy, viewer: Viewer, connection: Connection | None, types: Sequence[str] = tuple(RECORD_TYPES)
    ) -> Iterator[Slices]:
        with nullcontext(connection) if connection is not None else self._database.read() as snapshot:
            raw = snapshot.connection.driver_connection
            sight = Sight.of(policy, viewer, self._shelf.version(raw))
            views = {key: self._view(raw, sight, key) for key in types}
            made = pairwise_parameters(self._secret, viewer.subject)
            yield Slices(snapshot, self._dialect, views, made, partial(pairwise_id, self._secret, viewer.subject))

    def _view(self, connection: Any, sight: Sight, type_key: str) -> View:
        known = self._views.get((sight.key, type_key))
        if known is None:
            terms = self._shelf.by_type(connection, sight.terms).get(type_key, ())
            made = make_view(sight.policy, sight.viewer, RECORD_TYPES[type_key], terms)
            known = self._views.put((sight.key, type_key), made)
        return known

    def _ready(
        self, connection: Any, policy: Policy, viewer: Viewer, asked: Asked, known: Prepared | None = None
    ) -> Prepared:
        """What was prepared for these rights and this structure, made now if there is none."""
        sight = Sight.of(policy, viewer, self._shelf.version(connection))
        if known is not None and (known.rights, known.structure) == (sight.key, asked.key):
            return known
        ready = self._prepared.get(sight.key, asked.key)
        if ready is None:
            views = tuple(self._view(connection, sight, each.key) for each in asked.types)
            check_fields(views, asked.where, asked.order)
            networks = self._view(connection, sight, "network") if asked.tells_origin else None
            relation = Relation(self._dialect, self._context.codes, views, asked.shapes, networks, asked.query)
            ready = self._prepared.made(connection, sight.key, asked.key, relation)
        return ready

    def _values(self, viewer: Viewer, relation: Relation, asked: Asked) -> dict[str, Any]:
        """The parameters of the relation's statements."""
        made = pairwise_parameters(self._secret, viewer.subject) if relation.pairwise else {}
        return parameters(relation, asked.values(), asked.words) | made

    def _out(
        self, viewer: Viewer, kind: str, policy: Policy, ready: Prepared, found: Sequence[Any], seal: Seal
    ) -> tuple[Row, ...]:
        """Rows that may leave: everything above `open` is in the ledger then."""
        for crossing in crossings(ready.relation, found):
            self._enter(viewer, kind, policy, crossing)
        rows = made_rows(found, [source.type_key for source in ready.relation.sources], seal)
        if ready.named:
            for row in rows:
                row.json = self._names.put_into(row.json)
        return rows

    def _enter(self, viewer: Viewer, kind: str, policy: Policy, crossing: Crossing) -> None:
        if crossing.above:
            gids, mask = crossing.gids, crossing.mask
            self._ledger.enter(viewer.subject, kind, crossing.type, gids, mask, policy.version)
        else:
            self._ledger.count_open(kind, crossing.type, crossing.rows)
