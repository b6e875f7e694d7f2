"""A directory that can be full: a file system of a few megabytes in memory, or, where none may be mounted, a limit on
how long a file of the writing process may become."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = 4096


@dataclass
class SmallDisk:
    """The directory; `mounted` says which of the two it is. `pid` is always the process that writes there."""

    path: Path
    mounted: bool

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self, pid: int, left: int = 0) -> None:
        """Leaves about `left` bytes for what is to be written."""
        if not self.mounted:
            longest = max((path.stat().st_size for path in self.path.rglob("node.db*")), default=0)
            _limit(pid, longest + left if left else 0)
            return
        with open(self._ballast, "ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(BLOCK))
            os.ftruncate(file.fileno(), max(0, os.fstat(file.fileno()).st_size - left))

    def free(self, pid: int) -> None:
        """As an operator makes room."""
        if self.mounted:
            self._ballast.unlink(missing_ok=True)
        else:
            _limit(pid, resource.RLIM_INFINITY)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """While it lasts, there is no room for what this process writes."""
        self.fill(os.getpid())
        try:
            yield
        finally:
            self.free(os.getpid())


def _limit(pid: int, length: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (length, resource.RLIM_INFINITY))


@contextlib.contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounts it at `path`, which is made; unmounted at the end."""
    path.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "none", str(path)]
    mounted = subprocess.run(mounting, capture_output=True, check=False).returncode == 0
    try:
        yield SmallDisk(path, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], capture_output=True, check=True)
