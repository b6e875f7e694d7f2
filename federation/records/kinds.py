"""What a kind of value is, and the kinds with one precision: texts, addresses, flags, numbers, days.

A home value is what the network itself wrote. A step value is what one step of the ladder holds; it is JSON-able and
is the wire form itself. Kinds must never read a clock, a file or a database: code lists come in by the context.
"""

# ruff: noqa: ARG002  (all kinds share one signature; not every kind needs step and context)
from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import orjson

from federation.errors import BadInput
from federation.records.codes import CodeLists, load
from federation.records.syntax import LIST_CAP, accepted_tag, iso_day
from federation.records.texts import accepted_text, checked_text, sort_key

Cell = str | int | None

UNKNOWN_TEXT = ("~", "")
"""Bounds of an unknown text or date: above every known value ascending by lo, below it descending by hi."""

UNKNOWN_NUMBER = (9223372036854775807, -1)
UNBOUNDED = 9223372036854775806
"""The upper bound of a number that has none."""


@dataclass(frozen=True)
class Context:
    """What generalising needs to know: the code lists, and the place cells that are too small to be shown."""

    codes: CodeLists
    small_cells: frozenset[tuple[str, str]] = field(default_factory=frozenset)


def standard_context() -> Context:
    """The context of the code lists as shipped, with no small cells."""
    return Context(load())


@dataclass(frozen=True)
class ColumnSpec:
    """One stored column of a step: the suffix after `{field}__{step}`."""

    suffix: str
    sql: Literal["text", "int"]
    nullable: bool = True


MAIN = ColumnSpec("", "text")
MAIN_INT = ColumnSpec("", "int")
UP = ColumnSpec("__up", "text")
TEXT_BOUNDS = (ColumnSpec("__lo", "text", False), ColumnSpec("__hi", "text", False))
INT_BOUNDS = (ColumnSpec("__lo", "int", False), ColumnSpec("__hi", "int", False))


class Kind:
    """Base of all kinds. `name` is the storage shape, one for all steps of a kind; `ladder` the steps that it knows;
    `sortable`: it has bounds to sort by; `searched`: its words are indexed; `batched`: its coarser steps are
    restated once a day at most."""

    name: ClassVar[str]
    graphql: ClassVar[str] = "String"
    filters: ClassVar[tuple[str, ...]] = ("eq", "in", "is_null")
    ladder: tuple[str, ...] = ("exact",)
    layout: tuple[ColumnSpec, ...] = (MAIN,)
    sortable: bool = False
    searched: bool = False
    batched: bool = False

    def check(self, value: Any, context: Context | None = None) -> Any:
        """The home value in normal form. BadInput with a sentence if it is not one; codes must be known."""
        raise BadInput("This kind of value is not understood.")

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        """The step value of a home value or of a finer step value; None is withheld or unknown."""
        return value

    def columns(self, step: str) -> tuple[ColumnSpec, ...]:
        """The columns of a step; every step of a kind has the same ones, so that a finer column can hold coarser."""
        return self.layout

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        """The cells of a step value in the order of `columns`; for None the cells that mean unknown."""
        return (value,)

    def encode(self, value: Any, step: str, context: Context) -> dict[str, Cell]:
        """The cells of a step value by column suffix."""
        names = (column.suffix for column in self.columns(step))
        return dict(zip(names, self.cells(value, step, context), strict=True))

    def wire(self, value: Any) -> Any:
        """The wire form of a step value; a home value is taken as its exact step."""
        return self.generalise(value, "exact", standard_context())

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> Any:
        """The step value of a wire form from outside, unchanged, or BadInput. Codes need not be known here."""
        raise BadInput("This kind of value is not understood.")


class Line(Kind):
    """A short text on one line, without translations."""

    name = "string"

    def __init__(self, longest: int = 300) -> None:
        self.longest = longest

    def check(self, value: Any, context: Context | None = None) -> Any:
        return checked_text(value, self.longest, lines=False)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> str:
        return accepted_text(wire, self.longest, lines=False)


