"""Trust between two nodes: a one-time invitation pins each other's keys, eight words make sure of them.

A code is kept as a hash only and works once. Nothing here grants a scope.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy import Connection, Table, delete, func, insert, or_, select, update

from federation import keys
from federation.errors import BadInput, Conflict, FederationError, Unavailable
from federation.keys import Keys, NodeKeys, PublicKey, SignatureRefused, b64
from federation.outbound import Outbound
from federation.peers import agreements, pinning, statements
from federation.peers.agreements import PEERS, Partner
from federation.peers.origins import origin_of, plain_name
from federation.peers.pinning import Presented
from federation.peers.provenance import ProvenanceInvalid
from federation.storage.database import Database
from federation.storage.peering import Invitation
from federation.world import World

INVITATIONS: Table = Invitation.__table__  # type: ignore[attr-defined]
CODE_BYTES = 24
INVITATION_SECONDS = 7 * 86_400
KEPT_SECONDS = 90 * 86_400
JOIN_SECONDS = 300
JOIN_PATH = "/exchange/join"
MAX_JOIN_BYTES = 65_536
_PREFIX = "federation-invite-"
_JOIN, _JOINED, _ORIGIN = "federation-join+jwt", "federation-joined+jwt", "federation-origin+jwt"
_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Self:
    """This node as it presents itself to another: name, issuer (its URL) and the keys in force."""

    name: str
    issuer: str
    ring: Keys

    @property
    def keys(self) -> NodeKeys:
        """The node's keys in force. Who needs two that belong together asks once."""
        return self.ring.in_force


@dataclass(frozen=True)
class Invited:
    """What an invitation string says. `anew`: it is for a node that is linked, and has to show another key."""

    code: bytes
    issuer: str
    thumbprint: str
    ends: int
    anew: bool = False


def invite(database: Database, world: World, me: Self, seconds: int = INVITATION_SECONDS) -> str:
    """One printable string that lets one node link with this one, once, within `seconds`."""
    with database.write() as conn:
        return _invitation(conn, world, me, seconds)[0]


def _invitation(
    conn: Connection, world: World, me: Self, seconds: int = INVITATION_SECONDS, *, anew: bool = False
) -> tuple[str, str]:
    """An invitation and the hash of its code."""
    now = world.timestamp()
    ends = now + seconds
    conn.execute(delete(INVITATIONS).where(INVITATIONS.c.ends < now - KEPT_SECONDS))
    given = conn.execute(select(func.count()).select_from(INVITATIONS)).scalar_one()
    code = world.draw("invitation", f"{me.issuer} {now} {given}", CODE_BYTES)
    conn.execute(insert(INVITATIONS).values(code=_hashed(code), ends=ends))
    body = orjson.dumps([b64(code), me.issuer, me.keys.peer.thumbprint, ends, *([1] if anew else [])])
    return _PREFIX + b64(body + zlib.crc32(body).to_bytes(4, "big")), _hashed(code)


def rekey(database: Database, world: World, me: Self, name: str) -> str:
    """Give up the key of a linked peer, which may be lost or in other hands, at once; and an invitation by which the
    peer shows its new one. Name and agreement stay, but it is unverified until new words are compared. Called again, it
    makes another invitation, and the one before counts no longer. Raises NotFound, and Conflict for a revoked peer."""
    who = agreements.partner(database, name)
    if who.state == "revoked":
        raise Conflict("The peer was revoked; `federation peer invite` links to it anew.")
    now = world.timestamp()
    nobody = keys.generate_key("ES256", world, f"{who.issuer} {who.thumbprint} {now} nobody's")
    with database.write() as conn:
        if (before := pinning.awaited(conn, who.pid)) is not None:
            conn.execute(delete(INVITATIONS).where(INVITATIONS.c.code == before))
        text, code = _invitation(conn, world, me, anew=True)
        pinning.give_up(conn, who, nobody, code, now)
    return text


def is_awaited(database: Database, who: Partner) -> bool:
    """Whether a peer's key was given up, and it has not shown another yet."""
    with database.read() as conn:
        return pinning.awaited(conn, who.pid) is not None


def _hashed(code: bytes) -> str:
    return hashlib.sha256(b"invitation\0" + code).hexdigest()


def read_invitation(text: str) -> Invited:
    """The parts of an invitation string. Raises BadInput for one that was mistyped or cut."""
    try:
        raw = keys.unb64("".join(text.split()).removeprefix(_PREFIX))
        body, check = raw[:-4], raw[-4:]
        if zlib.crc32(body).to_bytes(4, "big") != check:
            raise ValueError
        code, issuer, thumbprint, ends, *anew = orjson.loads(body)
        invited = Invited(keys.unb64(code), issuer, thumbprint, ends, anew == [1])
        if len(invited.code) != CODE_BYTES or not isinstance(ends, int) or not _is_origin(issuer):
            raise ValueError
    except (ValueError, TypeError, AttributeError):
        raise BadInput("This is not a whole invitation; copy the string again, from first sign to last.") from None
    return invited


