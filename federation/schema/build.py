"""The schema, made from the registry by Strawberry; and its SDL in the flavours that gateways take.

One build for execution, one for each printed flavour: only directives differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import strawberry
from strawberry.federation import Schema as FederationSchema
from strawberry.federation.schema import FederationAny
from strawberry.federation.schema_directives import Key
from strawberry.types import Info

from federation.errors import BadInput
from federation.policies.catalogue import FIXED_FIELDS
from federation.policies.rules import Policy, default_policy
from federation.policies.tiers import SCOPED_TIERS, Formula, scope_for
from federation.records.base import RecordType
from federation.records.codes import CodeLists, load
from federation.records.registry import OPPORTUNITIES, RECORD_TYPES, catalogue
from federation.schema.classes import Catalog
from federation.schema.inputs import add_filters, add_order, add_where, shared_surfaces
from federation.schema.mutations import WRITE_SCOPE, add_inputs, mutation_slots
from federation.schema.outputs import add_connection, add_interfaces, add_page_info, add_record, add_values
from federation.schema.queries import add_query_types, query_slots
from federation.schema.resolving import record_of
from federation.schema.scalars import add_scalars
from federation.schema.scopes import Asks, coarsest, directives
from federation.schema.surface import surfaces

FEDERATION_VERSION: Literal["2.9"] = "2.9"


@dataclass(frozen=True)
class Flavour:
    """How the SDL is printed: with what a gateway needs (`federated`), with scope directives or without."""

    federated: bool = False
    directives: bool = True


class _Subgraph(FederationSchema):
    """A schema for a gateway; what it asks of no record is bad input, and nothing that broke here."""

    def entities_resolver(self, info: Info, representations: list[FederationAny]) -> list[FederationAny]:
        for each in representations:
            told: dict[str, Any] = each if isinstance(each, dict) else {}
            made = self.schema_converter.type_map.get(str(told.get("__typename")))
            keyed = set(told) == {"__typename", "id"} and isinstance(told["id"], str)
            if not keyed or not hasattr(
                getattr(made.definition, "origin", None) if made else None, "resolve_reference"
            ):
                raise BadInput("A representation is the `__typename` of a record type and an `id`.")
        return super().entities_resolver(info, representations)


def build_schema(
    registry: Mapping[str, RecordType],
    codes: CodeLists,
    policy: Policy,
    public_scopes: frozenset[str] = frozenset(),
    flavour: Flavour = Flavour(federated=True),
) -> strawberry.Schema:
    """A Strawberry schema. Raises ValueError if the registry gives one that GraphQL does not allow."""
    asks = directives(public_scopes, federated=flavour.federated, shown=flavour.directives)
    catalog = Catalog()
    add_scalars(catalog, registry, codes)
    add_values(catalog)
    add_page_info(catalog)
    add_interfaces(catalog, registry, codes)
    for key, kind in registry.items():
        entity: list[Any] = [Key(fields="id")] if flavour.federated else []  # type: ignore[arg-type]
        add_record(catalog, kind, codes, _field_asks(policy, asks), opportunity=key in OPPORTUNITIES, entity=entity)
        if flavour.federated:
            catalog.names[kind.graphql].resolve_reference = staticmethod(_reference(kind.graphql))
        add_connection(catalog, kind.graphql, kind.graphql, f"records of type {kind.graphql}")
        _add_asking(catalog, kind.graphql, f"Which records of type {kind.graphql}.", surfaces(kind, codes))
    add_connection(catalog, "Opportunity", "Opportunity", "opportunities")
    add_connection(catalog, "Record", "Record", "records")
    shared = shared_surfaces(registry, codes, OPPORTUNITIES)
    _add_asking(
        catalog, "Opportunity", "Which opportunities; a type without a field does not match a filter by it.", shared
    )
    add_query_types(catalog)
    add_inputs(catalog, registry, codes)
    query = catalog.add(
        "Query", "All that can be read.", query_slots(registry, OPPORTUNITIES, asks(_only("peers:write")))
    )
    writes = asks(_only(WRITE_SCOPE))
    mutation = catalog.add("Mutation", "All that can be written.", mutation_slots(registry, codes, writes))
    types = [catalog.names[kind.graphql] for kind in registry.values()]
    if flavour.federated:
        return _Subgraph(query, mutation, types=types, config=catalog.config(), federation_version=FEDERATION_VERSION)
    return strawberry.Schema(query, mutation, types=types, config=catalog.config())


def _add_asking(catalog: Catalog, name: str, meaning: str, made: Any) -> None:
    add_filters(catalog, made)
    add_where(catalog, name + "Where", meaning, made)
    add_order(catalog, name + "Order", made)


def _only(scope: str) -> Formula:
    return (frozenset({scope}),)


def _field_asks(policy: Policy, asks: Asks) -> Any:
    """Directives of a field of a type: its coarsest step, or the fixed rule of a fact."""

    def of(type_key: str, field: str) -> list[Any]:
        if field in FIXED_FIELDS:
            least = min(tier for tier in SCOPED_TIERS if tier >= FIXED_FIELDS[field])
            return asks((frozenset({scope_for(type_key, least)}),))
        return asks(coarsest(policy, type_key, field))

    return of


def _reference(name: str) -> Any:
    """A gateway's way to a record that it knows by id; what the viewer does not see is null."""

    def resolve_reference(info: Any, id: str) -> Any:
        found = record_of(info.context, str(id))
        return found if found is not None and found["__typename"] == name else None

    return resolve_reference


def print_sdl(
    federated: bool = False,
    directives: bool = True,
    *,
    registry: Mapping[str, RecordType] = RECORD_TYPES,
    codes: CodeLists | None = None,
    policy: Policy | None = None,
    public_scopes: frozenset[str] = frozenset(),
) -> str:
    """The SDL. `federated`: with `@key` and `@link` for a gateway; `directives`: with scopes, which some gateways
    refuse. The scopes are those of `policy`, the default one unless told."""
    made = build_schema(
        registry, codes or load(), policy or default_policy(catalogue()), public_scopes, Flavour(federated, directives)
    )
    return made.as_str().strip() + "\n"
