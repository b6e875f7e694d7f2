"""This node as an entity of a federation: what it says of itself, the chains from it, and what it hands a peer.

To whoever asks without being a peer it names nobody: no superior, no subordinate, no mark and no name of its own.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from federation.errors import FederationError
from federation.oauth.adapter import METHOD, OWN_GRANT
from federation.oauth.client import PeerSession
from federation.oauth.realm import Realm
from federation.peers.agreements import Partner, current_keys, partners
from federation.peers.trust import Self
from federation.peers.vouching import store
from federation.peers.vouching.chains import MAX_CHAINS, Anchors, above, read_chain, validate
from federation.peers.vouching.marks import MAX_MARKS, make_mark, read_marks
from federation.peers.vouching.statements import (
    HOUR,
    Statement,
    StatementRefused,
    check_clock,
    make_statement,
    read_statement,
    verify_statement,
)
from federation.storage.bounded import Bounded
from federation.storage.database import Database
from federation.world import World

CONFIGURATION_PATH = "/.well-known/openid-federation"
TRUST_PATH = "/exchange/trust"
FETCH_PATH, LIST_PATH, RESOLVE_PATH = (f"{TRUST_PATH}/{name}" for name in ("fetch", "list", "resolve"))
MAX_ANSWER = 262_144

Metadata = Callable[[], Mapping[str, Mapping[str, Any]]]
"""The node's metadata by entity type, but for `federation_entity`."""


@dataclass(frozen=True)
class Entity:
    """The parts that vouching needs of this node. `public` is the setting `federation_public`: whether it tells
    everybody its name, its superiors and its marks."""

    database: Database
    world: World
    me: Self
    session: PeerSession
    metadata: Metadata
    public: bool = False
    _made: Bounded[str] = field(default_factory=lambda: Bounded(16), repr=False)

    def configuration(self, *, whole: bool) -> str:
        """What this node says of itself, signed: for everybody, or the `whole` of it for peers. Made once an hour."""
        claims: dict[str, Any] = {"metadata": dict(self.metadata()) | {"federation_entity": self._endpoints(whole)}}
        if whole or self.public:
            rules = store.mark_rules(self.database)
            claims["authority_hints"] = [who.issuer for who in self.superiors()]
            claims["trust_marks"] = self._own_marks()
            claims["trust_mark_issuers"] = {kind: issuers for kind, (issuers, _) in rules.items()}
            claims["trust_mark_owners"] = {kind: owner for kind, (_, owner) in rules.items() if owner}
        hour = self.world.timestamp() // HOUR * HOUR
        key, issuer = self.me.keys.peer, self.me.issuer
        made = (key.thumbprint, hour, orjson.dumps(claims))
        return self._made.get(made) or self._made.put(
            made, make_statement(key, issuer, issuer, [key.public_jwk], hour, **claims)
        )

    def _endpoints(self, whole: bool) -> dict[str, str]:
        """Where peers ask. An entity without subordinates has no place to ask for them (section 5.1.1)."""
        if not (whole or self.public):
            return {}
        found = {"federation_resolve_endpoint": self.me.issuer + RESOLVE_PATH}
        if store.subordinates(self.database):
            found["federation_fetch_endpoint"] = self.me.issuer + FETCH_PATH
            found["federation_list_endpoint"] = self.me.issuer + LIST_PATH
        return found | ({"organization_name": self.me.name} if self.public else {})

    def anchors(self) -> Anchors:
        """Where chains may end: what the operator pinned, by the keys that it has now, and this node, whose own word it
        knows."""
        pinned = store.followed(self.database, store.anchors(self.database))
        return pinned | {self.me.issuer: frozenset({self.me.keys.peer.thumbprint})}

    def superiors(self) -> tuple[Partner, ...]:
        """The peers that this node names as its superiors, those that are not trusted any more left out."""
        pids = set(store.superiors(self.database))
        return tuple(who for who in partners(self.database) if who.pid in pids and who.asked) if pids else ()

    def subordinates(self) -> dict[str, tuple[Partner, store.Subordinate]]:
        """The trusted peers about which a statement of this node is in force, by issuer: one that names other keys than
        the peer has now is none."""
        kept, now = store.subordinates(self.database), self.world.timestamp()
        known = {who.pid: who for who in partners(self.database)} if kept else {}
        return {
            known[pid].issuer: (known[pid], each)
            for pid, each in kept.items()
            if pid in known and known[pid].asked and each.expires > now and names_keys_of(each.statement, known[pid])
        }

    def statement_about(self, issuer: str) -> str | None:
        """The statement in force about a subordinate; None where there is none, for whatever reason."""
        found = self.subordinates().get(issuer)
        return found[1].statement if found else None

    def chains(self) -> list[tuple[str, ...]]:
        """The chains from this node to every entity above it, itself first; each holds at this moment."""
        own = self.configuration(whole=True)
        found: list[tuple[str, ...]] = [(own,)]
        for superior in self.superiors():
            with contextlib.suppress(FederationError):
                found += self._over(superior, own)
        return found[:MAX_CHAINS]

    def silence_of(self, superior: Partner) -> str | None:
        """Why no chain leads over a superior; None where one does."""
        if store.answer_of(self.database, superior.pid).fetched is None:
            return (
                f"{superior.name} was not heard yet; `federation trust refresh {shlex.quote(superior.name)}` asks it."
            )
        try:
            found = self._over(superior, self.configuration(whole=True))
        except FederationError as refused:
            return refused.message
        return None if found else f"{superior.name} hands over no chain that holds."

    def _over(self, superior: Partner, own: str) -> list[tuple[str, ...]]:
        """The chains over one superior. Raises StatementRefused where it does not vouch for this node."""
        body = store.answer_of(self.database, superior.pid).body
        if body.get("statement") is None:
            raise StatementRefused(f"{superior.name} does not vouch for this node.")
        statement = self._word_of(superior, body["statement"])
        higher = [chain for tokens in body.get("chains", []) if (chain := self._holding(superior, tokens))]
        return above(own, statement, higher)

    def _word_of(self, superior: Partner, token: object) -> Statement:
        """A superior's statement about this node and its present key, at this moment. Raises StatementRefused."""
        statement = read_statement(token)
        if (statement.issuer, statement.subject) != (superior.issuer, self.me.issuer):
            raise StatementRefused("A superior's statement is about another node than this.")
        if self.me.keys.peer.thumbprint not in {key.thumbprint for key in statement.keys}:
            raise StatementRefused("A superior's statement names other keys than this node's own.")
        check_clock(statement, self.world.timestamp())
        verify_statement(statement, current_keys(superior))
        return statement

    def _holding(self, superior: Partner, tokens: object) -> tuple[Statement, ...] | None:
        """A superior's chain, if it begins with its pinned keys and holds up to the key that its end shows for itself:
        whether that end is an anchor is for whoever gets the chain to say."""
        try:
            statements = read_chain(tokens)
            verify_statement(statements[0], current_keys(superior))
            end = statements[-1]
            validate(statements, {end.issuer: frozenset(key.thumbprint for key in end.keys)}, self.world.timestamp())
        except FederationError:
            return None
        return statements if statements[0].issuer == superior.issuer else None

    def marks_for(self, who: Partner) -> list[dict[str, str]]:
        """The marks that this node gives a peer, made anew: one taken back ends by silence."""
        now, key = self.world.timestamp(), self.me.keys.peer
        hour = now // HOUR * HOUR
        given = [each for each in store.given_marks(self.database) if each.pid == who.pid]
        return [
            make_mark(key, self.me.issuer, who.issuer, each.kind, hour, each.delegation)
            for each in given[:MAX_MARKS]
            if each.until is None or each.until > now
        ]

    def _own_marks(self) -> list[dict[str, str]]:
        """The marks that superiors gave this node, as it last heard them. Those of other peers are not shown: a mark
        names who gave it, and superiors alone are named anyway."""
        found: list[dict[str, str]] = []
        for superior in self.superiors():
            found += store.answer_of(self.database, superior.pid).body.get("marks", [])
        return found[:MAX_MARKS]

    def answer(self, who: Partner) -> dict[str, Any]:
        """What a peer is handed over: this node's chains, its statement about the peer, and the peer's marks."""
        chains, size = [], 0
        for chain in self.chains():
            size += sum(map(len, chain))
            if size > MAX_ANSWER // 2:
                break
            chains.append(list(chain))
        return {"chains": chains, "statement": self.statement_about(who.issuer), "marks": self.marks_for(who)}


