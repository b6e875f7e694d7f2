"""Passkeys (WebAuthn level 3): a person enters with a device that asks for their finger, face or PIN.

That is two factors in one, so that a passkey stands alone; and with one, an account's password alone suffices no more.
It needs the extra `passkeys`, and an address with a name: browsers make none for a bare IP address.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import ipaddress
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy import text

from federation.errors import BadInput, Conflict, NotFound, Unauthenticated
from federation.keys import b64, unb64
from federation.oauth.sessions import begin_session_in
from federation.oauth.spent import SpentIdentifiers, identifier
from federation.storage.database import Database
from federation.world import World

LOGIN = "login"
SECONDS = 10 * 60
MOST = 10
MAX_RESPONSE = 8192
REFUSED = "The passkey was not accepted. Try again, or log in with your password."
NOT_ADDED = "The passkey could not be added. Try again."


@dataclass(frozen=True)
class PasskeyView:
    """A passkey as its owner sees it listed. Times are seconds since 1970."""

    passkey_id: str
    name: str
    created_at: int
    used_at: int | None


def possible(url: str) -> bool:
    """Whether passkeys work here: the extra is installed, and browsers allow them at this address."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return False
    return (parts.scheme == "https" or host == "localhost") and importlib.util.find_spec("webauthn") is not None


