"""Which address a request is counted under: what nobody can choose for himself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.limiting.addresses import MOST_BYTES, UNKNOWN, callers

DIRECT = callers(())
BEHIND = callers(("10.0.0.0/8", "fd00::/8"))


def said(*values: str, name: str = "x-forwarded-for") -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("socket", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, UNKNOWN),
        ("", UNKNOWN),
        ("testclient", UNKNOWN),
    ],
)
def test_without_a_proxy_the_socket_counts(socket: str | None, counted: str) -> None:
    assert DIRECT(socket, []) == counted


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_what_a_stranger_says_about_himself_is_nothing(header: str) -> None:
    lie = "for=198.51.100.1" if header == "forwarded" else "198.51.100.1"
    assert DIRECT("192.0.2.7", said(lie, name=header)) == "192.0.2.7"
    assert BEHIND("192.0.2.7", said(lie, name=header)) == "192.0.2.7"


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        (["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        (["203.0.113.9, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
        (["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
        (["198.51.100.1:4711"], "198.51.100.1"),
        (["[2001:db8:1:2::9]:443"], "2001:db8:1:2::/64"),
        (["2001:db8:1:2::9"], "2001:db8:1:2::/64"),
        (["198.51.100.1, nonsense"], "10.0.0.1"),
        (["198.51.100.1, nonsense, 10.1.1.1"], "10.1.1.1"),
        ([""], "10.0.0.1"),
        ([","], "10.0.0.1"),
        (["198.51.100.1," * MOST_BYTES], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
def test_behind_a_trusted_proxy_the_last_hop_that_is_none_counts(values: list[str], counted: str) -> None:
    assert BEHIND("10.0.0.1", said(*values)) == counted


@pytest.mark.parametrize(
    ("value", "counted"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ('For="[2001:db8:1:2::9]:80";proto=https;by=10.0.0.1', "2001:db8:1:2::/64"),
        ("for=203.0.113.9, for=198.51.100.1;proto=http, for=10.3.3.3", "198.51.100.1"),
        ("for=_hidden", "10.0.0.1"),
        ("for=unknown", "10.0.0.1"),
        ("by=198.51.100.1", "10.0.0.1"),
    ],
)
def test_the_standard_header_is_read_as_well(value: str, counted: str) -> None:
    assert BEHIND("10.0.0.1", said(value, name="forwarded")) == counted


def test_a_header_that_the_proxy_passed_on_as_it_came_gives_no_choice() -> None:
    """A proxy that writes one of the two headers may leave the other as its caller sent it."""
    both = said("198.51.100.1") + said("for=203.0.113.9", name="forwarded")
    assert BEHIND("10.0.0.1", both) == "10.0.0.1"
    agreeing = said("198.51.100.1") + said('for="198.51.100.1:5"', name="forwarded")
    assert BEHIND("10.0.0.1", agreeing) == "198.51.100.1"


@given(
    socket=st.one_of(st.none(), st.text(max_size=50), st.ip_addresses().map(str)),
    headers=st.lists(
        st.tuples(st.sampled_from([b"x-forwarded-for", b"forwarded", b"host"]), st.binary(max_size=80)), max_size=4
    ),
)
def test_nothing_that_is_sent_breaks_it(socket: str | None, headers: list[tuple[bytes, bytes]]) -> None:
    for find in (DIRECT, BEHIND):
        assert len(find(socket, headers)) <= 50


@given(
    written=st.text(alphabet='0123456789abcdef:.,[]% for="', max_size=60),
    real=st.ip_addresses(v=4, network="198.51.100.0/24"),
)
def test_whatever_a_caller_writes_the_proxy_appends_who_called(written: str, real: object) -> None:
    assert BEHIND("10.0.0.1", said(f"{written}, {real}")) == str(real)
