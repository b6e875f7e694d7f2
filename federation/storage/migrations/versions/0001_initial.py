"""The schema of the first version: all tables as they stand in the code."""

from __future__ import annotations

from alembic import op

from federation.storage.metadata import all_metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes every table, index and text index."""
    all_metadata().create_all(op.get_bind(), checkfirst=False)
