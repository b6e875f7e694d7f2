"""Every table of the schema in one place, and where the migrations that make it stand. It reads no database."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from sqlalchemy import MetaData

from federation.storage import tables

MIGRATIONS = Path(__file__).parent / "migrations"


def all_metadata() -> MetaData:
    """The metadata with every table in it, also those that are stated as classes: importing them states them."""
    for name in ("peering", "accounts", "grants", "vouching", "peer_keys", "limits"):
        import_module(f"federation.storage.{name}")
    return tables.metadata