class Text(Kind):
    """Text of several lines that can be translated. Step value: str, or {"text": …, "tr": {language: text}}."""

    name = "text"

    def __init__(self, longest: int = 20000, *, sortable: bool = False, searched: bool = False) -> None:
        self.longest = longest
        self.sortable = sortable
        self.searched = searched
        self.layout = (MAIN, ColumnSpec("__tr", "text"), *(TEXT_BOUNDS if sortable else ()))

    def check(self, value: Any, context: Context | None = None) -> str:
        return checked_text(value, self.longest, lines=True)

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        text, translated = value, None
        if isinstance(value, dict):
            text = value["text"]
            translated = orjson.dumps(value["tr"], option=orjson.OPT_SORT_KEYS).decode()
        if not self.sortable:
            return (text, translated)
        if text is None:
            return (None, None, *UNKNOWN_TEXT)
        key = sort_key(text)
        return (text, translated, key, key)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> Any:
        if not isinstance(wire, dict):
            return accepted_text(wire, self.longest, lines=True)
        if set(wire) != {"text", "tr"} or not isinstance(wire["tr"], dict) or not 0 < len(wire["tr"]) <= LIST_CAP:
            raise BadInput("This text with translations is not well formed.")
        accepted_text(wire["text"], self.longest, lines=True)
        for language, text in wire["tr"].items():
            accepted_tag(language)
            accepted_text(text, self.longest, lines=True)
        return wire


class Url(Kind):
    """A web address, http or https only."""

    name = "url"

    def check(self, value: Any, context: Context | None = None) -> str:
        return self._valid(checked_text(value, 2000, lines=False))

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> str:
        return self._valid(accepted_text(wire, 2000, lines=False))

    @staticmethod
    def _valid(text: str) -> str:
        try:
            parts = urlsplit(text)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
            good = good and (parts.port is None or parts.port > 0)
        except ValueError:
            good = False
        if not good or any(c in text for c in ' <>"\\^`{|}'):
            raise BadInput("This must be a web address that begins with https:// or http://.")
        return text


class Flag(Kind):
    """Yes or no."""

    name = "flag"
    graphql = "Boolean"
    filters = ("eq", "is_null")
    layout = (MAIN_INT,)

    def check(self, value: Any, context: Context | None = None) -> bool:
        return self.accept(value)

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        return (None if value is None else int(value),)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> bool:
        if not isinstance(wire, bool):
            raise BadInput("This must be true or false.")
        return wire


class Whole(Kind):
    """A whole number within bounds."""

    name = "whole"
    graphql = "Int"
    filters = ("eq", "at_least", "at_most", "is_null")
    layout = (MAIN_INT, *INT_BOUNDS)
    sortable = True

    def __init__(self, least: int = 0, most: int = 2**31 - 1) -> None:
        self.least = least
        self.most = most

    def check(self, value: Any, context: Context | None = None) -> int:
        return self.accept(value)

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        return (None, *UNKNOWN_NUMBER) if value is None else (value, value, value)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> int:
        if not isinstance(wire, int) or isinstance(wire, bool):
            raise BadInput("This must be a whole number.")
        if not self.least <= wire <= self.most:
            raise BadInput(f"This number must be from {self.least} to {self.most}.")
        return wire


class Day(Kind):
    """One date. It ends at 24:00 UTC."""

    name = "day"
    graphql = "Date"
    filters = ("from", "to", "eq", "is_null")
    layout = (MAIN, *TEXT_BOUNDS)
    sortable = True

    def check(self, value: Any, context: Context | None = None) -> str:
        return self.accept(value.isoformat() if type(value) is date else value)

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        return (None, *UNKNOWN_TEXT) if value is None else (value, value, value)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> str:
        iso_day(wire)
        return wire


class Instant(Kind):
    """A moment in UTC, for a network's own eyes; it has no step that may leave and no filter."""

    name = "string"
    filters = ()

    def check(self, value: Any, context: Context | None = None) -> str:
        return self.accept(value)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> str:
        try:
            moment = datetime.fromisoformat(wire) if isinstance(wire, str) and len(wire) <= 40 else None
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise BadInput("This must be a moment with its time zone, as in 2024-05-01T10:00:00Z.")
        return wire
