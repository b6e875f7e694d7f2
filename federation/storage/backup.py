"""A copy of an embedded database before it is migrated, kept for some days: what was withdrawn must not stay in it for
ever. It never touches the database itself."""

from __future__ import annotations

import os
import re
import shutil
from datetime import datetime
from pathlib import Path

from federation.storage.database import Database
from federation.storage.migrating import pending, revision
from federation.world import World

_COPY = re.compile(r"node-[^-]+-(?P<at>\d+)\.db(?:-wal)?")


def let_backups_go(home: Path, before: datetime) -> int:
    """Removes the copies of a home that were made before a moment; gives how many files went. To be called by a node
    that runs, so that the copy outlives a start that fails."""
    old = [
        path
        for path in (home / "backups").glob("node-*")
        if (found := _COPY.fullmatch(path.name)) and int(found["at"]) < before.timestamp()
    ]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


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
