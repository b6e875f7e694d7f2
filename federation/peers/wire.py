"""The bytes of the exchange and where they are asked for: lines of JSON, compressed with zstd, within caps. It knows no
record and no policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

import orjson
import zstandard

from federation.errors import BadInput

CHANGES_PATH = "/exchange/changes"
RECONCILE_PATH = "/exchange/reconcile"
MEDIA_TYPE = "application/x-ndjson"
LEVEL = 3
WINDOW = 8 * 1024 * 1024
CHUNK = 64 * 1024


class AnswerBroken(BadInput):
    """What the other node sent is not understood: cut inside a line, not JSON, or compressed too far."""


@dataclass(frozen=True)
class Caps:
    """What one answer may cost: bytes once unpacked, bytes of a line, lines between two checkpoints, checkpoints (an
    honest one has 120 kB before it, or ends a type), and seconds. After `pull_seconds` others get their turn."""

    answer_bytes: int = 64 * 1024 * 1024
    line_bytes: int = 512 * 1024
    lines: int = 20_000
    held_bytes: int = 8 * 1024 * 1024
    checkpoints: int = 1_000
    seconds: float = 600.0
    pull_seconds: int = 600


def line(item: Any) -> bytes:
    """One line of the exchange: compact JSON with sorted keys and a line feed."""
    return orjson.dumps(item, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def compressed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks as one zstd frame, flushed after each: a reader can use a block before the next is made."""
    frame = zstandard.ZstdCompressor(level=LEVEL).compressobj()
    for block in blocks:
        out = frame.compress(block) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        if out:
            yield out
    yield frame.flush()


class _Source:
    """The arriving chunks as a file; what was read beyond the size asked for waits for the next read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = chunk
        out, self._rest = self._rest[:size], self._rest[size:]
        return out


def decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a zstd frame, never more than 64 kB at a time, whatever the frame claims. A frame that was cut
    ends early. Raises AnswerBroken for what is no zstd or asks for more memory than 8 MB."""
    source = cast("IO[bytes]", _Source(chunks))
    reader = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(source, read_size=CHUNK)
    while True:
        try:
            out = reader.read1(CHUNK)
        except zstandard.ZstdError:
            raise AnswerBroken("The answer is not compressed as it says, or far beyond measure.") from None
        if not out:
            return
        yield out


def parsed(raw: bytes) -> dict[str, Any]:
    """The object on a line. Raises AnswerBroken."""
    try:
        item = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise AnswerBroken("A line of the answer is not JSON.") from None
    if not isinstance(item, dict) or not isinstance(item.get("k"), str):
        raise AnswerBroken("A line of the answer is not an item of the exchange.")
    return item
