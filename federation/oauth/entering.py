"""Whether somebody is who they say: handle, password and, where the account asks for more, a code.

Whatever is wrong, the work is the same and so is the answer. It must never tell whether there is an account, whether
the password was right, or what the account asks for.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from federation.errors import Unauthenticated
from federation.oauth.accounts import hashed, outdated, password_matches
from federation.oauth.factors import (
    NOBODY,
    matched_step,
    opened_totp,
    recovery_digest,
    spend_recovery_code,
    spend_step,
)
from federation.oauth.sessions import begin_session_in
from federation.storage.database import Database
from federation.world import World

REFUSED = "This is not right: the handle, the password, or the code if your account asks for one."
TOTP, RECOVERY = "totp", "recovery"

_FIND = """SELECT a.handle, a.password, t.sealed, t.last_step,
(SELECT count(*) FROM passkey p WHERE p.handle = a.handle) AS passkeys,
(SELECT count(*) FROM recovery_code r WHERE r.handle = a.handle AND r.digest = :digest) AS recovery
FROM account a LEFT JOIN totp_secret t ON t.handle = a.handle WHERE a.handle = :handle AND a.disabled_at IS NULL"""


def log_in(database: Database, world: World, secret: bytes, handle: str, password: str, code: str) -> str:
    """The cookie of a new session; a code that the account asks for is used up in the same commit. Raises
    Unauthenticated.

    One hash is checked and three codes are made for everybody, whether there is an account, a password, an app or not.
    """
    digest = recovery_digest(secret, handle, code)
    with database.read() as connection:
        row: Any = connection.execute(text(_FIND), {"handle": handle, "digest": digest}).first()
    right = password_matches(None if row is None else row.password, password)
    totp = opened_totp(secret, handle, None if row is None else row.sealed)
    step = matched_step(totp or NOBODY, code, world.timestamp(), after=-1 if totp is None else row.last_step)
    if not right:
        raise Unauthenticated(REFUSED)
    if row.sealed is None and not row.passkeys:
        second = None
    elif totp is not None and step is not None:
        second = TOTP
    elif row.recovery:
        second = RECOVERY
    else:
        raise Unauthenticated(REFUSED)
    fresh = hashed(password) if outdated(row.password) else row.password
    with database.write() as connection:
        if not (_still(connection, row, fresh) and _spent(connection, row.handle, second, step, digest)):
            raise Unauthenticated(REFUSED)
        return begin_session_in(connection, world, row.handle, second=second)


def _still(connection: Connection, row: Any, fresh: str) -> bool:
    """Whether the account is still open under the password that was checked, whose hash becomes `fresh`."""
    kept = connection.execute(
        text("UPDATE account SET password = :fresh WHERE handle = :handle AND password = :old AND disabled_at IS NULL"),
        {"fresh": fresh, "handle": row.handle, "old": row.password},
    )
    return kept.rowcount == 1


def _spent(connection: Connection, handle: str, second: str | None, step: int | None, digest: bytes) -> bool:
    """Whether the code could be used up: nobody was sooner."""
    if second == TOTP and step is not None:
        return spend_step(connection, handle, step)
    return second is None or spend_recovery_code(connection, digest)
