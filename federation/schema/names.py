"""How names are spelled in GraphQL: camelCase fields, PascalCase types, codes in capitals. Pure."""

from __future__ import annotations

import re

_WORD = re.compile(r"_([a-z0-9])")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


def camel(name: str) -> str:
    """`valid_until` as `validUntil`."""
    return _WORD.sub(lambda found: found[1].upper(), name)


def snake(name: str) -> str:
    """`validUntil` as `valid_until`."""
    return re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), name)


def pascal(name: str) -> str:
    """`resource_kind` and `resourceKind` as `ResourceKind`."""
    name = camel(name)
    return name[:1].upper() + name[1:]


def upper(name: str) -> str:
    """A key or step as an enum value: `capacityOffer` as `CAPACITY_OFFER`."""
    return snake(name).upper()


def plural(type_key: str) -> str:
    """The list field of a type: `needs`, `capacityOffers`."""
    return type_key + "s"


def shown_code(code: str) -> str:
    """A stored code as GraphQL shows it: `emergency_grant` as `EMERGENCY_GRANT`. Codes are ASCII, so that the databases
    write the same."""
    return code.upper()


def stored_code(code: str) -> str:
    """The stored form of a code that came in, in whatever case."""
    lowered = code.lower()
    return lowered if _CODE.fullmatch(lowered) else code
