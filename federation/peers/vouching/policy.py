"""Metadata policies of OpenID Federation 1.0 (section 6.1): the operators, how policies merge down a chain, and how the
merged one is applied. Pure. A policy may narrow what a subordinate says of itself; it grants nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import orjson

from federation.errors import BadInput

Operators = Mapping[str, Any]
"""The policy of one parameter: operator to its value."""

ParameterPolicies = Mapping[str, Operators]

MetadataPolicy = Mapping[str, ParameterPolicies]
"""Entity type, then parameter, then operator."""

ORDER = ("value", "add", "default", "one_of", "subset_of", "superset_of", "essential")
_SETS = ("add", "one_of", "subset_of", "superset_of")
_MISSING = object()


class PolicyRefused(BadInput):
    """A metadata policy that is malformed, or whose parts contradict each other. The chain is invalid."""

    error = "invalid_policy"


class MetadataRefused(BadInput):
    """Metadata that a policy does not let pass. The chain is invalid."""

    error = "invalid_metadata"


def _same(one: object) -> bytes:
    """JSON values compare by this: true is not 1 in JSON."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS)


def _listed(values: Iterable[Any]) -> dict[bytes, Any]:
    return {_same(each): each for each in values}


def _within(part: Iterable[Any], whole: Iterable[Any]) -> bool:
    return _listed(part).keys() <= _listed(whole).keys()


def read_policy(policy: object, critical: Collection[str] = ()) -> MetadataPolicy:
    """A metadata policy whose every part is sound; operators that nobody here knows are left out, unless they are
    `critical`. Raises PolicyRefused."""
    return {
        str(kind): {str(name): _parameter(name, operators, critical) for name, operators in _object(parameters).items()}
        for kind, parameters in _object(policy).items()
    }


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PolicyRefused("A metadata policy names entity types, parameters and operators, each in an object.")
    return value


def _parameter(name: str, operators: object, critical: Collection[str]) -> Operators:
    found = _object(operators)
    if unknown := sorted((found.keys() - set(ORDER)) & set(critical)):
        raise PolicyRefused(f"The metadata policy needs the operator {unknown[0][:40]!r}, which is not known here.")
    read = {each: _as_read(name, each, found[each]) for each in ORDER if each in found}
    _check_together(name, read)
    return read


def _as_read(name: str, operator: str, value: Any) -> Any:
    if name == "scope" and isinstance(value, str) and operator != "one_of":
        value = value.split()  # one text with several values between spaces (section 6.1.3.1.8)
    sound = (
        isinstance(value, bool)
        if operator == "essential"
        else isinstance(value, list)
        if operator in _SETS
        else operator == "value" or value is not None
    )
    if name == "scope" and isinstance(value, list):
        sound = sound and all(isinstance(each, str) for each in value)
    if not sound:
        raise PolicyRefused(f"The policy of {name[:60]!r} has a value for `{operator}` that this operator cannot have.")
    return value


# Which operators go together


def _check_together(name: str, operators: Operators) -> None:
    """Refuse combinations that the specification does not allow. Raises PolicyRefused."""
    for pair in combinations([each for each in ORDER if each in operators], 2):
        rule = _TOGETHER.get(pair, _always)
        if not rule(operators[pair[0]], operators[pair[1]]):
            raise PolicyRefused(f"The policy of {name[:60]!r} has `{pair[0]}` and `{pair[1]}`, which contradict.")


def _always(_: Any, __: Any) -> bool:
    return True


def _never(_: Any, __: Any) -> bool:
    return False


_TOGETHER: Mapping[tuple[str, str], Callable[[Any, Any], bool]] = {
    ("value", "add"): lambda value, add: isinstance(value, list) and _within(add, value),
    ("value", "default"): lambda value, _: value is not None,
    ("value", "one_of"): lambda value, one_of: _within([value], one_of),
    ("value", "subset_of"): lambda value, wider: isinstance(value, list) and _within(value, wider),
    ("value", "superset_of"): lambda value, part: isinstance(value, list) and _within(part, value),
    ("value", "essential"): lambda value, essential: not (value is None and essential),
    ("add", "one_of"): _never,
    ("add", "subset_of"): _within,
    ("one_of", "subset_of"): _never,
    ("one_of", "superset_of"): _never,
    ("subset_of", "superset_of"): lambda wider, part: _within(part, wider),
}
"""What must hold of two values for their operators to stand together, in the order of application."""


