"""A copy of an embedded database before it is migrated. It never touches the database itself."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from federation.storage.database import Database
from federation.storage.migrating import pending, revision
from federation.world import World


def back_up(database: Database, home: Path, world: World) -> Path | None:
    """Copies an embedded database, as it is, into `backups/` of the home if a migration is due; gives the copy.

    None where nothing is due, the database is new, or it is PostgreSQL (whose own tools back it up). Writers wait.
    """
    if database.path is None or not pending(database):
        return None
    with database.read() as connection:
        found = revision(connection)
    if found is None:
        return None
    folder = home / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    copy = folder / f"node-{found}-{world.timestamp()}.db"
    with database.write():
        for ending in ("", "-wal"):
            part = Path(database.path + ending)
            if part.exists():
                shutil.copyfile(part, f"{copy}{ending}")
                os.chmod(f"{copy}{ending}", 0o600)
    return copy
