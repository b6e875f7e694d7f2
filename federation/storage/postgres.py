"""How PostgreSQL is opened: psycopg 3, snapshots for reads, and limits on idle transactions and on statements.

A URL holds a password: it must never be part of an error or a log line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from federation.errors import SettingsInvalid

IDLE_SECONDS = 60
LOCK_SECONDS = 30

_OPTIONS = (
    f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s -c lock_timeout={LOCK_SECONDS}s "
    "-c timezone=UTC -c client_min_messages=warning -c synchronous_commit=on"
)


def engines(url: str, key: bytes | None, statement_seconds: float) -> tuple[Engine, Engine, Callable[[], Any]]:
    """The engine that writes, the one that reads in snapshots, and the opener of raw read-only connections."""
    if key is not None:
        raise SettingsInvalid("database_key encrypts SQLite; with PostgreSQL use an encrypted volume.")
    try:
        address = make_url(url)
    except ArgumentError:
        raise SettingsInvalid("The database URL is not understood.") from None
    if address.get_backend_name() != "postgresql":
        raise SettingsInvalid("The database is sqlite:///PATH or postgresql://….")
    address = address.set(drivername="postgresql+psycopg")
    common: dict[str, Any] = {"pool_size": 8, "max_overflow": 16, "pool_timeout": 30, "pool_pre_ping": True}
    common["hide_parameters"] = True
    arguments = {"options": _OPTIONS}
    writing = create_engine(address, connect_args=arguments, **common)
    reading = create_engine(
        address,
        connect_args=arguments,
        execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
        **common,
    )
    plain = address.set(drivername="postgresql").render_as_string(hide_password=False)
    limited = f"{_OPTIONS} -c statement_timeout={int(statement_seconds * 1000)} -c default_transaction_read_only=on"
    return writing, reading, lambda: psycopg.connect(plain, autocommit=True, options=limited)


def sentence(error: BaseException | None) -> str | None:
    """What to tell a person of an error of the machine; None for any other error."""
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    if state == "53100":
        return "The disk of the database is full: nothing was written. Make room and try again."
    if state in ("53200", "53300"):
        return "The database has no room for another connection; try again in a moment."
    if state == "57014":
        return "The request took longer than it may; ask for less."
    if state in ("55P03", "40001", "40P01"):
        return "Other writers keep the database busy; try again in a moment."
    if state in ("58030", "25006") or state.startswith("XX"):
        return "The database cannot read or write its files; see that its disk is in order."
    if state.startswith(("08", "57P", "25P03")) or (not state and isinstance(error, psycopg.OperationalError)):
        return "The database cannot be reached; try again in a moment."
    return None
