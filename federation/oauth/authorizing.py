"""From a pushed request to a code: what a program asks of a person, opened once, answered once.

Where it leads back to was checked when it was pushed; a request that is not known is never answered by a redirect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, text

from federation.errors import NotFound
from federation.keys import b64
from federation.oauth.digests import digest
from federation.oauth.grants import GRANT_SECONDS, may_give
from federation.oauth.realm import Realm, RegisteredClient
from federation.oauth.redeeming import Terms, new_grant
from federation.oauth.redirects import with_answer
from federation.oauth.sessions import hold_session_in
from federation.policies.viewer import Viewer
from federation.storage.grants import PushedRequest

REQUEST_PREFIX = "urn:ietf:params:oauth:request_uri:"
PUSHED_SECONDS = 60
OPENED_SECONDS = 600
"""How long a person may take to log in and decide."""


@dataclass(frozen=True)
class Wish:
    """What a program asks for: scopes, and whereto and how the answer goes."""

    scopes: frozenset[str]
    terms: Terms
    state: str | None


@dataclass(frozen=True)
class Question:
    """An opened request, as it is put to a person. `ends` is when a grant that is given now would end."""

    client: RegisteredClient
    wish: Wish
    ends: int

    def offer(self, account: Viewer, known: frozenset[str]) -> frozenset[str]:
        """What the account would give: what is asked for, as far as the program and the account have it."""
        return self.client.allowed(self.wish.scopes) & may_give(account.kind, account.scopes, known)


def push(realm: Realm, client_id: str, wish: Wish, chance: bytes) -> tuple[str, int]:
    """Keep a checked request: the name under which it may be opened once, and for how many seconds. `chance` names the
    request that it came with."""
    name = REQUEST_PREFIX + b64(realm.world.draw("pushed-request", chance, 32))
    row = PushedRequest(
        digest=digest(name),
        client_id=client_id,
        redirect_uri=wish.terms.redirect_uri,
        scopes=" ".join(sorted(wish.scopes)),
        state=wish.state,
        challenge=wish.terms.challenge,
        jkt=wish.terms.jkt,
        opened=False,
        expires_at=realm.world.timestamp() + PUSHED_SECONDS,
    )
    with realm.database.write() as connection:
        connection.execute(insert(PushedRequest).values(**row.model_dump()))
    return name, PUSHED_SECONDS


def open_request(realm: Realm, client_id: str, request_uri: str) -> str:
    """Open a pushed request: the name under which it is put to a person from now on. The first name is used up.
    Raises NotFound: unknown, opened before, over, another client's, or of a client that is not in force."""
    now = realm.world.timestamp()
    name = b64(realm.world.draw("opened-request", digest(request_uri), 32))
    statement = text(
        "UPDATE pushed_request SET digest = :next, opened = :yes, expires_at = :ends"
        " WHERE digest = :digest AND client_id = :client AND opened = :no AND expires_at > :now"
    )
    values = {"next": digest(name), "yes": True, "no": False, "ends": now + OPENED_SECONDS, "now": now}
    values |= {"digest": digest(request_uri), "client": client_id}
    if realm.active_client(client_id) is None:
        raise NotFound(_UNKNOWN)
    with realm.database.write() as connection:
        if connection.execute(statement, values).rowcount != 1:
            raise NotFound(_UNKNOWN)
    return name


def question(realm: Realm, name: str) -> Question:
    """An opened request that waits for its answer. Raises NotFound."""
    with realm.database.read() as connection:
        return _question(realm, connection.execute(_FIND, _named(realm, name)).first())


def approve(
    realm: Realm, name: str, account: Viewer, *, session_id: str | None = None, shown: frozenset[str] | None = None
) -> str:
    """Give what is asked for, as far as it can be given and, where it is told, was `shown`: the address to lead the
    person to, with a code. Raises NotFound: answered before, over; nothing can be given; or the session has ended,
    which is looked at with the account held, so that no grant comes after a reset has ended all."""
    handle = account.subject.removeprefix("account:")
    with realm.database.write() as connection:
        asked = _question(realm, connection.execute(_TAKE, _named(realm, name)).first())
        if session_id is not None and not hold_session_in(connection, handle, session_id):
            raise NotFound(_UNKNOWN)
        given = asked.offer(account, realm.scopes)
        given = given if shown is None else given & shown
        if not given:
            raise NotFound("This account has nothing of what the program asks for.")
        code = new_grant(connection, realm, asked.client, handle, given, asked.wish.terms)
    return _address(realm, asked.wish, {"code": code})


def deny(realm: Realm, name: str) -> str:
    """Give nothing: the address to lead the person to. Raises NotFound: answered before, over."""
    with realm.database.write() as connection:
        asked = _question(realm, connection.execute(_TAKE, _named(realm, name)).first())
    return _address(realm, asked.wish, {"error": "access_denied"})


_FIND = text("SELECT * FROM pushed_request WHERE digest = :digest AND opened = :yes AND expires_at > :now")
_TAKE = text("DELETE FROM pushed_request WHERE digest = :digest AND opened = :yes AND expires_at > :now RETURNING *")
_UNKNOWN = "This request is unknown, was opened or answered before, or is over. Go back to the program and begin again."


def _named(realm: Realm, name: str) -> dict[str, Any]:
    return {"digest": digest(name), "yes": True, "now": realm.world.timestamp()}


def _question(realm: Realm, row: Any) -> Question:
    client = None if row is None else realm.active_client(row.client_id)
    if client is None:
        raise NotFound(_UNKNOWN)
    wish = Wish(frozenset(row.scopes.split()), Terms(row.redirect_uri, row.challenge, row.jkt), row.state)
    return Question(client, wish, realm.world.timestamp() + GRANT_SECONDS)


def _address(realm: Realm, wish: Wish, answer: dict[str, str]) -> str:
    """RFC 9207: every answer names who gives it."""
    state = {} if wish.state is None else {"state": wish.state}
    return with_answer(wish.terms.redirect_uri, answer | state | {"iss": realm.url})