def _presentation(me: Self, world: World, audience: str, code: bytes) -> dict[str, Any]:
    """What a node says of itself. `proof` is signed by the provenance key: without it a node could present the public
    key of another network, and speak in its name."""
    now, own = world.timestamp(), me.keys
    proof = _proof_claims(audience, code, own.peer.thumbprint)
    return {
        "iss": me.issuer,
        "aud": audience,
        "iat": now,
        "exp": now + JOIN_SECONDS,
        "code": b64(code),
        "name": me.name,
        "jwk": own.peer.public_jwk,
        "keys": list(own.handovers("peer")),
        "provenance": dict(own.first.jwk),
        "handovers": list(own.handovers("provenance")),
        "proof": keys.sign(own.provenance, {"typ": _ORIGIN}, proof),
    }


def _proof_claims(audience: str, code: bytes, thumbprint: str) -> dict[str, str]:
    """What the provenance key signs: for whom, for which invitation, and beside which peer key."""
    return {"aud": audience, "code": _hashed(code), "peer": thumbprint}


def _read_presentation(token: str, typ: str, audience: str, world: World) -> Presented:
    """A presentation signed by the key that it presents. Raises SignatureRefused, BadInput."""
    jws = keys.read_jws(token, types=frozenset({typ}), max_bytes=MAX_JOIN_BYTES)
    claims = jws.claims
    key = keys.public_key(claims.get("jwk"))
    keys.verify(jws, [key])
    now, ends = world.timestamp(), claims.get("exp")
    if claims.get("aud") != audience:
        raise SignatureRefused("The other node speaks to another address than this node's.")
    if not isinstance(ends, int) or not now < ends <= now + 2 * JOIN_SECONDS:
        raise SignatureRefused("The other node's statement has ended, or the two clocks differ by minutes.")
    issuer, name = claims.get("iss"), claims.get("name")
    if not _is_origin(issuer) or not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
        raise BadInput("The other node does not say its name and address.")
    try:
        code = keys.unb64(str(claims.get("code")))
        origin = origin_of(name, claims.get("provenance") or {}, claims.get("handovers") or ())
        line = tuple(claims.get("keys") or ())
    except (ValueError, TypeError, ProvenanceInvalid):
        raise BadInput("The other node's statement lacks its code or its provenance key.") from None
    _check_possession(claims.get("proof"), origin.key, _proof_claims(audience, code, key.thumbprint))
    return Presented(str(issuer), _own_name(name, str(issuer)), code, key, line, origin)


def _check_possession(proof: object, provenance: PublicKey, expected: dict[str, str]) -> None:
    """Refuse a provenance key that its presenter cannot sign with. Raises SignatureRefused."""
    if not isinstance(proof, str):
        raise SignatureRefused("The other node does not show that its provenance key is its own.")
    jws = keys.read_jws(proof, types=frozenset({_ORIGIN}))
    keys.verify(jws, [provenance])
    if dict(jws.claims) != expected:
        raise SignatureRefused("The other node's proof of its provenance key was made for something else.")


def _is_origin(url: object) -> bool:
    """Whether it is the address of a node: scheme, host and perhaps port, in plain ASCII and nothing more."""
    if not isinstance(url, str) or len(url) > 300 or _ADDRESS.fullmatch(url) is None:
        return False
    try:
        return urlsplit(url).port != 0
    except ValueError:  # brackets around what is no address, a port beyond the last
        return False


def _own_name(name: str, issuer: str) -> str:
    """The name that a node gives itself; its host where that is no name to print or type in a terminal."""
    plain = plain_name(name)
    return plain if plain == " ".join(name.split()) and plain else plain_name(urlsplit(issuer).netloc) or "peer"


def accept(
    database: Database, world: World, me: Self, outbound: Outbound, text: str, name: str | None = None
) -> Partner:
    """Take up an invitation: present this node to the inviter, check its answer against the thumbprint in the
    invitation, and pin its keys. `name` is what the peer is to be called here, else its own name.

    A peer whose key was given up (`rekey`) gets the one that it answers with. Where the invitation was made because
    this node's own key is another, nothing changes here.

    Raises BadInput for a broken or ended invitation, Conflict for one already used or a node already linked,
    SignatureRefused where the answer is not by the invited key, Unavailable where nobody answers.
    """
    invited = read_invitation(text)
    if invited.ends <= world.timestamp():
        raise BadInput("The invitation has ended; ask for a new one.")
    if invited.issuer == me.issuer:
        raise BadInput("This invitation is this node's own; the other node has to accept it.")
    pid, same = _standing(database, invited)
    said = _introduced(world, me, outbound, invited)
    with database.write() as conn:
        if pid is not None:
            pinning.pin_anew(conn, me.keys, pid, said)
        elif not same:
            pinning.pin(conn, me.keys, said, name)
    return _linked(database, said.issuer)


