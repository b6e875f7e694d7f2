"""Keys, signatures, files and words."""

from __future__ import annotations

import json
import os
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jws

from federation.errors import SettingsInvalid
from federation.keys import (
    KeyRefused,
    SignatureRefused,
    b64,
    create_keys,
    digits,
    dpop_proof,
    generate_key,
    generate_keys,
    load_keys,
    public_key,
    public_keys,
    read_jws,
    rotate_tokens,
    sign,
    sign_assertion,
    signing_key,
    thumbprint,
    token_hash,
    unb64,
    verify,
    words,
    words_match,
)
from federation.keys.spoken import word_list
from federation.world import World, real_world

T: frozenset[str | None] = frozenset({"t"})
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SEEDED = World(lambda: NOW, b"s" * 32)


def rsa_jwk(bits: int = 2048, private: bool = True) -> dict[str, Any]:
    with warnings.catch_warnings(action="ignore"):
        return dict(jwk.RSAKey.generate_key(bits).as_dict(private=private))


def test_the_thumbprint_is_the_one_of_rfc_7638() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHz"
        "u6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8"
        "awapJzKnqDKgw"
    )
    key = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "PS256"])
def test_what_is_signed_here_verifies_elsewhere_and_back(algorithm: str) -> None:
    key = signing_key(rsa_jwk()) if algorithm == "PS256" else generate_key(algorithm)
    other = jwk.import_key(dict(key.jwk))
    assert other.thumbprint() == key.thumbprint
    token = sign(key, {"typ": "t"}, {"a": 1})
    assert jws.deserialize_compact(token, other, [algorithm]).payload == b'{"a":1}'
    theirs = jws.serialize_compact({"alg": algorithm, "typ": "t"}, b'{"a":2}', other, [algorithm])
    read = read_jws(theirs, types=T)
    assert read.claims == {"a": 2}
    assert verify(read, [key.public]).thumbprint == key.thumbprint


def test_the_older_name_of_ed25519_is_accepted() -> None:
    key = generate_key("Ed25519")
    token = sign(key, {"typ": "t", "alg": "EdDSA"}, {})
    assert verify(read_jws(token, types=T), [key.public]).algorithms == {"Ed25519", "EdDSA"}


def test_signatures_in_a_seeded_world_are_the_same_twice() -> None:
    one, two = (generate_key("ES256", SEEDED, "x") for _ in range(2))
    assert one.jwk == two.jwk
    assert sign(one, {}, {"a": 1}) == sign(two, {}, {"a": 1})
    assert generate_key("ES256", SEEDED, "y").jwk != one.jwk
    assert generate_key("Ed25519", SEEDED, "x").jwk == generate_key("Ed25519", SEEDED, "x").jwk
    free = generate_key("ES256", real_world())
    assert sign(free, {}, {}) != sign(free, {}, {})


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "oct"},
        {"kty": None},
        {"kty": []},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"x": ""},
        {"x": 5},
        {"x": "+" * 43},
        {"y": b64(b"\1" * 32)},
        {"d": "AAAA"},
        {"k": "AAAA"},
        {"use": "enc"},
        {"alg": "ES384"},
        {"alg": ["ES256"]},
    ],
)
def test_an_unsound_ec_key_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(KeyRefused):
        public_key(generate_key().public_jwk | change)


def test_unsound_keys_of_other_kinds_are_refused() -> None:
    good = rsa_jwk(private=False)
    public_key(good)
    okp = generate_key("Ed25519").public_jwk
    for bad in (
        rsa_jwk(1024, private=False),
        good | {"e": b64(b"\3")},
        good | {"e": b64(b"\1\0\2")},
        good | {"n": b64(b"\xff" * 1025)},
        good | {"n": "A" * 2000},
        good | {"alg": "RS256"},
        okp | {"crv": "X25519"},
        okp | {"x": "AAAA"},
        "key",
        None,
    ):
        with pytest.raises(KeyRefused):
            public_key(bad)
    with pytest.raises(KeyRefused):
        generate_key("RS256")
    with pytest.raises(KeyRefused):
        thumbprint({"kty": "oct", "k": "AA"})


def test_a_key_set_is_bounded() -> None:
    key = generate_key().public_jwk
    assert len(public_keys([key] * 32)) == 32
    with pytest.raises(KeyRefused):
        public_keys([key] * 33)


