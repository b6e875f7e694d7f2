"""One node of a test's own, outside of any demonstration: a home made by `init`, a server process, its end."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from acceptance.commands import done
from acceptance.federation_demo import ENVIRONMENT, ready, wait_until

PRIVATE = 'allow_private_peers = ["127.0.0.0/8"]\nexchange_interval = 3600\nsweep_interval = 2\n'


def made_home(home: Path, name: str, url: str, more: str = "") -> Path:
    """A home as its operator makes it, with peers on this machine allowed."""
    done(home, "init", "--name", name, "--url", url, "--scope", "local")
    with open(home / "federation.toml", "a", encoding="utf-8") as file:
        file.write(PRIVATE + more)
    return home


def linked(inviter: Path, invited: Path, called: str, there: str) -> None:
    """Invitation, acceptance, and words compared on both sides: the inviter is `called` so by the other, and calls the
    other `there`. The inviter must be served."""
    invitation = done(inviter, "peer", "invite")["invitation"]
    words = done(invited, "peer", "accept", invitation, "--name", called)["words"]
    (name,) = [row["name"] for row in done(inviter, "peer", "list") if not row["verified"]]
    done(inviter, "peer", "rename", name, there)
    done(invited, "peer", "verify", called, "--words", words)
    done(inviter, "peer", "verify", there, "--words", words)


@dataclass
class Served:
    """A home and the process that serves it; what it says goes to `log`."""

    home: Path
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens, which need not be what it calls itself."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *more: str) -> None:
        """As an operator does, with `more` options; returns when it is ready."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "federation", "serve", "--home", str(self.home)),
                    *("--port", str(self.port), *more),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
            )
        process = self.process
        wait_until(lambda: process.poll() is not None or ready(self.address), 60)
        assert process.poll() is None, self.said()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=40)

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")
