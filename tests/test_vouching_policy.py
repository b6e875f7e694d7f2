"""Metadata policies of OpenID Federation, held to the 2,019 public test vectors of Connect2id."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from federation.peers.vouching.policy import MetadataRefused, PolicyRefused, applied, merged, read_policy

VECTORS = Path(__file__).parent / "data" / "openid_federation" / "metadata-policy-test-vectors-2025-02-13.json.gz"


def ordered(value: Any) -> Any:
    """The value with every list in one order: the specification leaves the order of merged values open."""
    if isinstance(value, list):
        return sorted((ordered(each) for each in value), key=orjson.dumps)
    return {key: ordered(each) for key, each in value.items()} if isinstance(value, dict) else value


def came_out(vector: dict[str, Any]) -> dict[str, Any]:
    """What our own code makes of a vector, in the vector's words."""
    found: dict[str, Any] = {}
    try:
        policy = merged(read_policy({"openid_relying_party": vector[name]}) for name in ("TA", "INT"))
        found["merged"] = policy["openid_relying_party"]
        found["resolved"] = applied(policy, {"openid_relying_party": vector["metadata"]})["openid_relying_party"]
    except (PolicyRefused, MetadataRefused) as refused:
        found["error"] = refused.error
    return found


def test_every_public_vector_comes_out_as_it_says() -> None:
    vectors = orjson.loads(gzip.decompress(VECTORS.read_bytes()))
    assert len(vectors) == 2019
    begun = time.process_time()
    wrong = []
    for vector in vectors:
        wanted = {name: vector[name] for name in ("merged", "resolved", "error") if name in vector}
        if orjson.dumps(ordered(came_out(vector)), option=orjson.OPT_SORT_KEYS) != orjson.dumps(
            ordered(wanted), option=orjson.OPT_SORT_KEYS
        ):
            wrong.append(vector["n"])
    assert not wrong
    assert time.process_time() - begun < 5


def one(operators: object, name: str = "contacts") -> Any:
    return read_policy({"oauth_client": {name: operators}})


def resolved(operators: object, value: Any = None, name: str = "contacts") -> Any:
    """A parameter after one policy; None for an absent one."""
    metadata = {} if value is None else {name: value}
    return applied(one(operators, name), {"oauth_client": metadata})["oauth_client"].get(name)


def test_an_operator_that_nobody_knows_is_left_out_unless_it_is_critical() -> None:
    policy = {"oauth_client": {"contacts": {"intersects": ["a"], "essential": False}}}
    assert read_policy(policy) == {"oauth_client": {"contacts": {"essential": False}}}
    with pytest.raises(PolicyRefused, match="intersects"):
        read_policy(policy, {"intersects"})


def test_scopes_in_one_text_are_a_list_for_the_operators_and_a_text_again_afterwards() -> None:
    assert resolved({"subset_of": ["a", "b"], "add": ["b"]}, "a c", "scope") == "a b"
    assert resolved({"default": "a b"}, None, "scope") == "a b"
    assert resolved({"value": ["a"]}, "c", "scope") == "a"


def test_true_is_not_one() -> None:
    with pytest.raises(PolicyRefused):
        merged([one({"value": True}), one({"value": 1})])
    assert resolved({"add": [1]}, [True]) == [True, 1]


def test_lists_of_objects_compare_by_what_they_say() -> None:
    assert resolved({"subset_of": [{"a": 1, "b": 2}]}, [{"b": 2, "a": 1}, {"a": 1}]) == [{"b": 2, "a": 1}]


@pytest.mark.parametrize(
    "policy",
    [
        None,
        [],
        {"oauth_client": []},
        {"oauth_client": {"contacts": "a"}},
        {"oauth_client": {"contacts": {"add": "a"}}},
        {"oauth_client": {"contacts": {"one_of": None}}},
        {"oauth_client": {"contacts": {"default": None}}},
        {"oauth_client": {"contacts": {"essential": "yes"}}},
        {"oauth_client": {"contacts": {"one_of": ["a"], "add": ["a"]}}},
        {"oauth_client": {"contacts": {"one_of": ["a"], "subset_of": ["a"]}}},
        {"oauth_client": {"contacts": {"value": "a", "subset_of": ["a"]}}},
        {"oauth_client": {"contacts": {"value": None, "default": "a"}}},
    ],
)
def test_a_policy_that_is_none_is_refused(policy: object) -> None:
    with pytest.raises(PolicyRefused):
        read_policy(policy)


@pytest.mark.parametrize("operators", [{"add": ["a"]}, {"subset_of": ["a"]}, {"superset_of": []}])
def test_a_list_policy_refuses_metadata_that_is_no_list(operators: object) -> None:
    with pytest.raises(MetadataRefused):
        resolved(operators, "a")


def test_an_entity_type_that_the_subject_lacks_is_not_made_by_a_policy() -> None:
    assert applied(one({"value": ["a"]}), {"federation_entity": {}}) == {"federation_entity": {}}
    assert applied(one({"essential": True}), {"federation_entity": {}}) == {"federation_entity": {}}


def test_a_chain_of_three_policies_only_narrows() -> None:
    policies = [one({"subset_of": ["a", "b", "c"]}), one({"subset_of": ["a", "b"]}), one({"subset_of": ["b", "d"]})]
    assert merged(policies) == one({"subset_of": ["b"]})