def test_a_private_key_is_read_whole_or_refused() -> None:
    key = generate_key()
    assert signing_key(dict(key.jwk)).thumbprint == key.thumbprint
    edwards = generate_key("Ed25519")
    assert signing_key(dict(edwards.jwk)).signature(b"x") == edwards.signature(b"x")
    rsa = rsa_jwk()
    for bad in (
        key.public_jwk,
        "key",
        dict(key.jwk) | {"d": generate_key().jwk["d"]},
        dict(key.jwk) | {"d": "+"},
        {name: value for name, value in rsa.items() if name != "qi"},
    ):
        with pytest.raises(KeyRefused):
            signing_key(bad)


def test_neither_key_nor_token_shows_itself() -> None:
    key = generate_key()
    assert key.jwk["d"] not in repr(key)
    keys = generate_keys(real_world(), "x")
    assert repr(keys.secret) not in repr(keys)
    assert keys.peer.jwk["d"] not in repr(keys)
    read = read_jws(sign(key, {"typ": "t"}, {}), types=T)
    assert "message" not in repr(read)


def test_the_name_of_a_key_narrows_the_choice() -> None:
    key, other = generate_key(), generate_key()
    named = public_key(other.public_jwk | {"kid": "mine"})
    assert verify(read_jws(sign(other, {"typ": "t", "kid": "mine"}, {}), types=T), [key.public, named]) == named
    with pytest.raises(SignatureRefused):
        verify(read_jws(sign(key, {"typ": "t", "kid": "mine"}, {}), types=T), [key.public, named])


def test_a_key_does_not_verify_under_another_algorithm() -> None:
    key = generate_key()
    assert not key.public.verifies("Ed25519", b"", key.signature(b""))
    assert not key.public.verifies("ES256", b"", key.signature(b"")[:-1])
    assert not key.public.verifies("ES256", b"", b"\0" * 64)


@pytest.mark.parametrize(
    "header",
    [{"alg": "none"}, {"alg": "HS256"}, {"alg": "RS256"}, {"alg": 1}, {"crit": ["x"]}, {"b64": False}, {"typ": "u"}],
)
def test_other_headers_are_refused(header: dict[str, Any]) -> None:
    with pytest.raises(SignatureRefused):
        read_jws(sign(generate_key(), {"typ": "t"} | header, {}), types=T)


def test_row_50_oversized_and_deep_tokens_are_refused() -> None:
    key = generate_key()
    with pytest.raises(SignatureRefused):
        read_jws(sign(key, {"typ": "t"}, {"a": "x" * 20_000}), types=T)
    deep = b64(b'{"a":' * 3000 + b"1" + b"}" * 3000)
    with pytest.raises(SignatureRefused):
        read_jws(f"{deep}.{b64(b'{}')}.AA", types=T, max_bytes=10**6)


@given(st.text(max_size=80))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with pytest.raises(SignatureRefused):
        read_jws(text, types=T)


@given(st.binary(max_size=40))
def test_base64_is_canonical(raw: bytes) -> None:
    assert unb64(b64(raw)) == raw
    for other in (b64(raw) + "=", b64(raw) + "\n"):
        with pytest.raises(ValueError, match=r"base64|padding|character|data"):
            unb64(other)


def test_an_assertion_and_a_proof_have_what_they_need() -> None:
    key = generate_key()
    claims = read_jws(
        sign_assertion(key, "https://a", "https://b", 100, "j"), types=frozenset({"client-authentication+jwt"})
    ).claims
    assert claims == {"iss": "https://a", "sub": "https://a", "aud": "https://b", "iat": 100, "exp": 160, "jti": "j"}
    proof = read_jws(
        dpop_proof(key, "GET", "https://b/x?y#z", 100, "k", token="t", nonce="n"), types=frozenset({"dpop+jwt"})
    )
    assert set(proof.header["jwk"]) == {"kty", "crv", "x", "y"}
    assert proof.claims == {
        "jti": "k", "htm": "GET", "htu": "https://b/x", "iat": 100, "ath": token_hash("t"), "nonce": "n",
    }  # fmt: skip


# Files


def test_keys_are_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    made = create_keys(tmp_path, real_world())
    again = create_keys(tmp_path, real_world())
    assert (made.origin, made.tokens, made.peer, made.secret) == (again.origin, again.tokens, again.peer, again.secret)
    assert load_keys(tmp_path, real_world()).origin == made.origin == made.provenance.thumbprint
    files = sorted(path.name for path in (tmp_path / "keys").iterdir())
    assert files == ["peer.jwk", "provenance.jwk", "secret", "tokens.jwk"]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_of_two_processes_that_make_keys_at_once_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create_keys(tmp_path, real_world())
    monkeypatch.setattr(Path, "exists", lambda path: False)  # as the slower process saw it
    assert create_keys(tmp_path, real_world()).origin == first.origin
    assert not list((tmp_path / "keys").glob("*.new"))


