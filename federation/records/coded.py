"""The kinds of coded values: one code, several, languages.

Codes of our own must be known; from outside they may be new. An unknown code from outside must never be dropped: it
is kept, and shown as its first known broader term.
"""

# ruff: noqa: ARG002  (all kinds share one signature; not every kind needs step and context)
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from federation.errors import BadInput
from federation.records.kinds import MAIN, UP, Cell, Context, Kind, Line, standard_context
from federation.records.syntax import (
    LIST_CAP,
    accepted_code,
    accepted_tag,
    checked_list,
    closure_text,
    known_code,
    known_tag,
)


class Code(Kind):
    """One code of a list. Of a tree: step value [code, broader, …]; the main column holds the first known of them."""

    name = "code"
    filters = ("eq", "in", "not_in", "is_null")
    ladder: tuple[str, ...] = ("exact", "broader")

    def __init__(self, codes: str, *, tree: bool = False) -> None:
        self.codes = codes
        self.tree = tree
        self.layout = (MAIN, UP) if tree else (MAIN,)

    def check(self, value: Any, context: Context | None = None) -> Any:
        return known_code(value, self.codes, (context or standard_context()).codes)

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None or not self.tree:
            return value
        chain = list(value) if isinstance(value, (list, tuple)) else list(context.codes.closure(self.codes, value))
        return chain[-1:] if step == "broader" else chain

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        if not self.tree:
            return (value,)
        if value is None:
            return (None, None)
        shown = next((code for code in value if context.codes.known(self.codes, code)), value[0])
        return (shown, closure_text(value))

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> Any:
        if not self.tree:
            return accepted_code(wire)
        if not isinstance(wire, list) or not 0 < len(wire) <= 8:
            raise BadInput("A code of a tree comes with its broader codes.")
        for code in wire:
            accepted_code(code)
        return wire


class Codes(Kind):
    """Several codes of a list, in the order of writing. Step value: [code, …]."""

    name = "codes"
    graphql = "[String!]"
    filters = ("has", "has_any", "has_all", "is_null")
    layout = (MAIN, UP)

    def __init__(self, codes: str, *, tree: bool = False) -> None:
        self.codes = codes
        self.tree = tree

    def check(self, value: Any, context: Context | None = None) -> Any:
        codes = (context or standard_context()).codes
        return list(dict.fromkeys(known_code(each, self.codes, codes) for each in checked_list(value)))

    def closure(self, code: str, context: Context) -> tuple[str, ...]:
        """A code and all broader ones."""
        return context.codes.closure(self.codes, code) if self.tree else (code,)

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        if value is None:
            return (None, None)
        closed: Iterable[str] = value
        if self.tree:
            closed = dict.fromkeys(each for code in value for each in self.closure(code, context))
        return (orjson.dumps(value).decode(), closure_text(closed))

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> list[str]:
        for code in checked_list(wire):
            accepted_code(code)
        return wire


class Tag(Line):
    """One language tag (BCP 47)."""

    def check(self, value: Any, context: Context | None = None) -> str:
        return known_tag(value, (context or standard_context()).codes)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> str:
        return accepted_tag(wire)


class Languages(Codes):
    """Several languages. Steps: the tags, their primary subtags, their macro-languages."""

    ladder: tuple[str, ...] = ("exact", "primary", "macro")

    def __init__(self) -> None:
        super().__init__("language", tree=True)

    def check(self, value: Any, context: Context | None = None) -> Any:
        codes = (context or standard_context()).codes
        return list(dict.fromkeys(known_tag(each, codes) for each in checked_list(value)))

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None or step == "exact":
            return value
        coarser = context.codes.primary if step == "primary" else context.codes.macro
        return list(dict.fromkeys(coarser(tag) for tag in value))

    def closure(self, code: str, context: Context) -> tuple[str, ...]:
        return context.codes.tag_closure(code)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> list[str]:
        for tag in checked_list(wire):
            accepted_tag(tag)
            if step != "exact" and "-" in tag:
                raise BadInput("This language is told finer than its step.")
        return wire


class Translations(Languages):
    """Home value {language: {text field: text}}; step value the languages in which there are texts."""

    ladder = ("exact",)

    def check(self, value: Any, context: Context | None = None) -> Any:
        codes = (context or standard_context()).codes
        if not isinstance(value, Mapping) or len(value) > LIST_CAP:
            raise BadInput("Translations are a table of languages, each with a table of fields and texts.")
        result = {}
        for language, texts in value.items():
            if not isinstance(texts, Mapping) or not all(isinstance(name, str) for name in texts):
                raise BadInput("Translations are a table of languages, each with a table of fields and texts.")
            if texts:
                result[known_tag(language, codes)] = dict(texts)
        return result

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if isinstance(value, Mapping):
            return sorted(value) or None
        return value
