"""What own records hold under seal, as keyed hashes, so that a free text that repeats it can be warned of.

Only hashes are stored, and only in this node's own database. It must never tell which value was repeated, or whose.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from federation.policies.tiers import Tier
from federation.records.base import RecordType
from federation.records.rows import search_words

LONGEST = 8
"""How many words a phrase may have that is looked for."""

_LEAST_LETTERS = 5
_PROSE = 300
_SPLIT = re.compile(r"[\n,;|•/]+")
_DIGITS = re.compile(r"\+?\d[\d\s().\-/]{5,}\d")
_NUMBER_LENGTH = 8
_AT_ONCE = 400

Findings = Callable[[str], Iterable[Any]]


@dataclass(frozen=True)
class Phrase:
    """One phrase as hashes: of its first word, of the whole, and how many words it has."""

    first: bytes
    whole: bytes
    length: int


class SealedWords:
    """Makes and finds phrases under one key. `findings` finds phones and e-mails within longer sealed texts."""

    def __init__(self, secret: bytes, findings: Findings) -> None:
        self._key = hashlib.blake2b(b"sealed-words", key=secret[:64], digest_size=32).digest()
        self._findings = findings

    def phrases(self, record_type: RecordType, document: Mapping[str, Any]) -> frozenset[Phrase]:
        """What is looked for of a document's sealed values: names, addresses, mail addresses, numbers."""
        found = set()
        for value, prose in sealed_texts(record_type, document):
            for words in _phrases(value, prose, self._findings):
                found.add(Phrase(self._hash(words[:1]), self._hash(words), len(words)))
            for number in _numbers(value):
                found.add(Phrase(self._hash([number]), self._hash([number]), 1))
        return frozenset(found)

    def repeats(self, connection: Connection | None, values: Sequence[str], own: frozenset[Phrase]) -> list[bool]:
        """For each free text whether it repeats one of `own`, or with a connection a sealed value of any own record."""
        told = [(search_words(value), list(_numbers(value))) for value in values]
        hashed = {each: self._hash([each]) for words, numbers in told for each in (*words, *numbers)}
        wanted: dict[bytes, set[tuple[int, bytes]]] = {}
        held = () if connection is None else _stored(connection, list(set(hashed.values())))
        for phrase in (*own, *held):
            wanted.setdefault(phrase.first, set()).add((phrase.length, phrase.whole))
        if not wanted:
            return [False] * len(told)
        return [self._holds(words, numbers, hashed, wanted) for words, numbers in told]

    def _holds(
        self,
        words: list[str],
        numbers: list[str],
        hashed: Mapping[str, bytes],
        wanted: Mapping[bytes, set[tuple[int, bytes]]],
    ) -> bool:
        if any((1, hashed[number]) in wanted.get(hashed[number], ()) for number in numbers):
            return True
        return any(
            (hashed[word] if length == 1 else self._hash(words[place : place + length])) == whole
            for place, word in enumerate(words)
            for length, whole in wanted.get(hashed[word], ())
        )

    def keep(self, connection: Connection, kept: Iterable[tuple[str, int, frozenset[Phrase]]]) -> None:
        """Stores the phrases of own records (type, row id, phrases) in place of those before."""
        records = list(kept)
        if records:
            connection.execute(
                text("DELETE FROM sealed_words WHERE type = :type AND rid = :rid"),
                [{"type": type_key, "rid": rid} for type_key, rid, _ in records],
            )
        values = [
            {"first": each.first, "phrase": each.whole, "type": type_key, "rid": rid, "length": each.length}
            for type_key, rid, phrases in records
            for each in phrases
        ]
        if values:
            connection.execute(
                text(
                    "INSERT INTO sealed_words (first, phrase, type, rid, length)"
                    " VALUES (:first, :phrase, :type, :rid, :length)"
                ),
                values,
            )

    def _hash(self, words: Iterable[str]) -> bytes:
        return hashlib.blake2b(" ".join(words).encode(), key=self._key, digest_size=8).digest()


def sealed_texts(record_type: RecordType, document: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """The texts of a document whose exact value never leaves: sealed fields, parts of contacts, translations too; with
    each whether it is prose, in which only numbers and mail addresses are told apart."""
    translations = document.get("translations") or {}
    for name, spec in record_type.fields.items():
        if spec.steps[0].tier is not Tier.SEALED:
            continue
        value = document.get(name)
        parts = value if isinstance(value, Mapping) else {"": value}
        for part, each in parts.items():
            if isinstance(each, str) and part != "relay":
                yield each, spec.common or part == "note" or len(each) > _PROSE
        yield from ((texts[name], True) for texts in translations.values() if name in texts)


def _phrases(value: str, prose: bool, findings: Findings) -> Iterator[list[str]]:
    pieces = [value[one.start : one.end] for one in findings(value)] if prose else [value, *_SPLIT.split(value)]
    for piece in pieces:
        words = search_words(piece)
        if 0 < len(words) <= LONGEST and sum(map(len, words)) >= _LEAST_LETTERS:
            yield words


def _numbers(value: str) -> Iterator[str]:
    """The last digits of each number that could be called, however it is written."""
    for found in _DIGITS.finditer(value):
        digits = re.sub(r"\D", "", found[0])
        if len(digits) >= _NUMBER_LENGTH - 1:
            yield "#" + digits[-_NUMBER_LENGTH:]


def _stored(connection: Connection, firsts: list[bytes]) -> Iterator[Phrase]:
    """The phrases that begin with one of the words; asked past SQLAlchemy, for each record of an import asks."""
    columns = "SELECT DISTINCT first, phrase, length FROM sealed_words WHERE first"
    for start in range(0, len(firsts), _AT_ONCE):
        part = firsts[start : start + _AT_ONCE]
        if connection.dialect.name == "sqlite":
            found = connection.exec_driver_sql(f"{columns} IN ({', '.join('?' * len(part))})", tuple(part))
        else:
            found = connection.exec_driver_sql(f"{columns} = ANY(%(firsts)s)", {"firsts": part})
        for first, phrase, length in found:
            yield Phrase(bytes(first), bytes(phrase), length)
