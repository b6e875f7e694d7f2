"""The words of social service directories in the project's codes: kinds, groups, channels, languages, places, provider
types. What is not understood stays unsaid, or becomes `other` with the original kept by the caller."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from babel import Locale

from federation.records.codes import CodeLists

Patterns = tuple[tuple[str, re.Pattern[str]], ...]


@dataclass(frozen=True)
class _Words:
    """The word lists of hsds_words.json, compiled."""

    kinds: Patterns
    topics: Patterns
    groups: Patterns
    channels: Patterns
    provider_types: Patterns
    reach: Patterns
    training: re.Pattern[str]
    dimensions: Mapping[str, str]
    languages: Mapping[str, str]
    united_states: frozenset[str]


@lru_cache(maxsize=1)
def _words() -> _Words:
    lists = json.loads(resources.files(__package__).joinpath("hsds_words.json").read_text("utf-8"))

    def patterns(name: str) -> Patterns:
        return tuple((code, _beginning(words)) for code, words in lists[name].items())

    return _Words(
        kinds=patterns("kinds"),
        topics=patterns("topics"),
        groups=patterns("groups"),
        channels=patterns("channels"),
        provider_types=patterns("provider_types"),
        reach=patterns("reach"),
        training=_beginning(lists["training"]),
        dimensions=lists["dimensions"],
        languages=lists["languages"],
        united_states=frozenset(lists["united_states"]),
    )


def _beginning(words: list[str]) -> re.Pattern[str]:
    """Matches lower-case text; so it takes a third of the time of a pattern that folds case itself."""
    return re.compile(rf"\b(?:{'|'.join(words)})")


_ALL_DAY = re.compile(
    r"\b24/7\b|\b24[ -]hours?(?: a day)?[ ,-]*(?:and |, )*(?:7|seven) days|\b24 hours a day\b|around the clock"
    r"|24[ -]hour (?:hot|help|crisis)",
    re.IGNORECASE,
)


def kind_of(terms: Iterable[str], title: str, text: str) -> str | None:
    """The ResourceKind that the terms, the title and the first lines of the text speak of most; None if of none."""
    scores: Counter[str] = Counter()
    for term in tuple(terms)[:12]:
        scores.update(dict.fromkeys(_kinds_of_term(term), 3))
    title, text = title.lower(), text[:500].lower()
    for kind, pattern in _words().kinds:
        scores[kind] += 4 * len(set(pattern.findall(title))) + len(set(pattern.findall(text)))
    best, most = max(scores.items(), key=lambda item: item[1])
    return best if most else None


@lru_cache(maxsize=10_000)
def _kinds_of_term(term: str) -> tuple[str, ...]:
    return tuple(kind for kind, pattern in _words().kinds if pattern.search(term.lower()))


def topic_of(terms: Iterable[str], title: str) -> str | None:
    """The Topic of a training that builds the capacity of groups; None if it is no training, or of another topic."""
    said = " ; ".join((title, *terms)).lower()
    if not _words().training.search(said):
        return None
    return next((topic for topic, pattern in _words().topics if pattern.search(said)), None)


def groups_of(*texts: str) -> list[str]:
    """The Groups that the texts name as those it is for."""
    said = " ; ".join(texts).lower()
    return [group for group, pattern in _words().groups if pattern.search(said)]


def channels_of(process: str) -> list[str]:
    """The ApplicationChannels that an application process speaks of."""
    return [channel for channel, pattern in _words().channels if pattern.search(process.lower())]


def dimensions_of(kind: str) -> list[str]:
    """The Dimension that a kind of help protects."""
    found = _words().dimensions.get(kind)
    return [found] if found else []


def reach_of(text: str) -> list[str]:
    """Reach as far as the text tells it: rural, online."""
    return [reach for reach, pattern in _words().reach if pattern.search(text.lower())]


def round_the_clock(*texts: str) -> bool:
    """Whether a text says that it answers day and night."""
    return any(_ALL_DAY.search(text) for text in texts)


def provider_type(name: str) -> str:
    """The ActorType that a provider's name tells; a body of the State is `other`, anything else `ngo`."""
    return next((kind for kind, pattern in _words().provider_types if pattern.search(name.lower())), "ngo")


@lru_cache(maxsize=1)
def _language_table() -> dict[str, str]:
    names = {name.lower(): code.replace("_", "-") for code, name in Locale("en").languages.items()}
    return {**names, **_words().languages}


def language_tags(said: Iterable[str], codes: CodeLists) -> tuple[list[str], list[str]]:
    """Language tags (BCP 47) for names or codes of languages, and those that are not understood, as they were said."""
    tags: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for each in said:
        for part in (each.strip(),) if _CODE.fullmatch(each.strip()) else _PARTS.split(_IN_PARENTHESES.sub(" ", each)):
            name = part.strip(" .*-")
            found = _tags(name.lower()) if name else ("",)
            if not found:
                unknown[name] = None
            tags.update({tag: None for tag in found if tag and codes.known("language", codes.primary(tag))})
    return list(tags), list(unknown)


_PARTS = re.compile(r"[/,;:&\n]|\\n|\b(?:and|or|with|y|et)\b")
_IN_PARENTHESES = re.compile(r"\([^)]*\)")
_CODE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z]{2,4})?")


@lru_cache(maxsize=1000)
def _tags(name: str) -> tuple[str, ...]:
    """The languages of one phrase: a code, a name, or names within it (`limited Spanish`)."""
    table = _language_table()
    if name in table:
        return (table[name],)
    if _CODE.fullmatch(name) and name not in ("is", "as", "no", "any", "all", "other"):
        return (name,)
    return tuple(dict.fromkeys(table[word] for word in re.findall(r"[^\W\d_]{4,}", name) if word in table))


def area_of(state: str, country: str, default_country: str | None, codes: CodeLists) -> str | None:
    """The area of an address: its subdivision (ISO 3166-2) if it is known by code or name, else its country. A state
    without a country is read as one of `default_country`, else as a postal code of the United States."""
    state, country = state.strip(), country.strip().upper()
    if len(country) > 2:
        country = _by_name(country, None, codes) or ""
    if not country:
        country = default_country or ("US" if state.upper() in _words().united_states else "")
    if not country or not codes.known("country", country):
        return None
    if state and codes.area(f"{country}-{state.upper()}") is not None:
        return f"{country}-{state.upper()}"
    return (_by_name(state, country, codes) if state else None) or country


def _by_name(name: str, country: str | None, codes: CodeLists) -> str | None:
    return _area_names(codes).get((country or "", name.casefold()))


@lru_cache(maxsize=2)
def _area_names(codes: CodeLists) -> dict[tuple[str, str], str]:
    names: dict[tuple[str, str], str] = {}
    for code in codes.codes("area"):
        area = codes.area(code)
        if area is not None and area.level == "subdivision":
            names[(code.split("-")[0], area.name.casefold())] = code
        elif area is not None and area.level == "country":
            names[("", codes.name("country", code).casefold())] = code
    return {**names, ("", "usa"): "US", ("", "united states of america"): "US", ("", "uk"): "GB"}
