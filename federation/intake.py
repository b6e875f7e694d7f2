"""The door in: everything that is stored enters here, from this network's own accounts and from peers.

A write is one transaction: the record with its step columns, its words, one journal entry and one ledger entry. What is
found wrong is refused whole; what a peer sends wrong is set aside with its reason. It must never write an own record
for a peer, and never say in an error what a field held.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from federation.audit import Ledger
from federation.errors import BadInput, Conflict, FederationError, ForbiddenField, NotFound, Unconfirmed
from federation.policies.terms import Labels
from federation.policies.tiers import Tier
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.base import SET_BY_NODE, RecordType
from federation.records.codes import CodeLists
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES
from federation.storage import drafts, own, received
from federation.storage.cells import SmallCells
from federation.storage.database import Database
from federation.storage.drafts import Imported, Incoming, Refusal
from federation.storage.ids import ID_BYTES, global_id, parse_global_id
from federation.storage.items import Gone, Put, remember_origin
from federation.storage.own import Held, Wanted
from federation.storage.received import Accepted, Receiver
from federation.storage.sealed import Findings, Phrase, SealedWords
from federation.storage.tables import DRAFT, EXPIRED, SHARED, WITHDRAWN
from federation.world import World

__all__ = ["BATCH", "WRITE_SCOPE", "Accepted", "Gone", "Imported", "Incoming", "Intake", "Put", "Refusal"]

WRITE_SCOPE = "records:write"
BATCH = 200


class Intake:
    """The writes of one node. `labels` gives the tiers of a type's steps under the policy in force; `lint` finds what
    should not stand in free text (`records.lint.findings`); `secret` keys the hashes of sealed values."""

    def __init__(
        self,
        database: Database,
        codes: CodeLists,
        world: World,
        origin_thumbprint: str,
        lint: Findings,
        *,
        ledger: Ledger,
        labels: Callable[[str], Labels],
        secret: bytes,
        place_k: int = 3,
        name: str = "",
    ) -> None:
        self._database = database
        self._codes = codes
        self._world = world
        self._origin = origin_thumbprint
        self._lint = lint
        self._ledger = ledger
        self._labels = labels
        self._sealed = SealedWords(secret, lint)
        self._place_k = place_k
        self._name = name

    def create(
        self,
        actor: Viewer,
        type_key: str,
        document: Mapping[str, Any],
        *,
        id: bytes | None = None,
        share: bool = False,
        confirm: bool = False,
    ) -> str:
        """Stores a new own record and gives its global id. It is a draft unless `share`.

        `document` is {field: value} of exact values; beside the fields it may hold `caps` and `handling` (a TLP label).
        Raises BadInput with the field that breaks a rule, Unconfirmed where free text holds what should not be
        published and `confirm` is not given, Conflict for an id that was ever used, ForbiddenField for an actor that
        may not write.
        """
        self._check_actor(actor)
        with self._database.write() as connection:
            wanted = self._new(connection, actor, Incoming(type_key, document, id, share), confirm)
            self._store(connection, actor, "create", type_key, [wanted])
        return wanted.gid

    def amend(self, actor: Viewer, gid: str, changes: Mapping[str, Any], *, confirm: bool = False) -> str:
        """Changes fields of an own record: {field: new value, or None to remove it}; also `caps` and `handling`.

        A change that changes nothing writes nothing. Raises as `create`; NotFound for what is no own record, Conflict
        for a withdrawn one.
        """
        self._check_actor(actor)
        with self._database.write() as connection:
            held = self._held(connection, gid)
            wanted = self._amended(connection, actor, held, changes, share=False, confirm=confirm)
            self._store(connection, actor, "amend", held.type, [wanted])
        return held.gid

    def share(self, actor: Viewer, gid: str) -> str:
        """Shares a draft: from now on it is seen as the policy says. Sharing again changes nothing.

        Raises BadInput for an offer without `expectations`, NotFound, Conflict for a withdrawn one.
        """
        self._check_actor(actor)
        with self._database.write() as connection:
            held = self._held(connection, gid)
            wanted = self._amended(connection, actor, held, {}, share=True, confirm=True)
            self._store(connection, actor, "share", held.type, [wanted])
        return held.gid

    def withdraw(self, actor: Viewer, gid: str) -> str:
        """Withdraws an own record for good: every peer that saw it is told. Its id is never used again."""
        self._check_actor(actor)
        with self._database.write() as connection:
            held = self._held(connection, gid, withdrawn=True)
            wanted = Wanted(held.type, held.id, held.gid, held, held.document, held.facts._replace(status=WITHDRAWN))
            self._store(connection, actor, "withdraw", held.type, [wanted])
        return held.gid

    def import_many(
        self, actor: Viewer, incoming: Iterable[Incoming], *, confirm: bool = False, batch: int = BATCH
    ) -> Imported:
        """Stores many records, `batch` of one type in a transaction. A record that is refused is reported and stops no
        other; an import that is run again changes nothing. `confirm` as in `create`, for all of them."""
        self._check_actor(actor)
        total = Imported()
        for part in drafts.batches(incoming, batch):
            with self._database.write() as connection:
                total += self._import_batch(connection, actor, part, confirm)
        return total

    def accept(self, connection: Connection, via: int, puts: Iterable[Put], gone: Iterable[Gone] = ()) -> Accepted:
        """Applies what came from the peer with the number `via`, in the caller's transaction: signatures and values
        (`records.rows.accept_values`) were checked before.

        What loops back, breaks its terms or is no record is set aside in quarantine with its reason, what was held of
        it goes, and the rest goes on. Of one record either a put or a withdrawal may be given.
        """
        own.ensure_home(connection, self._origin, self._name)
        return received.accept(connection, via, puts, gone, self._receiver())

    def accept_origin(
        self, connection: Connection, thumbprint: str, name: str, jwk: Mapping[str, Any], handovers: Sequence[str] = ()
    ) -> None:
        """Remembers the key of an origin, verified before. The name of a pinned origin stays as it is."""
        own.ensure_home(connection, self._origin, self._name)
        remember_origin(connection, thumbprint, name, jwk, handovers)

    def _receiver(self) -> Receiver:
        return Receiver(Context(self._codes), self._origin, self._world)

    def _check_actor(self, actor: Viewer) -> None:
        if actor.kind is ViewerKind.PEER or not (actor.kind is ViewerKind.STEWARD or WRITE_SCOPE in actor.scopes):
            raise ForbiddenField("Writing records needs the scope records:write.")

    def _context(self, connection: Connection) -> Context:
        return Context(self._codes, small_cells=SmallCells(connection, self._place_k))  # type: ignore[arg-type]

    def _held(self, connection: Connection, gid: str, withdrawn: bool = False) -> Held:
        type_key, _, id = parse_global_id(gid)
        held = own.find(connection, type_key, [id]).get(id)
        if held is None or held.gid != gid:
            raise NotFound("There is no record with this id.", field="id")
        if held.facts.status == WITHDRAWN and not withdrawn:
            raise Conflict("This record was withdrawn; a withdrawn record never comes back.", field="id")
        return held

    def _new(
        self,
        connection: Connection,
        actor: Viewer,
        incoming: Incoming,
        confirm: bool,
        *,
        taken: Collection[str] = (),
        fresh: bool = False,
    ) -> Wanted:
        """A new record, checked. `taken`: global ids of others that are about to be stored; `fresh`: its id was looked
        for and is not there."""
        record_type = drafts.record_type_of(incoming.type)
        given, handling = drafts.split(incoming.document)
        document = record_type.normalise(given, self._context(connection))
        id = incoming.id if incoming.id is not None else self._free_id(connection, record_type, document, taken)
        if len(id) != ID_BYTES:
            raise BadInput("An id has 16 bytes.", field="id")
        if incoming.id is not None and not fresh and own.find(connection, record_type.key, [id]):
            raise Conflict("This id is in use or was used before; an id is never used again.", field="id")
        gid = global_id(record_type.key, self._origin, id)
        document = drafts.with_relays(record_type, document, {}, self._world, id)
        document = drafts.with_restated(record_type, document, {}, self._world.today().isoformat())
        phrases = self._checked_texts(connection, actor, record_type, document, {}, given, confirm)
        status = (
            drafts.shared_status(record_type, document, self._world.today().isoformat()) if incoming.share else DRAFT
        )
        facts = own.facts(status, Tier.OPEN if handling is None else handling)
        return Wanted(record_type.key, id, gid, None, document, facts, phrases)

    def _amended(
        self,
        connection: Connection,
        actor: Viewer,
        held: Held,
        changes: Mapping[str, Any],
        *,
        share: bool,
        confirm: bool,
    ) -> Wanted:
        """A record as it will be after changes, checked."""
        record_type = RECORD_TYPES[held.type]
        given, handling = drafts.split(changes)
        before = {name: value for name, value in held.document.items() if name not in SET_BY_NODE}
        merged = {name: value for name, value in {**before, **given}.items() if value is not None}
        document = record_type.normalise(merged, self._context(connection))
        document = drafts.with_relays(record_type, document, before, self._world, held.id)
        seen = {} if held.facts.status == DRAFT else held.document
        document = drafts.with_restated(record_type, document, seen, self._world.today().isoformat())
        phrases = self._checked_texts(connection, actor, record_type, document, before, given, confirm)
        status = held.facts.status
        if share or status in (SHARED, EXPIRED):
            status = drafts.shared_status(record_type, document, self._world.today().isoformat())
        facts = held.facts._replace(status=status, handling=held.facts.handling if handling is None else handling)
        return Wanted(held.type, held.id, held.gid, held, document, facts, phrases)

    def _store(self, connection: Connection, actor: Viewer, kind: str, type_key: str, wanted: list[Wanted]) -> None:
        """Writes what differs from what is held, with one ledger entry for all."""
        now = self._world.now().isoformat()
        own.ensure_home(connection, self._origin, self._name)
        keeper = own.Keeper(self._context(connection), self._labels(type_key), now, self._world)
        written = own.write(connection, type_key, wanted, keeper)
        if not written:
            return
        rids = {each.wanted.gid: each.rid for each in written}
        phrases = [(type_key, rids[each.gid], each.phrases) for each in wanted if each.gid in rids]
        self._sealed.keep(connection, [(key, rid, held) for key, rid, held in phrases if held is not None])
        mask = 0
        for each in written:
            mask |= each.mask
        self._ledger.note(connection, actor.subject, kind, type_key, list(rids), mask)

    def _import_batch(self, connection: Connection, actor: Viewer, part: Sequence[Incoming], confirm: bool) -> Imported:
        """One batch of one type in the caller's transaction."""
        type_key = part[0].type
        ids = [each.id for each in part if each.id is not None]
        found = own.find(connection, type_key, ids) if type_key in RECORD_TYPES else {}
        wanted: dict[str, Wanted] = {}
        gids: list[str | None] = []
        refused: list[Refusal] = []
        for each in part:
            try:
                one = self._imported(connection, actor, each, found, confirm, wanted)
                if one.gid in wanted:
                    raise Conflict("This id stands twice in the import.", field="id")
            except FederationError as error:
                gids.append(None)
                refused.append(Refusal(each.line, error.field, error.message))
                continue
            wanted[one.gid] = one
            gids.append(one.gid)
        changed = [each for each in wanted.values() if each.differs]
        if changed:
            self._store(connection, actor, "import", type_key, changed)
        created = sum(each.held is None for each in changed)
        return Imported(tuple(gids), created, len(changed) - created, len(wanted) - len(changed), tuple(refused))

    def _imported(
        self,
        connection: Connection,
        actor: Viewer,
        incoming: Incoming,
        found: Mapping[bytes, Held],
        confirm: bool,
        taken: Collection[str],
    ) -> Wanted:
        held = found.get(incoming.id) if incoming.id is not None else None
        if held is None:
            return self._new(connection, actor, incoming, confirm, taken=taken, fresh=True)
        if held.facts.status == WITHDRAWN:
            raise Conflict("This record was withdrawn; a withdrawn record never comes back.", field="id")
        share = incoming.share or held.facts.status in (SHARED, EXPIRED)
        return self._amended(connection, actor, held, incoming.document, share=share, confirm=confirm)

    def _free_id(
        self, connection: Connection, record_type: RecordType, document: Mapping[str, Any], taken: Collection[str]
    ) -> bytes:
        """A random id that was never used; with a seeded world it depends on what the document publishes, and on the
        rest only where that id is taken."""
        told = drafts.published(record_type, document)
        attempt = 0
        while True:
            subject = json.dumps([record_type.key, attempt, document if attempt else told], sort_keys=True)
            id = self._world.uuid("record-id", subject).bytes
            free = global_id(record_type.key, self._origin, id) not in taken
            if free and not own.find(connection, record_type.key, [id]):
                return id
            attempt += 1

    def _checked_texts(
        self,
        connection: Connection,
        actor: Viewer,
        record_type: RecordType,
        document: Mapping[str, Any],
        before: Mapping[str, Any],
        given: Mapping[str, Any],
        confirm: bool,
    ) -> frozenset[Phrase]:
        """The phrases of the document's sealed values; Unconfirmed if a new text holds what should not leave.

        For accounts at home a text is compared with all that is held under seal. Whoever only writes may not learn
        what that is by trying: for them it is compared with what they gave themselves, `given`, and nothing else.
        """
        phrases = self._sealed.phrases(record_type, document)
        if confirm:
            return phrases
        earlier = dict(drafts.free_texts(record_type, before))
        fresh = [
            (key[0], value) for key, value in drafts.free_texts(record_type, document) if earlier.get(key) != value
        ]
        known = phrases if actor.at_home else self._sealed.phrases(record_type, _only(document, given))
        repeated = self._sealed.repeats(connection if actor.at_home else None, [value for _, value in fresh], known)
        warned: dict[str, list[str]] = {}
        for (name, value), repeats in zip(fresh, repeated, strict=True):
            kinds = {finding.kind for finding in self._lint(value)} | ({"sealed value"} if repeats else set())
            if kinds:
                warned.setdefault(name, []).extend(sorted(kinds))
        if warned:
            told = "; ".join(f"{name}: {', '.join(dict.fromkeys(kinds))}" for name, kinds in warned.items())
            raise Unconfirmed(f"What would be published holds {told}. Cut it, or confirm it.", field=next(iter(warned)))
        return phrases


def _only(document: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """What of a document was given."""
    return {name: value for name, value in document.items() if name in given}
