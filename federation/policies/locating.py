"""On which line each key of a TOML text stands: `tomllib` checks the text but gives no positions.

Pure. It takes every text that is TOML, and stops quietly where a text is not; it must never be used as the parser.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Keys from the root of the document; numbers are places in a list."""

MAX_DEPTH = 16
MAX_SCALAR = 100

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_STRING = re.compile(
    r'''"""(?:\\.|[^\\])*?""""{0,2}|"(?:\\.|[^"\\\n])*"|''' + r"""'''.*?''''{0,2}|'[^'\n]*'""",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^\s,\]}#\[{=\"'][^,\]}#\n]*")


@dataclass(frozen=True)
class Places:
    """`lines`: the line (from 1) on which each path first stands. `starts`: for the line on which an assignment
    ends, the line on which it starts. `fault`: (line, reason) where the text is too deep or too long to be read."""

    lines: Mapping[Path, int]
    starts: Mapping[int, int]
    fault: tuple[int, str] | None

    def line(self, path: Path) -> int | None:
        """The line of the path, or of the nearest key around it that is written in the text."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


class _NotToml(Exception):
    """The text is not TOML from here on; the parser says why."""


class _Unreadable(Exception):
    """The text may be TOML, but is deeper or longer than any policy."""


@dataclass
class _Scan:
    text: str
    breaks: list[int]
    at: int = 0
    lines: dict[Path, int] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)

    def line(self) -> int:
        return bisect_right(self.breaks, self.at - 1) + 1

    def take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _NotToml
        self.at = found.end()
        return found.group()

    def has(self, mark: str) -> bool:
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def need(self, mark: str) -> None:
        if not self.has(mark):
            raise _NotToml


def locate(text: str) -> Places:
    """Where the keys of a TOML text stand, in the spellings of the text."""
    text = text.replace("\r\n", "\n")
    scan = _Scan(text, [at for at, letter in enumerate(text) if letter == "\n"])
    fault = None
    try:
        _document(scan)
    except _NotToml:
        pass
    except _Unreadable as error:
        fault = (scan.line(), str(error))
    return Places(scan.lines, scan.starts, fault)


def _document(scan: _Scan) -> None:
    prefix: Path = ()
    scan.take(_BLANK)
    while scan.at < len(scan.text):
        if scan.has("[["):
            prefix = _key(scan, ())
            scan.need("]]")
        elif scan.has("["):
            prefix = _key(scan, ())
            scan.need("]")
        else:
            start = scan.line()
            _assignment(scan, prefix, 0)
            scan.starts[scan.line()] = start
        scan.take(_BLANK)


def _key(scan: _Scan, prefix: Path) -> Path:
    """Read a key, dotted or not; note the line of each of its parts."""
    path = prefix
    while True:
        scan.take(_SPACE)
        line = scan.line()
        raw = scan.take(_KEY)
        path = (*path, _word(raw))
        scan.lines.setdefault(path, line)
        scan.take(_SPACE)
        if not scan.has("."):
            return path


def _word(raw: str) -> str:
    if raw[0] not in "\"'":
        return raw
    try:
        return str(tomllib.loads(f"key = {raw}")["key"])
    except tomllib.TOMLDecodeError:
        raise _NotToml from None


def _assignment(scan: _Scan, prefix: Path, depth: int) -> None:
    path = _key(scan, prefix)
    scan.need("=")
    scan.take(_SPACE)
    _value(scan, path, depth)


def _value(scan: _Scan, path: Path, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _Unreadable("nested too deeply for a policy")
    if scan.has("["):
        _list(scan, path, depth + 1)
    elif scan.has("{"):
        _table(scan, path, depth + 1)
    elif scan.text.startswith(('"', "'"), scan.at):
        scan.take(_STRING)
    elif len(scan.take(_SCALAR).rstrip()) > MAX_SCALAR:
        raise _Unreadable("a number or date is too long")


def _list(scan: _Scan, path: Path, depth: int) -> None:
    place = 0
    scan.take(_BLANK)
    while not scan.has("]"):
        scan.lines.setdefault((*path, place), scan.line())
        _value(scan, (*path, place), depth)
        place += 1
        scan.take(_BLANK)
        if not scan.has(","):
            scan.need("]")
            return
        scan.take(_BLANK)


def _table(scan: _Scan, path: Path, depth: int) -> None:
    scan.take(_BLANK)
    while not scan.has("}"):
        _assignment(scan, path, depth)
        scan.take(_BLANK)
        if not scan.has(","):
            scan.need("}")
            return
        scan.take(_BLANK)
