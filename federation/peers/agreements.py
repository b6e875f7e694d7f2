"""Agreements: what each peer was granted here, by the local operator alone.

Nothing that a peer says, and nobody's vouching, ever adds a scope. What is not known grants nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, select, update

from federation.errors import BadInput, Conflict, NotFound
from federation.keys import PublicKey, public_keys
from federation.oauth.realm import Clients, RegisteredClient
from federation.policies.catalogue import Catalogue
from federation.policies.predicates import JURISDICTION
from federation.policies.tiers import ACTION_SCOPES, NEVER_FOR_PEERS, SCOPED_TIERS, Tier, closure, scope_for
from federation.policies.viewer import AFFILIATIONS, PURPOSES, Agreement, Viewer, ViewerKind
from federation.storage.database import Database
from federation.storage.dialect import dialect_of
from federation.storage.peer_keys import ReplacedKey
from federation.storage.peering import Peer
from federation.world import World

EXCHANGE = "exchange"
PEERS: Table = Peer.__table__  # type: ignore[attr-defined]
REPLACED: Table = ReplacedKey.__table__  # type: ignore[attr-defined]


class _PeerRow(NamedTuple):
    """A row as the driver gives it, for the lookup that every request of a peer needs."""

    pid: int
    name: str
    issuer: str
    jwks: str
    thumbprint: str
    origin: str
    provenance: str
    verified: bool
    state: str
    frozen: bool
    scopes: str
    purpose: str | None
    until: str | None
    narrowing: str
    affiliation: str | None
    jurisdiction: str | None
    lost_at: int | None = None


@dataclass(frozen=True)
class Partner:
    """A peer as this node knows it. `jwks` are its pinned public keys, `origin` the thumbprint and `provenance` the
    JWK under which it signs its own records; `state` is `pinned`, `active`, `ended` or `revoked`."""

    pid: int
    name: str
    issuer: str
    jwks: tuple[Mapping[str, str], ...]
    thumbprint: str
    origin: str
    provenance: Mapping[str, Any]
    verified: bool
    state: str
    frozen: bool
    scopes: frozenset[str]
    purpose: str | None
    until: date | None
    narrowing: Mapping[tuple[str, str], str | None]
    affiliation: str | None
    jurisdiction: str | None

    @property
    def agreed(self) -> bool:
        """Whether an agreement is in force."""
        return self.state == "active" and not self.frozen

    @property
    def trusted(self) -> bool:
        """Whether what it shows is held here: its words were compared, and it was not revoked. Whether it granted this
        node anything, or this node it, does not count."""
        return self.verified and self.state != "revoked"

    @property
    def asked(self) -> bool:
        """Whether it is pulled."""
        return self.trusted and not self.frozen


def _partner(row: Row[Any] | _PeerRow) -> Partner:
    narrowing = {(kind, field): step for kind, field, step in json.loads(row.narrowing)}
    return Partner(
        pid=row.pid,
        name=row.name,
        issuer=row.issuer,
        jwks=tuple(json.loads(row.jwks)),
        thumbprint=row.thumbprint,
        origin=row.origin,
        provenance=json.loads(row.provenance),
        verified=bool(row.verified),
        state=row.state,
        frozen=bool(row.frozen),
        scopes=frozenset(json.loads(row.scopes)),
        purpose=row.purpose,
        until=date.fromisoformat(row.until) if row.until else None,
        narrowing=MappingProxyType(narrowing),
        affiliation=row.affiliation,
        jurisdiction=row.jurisdiction,
    )


def partners(database: Database) -> tuple[Partner, ...]:
    """All peers, by name."""
    with database.read() as conn:
        return tuple(_partner(row) for row in conn.execute(select(PEERS).order_by(PEERS.c.name)))


def partner(database: Database, name: str) -> Partner:
    """The peer of that local name. Raises NotFound."""
    with database.read() as conn:
        row = conn.execute(select(PEERS).where(PEERS.c.name == name)).one_or_none()
    if row is None:
        raise NotFound("There is no peer of that name; `federation peer list` shows those there are.")
    return _partner(row)


def partner_by_issuer(conn: Connection, issuer: str) -> Partner | None:
    """The peer whose client id is that issuer, read in the caller's snapshot."""
    row = conn.execute(select(PEERS).where(PEERS.c.issuer == issuer)).one_or_none()
    return None if row is None else _partner(row)


def is_asked(conn: Connection, pid: int) -> bool:
    """Whether a peer is (still) pulled, read in the caller's transaction."""
    row = conn.execute(select(PEERS).where(PEERS.c.pid == pid)).one_or_none()
    return row is not None and _partner(row).asked


