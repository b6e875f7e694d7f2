"""Trust marks: who may give them, under which anchor, with whose delegation, and until when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from vouching_world import NOW, Entity, chain, forged, read, three

from federation import keys
from federation.peers.vouching.chains import validate
from federation.peers.vouching.marks import (
    MARK,
    MAX_MARKS,
    Federation,
    holding,
    make_delegation,
    make_mark,
    read_marks,
    verify_mark,
)
from federation.peers.vouching.statements import StatementRefused

KIND = "https://aurora.example/marks/answers-within-two-days"
RIVER, WEST, AURORA = three()
OWNER = Entity("https://owner.example")


def federation(issuers: object = (WEST.issuer,), owned: bool = False) -> Federation:
    """The federation of river, west and aurora, with what aurora says of marks."""
    owners = {KIND: {"sub": OWNER.issuer, "jwks": {"keys": [OWNER.key.public_jwk]}}} if owned else {}
    said = {"trust_mark_issuers": {KIND: list(issuers) if isinstance(issuers, tuple) else issuers}}
    found = validate(read(chain(RIVER, WEST, AURORA)), AURORA.pinned, NOW)
    return Federation(AURORA.issuer, said | ({"trust_mark_owners": owners} if owned else {}), found.keys_of)


def mark(by: Entity = WEST, delegation: str | None = None, now: int = NOW) -> dict[str, str]:
    return make_mark(by.key, by.issuer, RIVER.issuer, KIND, now, delegation)


def delegation(by: Entity = OWNER, to: str = WEST.issuer, kind: str = KIND, now: int = NOW) -> str:
    return make_delegation(by.key, OWNER.issuer, to, kind, now, now + 3600)


def why_not(entry: object, known: Federation, now: int = NOW) -> str:
    with pytest.raises(StatementRefused) as found:
        verify_mark(entry, RIVER.issuer, known, now)
    return found.value.message


def test_a_mark_by_an_issuer_that_the_anchor_names_holds() -> None:
    found = verify_mark(mark(), RIVER.issuer, federation(), NOW)
    assert (found.type, found.issuer, found.subject, found.expires) == (
        KIND, WEST.issuer, RIVER.issuer, NOW + 48 * 3600,
    )  # fmt: skip
    assert verify_mark(mark(AURORA), RIVER.issuer, federation(issuers=()), NOW).issuer == AURORA.issuer


def test_marks_of_unknown_types_by_others_and_by_strangers_do_not_hold() -> None:
    assert "no marks of the type" in why_not(mark(), Federation(AURORA.issuer, {}, lambda _: ()))
    assert "does not let" in why_not(mark(AURORA), federation())
    assert "does not let" in why_not(mark(), federation(issuers="anybody"))
    assert "no chain is known" in why_not(mark(Entity("https://far.example")), federation(issuers=()))
    assert "not signed" in why_not(mark(Entity(WEST.issuer)), federation())


def test_marks_have_their_time_too() -> None:
    assert "clocks" in why_not(mark(now=NOW + 600), federation())
    assert "has ended" in why_not(mark(), federation(), NOW + 48 * 3600 + 60)
    without_end = {"iss": WEST.issuer, "sub": RIVER.issuer, "trust_mark_type": KIND, "iat": NOW}
    token = keys.sign(WEST.key, {"typ": MARK, "kid": WEST.key.thumbprint}, without_end)
    entry = {"trust_mark_type": KIND, "trust_mark": token}
    assert verify_mark(entry, RIVER.issuer, federation(), NOW + 10**8).expires is None


def test_an_owned_mark_needs_its_owners_delegation_to_this_issuer() -> None:
    owned = federation(owned=True)
    assert verify_mark(mark(delegation=delegation()), RIVER.issuer, owned, NOW)
    assert "owner" in why_not(mark(), owned)
    assert "owner" in why_not(mark(delegation=delegation()), federation())
    for wrong, told in (
        (delegation(to=AURORA.issuer), "something else"),
        (delegation(kind="https://another.example"), "something else"),
        (delegation(Entity(OWNER.issuer)), "not signed"),
        (delegation(now=NOW - 7200), "has ended"),
        (delegation(now=NOW + 600), "clocks"),
        ("no token", "malformed"),
    ):
        assert told in why_not(mark(delegation=wrong), owned)


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: None,
        lambda entry: {},
        lambda entry: entry | {"trust_mark_type": "https://another.example"},
        lambda entry: entry | {"trust_mark": 1},
        lambda entry: entry | {"trust_mark": forged(WEST, {})},
        lambda entry: entry | {"trust_mark": make_mark(WEST.key, WEST.issuer, WEST.issuer, KIND, NOW)["trust_mark"]},
        lambda entry: entry | {"trust_mark": "x" * 9000},
    ],
)
def test_a_malformed_mark_is_refused_and_left_out(change: Callable[[Any], Any]) -> None:
    entry = change(mark())
    why_not(entry, federation())
    assert read_marks([entry, mark()], WEST.issuer, RIVER.issuer)[0]["trust_mark_type"] == KIND
    assert len(read_marks([entry, mark()], WEST.issuer, RIVER.issuer)) == 1
    assert [each.issuer for each in holding([entry, mark()], RIVER.issuer, federation(), NOW)] == [WEST.issuer]


def test_only_so_many_marks_are_looked_at() -> None:
    assert len(read_marks([mark(), mark(AURORA)] * 100, WEST.issuer, RIVER.issuer)) == MAX_MARKS // 2
    assert len(holding([mark()] * 100, RIVER.issuer, federation(), NOW)) == MAX_MARKS
    assert read_marks({"a": 1}, WEST.issuer, RIVER.issuer) == []
