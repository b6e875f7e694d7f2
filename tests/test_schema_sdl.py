"""The printed schema: reviewed as a diff, described throughout, and silent about what cannot be shared."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from graphql import GraphQLNonNull, build_schema, is_input_object_type, is_interface_type, is_object_type

from federation.policies.decide import decide
from federation.policies.rules import default_policy
from federation.policies.tiers import Tier
from federation.policies.viewer import Viewer, ViewerKind, anonymous
from federation.records.registry import RECORD_TYPES, catalogue
from federation.schema.build import print_sdl
from federation.schema.names import camel
from tests.schema_world import CODES

SNAPSHOTS = Path(__file__).parent / "snapshots"
UPDATE = "UPDATE_SNAPSHOTS"
"""Set this variable to 1 to write the snapshots anew; then read the diff."""


def compare(name: str, text: str) -> None:
    path = SNAPSHOTS / name
    if os.environ.get(UPDATE) == "1":
        path.write_text(text)
    assert path.read_text() == text, f"{name} differs; if that is meant, run with {UPDATE}=1 and review the diff"


@pytest.fixture(scope="module")
def sdl() -> str:
    return print_sdl(codes=CODES)


def test_the_schema_is_the_one_that_was_reviewed(sdl: str) -> None:
    compare("schema.graphql", sdl)


def test_who_sees_what_is_what_was_reviewed() -> None:
    compare("policy_matrix.txt", policy_matrix())


def policy_matrix() -> str:
    policy = default_policy(catalogue())
    viewers = {
        "anonymous": anonymous(),
        **{
            tier.label: Viewer(ViewerKind.CLIENT, "client", frozenset(f"{key}:{tier.label}" for key in RECORD_TYPES))
            for tier in (Tier.OPEN, Tier.COMMUNITY, Tier.PARTNER)
        },
        "steward": Viewer(ViewerKind.STEWARD, "steward"),
    }
    lines = [f"{'type.field':40}" + "".join(f"{name:14}" for name in viewers).rstrip()]
    for key, kind in RECORD_TYPES.items():
        seen = {name: decide(policy, viewer, key).steps for name, viewer in viewers.items()}
        for name in kind.fields:
            steps = "".join(f"{seen[viewer].get(name, '-'):14}" for viewer in viewers)
            lines.append(f"{key + '.' + name:40}{steps}".rstrip())
    return "\n".join(lines) + "\n"


def test_every_type_field_argument_and_value_is_described(sdl: str) -> None:
    schema = build_schema(sdl)
    missing = []
    for name, kind in schema.type_map.items():
        if name.startswith("__") or name in ("String", "Int", "Float", "Boolean", "ID"):
            continue
        if not kind.description:
            missing.append(name)
        for field, made in getattr(kind, "fields", {}).items():
            if not made.description:
                missing.append(f"{name}.{field}")
            missing += [
                f"{name}.{field}({one})" for one, arg in getattr(made, "args", {}).items() if not arg.description
            ]
        missing += [f"{name}.{value}" for value, made in getattr(kind, "values", {}).items() if not made.description]
    assert missing == []


def test_every_field_that_a_policy_may_withhold_is_nullable(sdl: str) -> None:
    schema = build_schema(sdl)
    for kind in RECORD_TYPES.values():
        fields = schema.type_map[kind.graphql].fields
        for name in kind.fields:
            if camel(name) in fields:
                assert not isinstance(fields[camel(name)].type, GraphQLNonNull), f"{kind.graphql}.{name}"


def test_sealed_fields_can_be_written_and_never_read(sdl: str) -> None:
    schema = build_schema(sdl)
    sealed = 0
    for kind in RECORD_TYPES.values():
        for name, spec in kind.fields.items():
            if spec.steps[-1].tier is Tier.SEALED:
                sealed += 1
                assert camel(name) not in schema.type_map[kind.graphql].fields
                assert camel(name) not in schema.type_map[f"{kind.graphql}Where"].fields
                assert camel(name) in schema.type_map[f"{kind.graphql}Input"].fields
    assert sealed > 10


def test_what_leaves_the_schema_is_in_the_registry(sdl: str) -> None:
    schema = build_schema(sdl)
    facts = {"id", "type", "origin", "handling", "status"}
    for kind in RECORD_TYPES.values():
        assert set(schema.type_map[kind.graphql].fields) - facts <= {camel(name) for name in kind.fields}


def test_directives_print_the_coarsest_step(sdl: str) -> None:
    resource = block(sdl, "type Resource ")
    assert line_of(resource, "area:").endswith('area: Place @requiresScopes(scopes: [["resource:open"]])')
    assert line_of(resource, "amount:").endswith('@requiresScopes(scopes: [["resource:community"]])')
    assert line_of(resource, "createdAt:").endswith("@authenticated")
    assert 'peers: [PeerView!]! @requiresScopes(scopes: [["peers:write"]])' in sdl


def test_what_public_scopes_open_carries_no_directive() -> None:
    opened = print_sdl(codes=CODES, public_scopes=frozenset({"resource:open"}))
    resource = block(opened, "type Resource ")
    assert line_of(resource, "area:").strip() == "area: Place"
    assert line_of(resource, "amount:").endswith('@requiresScopes(scopes: [["resource:community"]])')


def test_the_sdl_can_be_printed_without_directives() -> None:
    bare = print_sdl(directives=False, codes=CODES)
    assert "@requiresScopes" not in bare
    assert "@authenticated" not in bare


def test_a_gateway_gets_keys_links_and_a_version_that_it_knows() -> None:
    federated = print_sdl(federated=True, codes=CODES)
    assert 'url: "https://specs.apollo.dev/federation/v2.9"' in federated
    assert federated.count('@key(fields: "id"') == len(RECORD_TYPES)
    assert print_sdl(federated=True, codes=CODES) == federated


def test_inputs_outputs_and_interfaces_are_there_for_every_type(sdl: str) -> None:
    schema = build_schema(sdl)
    for kind in RECORD_TYPES.values():
        assert is_object_type(schema.type_map[kind.graphql])
        assert {one.name for one in schema.type_map[kind.graphql].interfaces} >= {"Record", "Node"}
        assert is_input_object_type(schema.type_map[f"{kind.graphql}Where"])
        assert f"create{kind.graphql}" in schema.mutation_type.fields
        assert f"amend{kind.graphql}" in schema.mutation_type.fields
    assert is_interface_type(schema.type_map["Opportunity"])


def block(sdl: str, start: str) -> str:
    at = sdl.index(f"\n{start}")
    return sdl[at : sdl.index("\n}", at)]


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))
