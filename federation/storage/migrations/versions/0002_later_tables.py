"""The tables that came after the first version: whole new ones, made where a database does not have them yet."""

from __future__ import annotations

from alembic import op

from federation.storage.metadata import all_metadata

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes what is missing. A database made by this version's own first migration lacks nothing."""
    all_metadata().create_all(op.get_bind(), checkfirst=True)