def test_keys_are_whole_under_a_wide_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_keys(tmp_path, real_world())
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
@pytest.mark.parametrize("name", ["peer.jwk", "secret"])
def test_a_key_that_others_can_read_stops_the_start(tmp_path: Path, mode: int, name: str) -> None:
    create_keys(tmp_path, real_world())
    (tmp_path / "keys" / name).chmod(mode)
    with pytest.raises(SettingsInvalid, match="chmod 600"):
        load_keys(tmp_path, real_world())


def test_missing_broken_and_linked_keys_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="federation init"):
        load_keys(tmp_path, real_world())
    create_keys(tmp_path, real_world())
    file = tmp_path / "keys" / "peer.jwk"
    good = file.read_bytes()
    for bad in (b"", b"{", b"[]", b"{}", json.dumps({"kty": "EC"}).encode()):
        file.write_bytes(bad)
        with pytest.raises(SettingsInvalid, match="broken"):
            load_keys(tmp_path, real_world())
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        load_keys(tmp_path, real_world())
    file.unlink()
    file.mkdir()
    with pytest.raises(SettingsInvalid, match="plain file"):
        load_keys(tmp_path, real_world())
    file.rmdir()
    file.write_bytes(good)
    file.chmod(0o600)
    secret = tmp_path / "keys" / "secret"
    for bad in (b"zz", b"00"):
        secret.write_bytes(bad)
        with pytest.raises(SettingsInvalid, match="broken"):
            load_keys(tmp_path, real_world())


def test_a_replaced_token_key_verifies_for_an_hour(tmp_path: Path) -> None:
    world = World(lambda: NOW)
    old = create_keys(tmp_path, world).tokens
    keys = rotate_tokens(tmp_path, world)
    now = world.timestamp()
    assert keys.tokens.thumbprint != old.thumbprint
    assert [key.thumbprint for key in keys.token_keys(now)] == [keys.tokens.thumbprint, old.thumbprint]
    assert [key.thumbprint for key in keys.token_keys(now + 3600)] == [keys.tokens.thumbprint]
    (earlier,) = json.loads((tmp_path / "keys" / "tokens.jwk").read_text())["earlier"]
    assert "d" not in earlier["jwk"]
    assert old.jwk["d"] not in "".join(path.read_text() for path in (tmp_path / "keys").iterdir())


def test_a_seeded_node_has_the_same_keys_twice_and_no_other_node_has_them(tmp_path: Path) -> None:
    river = create_keys(tmp_path / "a", SEEDED, "river")
    assert create_keys(tmp_path / "b", SEEDED, "river").origin == river.origin
    assert create_keys(tmp_path / "c", SEEDED, "west").origin != river.origin
    assert river.tokens.deterministic


# Words


def test_the_words_are_eight_alike_from_both_sides_and_bound_to_both_keys() -> None:
    said = words("a" * 43, "b" * 43)
    assert len(said) == 8
    assert said == words("b" * 43, "a" * 43)
    assert said != words("a" * 43, "c" * 43)
    assert set(said) <= set(word_list())
    assert len(set(word_list())) == 2048


def test_the_words_do_not_change_between_versions() -> None:
    assert " ".join(words("a", "b")) == "dog universe vicious banana ceiling glad trip random"
    assert " ".join(digits("a", "b")) == "0516 1902 1948 0145 0295 0788 1862 1421"


def test_words_and_digits_are_recognised_as_people_type_them() -> None:
    said, numbers = words("a", "b"), digits("a", "b")
    assert words_match("  " + ", ".join(said).upper(), "b", "a")
    assert words_match("-".join(numbers), "a", "b")
    assert not words_match(" ".join(said[:7]), "a", "b")
    assert not words_match(" ".join(reversed(said)), "a", "b")
    assert not words_match("", "a", "b")
    assert not words_match(" ".join(said), "a", "c")


def test_a_changed_word_list_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.keys.spoken._SHA256", "0" * 64)
    word_list.cache_clear()
    with pytest.raises(SettingsInvalid):
        word_list()
    monkeypatch.undo()
    word_list.cache_clear()
    assert len(word_list()) == 2048
