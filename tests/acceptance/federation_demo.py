"""The demonstration as a user starts it: one process that starts three, driven over HTTP and the command line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from acceptance.caller import Caller, get
from acceptance.commands import done

NAMES = ("river", "west", "aurora")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("FEDERATION_")}


@dataclass
class RunningDemo:
    """A running demonstration; `started` are the node processes that a test has started in place of killed ones."""

    directory: Path
    port: int
    process: subprocess.Popen[str]
    seconds: float
    described: dict[str, Any]
    hsds: Path | None
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def home(self, name: str) -> Path:
        return self.directory / name

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port + 1 + NAMES.index(name)}"

    def caller(self, name: str) -> Caller:
        """The client of that name in demo.json."""
        client = next(each for each in self.described["clients"] if each["name"] == name)
        return Caller.of(self.url(client["node"]), client)

    def command(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`federation …` at the home of a node."""
        return federation(*arguments, "--home", str(self.home(name)))

    def done(self, name: str, *arguments: str) -> Any:
        """A command that must succeed; what it prints with `--json`. It runs in this process: a start takes longer."""
        return done(self.home(name), *arguments)

    def pid(self, name: str) -> int:
        """The process that serves a node now."""
        if name in self.started:
            return self.started[name].pid
        home = str(self.home(name)).encode()
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == self.process.pid and b"serve" in words and home in words:
                    return int(folder.name)
        raise AssertionError(f"{name} does not run")

    def kill(self, name: str) -> None:
        """As a power cut would: no chance to tidy up."""
        os.kill(self.pid(name), signal.SIGKILL)
        if (ended := self.started.pop(name, None)) is not None:
            ended.wait()
        wait_until(lambda: not listens(self.port + 1 + NAMES.index(name)), 10)

    def start(self, name: str) -> float:
        """Starts a killed node again, as its operator would; seconds until it is ready."""
        begun = time.monotonic()
        with open(self.home(name) / "node.log", "ab") as log:
            self.started[name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "federation", "serve", "--home", str(self.home(name))),
                    *("--port", str(self.port + 1 + NAMES.index(name))),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
            )
        wait_until(lambda: ready(self.url(name)), 60)
        return time.monotonic() - begun

    def stop(self) -> None:
        """Ctrl-C, and the end of what tests have started."""
        for process in self.started.values():
            process.terminate()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        for process in (self.process, *self.started.values()):
            process.wait(timeout=40)


def federation(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """One command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "federation", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=ENVIRONMENT,
        **more,
    )


def ready(url: str) -> bool:
    try:
        return get(f"{url}/health/ready").status_code == 200
    except httpx2.HTTPError:
        return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return not listens(port)


def wait_until(true: Callable[[], bool], seconds: float, pause: float = 0.1) -> float:
    """Waits until something holds; the seconds it took. Fails where it does not come to hold."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"did not come to hold within {seconds} s"
        time.sleep(pause)
    return time.monotonic() - begun


def free_ports(count: int) -> int:
    """A port P such that P + 1 … P + count are free now; below those that connections are given as their own end.
    Processes that look at the same moment, before any listens, find others: each begins in a place of its own."""
    for base in range(10_000 + os.getpid() * 16 % 20_000, 32_000, count + 1):
        if all(is_free(base + offset) for offset in range(1, count + 1)):
            return base
    raise AssertionError("no free ports")


@contextlib.contextmanager
def running_demo(directory: Path, port: int, hsds: Path | None = None) -> Iterator[RunningDemo]:
    """Starts `federation demo` and waits until it says that it is ready; ends it with Ctrl-C."""
    begun = time.monotonic()
    with open(directory.parent / f"{directory.name}.log", "a+", encoding="utf-8") as log:
        log.seek(0, os.SEEK_END)
        from_here = log.tell()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "federation", "demo", "--dir", str(directory), "--port", str(port)),
                *(("--hsds", str(hsds)) if hsds else ()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            env=ENVIRONMENT,
        )

        def said() -> str:
            log.seek(from_here)
            return log.read()

        try:
            wait_until(lambda: process.poll() is not None or "Ctrl-C" in said(), 240)
            assert process.poll() is None, said()
            described = json.loads((directory / "demo.json").read_text())
            running = RunningDemo(directory, port, process, time.monotonic() - begun, described, hsds)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=40)
            raise
        try:
            yield running
        finally:
            running.stop()
