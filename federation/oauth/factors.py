"""What a person shows beside the password: codes of an authenticator app (RFC 6238), and recovery codes.

Secrets are sealed under the node's own (AES-SIV), recovery codes kept as keyed digests; each code is good once, on
whatever worker. Nothing here is ever logged or shown a second time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy import Connection, text

from federation.errors import BadInput
from federation.storage.database import Database
from federation.world import World

STEP_SECONDS = 30
DRIFT = 1
"""How many steps a clock may be off, either way."""
RECOVERY_CODES = 10
PENDING_SECONDS = 15 * 60
NOBODY = base64.b32encode(b"\0" * 20).decode()
_TABLES = ("totp_secret", "recovery_code", "passkey")


@dataclass(frozen=True)
class Factors:
    """What an account has beside its password: an app, so many recovery codes left, so many passkeys."""

    totp: bool = False
    recovery_codes: int = 0
    passkeys: int = 0

    @property
    def asked(self) -> bool:
        """Whether the password alone does not suffice."""
        return self.totp or self.passkeys > 0


def factors_of(database: Database, handle: str) -> Factors:
    """What an account has."""
    counting = "SELECT count(*) FROM {} WHERE handle = :handle"
    with database.read() as connection:
        counted = [
            connection.execute(text(counting.format(table)), {"handle": handle}).scalar_one() for table in _TABLES
        ]
    return Factors(counted[0] > 0, counted[1], counted[2])


def remove_factors_in(connection: Connection, handle: str) -> None:
    """Takes an account all of them, as a part of a reset."""
    for table in _TABLES:
        connection.execute(text(f"DELETE FROM {table} WHERE handle = :handle"), {"handle": handle})  # noqa: S608 -- three fixed names


# Codes of an app


def pending_totp(world: World, secret: bytes, handle: str, session_id: str) -> tuple[str, str]:
    """A new secret for an app, in base32, and the same sealed, to come back with the first code: only then it counts.
    What is sealed is good for this session, for a quarter of an hour."""
    now = world.timestamp()
    raw = world.draw("totp", f"{handle} {session_id} {now}", 20)
    sealed = _sealed(secret, now.to_bytes(8, "big") + raw, "pending", handle, session_id)
    return base64.b32encode(raw).decode(), base64.urlsafe_b64encode(sealed).decode()


def pending_secret(world: World, secret: bytes, handle: str, session_id: str, sealed: str) -> str:
    """The secret that was sealed for this session. Raises BadInput."""
    try:
        plain = _opened(secret, base64.urlsafe_b64decode(sealed), "pending", handle, session_id)
    except (InvalidTag, ValueError):
        raise BadInput("This form is over; begin again.") from None
    if not 0 <= world.timestamp() - int.from_bytes(plain[:8], "big") <= PENDING_SECONDS:
        raise BadInput("This form is over; begin again.")
    return base64.b32encode(plain[8:]).decode()


def keep_totp(database: Database, world: World, secret: bytes, handle: str, totp: str, code: str) -> None:
    """Stores the secret of an app that has just shown that it knows it, in the place of the one before. Raises BadInput
    for a wrong code."""
    now = world.timestamp()
    step = matched_step(totp, code, now, after=-1)
    if step is None:
        raise BadInput("The code is not right. Is the clock of the device set? Type the one that it shows now.")
    row = {
        "handle": handle,
        "sealed": _sealed(secret, base64.b32decode(totp), "totp_secret", "sealed", handle),
        "step": step,
        "now": now,
    }
    with database.write() as connection:
        connection.execute(
            text(
                "INSERT INTO totp_secret (handle, sealed, last_step, created_at) VALUES (:handle, :sealed, :step, :now)"
                " ON CONFLICT (handle) DO UPDATE SET sealed = excluded.sealed, last_step = excluded.last_step,"
                " created_at = excluded.created_at"
            ),
            row,
        )


def remove_totp(database: Database, handle: str) -> None:
    """Takes an account its app."""
    with database.write() as connection:
        connection.execute(text("DELETE FROM totp_secret WHERE handle = :handle"), {"handle": handle})


def opened_totp(secret: bytes, handle: str, sealed: bytes | None) -> str | None:
    """The secret of an app as it is stored. None where there is none, and where it was sealed under another secret of
    the node: then no code is right."""
    try:
        plain = _opened(secret, bytes(sealed or b"\0" * 36), "totp_secret", "sealed", handle)
    except InvalidTag:
        return None
    return base64.b32encode(plain).decode()


def matched_step(totp: str, code: str, now: int, *, after: int) -> int | None:
    """The step of time whose code this is, later than `after`; each allowed step is tried, whichever is right."""
    app, typed = pyotp.TOTP(totp), code.replace(" ", "").encode("utf-8", "surrogatepass")
    here = now // STEP_SECONDS
    tried = {step: app.generate_otp(step) for step in range(here - DRIFT, here + DRIFT + 1)}
    right = [step for step, made in tried.items() if hmac.compare_digest(made.encode(), typed) and step > after]
    return max(right, default=None)


def spend_step(connection: Connection, handle: str, step: int) -> bool:
    """Uses up the codes of an account up to this step. False if another was sooner."""
    spent = connection.execute(
        text("UPDATE totp_secret SET last_step = :step WHERE handle = :handle AND last_step < :step"),
        {"handle": handle, "step": step},
    )
    return spent.rowcount == 1


def setup_uri(totp: str, handle: str, issuer: str) -> str:
    """The address that an app reads from a QR code."""
    return pyotp.TOTP(totp).provisioning_uri(name=handle, issuer_name=issuer)


# Recovery codes


def new_recovery_codes(database: Database, world: World, secret: bytes, handle: str) -> list[str]:
    """Ten codes in the place of those before, to be shown this once: 80 bits each, in groups of four."""
    subject = f"{handle} {world.timestamp()}"
    codes = [_grouped(world.draw("recovery-code", f"{subject} {number}", 10)) for number in range(RECOVERY_CODES)]
    with database.write() as connection:
        connection.execute(text("DELETE FROM recovery_code WHERE handle = :handle"), {"handle": handle})
        rows = [{"handle": handle, "digest": recovery_digest(secret, handle, code)} for code in codes]
        connection.execute(text("INSERT INTO recovery_code (digest, handle) VALUES (:digest, :handle)"), rows)
    return codes


def recovery_digest(secret: bytes, handle: str, code: str) -> bytes:
    """Under what a code is stored; however it is typed."""
    plain = "".join(code.split()).replace("-", "").lower()
    message = b"recovery\0" + f"{handle}\0{plain}".encode("utf-8", "surrogatepass")
    return hmac.digest(secret, message, "sha256")


def spend_recovery_code(connection: Connection, digest: bytes) -> bool:
    """Uses a code up. False if it was used before, or another was sooner."""
    spent = connection.execute(text("DELETE FROM recovery_code WHERE digest = :digest"), {"digest": digest})
    return spent.rowcount == 1


def _grouped(raw: bytes) -> str:
    plain = base64.b32encode(raw).decode().lower()
    return "-".join(plain[at : at + 4] for at in range(0, len(plain), 4))


# Sealing


def _cipher(secret: bytes) -> AESSIV:
    return AESSIV(b"".join(hmac.digest(secret, b"factors" + bytes([part]), hashlib.sha256) for part in range(2)))


def _sealed(secret: bytes, plain: bytes, *place: str) -> bytes:
    return _cipher(secret).encrypt(plain, [each.encode() for each in place])


def _opened(secret: bytes, sealed: bytes, *place: str) -> bytes:
    return _cipher(secret).decrypt(sealed, [each.encode("utf-8", "surrogatepass") for each in place])
