"""What a superior may ask of all that stand below it (OpenID Federation 1.0, section 6.2): how long the path may be,
how its entities may be named, and of which types its subject may be. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from federation.peers.vouching.statements import StatementRefused

ALWAYS_ALLOWED = "federation_entity"


def check_constraints(constraints: Mapping[str, Any], issuer: str, below: Sequence[str]) -> None:
    """Refuse a path that a superior does not allow. `below` are the entities under it, the subject of the chain first.
    Raises StatementRefused."""
    _check_length(constraints.get("max_path_length"), issuer, len(below) - 1)
    names = constraints.get("naming_constraints")
    if names is not None:
        _check_names(names, issuer, below)
    allowed_types(constraints)


def _check_length(most: object, issuer: str, between: int) -> None:
    if most is None:
        return
    if not isinstance(most, int) or isinstance(most, bool) or most < 0:
        raise StatementRefused(f"{issuer} limits the length of a chain to what is no number.")
    if between > most:
        raise StatementRefused(f"{issuer} allows {most} entities between itself and a subject; here are {between}.")


def _check_names(constraints: object, issuer: str, below: Sequence[str]) -> None:
    if not isinstance(constraints, Mapping):
        raise StatementRefused(f"The naming constraints of {issuer} are malformed.")
    permitted, excluded = (_listed(constraints.get(name), issuer) for name in ("permitted", "excluded"))
    for entity in below:
        host = (urlsplit(entity).hostname or "").rstrip(".").lower()
        if excluded is not None and (_is_address(host) or any(_matches(host, each) for each in excluded)):
            raise StatementRefused(f"{issuer} excludes the name of {entity}.")
        if permitted is not None and (_is_address(host) or not any(_matches(host, each) for each in permitted)):
            raise StatementRefused(f"{issuer} does not permit the name of {entity}.")


def _listed(names: object, issuer: str) -> list[str] | None:
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(each, str) and each.strip(".") for each in names):
        raise StatementRefused(f"The naming constraints of {issuer} are malformed.")
    return [each.lower().rstrip(".") for each in names]


def _is_address(host: str) -> bool:
    """A constraint by name can say nothing of a number (RFC 5280, 4.2.1.10)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return not host
    return True


def _matches(host: str, constraint: str) -> bool:
    return host.endswith(constraint) if constraint.startswith(".") else host == constraint


def allowed_types(constraints: Mapping[str, Any]) -> frozenset[str] | None:
    """The entity types that a subject may have; None for any. Raises StatementRefused."""
    allowed = constraints.get("allowed_entity_types")
    if allowed is None:
        return None
    if not isinstance(allowed, list) or not all(isinstance(each, str) for each in allowed) or ALWAYS_ALLOWED in allowed:
        raise StatementRefused("The allowed entity types of a statement are malformed.")
    return frozenset(allowed) | {ALWAYS_ALLOWED}