def effective_scopes(who: Partner) -> frozenset[str]:
    """What the peer may see now: its grant while the agreement is in force; unverified, nothing above `open`."""
    if not who.agreed:
        return frozenset()
    allowed = who.scopes - NEVER_FOR_PEERS
    return allowed if who.verified else frozenset(scope for scope in allowed if scope.endswith(":open"))


def viewer_of(who: Partner) -> Viewer:
    """The viewer that a peer is for the exchange: its whole grant, whatever part of it a token asked for."""
    scopes = effective_scopes(who)
    agreement = Agreement(scopes, who.purpose, who.until, who.narrowing, who.agreed)
    return Viewer(ViewerKind.PEER, who.issuer, scopes, agreement, who.affiliation, who.jurisdiction)


def token_scopes(who: Partner) -> frozenset[str]:
    """The scopes that the peer may ask tokens for. A peer without an agreement still gets `exchange`, whose view is
    then empty, so that withdrawals reach it; a frozen one gets nothing."""
    return frozenset() if who.frozen else effective_scopes(who) | {EXCHANGE}


def current_keys(who: Partner) -> tuple[PublicKey, ...]:
    """The keys that a peer signs with now, as they are pinned here: its assertions and what it says of itself. Nobody
    else's word changes them."""
    return public_keys(who.jwks)


def registered_peers(database: Database) -> Clients:
    """The source of peers as OAuth clients: their client id is their issuer. Read anew at each call, so that a freeze
    or a revocation holds for the next request, of tokens already given too."""
    wanted = dialect_of(database.dialect).param("issuer")
    lost = f"(SELECT max(at) FROM {REPLACED.name} k WHERE k.pid = {PEERS.name}.pid AND successor IS NULL)"  # noqa: S608
    columns = ", ".join((*(name for name in _PeerRow._fields if name != "lost_at"), f"{lost} AS lost_at"))
    sql = f"SELECT {columns} FROM {PEERS.name} WHERE issuer = {wanted}"  # noqa: S608 -- fixed names and a placeholder

    def find(client_id: str) -> RegisteredClient | None:
        if "://" not in client_id:
            return None
        with database.reader() as connection:
            row = connection.execute(sql, {"issuer": client_id}).fetchone()
        return None if row is None else _registered(_PeerRow(*row))

    return find


@lru_cache(maxsize=1000)
def _registered(row: _PeerRow) -> RegisteredClient:
    """The client that a row makes of a peer; the same row makes the same."""
    who = _partner(row)
    viewer = viewer_of(who)
    return RegisteredClient(
        who.issuer,
        who.jwks,
        token_scopes(who),
        ViewerKind.PEER,
        viewer.agreement,
        who.affiliation,
        who.jurisdiction,
        active=not who.frozen,
        tokens_after=row.lost_at or 0,
    )


def grant(
    database: Database,
    world: World,
    catalogue: Catalogue,
    name: str,
    scopes: Iterable[str],
    purpose: str,
    until: date,
    narrowing: Mapping[tuple[str, str], str | None] | None = None,
) -> Partner:
    """Agree with a verified peer: scopes, what for, until which day (its end in UTC), and per field the finest step.

    Replaces the agreement there was. Raises BadInput for a scope, purpose, date, field or step that does not exist or
    may not be granted; Conflict for a peer that is frozen or, above `open`, not verified; NotFound.
    """
    wanted = frozenset(scopes)
    _check_scopes(wanted, catalogue)
    _check_purpose(purpose, until, world.today())
    narrowed = dict(narrowing or {})
    _check_narrowing(narrowed, catalogue)
    who = partner(database, name)
    if who.frozen:
        raise Conflict("The peer is frozen; `federation peer unfreeze` comes first.")
    if not who.verified and any(not scope.endswith(":open") for scope in wanted - {EXCHANGE}):
        raise Conflict(
            "The peer is not verified: compare the eight words (`federation peer verify`) before granting above `open`."
        )
    kept = sorted([kind, field, step] for (kind, field), step in narrowed.items())
    _set(
        database,
        who,
        state="active",
        scopes=json.dumps(sorted(wanted)),
        purpose=purpose,
        until=until.isoformat(),
        narrowing=json.dumps(kept),
    )
    return partner(database, name)


def widens(before: Partner, after: Partner, catalogue: Catalogue) -> bool:
    """Whether the agreement after opens more than the one before, or for longer."""
    if not before.agreed or before.until is None or after.until is None:
        return True
    if after.until > before.until or not after.scopes <= closure(before.scopes):
        return True
    for (kind, name), step in before.narrowing.items():
        steps = (*catalogue.types[kind].fields[name].step_names, None)  # finest first; None is nobody
        finest = after.narrowing.get((kind, name), steps[0])
        if steps.index(finest) < steps.index(step):
            return True
    return False