@dataclass(frozen=True)
class Passkeys:
    """The passkeys of a node's accounts. A challenge is not kept when it is given out, so that strangers fill no table:
    it is signed, ends soon, and is written down when it is used, once for all workers."""

    database: Database
    world: World
    url: str
    name: str
    secret: bytes = field(repr=False)
    spent: SpentIdentifiers = field(repr=False)

    @property
    def host(self) -> str:
        """The relying party's id: the host of the configured address."""
        return urlsplit(self.url).hostname or ""

    def challenge(self, purpose: str) -> bytes:
        """A challenge for one purpose: `login`, or the id of the session that adds a passkey."""
        until = (self.world.timestamp() + SECONDS).to_bytes(8, "big")
        body = self.world.draw("passkey-challenge", purpose + until.hex(), 16) + until
        return body + self._tag(purpose, body)

    def login_options(self) -> str:
        """What the script of the login page hands to the browser, as JSON. It names no passkey and no account."""
        return orjson.dumps(
            {"challenge": b64(self.challenge(LOGIN)), "rpId": self.host, "userVerification": "required"}
        ).decode()

    def adding_options(self, handle: str, session_id: str) -> str:
        """The same for the account page. The device keeps the handle, and an id that tells nobody who it is."""
        asked = {
            "challenge": b64(self.challenge(session_id)),
            "rp": {"id": self.host, "name": self.name or self.host},
            "user": {"id": b64(self._user(handle)), "name": handle, "displayName": handle},
            "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in (-7, -8, -257)],
            "authenticatorSelection": {"residentKey": "required", "userVerification": "required"},
            "attestation": "none",
            "excludeCredentials": [{"type": "public-key", "id": b64(each)} for each in self._credentials(handle)],
        }
        return orjson.dumps(asked).decode()

    def add(self, handle: str, session_id: str, name: str, response: str) -> None:
        """Stores the passkey that a device has just made. Raises BadInput, Conflict (too many, or known)."""
        if not 1 <= len(name.strip()) <= 60:
            raise BadInput("Give the passkey a name of at most 60 characters.", field="name")
        try:
            said, challenge = self._read(response, session_id)
            made = self._registered(said, challenge)
        except _Refused as refused:
            raise BadInput(NOT_ADDED) from refused
        now = self.world.timestamp()
        row = {
            "credential_id": made.credential_id,
            "passkey_id": hashlib.sha256(made.credential_id).hexdigest()[:16],
            "handle": handle,
            "name": name.strip(),
            "public_key": made.credential_public_key,
            "sign_count": made.sign_count,
            "now": now,
            "most": MOST,
        }
        if not self._spend(challenge):
            raise BadInput(NOT_ADDED)
        with self.database.write() as connection:
            added = connection.execute(
                text(
                    "INSERT INTO passkey (credential_id, passkey_id, handle, name, public_key, sign_count, created_at)"
                    " SELECT :credential_id, :passkey_id, :handle, :name, :public_key, :sign_count, :now"
                    " WHERE (SELECT count(*) FROM passkey WHERE handle = :handle) < :most ON CONFLICT DO NOTHING"
                ),
                row,
            )
            if added.rowcount != 1:
                raise Conflict(f"This passkey is known already, or the account has {MOST} of them.")

    def log_in(self, response: str) -> str:
        """The cookie of a new session of the account whose passkey answered. Raises Unauthenticated; the answer is the
        same whatever is wrong."""
        try:
            said, challenge = self._read(response, LOGIN)
            row = self._find(said)
            verified = self._verified(said, challenge, row)
        except _Refused as refused:
            raise Unauthenticated(REFUSED) from refused
        if not self._spend(challenge):
            raise Unauthenticated(REFUSED)
        values = {"id": row.credential_id, "old": row.sign_count, "new": verified.new_sign_count}
        with self.database.write() as connection:
            counted = connection.execute(
                text(
                    "UPDATE passkey SET sign_count = :new, used_at = :now"
                    " WHERE credential_id = :id AND sign_count = :old"
                ),
                values | {"now": self.world.timestamp()},
            )
            if counted.rowcount != 1:
                raise Unauthenticated(REFUSED)
            try:
                return begin_session_in(connection, self.world, row.handle, second="passkey")
            except NotFound as closed:
                raise Unauthenticated(REFUSED) from closed

    def listed(self, handle: str) -> list[PasskeyView]:
        """The passkeys of an account, oldest first."""
        sql = (
            "SELECT passkey_id, name, created_at, used_at FROM passkey WHERE handle = :handle ORDER BY created_at, name"
        )
        with self.database.read() as connection:
            return [PasskeyView(*row) for row in connection.execute(text(sql), {"handle": handle})]

    def remove(self, handle: str, passkey_id: str) -> None:
        """Takes an account one passkey. Raises NotFound."""
        sql = "DELETE FROM passkey WHERE handle = :handle AND passkey_id = :passkey_id"
        with self.database.write() as connection:
            if connection.execute(text(sql), {"handle": handle, "passkey_id": passkey_id}).rowcount != 1:
                raise NotFound("There is no such passkey.")

    def _read(self, response: str, purpose: str) -> tuple[dict[str, Any], bytes]:
        """The browser's answer, and the challenge in it if this node gave it out for the purpose and it is not over."""
        try:
            if len(response) > MAX_RESPONSE:
                raise ValueError
            said = orjson.loads(response)
            challenge = unb64(orjson.loads(unb64(said["response"]["clientDataJSON"]))["challenge"])
        except (ValueError, LookupError, TypeError, AttributeError) as broken:
            raise _Refused from broken
        body, tag = challenge[:24], challenge[24:]
        if not hmac.compare_digest(tag, self._tag(purpose, body)):
            raise _Refused
        if int.from_bytes(body[16:], "big") <= self.world.timestamp():
            raise _Refused
        return said, challenge

    def _find(self, said: dict[str, Any]) -> Any:
        """The passkey that answers. One whose device names another account is none."""
        try:
            credential_id, user = unb64(said["rawId"]), said["response"].get("userHandle")
            owner = unb64(user) if user else None
        except (ValueError, LookupError, TypeError, AttributeError) as broken:
            raise _Refused from broken
        sql = "SELECT credential_id, handle, public_key, sign_count FROM passkey WHERE credential_id = :id"
        with self.database.read() as connection:
            row = connection.execute(text(sql), {"id": credential_id}).first()
        if row is None or (owner is not None and not hmac.compare_digest(owner, self._user(row.handle))):
            raise _Refused
        return row

    def _registered(self, said: dict[str, Any], challenge: bytes) -> Any:
        from webauthn import verify_registration_response

        return _checked(
            verify_registration_response,
            credential=said,
            expected_challenge=challenge,
            expected_rp_id=self.host,
            expected_origin=self.url,
            require_user_verification=True,
        )

    def _verified(self, said: dict[str, Any], challenge: bytes, row: Any) -> Any:
        from webauthn import verify_authentication_response

        return _checked(
            verify_authentication_response,
            credential=said,
            expected_challenge=challenge,
            expected_rp_id=self.host,
            expected_origin=self.url,
            credential_public_key=bytes(row.public_key),
            credential_current_sign_count=row.sign_count,
            require_user_verification=True,
        )

    def _credentials(self, handle: str) -> list[bytes]:
        sql = "SELECT credential_id FROM passkey WHERE handle = :handle ORDER BY created_at, credential_id"
        with self.database.read() as connection:
            return [bytes(row[0]) for row in connection.execute(text(sql), {"handle": handle})]

    def _spend(self, challenge: bytes) -> bool:
        until = int.from_bytes(challenge[16:24], "big")
        return self.spent.spend([(identifier("passkey", "", b64(challenge)), until)])

    def _tag(self, purpose: str, body: bytes) -> bytes:
        return hmac.digest(self.secret, b"passkey\0" + purpose.encode() + b"\0" + body, "sha256")[:16]

    def _user(self, handle: str) -> bytes:
        return hmac.digest(self.secret, b"passkey-user\0" + handle.encode(), "sha256")


class _Refused(Exception):
    """Whatever is wrong with what a browser sent: a caller is told one thing."""


def _checked(verify: Any, **values: Any) -> Any:
    """What the library says of an answer. It reads what strangers made, and raises more than its own errors."""
    try:
        return verify(**values)
    except Exception as error:
        raise _Refused from error
