"""Statements and chains: what holds, what does not, and that an implementation by others says the same."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from pygrindvakt import GrindvaktError
from pygrindvakt import federation as other
from vouching_world import NOW, Entity, chain, claims_of, forged, read, three

from federation.errors import FederationError
from federation.keys import b64, generate_key
from federation.peers.vouching.chains import (
    MAX_CHAINS,
    MAX_LENGTH,
    Chain,
    above,
    read_chain,
    resolve_response,
    validate,
)
from federation.peers.vouching.policy import applied, merged, read_policy
from federation.peers.vouching.statements import (
    LEEWAY_SECONDS,
    MAX_STATEMENT,
    StatementRefused,
    check_clock,
    read_statement,
)


def valid(tokens: list[str], anchor: Entity, now: int = NOW) -> Chain:
    return validate(read_chain(tokens), anchor.pinned, now)


def refused(tokens: list[str], anchor: Entity, now: int = NOW) -> str:
    """The sentence with which a chain is refused."""
    with pytest.raises(StatementRefused) as found:
        valid(tokens, anchor, now)
    return found.value.message


# What holds


def test_a_chain_of_three_says_who_vouches_and_until_when() -> None:
    river, west, aurora = three()
    tokens = [river.says(), west.of(river, NOW - 3600, 24), aurora.of(west), aurora.says()]
    found = valid(tokens, aurora)
    assert found.path == (river.issuer, west.issuer, aurora.issuer)
    assert (found.subject, found.anchor) == (river.issuer, aurora.issuer)
    assert found.expires == NOW + 23 * 3600
    assert found.tokens == tuple(tokens)
    assert found.keys_of(west.issuer)[0].thumbprint == west.key.thumbprint
    assert found.keys_of(aurora.issuer)[0].thumbprint == aurora.key.thumbprint
    assert found.keys_of("https://stranger.example") == ()


def test_an_anchor_is_a_chain_of_itself() -> None:
    *_, aurora = three()
    assert valid([aurora.says()], aurora).path == (aurora.issuer,)


def test_policies_allowed_types_and_a_superiors_own_words_shape_the_metadata() -> None:
    river, west, aurora = three()
    river.metadata = {"oauth_client": {"a": ["x", "y", "z"]}, "other": {}, "federation_entity": {}}
    by_west = {
        "metadata": {"oauth_client": {"b": "said by west"}},
        "metadata_policy": {"oauth_client": {"a": {"subset_of": ["x", "y"]}}},
    }
    by_aurora = {
        "metadata": {"oauth_client": {"b": "not for river"}},
        "metadata_policy": {"oauth_client": {"a": {"subset_of": ["y", "z"]}, "c": {"default": 1}}},
        "constraints": {"allowed_entity_types": ["oauth_client"]},
    }
    found = valid(chain(river, west, aurora, by_0=by_west, by_1=by_aurora), aurora)
    assert found.metadata == {"oauth_client": {"a": ["y"], "b": "said by west", "c": 1}, "federation_entity": {}}


def test_a_chain_grows_over_every_superior_and_never_in_a_circle() -> None:
    river, west, aurora = three()
    south = Entity("https://south.example")
    own, over_west, over_south = river.says(), read([west.of(river)])[0], read([south.of(river)])[0]
    higher = [read([west.says()]), read(chain(west, aurora))]
    assert [len(each) for each in above(own, over_west, higher)] == [3, 4]
    assert len(above(own, over_south, [read([south.says()])])) == 1
    assert above(own, over_west, [read([south.says()])]) == []
    in_a_circle = read([west.says(), river.of(west), river.says()])
    assert above(own, over_west, [in_a_circle]) == []
    assert len(above(own, over_west, higher * 100)) == MAX_CHAINS
    line = [Entity(f"https://n{place}.example") for place in range(MAX_LENGTH)]
    longest = read(chain(west, *line))
    assert above(own, over_west, [longest]) == []
    for length in (MAX_LENGTH - 1, MAX_LENGTH - 2):
        fitting = read(chain(west, *line[: length - 2]))
        assert len(fitting) == length
        assert [len(each) for each in above(own, over_west, [fitting])] == [length + 1]


# What does not


def test_a_chain_ends_at_a_pinned_anchor_or_not_at_all() -> None:
    river, west, aurora = three()
    assert "no anchor here" in refused(chain(river, west, aurora), west)
    false = Entity(aurora.issuer)
    assert "not signed" in refused(chain(river, west, false), aurora)


@pytest.mark.parametrize("place", range(4))
def test_every_signature_counts(place: int) -> None:
    river, west, aurora = three()
    tokens = chain(river, west, aurora)
    head, body, _ = tokens[place].split(".")
    tokens[place] = f"{head}.{body}.{b64(generate_key().signature(f'{head}.{body}'.encode()))}"
    assert "not signed" in refused(tokens, aurora)


def test_a_statement_of_another_key_for_the_subject_is_no_word_for_it() -> None:
    river, west, aurora = three()
    seized = Entity(river.issuer, river.hints)
    tokens = [seized.says(), west.of(river), aurora.of(west), aurora.says()]
    assert "not signed" in refused(tokens, aurora)


def test_the_kid_names_one_key_of_the_maker_exactly() -> None:
    river, west, aurora = three()
    tokens = chain(river, west, aurora)
    tokens[1] = forged(west, claims_of(tokens[1]), kid="another")
    assert "not signed" in refused(tokens, aurora)
    tokens[1] = forged(west, claims_of(tokens[1]), kid="")
    assert "does not name the key" in refused(tokens, aurora)


def test_links_out_of_order_missing_or_twice_are_refused() -> None:
    river, west, aurora = three()
    own, by_west, by_aurora, root = chain(river, west, aurora)
    south = Entity("https://south.example", ["https://aurora.example"])
    for tokens in (
        [],
        [own, root],
        [own, own],
        [own, by_aurora, root],
        [own, by_aurora, by_west, root],
        [by_west, by_aurora, root],
        [own, by_west, by_aurora],
        [own, by_west, west.says(), by_aurora, root],
        [own, by_west, river.of(west), by_west, by_aurora, root],
        [own, south.of(river), aurora.of(south), root],
        [own] * (MAX_LENGTH + 1),
    ):
        refused(tokens, aurora)
    assert "back to where it was" in refused([own, by_west, river.of(west), by_west, by_aurora, root], aurora)
    assert "does not name" in refused([own, south.of(river), aurora.of(south), root], aurora)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("off", [-600, 600])
def test_clocks_that_are_ten_minutes_off_are_told_so(place: int, off: int) -> None:
    """A statement of ten minutes from now, or one that ended ten minutes ago."""
    river, west, aurora = three()
    at = NOW + off if off > 0 else NOW + off - 24 * 3600
    makers = [
        lambda: river.says(at, 24),
        lambda: west.of(river, at, 24),
        lambda: aurora.of(west, at, 24),
        lambda: aurora.says(at, 24),
    ]
    tokens = chain(river, west, aurora)
    tokens[place] = makers[place]()
    told = refused(tokens, aurora)
    assert "10 minutes" in told
    assert ("clocks" in told) == (off > 0)


def test_a_minute_between_two_clocks_is_allowed_and_no_second_more() -> None:
    river, *_ = three()
    early, late = read([river.says(NOW + LEEWAY_SECONDS), river.says(NOW - 24 * 3600 - LEEWAY_SECONDS + 1, 24)])
    check_clock(early, NOW)
    check_clock(late, NOW)
    for statement, now in ((early, NOW - 1), (late, NOW + 1)):
        with pytest.raises(StatementRefused):
            check_clock(statement, now)


@pytest.mark.parametrize(
    ("constraints", "by", "fine"),
    [
        ({"max_path_length": 1}, 1, True),
        ({"max_path_length": 0}, 1, False),
        ({"max_path_length": 0}, 0, True),
        ({"max_path_length": -1}, 0, False),
        ({"max_path_length": True}, 1, False),
        ({"naming_constraints": {"permitted": [".example"]}}, 1, True),
        ({"naming_constraints": {"permitted": ["river.example", "WEST.example"]}}, 1, True),
        ({"naming_constraints": {"permitted": ["river.example"]}}, 1, False),
        ({"naming_constraints": {"permitted": ["river.example"]}}, 0, True),
        ({"naming_constraints": {"permitted": [".river.example"]}}, 0, False),
        ({"naming_constraints": {"permitted": [".example"], "excluded": ["river.example"]}}, 1, False),
        ({"naming_constraints": {"permitted": "x"}}, 0, False),
        ({"naming_constraints": []}, 0, False),
        ({"allowed_entity_types": ["federation_entity"]}, 0, False),
        ({"allowed_entity_types": "oauth_client"}, 0, False),
        ({"a constraint of tomorrow": 1}, 0, True),
    ],
)
def test_constraints_hold_for_all_below(constraints: dict[str, Any], by: int, fine: bool) -> None:
    river, west, aurora = three()
    tokens = chain(river, west, aurora, **{f"by_{by}": {"constraints": constraints}})
    if fine:
        assert valid(tokens, aurora)
    else:
        refused(tokens, aurora)


def test_a_number_has_no_name_to_be_permitted() -> None:
    river, west = Entity("https://192.0.2.7", ["https://west.example"]), Entity("https://west.example")
    for names in ({"permitted": [".7"]}, {"excluded": ["a.example"]}):
        refused(chain(river, west, by_0={"constraints": {"naming_constraints": names}}), west)


def test_policies_of_a_chain_that_contradict_or_refuse_the_metadata_end_it() -> None:
    river, west, aurora = three()
    policies = {f"by_{at}": {"metadata_policy": {"oauth_client": {"a": {"value": [at]}}}} for at in (0, 1)}
    for claims in (policies, {"by_1": {"metadata_policy": {"oauth_client": {"b": {"essential": True}}}}}):
        with pytest.raises(FederationError):
            valid(chain(river, west, aurora, **claims), aurora)


@pytest.mark.parametrize("operator", ["value", "add", "default", "subset_of", "superset_of"])
def test_a_policy_of_scopes_that_are_no_texts_is_refused(operator: str) -> None:
    river, west, aurora = three()
    for values in ([1], [["a"]], [None]):
        policy = {"metadata_policy": {"oauth_client": {"scope": {operator: values}}}}
        with pytest.raises(FederationError, match="cannot have"):
            valid(chain(river, west, aurora, by_0=policy), aurora)


GOOD = {"iss": "https://a.example", "sub": "https://a.example", "iat": NOW, "exp": NOW + 3600}


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": None},
        {"iss": "https://a.example?x"},
        {"iss": "ftp://a.example"},
        {"iss": "https://[a"},
        {"iss": "https://a]b"},
        {"iss": "https://[a.b]"},
        {"iss": "https://a.example:99999"},
        {"sub": "https://a.example#x"},
        {"sub": 7},
        {"iat": None},
        {"exp": None},
        {"iat": "now"},
        {"iat": True},
        {"exp": 1e300},
        {"exp": NOW + 73 * 3600},
        {"jwks": None},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": "x"}},
        {"jwks": {"keys": [{"kty": "oct", "k": "AAAA", "kid": "x"}]}},
        {"crit": []},
        {"crit": ["x"], "x": 1},
        {"authority_hints": []},
        {"authority_hints": None},
        {"authority_hints": ["https://[b"]},
        {"authority_hints": "https://b.example"},
        {"authority_hints": ["https://b.example"] * 17},
        {"authority_hints": ["not an address"]},
        {"trust_marks": {}},
        {"trust_marks": ["x"]},
        {"trust_mark_issuers": []},
        {"metadata": []},
        {"metadata": {"oauth_client": None}},
        {"metadata": {"oauth_client": {"a": None}}},
        {"constraints": {}},
        {"metadata_policy": {}},
        {"source_endpoint": "https://a.example/fetch"},
        {"sub": "https://b.example", "authority_hints": ["https://c.example"]},
        {"sub": "https://b.example", "trust_marks": []},
        {"sub": "https://b.example", "constraints": 1},
        {"sub": "https://b.example", "metadata_policy_crit": []},
        {"sub": "https://b.example", "metadata_policy_crit": ["add"]},
        {"sub": "https://b.example", "metadata_policy_crit": ["intersects"]},
        {"sub": "https://b.example", "metadata_policy_crit": "intersects"},
    ],
)
def test_a_malformed_statement_is_refused_in_a_sentence(claims: dict[str, Any]) -> None:
    entity = Entity("https://a.example")
    said = {**GOOD, "jwks": {"keys": [entity.key.public_jwk]}}
    assert read_statement(forged(entity, said)).is_configuration
    with pytest.raises(StatementRefused) as found:
        read_statement(forged(entity, said | claims))
    assert found.value.message.endswith(".")


def test_keys_that_cannot_be_told_apart_are_refused() -> None:
    entity = Entity("https://a.example")
    one, two = entity.key.public_jwk, generate_key().public_jwk
    plain = {name: one[name] for name in ("kty", "crv", "x", "y")}
    for listed in ([one, two | {"kid": one["kid"]}], [plain], [plain | {"kid": ["x"]}], [plain | {"kid": {}}]):
        with pytest.raises(StatementRefused, match="told apart"):
            read_statement(forged(entity, {**GOOD, "jwks": {"keys": listed}}))


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": None}, {"crit": ["b64"]}, {"kid": 1}, {"alg": "none"}])
def test_a_header_of_another_kind_is_refused(header: dict[str, Any]) -> None:
    entity = Entity("https://a.example")
    with pytest.raises(StatementRefused):
        read_statement(forged(entity, {**GOOD, "jwks": {"keys": [entity.key.public_jwk]}}, **header))


@pytest.mark.parametrize("token", [None, 1, "", "a.b", "a.b.c", "é.b.c", "x" * (MAX_STATEMENT + 1), ["a"]])
def test_what_is_no_token_is_refused(token: object) -> None:
    with pytest.raises(StatementRefused):
        read_statement(token)


@pytest.mark.parametrize("depth", [13, 500, 5_000, 15_000])
def test_what_is_nested_deeply_is_refused_at_once(depth: int) -> None:
    entity = Entity("https://a.example")
    head, _, signature = entity.says().split(".")
    body = b64(b'{"metadata":' + b"[" * depth + b"]" * depth + b"}")
    begun = time.process_time()
    with pytest.raises(StatementRefused):
        read_statement(f"{head}.{body}.{signature}")
    assert time.process_time() - begun < 0.2


def test_the_longest_chain_of_the_largest_statements_is_refused_or_done_within_a_second() -> None:
    line = [Entity(f"https://n{place}.example") for place in range(MAX_LENGTH - 1)]
    for lower, upper in pairwise(line):
        lower.hints = [upper.issuer]
    wide = {"metadata_policy": {"oauth_client": {f"p{at}": {"add": [f"v{at}"] * 20} for at in range(150)}}}
    claims = {f"by_{at}": wide for at in range(MAX_LENGTH)}
    tokens = chain(*line, **claims)
    assert len(tokens) == MAX_LENGTH
    assert max(map(len, tokens)) > MAX_STATEMENT // 2
    begun = time.process_time()
    assert valid(tokens, line[-1]).path == tuple(each.issuer for each in line)
    assert time.process_time() - begun < 1


# The same by others: pygrindvakt


class Resolver:
    """What another implementation asks: an anchor that gives our answer, with this chain in it."""

    def __init__(self, anchor: Entity, answer: str, now: int) -> None:
        anchor.metadata = {"federation_entity": {"federation_resolve_endpoint": f"{anchor.issuer}/resolve"}}
        self.pages = {"/.well-known/openid-federation": anchor.says(now), "/resolve": answer}

    def get(self, url: str) -> tuple[int, bytes, str]:
        return 200, self.pages[urlsplit(url).path].encode(), "application/jwt"

    def post_form(self, *_: object) -> tuple[int, bytes, str]:
        raise AssertionError


def theirs(tokens: list[str], anchor: Entity, now: int) -> Any:
    """What pygrindvakt finds in our answer with this chain, or raises."""
    statements = tuple(read(tokens))
    expires = min(each.expires for each in statements)
    found = Chain(statements, max(expires, now + 60), statements[0].claims["metadata"])
    answer = resolve_response(anchor.key, anchor.issuer, found, now, audience="https://delta.example")
    pinned = {anchor.issuer: {"keys": [anchor.key.public_jwk]}}
    return other.resolve_via_trust_anchors(Resolver(anchor, answer, now), statements[0].subject, pinned)


def chain_with(fault: str, now: int) -> tuple[list[str], Entity]:
    """A chain of three with one fault in it, or with none."""
    river, west, aurora = three()
    made = {
        "": lambda: chain(river, west, aurora, now=now),
        "a signature by a stranger": lambda: [
            river.says(now), Entity(west.issuer).of(river, now), aurora.of(west, now), aurora.says(now),
        ],
        "a subject with other keys": lambda: [
            Entity(river.issuer, river.hints).says(now), west.of(river, now), aurora.of(west, now), aurora.says(now),
        ],
        "a statement that ended": lambda: [
            river.says(now), west.of(river, now - 50 * 3600), aurora.of(west, now), aurora.says(now),
        ],
        "a statement of later": lambda: [
            river.says(now), west.of(river, now + 600), aurora.of(west, now), aurora.says(now),
        ],
        "a missing link": lambda: [river.says(now), aurora.of(west, now), aurora.says(now)],
        "another anchor": lambda: [
            river.says(now), west.of(river, now), Entity(aurora.issuer).of(west, now), Entity(aurora.issuer).says(now),
        ],
    }  # fmt: skip
    return made[fault](), aurora


def test_another_implementation_verifies_our_chain() -> None:
    now = int(time.time())
    tokens, aurora = chain_with("", now)
    mine, found = valid(tokens, aurora, now), theirs(tokens, aurora, now)
    assert (found.issuer, found.subject, found.exp) == (aurora.issuer, mine.subject, mine.expires)
    assert found.metadata == mine.metadata
    assert other.verify_self_signed(tokens[0]).authority_hints() == list(mine.statements[0].hints)
    assert other.verify(tokens[1], {"keys": [dict(each.jwk) | {"kid": each.kid} for each in mine.statements[2].keys]})


@pytest.mark.parametrize(
    "fault",
    [
        "a signature by a stranger",
        "a subject with other keys",
        "a statement that ended",
        "a statement of later",
        "a missing link",
        "another anchor",
    ],
)
def test_a_chain_with_a_fault_in_it_is_refused_by_both(fault: str) -> None:
    now = int(time.time())
    tokens, aurora = chain_with(fault, now)
    refused(tokens, aurora, now)
    with pytest.raises(GrindvaktError, match="trust_chain"):
        theirs(tokens, aurora, now)


def test_another_implementation_applies_our_merged_policy_alike() -> None:
    policy = {"a": {"add": ["w"], "superset_of": ["x"]}, "b": {"default": 1}}
    metadata = {"a": ["x"], "c": True}
    ours = applied(merged([read_policy({"oauth_client": policy})]), {"oauth_client": metadata})["oauth_client"]
    assert other.apply_policy(metadata, policy) == ours == {"a": ["x", "w"], "b": 1, "c": True}
    with pytest.raises(GrindvaktError):
        other.apply_policy(metadata, {"d": {"essential": True}})


def test_what_others_make_is_read_here() -> None:
    from pygrindvakt import keys as their_keys

    jwk = generate_key().jwk
    key = their_keys.signing_key_from_jwk_json(orjson.dumps(dict(jwk) | {"kid": "theirs"}).decode(), kid="theirs")
    token = other.build_entity_configuration(
        key, "https://rp.example", key.to_public_jwks(), ["https://west.example"], {"oauth_client": {}}, lifetime=3600
    )
    statement = read_statement(token)
    assert (statement.issuer, statement.hints) == ("https://rp.example", ("https://west.example",))
    pinned = {"https://rp.example": frozenset({statement.keys[0].thumbprint})}
    assert validate([statement], pinned, int(time.time())).subject == "https://rp.example"