def _check_purpose(purpose: str, until: date, today: date) -> None:
    if purpose not in PURPOSES:
        raise BadInput(f"There is no such purpose; one of: {', '.join(PURPOSES)}.", field="purpose")
    if until < today:
        raise BadInput("The agreement would end before today.", field="until")


def _check_scopes(scopes: frozenset[str], catalogue: Catalogue) -> None:
    known = {scope_for(kind, tier) for kind in catalogue.types for tier in SCOPED_TIERS} | ACTION_SCOPES
    if not scopes:
        raise BadInput("An agreement needs at least one scope; an empty one would mean nobody.", field="scopes")
    if never := sorted(scopes & NEVER_FOR_PEERS):
        raise BadInput(f"{', '.join(never)} is never granted to a peer.", field="scopes")
    for scope in sorted(scopes - known):
        tier = scope.rpartition(":")[2].upper()
        if tier in (Tier.NETWORK.name, Tier.SEALED.name):
            raise BadInput(f"No scope opens `{tier.lower()}`: it stays at home.", field="scopes")
        raise BadInput(f"There is no scope {scope[:80]}.", field="scopes")


def _check_narrowing(narrowing: Mapping[tuple[str, str], str | None], catalogue: Catalogue) -> None:
    for (kind, name), step in narrowing.items():
        field = catalogue.types[kind].fields.get(name) if kind in catalogue.types else None
        if field is None:
            raise BadInput(f"There is no field {kind[:40]}.{name[:40]} to narrow.", field="narrowing")
        if step is not None and step not in field.step_names:
            raise BadInput(f"{kind}.{name} has no step {step[:40]}.", field="narrowing")


def _set(database: Database, who: Partner, **values: Any) -> None:
    with database.write() as conn:
        conn.execute(update(PEERS).where(PEERS.c.pid == who.pid).values(**values))


def mark_verified(database: Database, who: Partner) -> None:
    """Write down that the words were compared; `trust.verify` decides it."""
    _set(database, who, verified=True)


UNKNOWN = "unknown"


def describe(database: Database, name: str, affiliation: str | None = None, jurisdiction: str | None = None) -> Partner:
    """Enter what the operator knows of a peer: its tie to a State, and the country that hosts it (ISO 3166-1). What is
    not given stays; `unknown` takes it back, and fails every condition of a policy. Raises BadInput, NotFound."""
    who = partner(database, name)
    affiliation, jurisdiction = (
        kept if given is None else None if given == UNKNOWN else given
        for given, kept in ((affiliation, who.affiliation), (jurisdiction, who.jurisdiction))
    )
    if affiliation is not None and affiliation not in AFFILIATIONS:
        raise BadInput(f"There is no such affiliation; one of: {', '.join(AFFILIATIONS)}.", field="affiliation")
    if jurisdiction is not None and not JURISDICTION.fullmatch(jurisdiction):
        raise BadInput("A jurisdiction is a country code of two capital letters.", field="jurisdiction")
    _set(database, who, affiliation=affiliation, jurisdiction=jurisdiction)
    return partner(database, name)


def rename(database: Database, name: str, wanted: str) -> Partner:
    """Call a peer something else here. Raises BadInput, Conflict if the name is taken, NotFound."""
    if not wanted.strip() or len(wanted) > 200:
        raise BadInput("A name has 1 to 200 characters.", field="name")
    who = partner(database, name)
    if any(other.name == wanted and other.pid != who.pid for other in partners(database)):
        raise Conflict("Another peer has that name here.", field="name")
    _set(database, who, name=wanted)
    return partner(database, wanted)


def freeze(database: Database, name: str) -> Partner:
    """Answer the peer nothing at all, and ask it nothing, until `unfreeze`. What came by it before is shown on: a
    freeze is a pause, `revoke` is what lets go of it. Raises NotFound."""
    _set(database, partner(database, name), frozen=True)
    return partner(database, name)


def unfreeze(database: Database, name: str) -> Partner:
    """Go on with a frozen peer as before. Raises NotFound."""
    _set(database, partner(database, name), frozen=False)
    return partner(database, name)


def revoke(database: Database, name: str) -> Partner:
    """End the agreement. The peer keeps a bare `exchange` scope with an empty view, so that the withdrawals reach it,
    and nothing else does. It is not pulled any more, and what came by it goes (`Puller.let_go`). Raises NotFound."""
    _set(database, partner(database, name), state="revoked", scopes="[]", purpose=None, until=None, narrowing="[]")
    return partner(database, name)