# Merging


def merged(policies: Iterable[MetadataPolicy]) -> MetadataPolicy:
    """The policies of a chain as one, from the most superior down. Each only narrows. Raises PolicyRefused."""
    found: dict[str, dict[str, Operators]] = {}
    for policy in policies:
        for kind, parameters in policy.items():
            current = found.setdefault(kind, {})
            for name, operators in parameters.items():
                current[name] = _merged(name, current.get(name, {}), operators)
    return found


def _merged(name: str, current: Operators, lower: Operators) -> Operators:
    both = {
        each: _MERGING[each](name, current[each], lower[each])
        if each in current and each in lower
        else (lower if each in lower else current)[each]
        for each in ORDER
        if each in current or each in lower
    }
    _check_together(name, both)
    return both


def _equal(name: str, one: Any, other: Any) -> Any:
    if _same(one) != _same(other):
        raise PolicyRefused(f"Two policies of the chain ask for different values of {name[:60]!r}.")
    return one


def _union(_: str, one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    return list(_listed([*one, *other]).values())


def _shared(_: str, one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    kept = _listed(other)
    return [each for key, each in _listed(one).items() if key in kept]


def _shared_some(name: str, one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    if not (found := _shared(name, one, other)):
        raise PolicyRefused(f"Two policies of the chain leave no value for {name[:60]!r}.")
    return found


_MERGING: Mapping[str, Callable[[str, Any, Any], Any]] = {
    "value": _equal,
    "add": _union,
    "default": _equal,
    "one_of": _shared_some,
    "subset_of": _shared,
    "superset_of": _union,
    "essential": lambda _, one, other: one or other,
}


# Applying


def applied(policy: MetadataPolicy, metadata: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The metadata of an entity as the policy lets it be; entity types that it does not have stay away. Raises
    MetadataRefused."""
    resolved = {kind: dict(parameters) for kind, parameters in metadata.items()}
    for kind, parameters in resolved.items():
        for name, operators in policy.get(kind, {}).items():
            spaced = name == "scope" and isinstance(parameters.get(name), str | None)
            value = parameters.pop(name, _MISSING)
            value = _through(name, operators, value.split() if spaced and isinstance(value, str) else value)
            if value is not _MISSING:
                parameters[name] = " ".join(value) if spaced and isinstance(value, list) else value
    return resolved


def _through(name: str, operators: Operators, value: Any) -> Any:
    for operator in ORDER:
        if operator in operators:
            value = _APPLYING[operator](name, operators[operator], value)
    return value


def _value(_: str, given: Any, __: Any) -> Any:
    return _MISSING if given is None else given


def _add(name: str, given: list[Any], value: Any) -> Any:
    return list(given) if value is _MISSING else _union(name, _array(name, value), given)


def _default(_: str, given: Any, value: Any) -> Any:
    return given if value is _MISSING else value


def _one_of(name: str, given: list[Any], value: Any) -> Any:
    if value is not _MISSING and not _within([value], given):
        raise MetadataRefused(f"The metadata has a value for {name[:60]!r} that the chain's policy does not allow.")
    return value


def _subset_of(name: str, given: list[Any], value: Any) -> Any:
    return value if value is _MISSING else _shared(name, _array(name, value), given)


def _superset_of(name: str, given: list[Any], value: Any) -> Any:
    if value is not _MISSING and not _within(given, _array(name, value)):
        raise MetadataRefused(f"The metadata lacks values of {name[:60]!r} that the chain's policy asks for.")
    return value


def _essential(name: str, given: bool, value: Any) -> Any:
    if given and value is _MISSING:
        raise MetadataRefused(f"The metadata lacks {name[:60]!r}, which the chain's policy asks for.")
    return value


def _array(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise MetadataRefused(f"The metadata has one value for {name[:60]!r}, where the chain's policy needs a list.")
    return value


_APPLYING: Mapping[str, Callable[[str, Any, Any], Any]] = {
    "value": _value,
    "add": _add,
    "default": _default,
    "one_of": _one_of,
    "subset_of": _subset_of,
    "superset_of": _superset_of,
    "essential": _essential,
}
