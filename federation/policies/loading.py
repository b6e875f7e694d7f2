"""Policy files: TOML to rules, with every check. A file that fails one changes nothing: it is refused whole, with
file, line and reason. It must never guess: what is not understood is an error, not a yes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

from federation.errors import PolicyInvalid
from federation.policies.catalogue import FIXED_FIELDS, Catalogue, FieldRules, TypeRules
from federation.policies.ladders import NOBODY_OPENS, Opening, Rule, default_rule, fault, ladder_fault, tier_opening
from federation.policies.locating import Path, Places, locate
from federation.policies.policy import CONDITIONS, NOBODY_WORD, OPENS, Policy, default_rules, policy_of
from federation.policies.predicates import JURISDICTION, Predicate
from federation.policies.tiers import ACTION_SCOPES, SCOPED_TIERS, Tier
from federation.policies.viewer import AFFILIATIONS

TIERS: Mapping[str, Tier] = {tier.label: tier for tier in Tier}
SCOPED = tuple(tier.label for tier in SCOPED_TIERS)


@dataclass(frozen=True)
class _Page:
    """The file that is being read: its name, where its keys stand, and what can be shared."""

    file: str
    places: Places
    catalogue: Catalogue

    def refuse(self, path: Path, reason: str) -> NoReturn:
        keys = ".".join(part for part in path if isinstance(part, str))
        raise PolicyInvalid(f"{keys}: {reason}", file=self.file, line=self.places.line(path))


def load_policy(text: str, catalogue: Catalogue, file: str = "policy.toml") -> Policy:
    """The policy of a TOML text: the defaults, overridden field by field.

    Raises PolicyInvalid with file, line and reason; nothing of the text is used then.
    """
    return policy_of(read_rules(text, catalogue, file).values(), catalogue)


def read_rules(text: str, catalogue: Catalogue, file: str) -> dict[tuple[str, str], Rule]:
    """The rules of all fields: the file's where it names them, the record types' own elsewhere.

    Raises PolicyInvalid with file, line and reason for whatever is not a policy.
    """
    page = _Page(file, locate(text), catalogue)
    document = _parse(page, text)
    rules = default_rules(catalogue)
    for key, table in document.items():
        for rule in _type_rules(page, key, table):
            rules[rule.type, rule.field] = rule
    return rules


def _parse(page: _Page, text: str) -> dict[str, Any]:
    if page.places.fault is not None:
        line, reason = page.places.fault
        raise PolicyInvalid(reason, file=page.file, line=line)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        at = re.search(r"at line (\d+)", said)
        line = int(at.group(1)) if at else text.rstrip().count("\n") + 1
        if said.startswith("Cannot"):
            line = page.places.starts.get(line, line)
        reason = re.sub(r" \(at [^)]*\)$", "", said)
        raise PolicyInvalid(f"this is not TOML: {reason}", file=page.file, line=line) from None


def _type_rules(page: _Page, key: str, table: object) -> list[Rule]:
    kind = page.catalogue.types.get(key)
    if kind is None:
        page.refuse((key,), f"unknown type {key}{_hint(key, page.catalogue.types)}")
    if not isinstance(table, dict):
        page.refuse((key,), "a type is a table of fields")
    spellings = {spelling: field for field in kind.fields.values() for spelling in (field.name, camel(field.name))}
    rules: dict[str, Rule] = {}
    spelled: dict[str, str] = {}
    for written, value in table.items():
        path = (key, written)
        field = _field(page, kind, spellings, path, written)
        if field.name in spelled:
            page.refuse(path, f"the field is named twice, as {spelled[field.name]} and as {written}")
        spelled[field.name] = written
        rules[field.name] = _rule(page, kind, field, path, value)
    return list(rules.values())


def _field(page: _Page, kind: TypeRules, spellings: Mapping[str, FieldRules], path: Path, written: str) -> FieldRules:
    if written in FIXED_FIELDS:
        page.refuse(path, "the rule of this field is fixed")
    field = spellings.get(written)
    if field is None:
        page.refuse(path, f"unknown field {written} of {kind.key}{_hint(written, spellings)}")
    return field


def camel(name: str) -> str:
    """`round_the_clock` as GraphQL spells it: `roundTheClock`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _hint(word: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _rule(page: _Page, kind: TypeRules, field: FieldRules, path: Path, value: object) -> Rule:
    """The field's ladder: what the file says of a step, the default of the others; checked as a whole."""
    tiers = dict(field.steps)
    written: dict[str, Path] = {}
    given: dict[str, object] = {}
    if isinstance(value, dict) and OPENS not in value:
        if not value:
            page.refuse(path, f"names no step; nobody is written {NOBODY_WORD!r} for each step")
        for step, opening in value.items():
            if step not in tiers:
                page.refuse((*path, step), f"unknown step {step} of {field.name}; it has {', '.join(tiers)}")
            written[step] = (*path, step)
            given[step] = opening
    else:
        finest = field.step_names[0]
        written[finest] = path
        given[finest] = value
    openings = dict(default_rule(kind.key, field).steps)
    for step, opening in given.items():
        openings[step] = _opening(page, kind.key, written[step], opening)
        wrong = fault(kind.key, tiers[step], openings[step])
        if wrong is not None:
            page.refuse(written[step], f"the step {step} {wrong}")
    steps = tuple(openings.items())
    broken = ladder_fault(steps)
    if broken is not None:
        fine, coarse = broken
        page.refuse(written.get(coarse) or written[fine], f"the step {coarse} needs more than the finer step {fine}")
    return Rule(kind.key, field.name, steps)


def _opening(page: _Page, type_key: str, path: Path, value: object) -> Opening:
    if not isinstance(value, dict):
        return _who(page, type_key, path, value)
    for key in value:
        if key != OPENS and key not in CONDITIONS:
            page.refuse((*path, key), f"unknown key {key}; a rule has {OPENS}, {', '.join(CONDITIONS)}")
    if OPENS not in value:
        page.refuse(path, f"a rule needs {OPENS}")
    who = _who(page, type_key, (*path, OPENS), value[OPENS])
    conditions = {key: _words(page, (*path, key), value[key]) for key in CONDITIONS if key in value}
    if {"jurisdiction", "not_jurisdiction"} <= set(conditions):
        page.refuse((*path, "not_jurisdiction"), "jurisdiction and not_jurisdiction exclude each other; name one")
    return Opening(who.formula, Predicate(**conditions) if conditions else None)


def _who(page: _Page, type_key: str, path: Path, value: object) -> Opening:
    """A tier, `nobody`, or a formula: outer list OR, inner list AND."""
    if isinstance(value, str):
        if value == NOBODY_WORD:
            return NOBODY_OPENS
        if value not in TIERS:
            page.refuse(path, f"unknown tier {value!r}; it is {', '.join(TIERS)} or {NOBODY_WORD}")
        return tier_opening(type_key, TIERS[value])
    if not isinstance(value, list):
        page.refuse(path, "write a tier, a list of lists of scopes, or a table with opens")
    _not_empty(page, path, value)
    return Opening(tuple(_alternative(page, (*path, place), one) for place, one in enumerate(value)))


def _alternative(page: _Page, path: Path, value: object) -> frozenset[str]:
    if not isinstance(value, list):
        page.refuse(path, 'a formula is a list of lists: [["resource:partner"]]')
    _not_empty(page, path, value)
    return frozenset(_scope(page, (*path, place), one) for place, one in enumerate(value))


def _not_empty(page: _Page, path: Path, value: list[object]) -> None:
    if not value:
        page.refuse(path, f"an empty list; nobody is written {NOBODY_WORD!r}")


def _scope(page: _Page, path: Path, value: object) -> str:
    if not isinstance(value, str):
        page.refuse(path, "a scope is a string")
    if value in ACTION_SCOPES:
        page.refuse(path, f"{value} is the scope of an action and opens no field")
    type_key, colon, tier = value.partition(":")
    if not colon:
        page.refuse(path, f"unknown scope {value!r}; a scope is written type:tier")
    if type_key not in page.catalogue.types:
        page.refuse(path, f"a scope of the type {type_key!r}, which does not exist")
    if tier in TIERS and tier not in SCOPED:
        page.refuse(path, f"{tier} is not a scope and cannot be granted")
    if tier not in SCOPED:
        page.refuse(path, f"unknown scope {value!r}; its tier is {', '.join(SCOPED)}")
    return value


def _words(page: _Page, path: Path, value: object) -> frozenset[str]:
    if not isinstance(value, list):
        page.refuse(path, "a condition is a list of words")
    _not_empty(page, path, value)
    for place, word in enumerate(value):
        if path[-1] == "affiliation":
            if word not in AFFILIATIONS:
                page.refuse((*path, place), f"unknown State affiliation {word!r}; it is {', '.join(AFFILIATIONS)}")
        elif not isinstance(word, str) or not JURISDICTION.fullmatch(word):
            page.refuse((*path, place), f"unknown jurisdiction {word!r}; it is two capital letters")
    return frozenset(value)