def _introduced(world: World, me: Self, outbound: Outbound, invited: Invited) -> Presented:
    """What the inviter presents of itself in answer to this node's presentation: by the key in the invitation, or one
    that its statements lead to from there. Raises as `accept` does."""
    body = keys.sign(me.keys.peer, {"typ": _JOIN}, _presentation(me, world, invited.issuer, invited.code))
    answer = outbound.request(
        "POST",
        invited.issuer + JOIN_PATH,
        headers={"content-type": "application/jwt", "accept": "application/jwt"},
        content=body.encode(),
        max_bytes=MAX_JOIN_BYTES,
    )
    if answer.status != 200:
        raise _refusal(answer.status)
    try:
        said = _read_presentation(answer.body.decode("ascii"), _JOINED, me.issuer, world)
    except UnicodeDecodeError:
        raise SignatureRefused("The inviter's answer is not understood.") from None
    followed = said.key.thumbprint == invited.thumbprint or statements.leads(
        said.line, said.issuer, invited.thumbprint, said.key.thumbprint
    )
    if not followed or said.issuer != invited.issuer or said.code != invited.code:
        raise SignatureRefused(
            "The answer is not signed by the key in the invitation: somebody else answered. Do not go on; ask the "
            "inviter over another channel."
        )
    return said


def _refusal(status: int) -> FederationError:
    if status == Conflict.status:
        return Conflict("The invitation was already used, or the inviter already knows this node; ask for a new one.")
    if status in (400, 401, 403, 404):
        return BadInput("The inviter does not know this invitation, or it has ended; ask for a new one.")
    return Unavailable("The inviter cannot answer now; the invitation stays good, try again.")


def join(database: Database, world: World, me: Self, token: str) -> str:
    """The inviter's side: check a presentation, use up its code and pin its keys; gives this node's own, signed.

    The same key may ask again with the same code (its first answer may have been lost); any other gets Conflict.
    Raises BadInput for a code that was never given out or has ended, SignatureRefused.
    """
    said = _read_presentation(token, _JOIN, me.issuer, world)
    if said.issuer == me.issuer:
        raise BadInput("A node cannot be its own peer.")
    hashed = _hashed(said.code)
    with database.write() as conn:
        row = conn.execute(select(INVITATIONS).where(INVITATIONS.c.code == hashed)).one_or_none()
        if row is None or row.ends <= world.timestamp():
            raise BadInput("There is no such invitation, or it has ended.")
        if row.used_by is None:
            if (pid := pinning.awaits(conn, hashed)) is not None:
                pinning.pin_anew(conn, me.keys, pid, said)
            elif not pinning.as_pinned(conn, said):  # else it has given up this node's key, and asks for that
                pinning.pin(conn, me.keys, said, None)
            conn.execute(update(INVITATIONS).where(INVITATIONS.c.code == hashed).values(used_by=said.key.thumbprint))
        elif row.used_by != said.key.thumbprint or not pinning.as_pinned(conn, said):
            raise Conflict("The invitation was already used.")
    return keys.sign(me.keys.peer, {"typ": _JOINED}, _presentation(me, world, said.issuer, said.code))


def _standing(database: Database, invited: Invited) -> tuple[int | None, bool]:
    """What an inviter is here already: the peer whose key was given up, if it is one; and whether it is linked by the
    very key that invites this node to show its own anew. Raises Conflict for a peer that is linked otherwise."""
    by = or_(PEERS.c.issuer == invited.issuer, PEERS.c.thumbprint == invited.thumbprint)
    with database.read() as conn:
        row = conn.execute(select(PEERS).where(by)).first()
        if row is None or row.state == "revoked":
            return None, False
        if pinning.awaited(conn, row.pid) is not None:
            return row.pid, False
    if invited.anew and (row.issuer, row.thumbprint) == (invited.issuer, invited.thumbprint):
        return None, True
    raise Conflict("This node is already linked with the inviter; the invitation is used or not needed.")


def _linked(database: Database, issuer: str) -> Partner:
    with database.read() as conn:
        found = agreements.partner_by_issuer(conn, issuer)
    if found is None:
        raise Conflict("The peer was removed while it was being linked.")
    return found


def words_of(me: Self, who: Partner) -> tuple[str, ...]:
    """The eight words that both sides see and compare over another channel."""
    return keys.words(me.keys.peer.thumbprint, who.thumbprint)


def verify(database: Database, me: Self, name: str, words: str) -> Partner:
    """Mark a peer as verified if these are the eight words (or groups of digits) of both keys. Raises BadInput where
    they are not: then somebody may sit in between; NotFound."""
    who = agreements.partner(database, name)
    if is_awaited(database, who):
        raise Conflict(f"{name} has not shown its new key yet; it has to accept the invitation first.")
    if not keys.words_match(words, me.keys.peer.thumbprint, who.thumbprint):
        raise BadInput("These are not the words of this link. Ask again for all eight; if they differ, do not go on.")
    agreements.mark_verified(database, who)
    return agreements.partner(database, name)
