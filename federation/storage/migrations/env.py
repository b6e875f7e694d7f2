"""What Alembic runs: the connection and its transaction are given by `federation.storage.migrating.migrate`."""

from __future__ import annotations

from alembic import context

from federation.storage.metadata import all_metadata
from federation.storage.upgrading import compared

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_metadata(),
    include_object=compared,
    transaction_per_migration=False,
)
context.run_migrations()
