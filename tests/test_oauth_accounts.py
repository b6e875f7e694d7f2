"""Clients, personal tokens and accounts: what an operator makes, lists and revokes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from federation.errors import BadInput, Conflict, NotFound
from federation.keys import signing_key
from federation.oauth.accounts import (
    HASHER,
    account_viewer,
    add_account,
    check_password,
    disable_account,
    has_steward,
    list_accounts,
    redeem_link,
    setup_link,
)
from federation.oauth.clients import add_client, list_clients, registered_clients, revoke_client
from federation.oauth.personal import issue_personal_token, list_personal_tokens, revoke_personal_token
from federation.policies.tiers import ACTION_SCOPES
from federation.policies.viewer import ViewerKind
from federation.storage.database import Database
from federation.world import World

KNOWN = frozenset({"resource:open", "resource:community", "exchange"})
PASSWORD = "correct horse battery"


class Clock:
    at = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


def test_a_client_is_made_listed_and_revoked(database: Database, world: World) -> None:
    made = add_client(database, world, " dashboard ", frozenset({"resource:open"}), KNOWN)
    find = registered_clients(database)
    found = find(made.client_id)
    assert found is not None
    assert found.active
    assert [key.thumbprint for key in found.keys] == [signing_key(made.private_jwk).thumbprint]
    assert made.private_jwk["kid"] == found.keys[0].thumbprint
    assert made.private_jwk["d"] not in repr(made)
    assert [(row.name, row.scopes, row.revoked_at) for row in list_clients(database)] == [
        ("dashboard", ("resource:open",), None)
    ]
    revoke_client(database, world, made.client_id)
    assert find(made.client_id) is not None
    assert not find(made.client_id).active  # type: ignore[union-attr]
    assert list_clients(database)[0].revoked_at == world.timestamp()
    for gone in (made.client_id, "nobody"):
        with pytest.raises(NotFound):
            revoke_client(database, world, gone)
    assert find("nobody") is None


def test_the_database_holds_no_secret_of_a_client_or_token(database: Database, world: World) -> None:
    made = add_client(database, world, "x", KNOWN, KNOWN)
    secret, _ = issue_personal_token(database, world, "y", frozenset({"resource:open"}), KNOWN)
    with database.read() as connection:
        held = str(connection.exec_driver_sql("SELECT * FROM oauth_client").all())
        held += str(connection.exec_driver_sql("SELECT * FROM personal_token").all())
    assert made.private_jwk["d"] not in held
    assert secret not in held
    assert secret.removeprefix("fedp_") not in held


@pytest.mark.parametrize(
    ("name", "scopes"),
    [("", {"resource:open"}), ("x" * 201, {"resource:open"}), ("x", set()), ("x", {"need:open"}), ("x", {"*"})],
)
def test_a_client_needs_a_name_and_scopes_that_exist(
    sqlite_database: Database, world: World, name: str, scopes: set[str]
) -> None:
    with pytest.raises(BadInput):
        add_client(sqlite_database, world, name, frozenset(scopes), KNOWN)


def test_a_personal_token_is_listed_without_its_text_and_revoked_once(database: Database, world: World) -> None:
    secret, token_id = issue_personal_token(database, world, "calendar", frozenset({"resource:open"}), KNOWN, days=2)
    listed = list_personal_tokens(database)
    assert [(row.token_id, row.name, row.scopes) for row in listed] == [(token_id, "calendar", ("resource:open",))]
    assert listed[0].expires_at == world.timestamp() + 2 * 86_400
    assert secret.startswith("fedp_")
    assert secret not in repr(listed)
    revoke_personal_token(database, world, token_id)
    with pytest.raises(NotFound):
        revoke_personal_token(database, world, token_id)


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [
        ("x", {"resource:community"}, 1),
        ("x", {"exchange"}, 1),
        ("x", {"need:open"}, 1),
        ("x", set(), 1),
        (" ", {"resource:open"}, 1),
        ("x", {"resource:open"}, 0),
        ("x", {"resource:open"}, 367),
    ],
)
def test_a_personal_token_is_for_open_scopes_and_a_stated_time(
    sqlite_database: Database, world: World, name: str, scopes: set[str], days: int
) -> None:
    with pytest.raises(BadInput):
        issue_personal_token(sqlite_database, world, name, frozenset(scopes), KNOWN, days=days)


def test_a_steward_sets_the_first_password_by_a_link_that_works_once(database: Database, world: World) -> None:
    assert not has_steward(database)
    add_account(database, world, "amina", "Amina")
    assert not has_steward(database)
    link = setup_link(database, world, "https://river.example", "amina")
    url, _, token = link.partition("#")
    assert url == "https://river.example/console/setup"
    with pytest.raises(BadInput):
        redeem_link(database, world, token, "short")
    assert redeem_link(database, world, token, PASSWORD) == "amina"
    assert has_steward(database)
    with pytest.raises(NotFound):
        redeem_link(database, world, token, PASSWORD)
    viewer = check_password(database, "amina", PASSWORD)
    assert viewer is not None
    assert (viewer.kind, viewer.subject, viewer.scopes) == (ViewerKind.STEWARD, "account:amina", ACTION_SCOPES)
    assert viewer == account_viewer(database, "amina")


def test_a_link_ends_after_a_day_and_with_the_next_link(sqlite_database: Database, world: World, clock: Clock) -> None:
    database = sqlite_database
    add_account(database, world, "amina", "Amina")
    first = setup_link(database, world, "", "amina").partition("#")[2]
    second = setup_link(database, world, "", "amina").partition("#")[2]
    with pytest.raises(NotFound):
        redeem_link(database, world, first, PASSWORD)
    clock.at += timedelta(days=1)
    for token in (second, "", "ü"):
        with pytest.raises(NotFound):
            redeem_link(database, world, token, PASSWORD)
    with pytest.raises(NotFound):
        setup_link(database, world, "", "nobody")


def test_a_wrong_password_an_unknown_handle_and_a_closed_account_are_nobody(database: Database, world: World) -> None:
    add_account(database, world, "amina", "Amina", password=PASSWORD)
    add_account(database, world, "ben", "Ben", kind=ViewerKind.MEMBER, scopes=frozenset({"records:write"}))
    assert check_password(database, "amina", PASSWORD + "!") is None
    assert check_password(database, "nobody", PASSWORD) is None
    assert check_password(database, "ben", PASSWORD) is None
    assert check_password(database, "ben", "the password of no account") is None
    member = account_viewer(database, "ben")
    assert member is not None
    assert (member.kind, member.scopes) == (ViewerKind.MEMBER, {"records:write"})
    link = setup_link(database, world, "", "amina").partition("#")[2]
    disable_account(database, world, "amina")
    assert check_password(database, "amina", PASSWORD) is None
    assert account_viewer(database, "amina") is None
    with pytest.raises(NotFound):
        redeem_link(database, world, link, PASSWORD)
    with pytest.raises(NotFound):
        disable_account(database, world, "amina")
    assert [(row.handle, row.has_password, row.disabled_at is None) for row in list_accounts(database)] == [
        ("amina", True, False),
        ("ben", False, True),
    ]


def test_a_password_is_kept_as_argon2id_only(sqlite_database: Database, world: World) -> None:
    add_account(sqlite_database, world, "amina", "Amina", password=PASSWORD)
    with sqlite_database.read() as connection:
        kept = connection.exec_driver_sql("SELECT password FROM account").scalar()
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept


def test_hashing_takes_one_core_and_enough_memory() -> None:
    assert (HASHER.time_cost, HASHER.memory_cost, HASHER.parallelism) == (3, 65_536, 1)


@pytest.mark.parametrize(
    ("handle", "name", "kind", "password"),
    [
        ("", "A", ViewerKind.STEWARD, None),
        ("Amina", "A", ViewerKind.STEWARD, None),
        ("a b", "A", ViewerKind.STEWARD, None),
        ("a" * 64, "A", ViewerKind.STEWARD, None),
        ("a", " ", ViewerKind.STEWARD, None),
        ("a", "A", ViewerKind.PEER, None),
        ("a", "A", ViewerKind.STEWARD, "eleven char"),
        ("a", "A", ViewerKind.STEWARD, "x" * 1025),
    ],
)
def test_an_account_has_a_plain_handle_a_name_and_a_long_password(
    sqlite_database: Database, world: World, handle: str, name: str, kind: ViewerKind, password: str | None
) -> None:
    with pytest.raises(BadInput):
        add_account(sqlite_database, world, handle, name, kind=kind, password=password)


def test_a_handle_is_taken_once(sqlite_database: Database, world: World) -> None:
    add_account(sqlite_database, world, "amina", "Amina")
    with pytest.raises(Conflict):
        add_account(sqlite_database, world, "amina", "Another")