def names_keys_of(statement: str | None, who: Partner) -> bool:
    """Whether a statement of this node names the keys that its subject has now."""
    if statement is None:
        return False
    named = {key.thumbprint for key in read_statement(statement).keys}
    return named == {key.thumbprint for key in current_keys(who)}


def metadata_of(realm: Realm) -> dict[str, dict[str, Any]]:
    """What is true of a node by entity type: the server, the resource and the client that it is."""
    from federation.oauth.routes import resource_metadata, server_metadata  # a web edge: commands need none

    client = {
        "token_endpoint_auth_method": METHOD,
        "grant_types": [OWN_GRANT],
        "response_types": [],
        "dpop_bound_access_tokens": True,
        "jwks": {"keys": [realm.keys.peer.public_jwk]},
    }
    return {
        "oauth_authorization_server": server_metadata(realm),
        "oauth_client": client,
        "oauth_resource": resource_metadata(realm),
    }


def read_answer(said: object, who: Partner, me: str) -> dict[str, Any]:
    """The sound parts of what a peer handed over: chains that begin with it, a statement by it about this node, marks
    for this node by it. What they say is verified whenever it is used. Raises StatementRefused if it is no answer."""
    if not isinstance(said, Mapping) or not isinstance(said.get("chains"), list):
        raise StatementRefused("The peer's answer about trust is not understood.")
    statement, marks = said.get("statement"), read_marks(said.get("marks"), who.issuer, me)
    if statement is not None:
        read = read_statement(statement)
        if (read.issuer, read.subject) != (who.issuer, me):
            raise StatementRefused("The peer's answer about trust holds a statement about another node.")
    return {
        "chains": list(_sound(said["chains"][:MAX_CHAINS], who.issuer)),
        "statement": statement,
        "marks": marks,
    }


def _sound(chains: Iterable[object], issuer: str) -> Iterable[list[str]]:
    for tokens in chains:
        try:
            statements = read_chain(tokens)
        except FederationError:
            continue
        if statements[0].issuer == statements[0].subject == issuer:
            yield [each.token for each in statements]
