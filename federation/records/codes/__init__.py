"""Code lists: versioned files beside this module, read once. Areas, languages, currencies, rates, vocabularies.

A code is never translated; names are for people. Unknown codes are the caller's matter: nothing here guesses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import orjson
from babel import Locale
from babel.core import UnknownLocaleError

RANKS: Mapping[str, int] = MappingProxyType(
    {"local": 0, "subdivision": 1, "country": 2, "sub_region": 3, "m49": 4, "region": 5, "world": 6}
)
"""Levels of areas from fine to coarse. `sub_region` is the intermediate region of UN M49 where there is one, else its
sub-region; `m49` is the sub-region above an intermediate region."""


@dataclass(frozen=True)
class Area:
    """A place by its code: ISO 3166, UN M49, or one that a network defined. `parent` is the area that holds it."""

    code: str
    level: str
    parent: str | None
    name: str = ""


@dataclass(frozen=True)
class Term:
    """One code of a vocabulary: its name in English, the broader code if it has one, and what else is known of it."""

    code: str
    name: str
    broader: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


class CodeLists:
    """All lists, frozen. Made by `load`; equal content has equal `version`."""

    def __init__(
        self,
        vocabularies: Mapping[str, Mapping[str, Term]],
        areas: Mapping[str, Area],
        languages: Mapping[str, Any],
        currencies: Mapping[str, str],
        rates: Mapping[str, Decimal],
        version: str,
    ) -> None:
        self.version = version
        self._vocabularies = vocabularies
        self._areas = areas
        self._languages: Mapping[str, str] = languages["names"]
        self._aliases: Mapping[str, str] = languages["aliases"]
        self._macro: Mapping[str, str] = languages["macro"]
        self._currencies = currencies
        self._rates = rates
        self._countries = {code: area for code, area in areas.items() if area.level == "country"}
        self._chains = {code: self._chain(code) for code in areas}
        self.tag_closure = lru_cache(maxsize=4096)(self._tag_closure)

    def lists(self) -> tuple[str, ...]:
        """The names of all lists."""
        return (*self._vocabularies, "area", "country", "currency", "language")

    def known(self, codes: str, code: str) -> bool:
        """Whether a list holds a code. KeyError for a list that does not exist."""
        return code in self._table(codes)

    def codes(self, codes: str) -> tuple[str, ...]:
        """All codes of a list, in its order."""
        return tuple(self._table(codes))

    def broader(self, codes: str, code: str) -> str | None:
        """The next broader code, or None."""
        closure = self.closure(codes, code)
        return closure[1] if len(closure) > 1 else None

    def closure(self, codes: str, code: str) -> tuple[str, ...]:
        """A code and all broader ones, nearest first; an unknown code alone."""
        if codes in ("area", "country"):
            return self._chains.get(code) or (code,)
        if codes == "language":
            return self.tag_closure(code)
        found = [code]
        table = self._table(codes)
        while (term := table.get(found[-1])) is not None and isinstance(term, Term) and term.broader is not None:
            found.append(term.broader)
        return tuple(found)

    def name(self, codes: str, code: str, language: str = "en") -> str:
        """A name for a person: of places, languages and currencies in their language (CLDR), else English; the code
        itself if it is not known."""
        if codes in ("area", "country"):
            area = self._areas.get(code)
            return _cldr("territories", code, language) or (area.name if area else "") or code
        if codes == "language":
            tag = code.replace("-", "_")
            return _cldr("languages", tag, language) or self._languages.get(self.primary(code), code)
        if codes == "currency":
            return _cldr("currencies", code, language) or self._currencies.get(code, code)
        term = self._table(codes).get(code)
        return term.name if term is not None else code

    def term(self, codes: str, code: str) -> Term | None:
        """The term of a vocabulary with its notes (numbers in other classifications), or None."""
        return self._vocabularies[codes].get(code)

    def area(self, code: str) -> Area | None:
        """The area of a code, or None."""
        return self._areas.get(code)

    def rank(self, code: str) -> int:
        """How coarse an area is; an unknown one counts as the finest."""
        area = self._areas.get(code)
        return 0 if area is None else RANKS[area.level]

    def ancestor(self, code: str, level: str) -> str | None:
        """The code of a level in the chain of an area, itself included; None where there is none."""
        return next((each for each in self._chains.get(code, ()) if self._areas[each].level == level), None)

    def chain(self, code: str) -> tuple[str, ...]:
        """An area and the areas that hold it, from itself to its region (the world only for itself). Between itself
        and its subdivision or country nothing is named. Empty for an unknown area."""
        return self._chains.get(code, ())

    def primary(self, tag: str) -> str:
        """The primary subtag of a language tag in its shortest code: `swh` for swh-KE, `en` for eng."""
        head = tag.split("-", 1)[0].lower()
        return self._aliases.get(head, head)

    def macro(self, tag: str) -> str:
        """The macro-language of a tag (`sw` for swh), or its primary subtag where there is none."""
        primary = self.primary(tag)
        return self._macro.get(primary, primary)

    def eur(self, amount: Decimal, currency: str) -> Decimal | None:
        """An amount in EUR by the dated tables shipped, or None for a currency without a rate."""
        rate = self._rates.get(currency)
        return None if rate is None else amount / rate

    def _tag_closure(self, tag: str) -> tuple[str, ...]:
        """A language tag, its shorter prefixes, its primary subtag and its macro-language, nearest first."""
        subtags = tag.split("-")
        prefixes = ["-".join(subtags[:length]) for length in range(len(subtags), 0, -1)]
        return tuple(dict.fromkeys([*prefixes, self.primary(tag), self.macro(tag)]))

    def _table(self, codes: str) -> Mapping[str, Any]:
        if codes in self._vocabularies:
            return self._vocabularies[codes]
        tables: dict[str, Mapping[str, Any]] = {
            "area": self._areas,
            "country": self._countries,
            "language": self._languages,
            "currency": self._currencies,
        }
        return tables[codes]

    def _chain(self, code: str) -> tuple[str, ...]:
        found = [code]
        parent = self._areas[code].parent
        while parent is not None and parent != "001":
            if self._areas[parent].level != "local":
                found.append(parent)
            parent = self._areas[parent].parent
        return tuple(found)


def load(extra_areas: Iterable[Area] = ()) -> CodeLists:
    """The code lists as shipped, with areas that the network defined itself: each has the level `local` and a parent
    that is known. ValueError for a code that exists or a parent that does not."""
    return _load(tuple(extra_areas))


@lru_cache(maxsize=8)
def _load(extra: tuple[Area, ...]) -> CodeLists:
    digest = hashlib.sha256()
    files: dict[str, Any] = {}
    for path in sorted(resources.files(__package__).iterdir(), key=lambda each: each.name):
        if path.name.endswith(".json"):
            text = path.read_bytes()
            digest.update(path.name.encode() + b"\0" + text + b"\0")
            files[path.name.removesuffix(".json")] = orjson.loads(text)
    areas = {code: Area(code, level, parent, name) for code, level, parent, name in files["area"]["areas"]}
    for area in extra:
        if area.code in areas or area.parent not in areas or area.level != "local":
            raise ValueError("an own area needs a new code, a known parent and the level local")
        areas[area.code] = area
        digest.update(orjson.dumps([area.code, area.parent, area.name]))
    vocabularies = {
        name: MappingProxyType({term["code"]: _term(term) for term in file["terms"]})
        for name, file in files.items()
        if "terms" in file
    }
    return CodeLists(
        vocabularies=MappingProxyType(vocabularies),
        areas=MappingProxyType(areas),
        languages=MappingProxyType(files["language"]),
        currencies=MappingProxyType(files["currency"]["names"]),
        rates=MappingProxyType(
            {code: Decimal(rate) for table in files["eur_rates"]["tables"] for code, rate in table["rates"].items()}
        ),
        version=digest.hexdigest()[:16],
    )


def _term(term: Mapping[str, Any]) -> Term:
    notes = {key: value for key, value in term.items() if key not in ("code", "name", "broader")}
    return Term(term["code"], term["name"], term.get("broader"), MappingProxyType(notes))


@lru_cache(maxsize=64)
def _locale(language: str) -> Locale | None:
    try:
        return Locale.parse(language.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return None


def _cldr(table: str, code: str, language: str) -> str | None:
    """A name of CLDR in a language, else in English."""
    for each in (language, "en"):
        locale = _locale(each) if len(each) <= 40 else None
        if locale is not None and (name := getattr(locale, table).get(code)):
            return str(name)
    return None
