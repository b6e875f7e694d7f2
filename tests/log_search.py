"""Row 46 of the checklist over the whole suite: no log of any test holds a secret that a test used.

Secrets are noted where they come into being (what a world draws, what is hashed as a password), logs are read as a node
would write them, and the log files of the nodes that tests have started are read too. A draw for a purpose that stands
in neither list below fails the run: somebody has to say which it is.
"""

from __future__ import annotations

import base64
import copy
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import argon2
import pytest
import structlog

from federation.telemetry import configure_logging
from federation.world import World

SECRET = {
    *("authorization-code", "client-invitation", "invitation", "key", "login-device", "login-session", "node-secret"),
    *("opened-request", "passkey-challenge", "personal-token", "pushed-request", "recovery-code", "refresh-token"),
    *("relay", "setup-link", "totp"),
}
"""Purposes of draws that somebody who reads a log must not learn."""
PUBLIC = {
    *("access-token", "assertion-jti", "client-id", "grant", "holder", "incarnation", "jitter", "journal-tag"),
    *("ledger-chain", "login-session-id", "record-id", "personal-token-id", "proof-jti", "reconcile"),
}
"""Purposes of names and numbers that open nothing."""
SHAPES = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]{8,}|\b(fed[pri]_|federation-invite-)[\w-]{16,}"
    r"|\\?\"d\\?\"\s*:\s*\\?\"[\w-]{20,}|\$argon2id\$"
)
"""A signed token, a personal or refresh token, an invitation, the private half of a key, a hash of a password."""
LEAST = 12
"""Shorter texts stand in logs by chance."""
RUNS = re.compile(rf"[\w-]{{{LEAST},}}")
HANDLE = logging.Logger.handle
"""How a record is handled where nobody watches."""


class LogSearch:
    """What tests used and what was logged meanwhile, in one process."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.passwords: set[str] = set()
        self.purposes: set[str] = set()
        self.lines: list[str] = []
        self.files: list[Path] = []

    def note(self, purpose: str, drawn: bytes) -> None:
        self.purposes.add(purpose)
        if purpose in SECRET and len(drawn) >= 8:
            self.secrets.add(drawn.hex())
            self.secrets.add(base64.urlsafe_b64encode(drawn).decode().rstrip("="))
            self.secrets.add(base64.b32encode(drawn).decode().rstrip("="))

    def log(self, line: str) -> None:
        self.lines.append(line)

    def read(self, folder: Path) -> None:
        """All log files below a folder."""
        self.files += sorted(folder.rglob("*.log"))

    def found(self) -> list[str]:
        """The lines in which a secret stands."""
        starts: dict[str, list[str]] = {}
        for secret in self.secrets:
            if len(secret) >= LEAST:
                starts.setdefault(secret[:LEAST], []).append(secret)
        texts = [*self.lines, *(line for file in self.files for line in file.read_text(errors="replace").splitlines())]
        return [
            text
            for text in dict.fromkeys(texts)
            if SHAPES.search(text)
            or any(secret in text for at in _places(text) for secret in starts.get(text[at : at + LEAST], ()))
            or any(password in text for password in self.passwords)
        ]


def _places(text: str) -> Iterator[int]:
    """Where in a text a secret of letters and digits could begin."""
    return (at for run in RUNS.finditer(text) for at in range(run.start(), run.end() - LEAST + 1))


def watching() -> Iterator[LogSearch]:
    """Watches this process while it is kept open."""
    search = LogSearch()
    format_line = _as_a_node_writes()
    draw, handle, hash_password = World.draw, logging.Logger.handle, argon2.PasswordHasher.hash

    def drawn(self: World, purpose: str, subject: bytes | str = b"", size: int = 32) -> bytes:
        made = draw(self, purpose, subject, size)
        search.note(purpose, made)
        return made

    def handled(self: logging.Logger, record: logging.LogRecord) -> None:
        search.log(format_line(record))
        handle(self, record)

    def hashed(self: Any, password: str | bytes, **more: Any) -> str:
        search.passwords.add(password if isinstance(password, str) else password.decode(errors="replace"))
        return hash_password(self, password, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "draw", drawn)
        patch.setattr(logging.Logger, "handle", handled)
        patch.setattr(argon2.PasswordHasher, "hash", hashed)
        yield search


def _as_a_node_writes() -> Any:
    """What makes a line of a record. It leaves the handlers and the level of this process as they were, and its
    structured logs on their way through them."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging()
    (formatter,) = [handler.formatter for handler in root.handlers]
    root.handlers[:], root.level = before
    assert isinstance(formatter, structlog.stdlib.ProcessorFormatter)
    return lambda record: formatter.format(copy.copy(record))
