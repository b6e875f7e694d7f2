"""How a peer stands: which chains vouch for it up to an anchor, with which marks, and if none does, why not.

It is for people to read. No decision of this node asks for it, and no scope comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from federation.errors import FederationError
from federation.keys import PublicKey
from federation.peers.agreements import Partner, current_keys, partners
from federation.peers.vouching import store
from federation.peers.vouching.chains import Chain, path_of, read_chain, validate
from federation.peers.vouching.entity import Entity
from federation.peers.vouching.marks import Federation, Mark, holding
from federation.peers.vouching.statements import Statement, StatementRefused, verify_statement


@dataclass(frozen=True)
class Standing:
    """How a peer stands at this moment. `state` is `vouched`, `ended` (it was, and no chain holds any more) or
    `unvouched`; `chains` are those that hold, the shortest first; `reasons` why others do not; `elsewhere` paths that
    end where no anchor is pinned here; `heard` when it last handed its chains over."""

    state: str
    chains: tuple[Chain, ...] = ()
    marks: tuple[Mark, ...] = ()
    reasons: tuple[str, ...] = ()
    elsewhere: tuple[tuple[str, ...], ...] = ()
    since: int = 0
    heard: int | None = None
    error: str | None = None


def standing_of(entity: Entity, who: Partner) -> Standing:
    """How a peer stands now, by what it last handed over."""
    kept = store.answer_of(entity.database, who.pid)
    reasons, elsewhere = list(_not_asked(who)), []
    chains: list[Chain] = []
    anchors, now = entity.anchors(), entity.world.timestamp()
    for tokens in kept.body.get("chains", []) if not reasons else ():
        try:
            statements = read_chain(tokens)
            if statements[-1].issuer not in anchors:
                elsewhere += [path_of(statements)] if len(statements) > 1 else []
                continue
            _check_pinned(statements, who)
            chains.append(validate(statements, anchors, now))
        except FederationError as refused:
            reasons.append(refused.message)
    chains.sort(key=lambda chain: (len(chain.path), chain.path))
    state = store.VOUCHED if chains else store.UNVOUCHED if kept.standing == store.UNVOUCHED else store.ENDED
    others = _Others(entity)
    marks = {(mark.type, mark.issuer): mark for chain in chains for mark in _marks(others, chain)}
    since = kept.since if state == kept.standing else now
    told = tuple(dict.fromkeys(reasons))
    return Standing(
        state, tuple(chains), tuple(marks.values()), told, tuple(elsewhere), since, kept.fetched, kept.error
    )


def _not_asked(who: Partner) -> tuple[str, ...]:
    """Why nothing counts that a peer hands over."""
    if who.state == "revoked":
        return (f"{who.name} was revoked here.",)
    if who.frozen:
        return (f"{who.name} is frozen here.",)
    if not who.verified:
        return (f"{who.name} is not verified: its eight words were not compared yet.",)
    return ()


def _check_pinned(statements: tuple[Statement, ...], who: Partner) -> None:
    """Refuse a chain that vouches for other keys than those that were pinned with the peer. Raises StatementRefused."""
    if statements[0].subject != who.issuer:
        raise StatementRefused(f"The chain is about {statements[0].subject}, not about {who.name}.")
    try:
        verify_statement(statements[0], current_keys(who))
    except StatementRefused:
        raise StatementRefused(
            f"The chain vouches for other keys of {who.name} than those pinned here. Only a statement by the old key, "
            "or new words, change a pinned key."
        ) from None


@dataclass(frozen=True)
class _Others:
    """The chains of peers that may have given marks, each verified once however many marks and chains name it."""

    entity: Entity
    known: dict[str, list[Chain]] = field(default_factory=dict)

    def keys_of(self, chain: Chain, issuer: str) -> tuple[PublicKey, ...]:
        """The keys of an entity of the same federation: of this chain, or of a chain of a peer to the same anchor."""
        if found := chain.keys_of(issuer):
            return found
        if issuer not in self.known:
            named = [who for who in partners(self.entity.database) if who.issuer == issuer and who.asked]
            self.known[issuer] = [each for who in named for each in _holding(self.entity, who)]
        same = (each for each in self.known[issuer] if each.anchor == chain.anchor)
        return next((each.keys_of(issuer) for each in same), ())


def _marks(others: _Others, chain: Chain) -> list[Mark]:
    subject, root = chain.statements[0], chain.statements[-1]
    federation = Federation(chain.anchor, root.claims, lambda issuer: others.keys_of(chain, issuer))
    return holding(subject.claims.get("trust_marks", []), chain.subject, federation, others.entity.world.timestamp())


def _holding(entity: Entity, who: Partner) -> list[Chain]:
    found = []
    for tokens in store.answer_of(entity.database, who.pid).body.get("chains", []):
        try:
            statements = read_chain(tokens)
            _check_pinned(statements, who)
            found.append(validate(statements, entity.anchors(), entity.world.timestamp()))
        except FederationError:
            continue
    return found


def note_standing(entity: Entity, who: Partner) -> str | None:
    """Write down how a peer stands, if that has changed; gives the new state then."""
    kept, found = store.answer_of(entity.database, who.pid), standing_of(entity, who)
    if found.state == kept.standing:
        return None
    store.note_standing(entity.database, who.pid, found.state, found.since)
    return found.state
