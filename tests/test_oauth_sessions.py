"""Sessions of people: kept as digests, over in time, and ended on every worker at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from conftest import rows

from federation.errors import NotFound, Unavailable
from federation.oauth import sessions
from federation.oauth.accounts import (
    add_account,
    change_password,
    disable_account,
    redeem_link,
    reset_account,
    setup_link,
)
from federation.oauth.sessions import (
    ABSOLUTE_SECONDS,
    IDLE_SECONDS,
    MOST,
    SEEN_SECONDS,
    begin_session,
    end_session,
    end_sessions,
    list_sessions,
    prune_sessions,
    session_of,
)
from federation.policies.viewer import Viewer, ViewerKind
from federation.storage.database import Database, open_database
from federation.storage.grants import OAuthGrant
from federation.world import World

PASSWORD = "correct horse battery"
NEW = "another horse, another battery"


class Clock:
    at = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def turn(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


@pytest.fixture(scope="module")
def kept() -> str:
    """The hash of the password, made once: that is slow."""
    from federation.oauth.accounts import hashed

    return hashed(PASSWORD)


@pytest.fixture
def people(database: Database, world: World, kept: str) -> Database:
    """Amina, a steward, and Ben, a member."""
    add_account(database, world, "amina", "Amina")
    add_account(database, world, "ben", "Ben", kind=ViewerKind.MEMBER, scopes=frozenset({"records:write"}))
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE account SET password = '{kept}'")
    return database


def test_a_session_says_who_is_there_and_only_its_digest_is_stored(people: Database, world: World) -> None:
    cookie = begin_session(people, world, "ben", second="totp")
    found = session_of(people, world, cookie)
    assert found is not None
    assert (found.handle, found.name, found.kind, found.second) == ("ben", "Ben", ViewerKind.MEMBER, "totp")
    assert found.viewer == Viewer(ViewerKind.MEMBER, "account:ben", frozenset({"records:write"}))
    assert found.begun_at == found.seen_at == world.timestamp()
    assert len(cookie) == 43
    held = str(rows(people, "SELECT * FROM login_session"))
    assert cookie not in held
    assert cookie.encode().hex() not in held
    assert found.session_id not in cookie


@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "é\udcff", "a" * 100_000])
def test_another_cookie_is_nobody(people: Database, world: World, cookie: str) -> None:
    begin_session(people, world, "amina")
    assert session_of(people, world, cookie) is None


def test_a_session_holds_in_another_process_and_after_a_restart(people: Database, world: World) -> None:
    cookie = begin_session(people, world, "amina")
    other = open_database(people.url)
    try:
        assert session_of(other, world, cookie) is not None
        end_sessions(people, "amina")
        assert session_of(other, world, cookie) is None
    finally:
        other.close()


def test_a_session_that_is_not_used_ends_and_one_that_is_used_goes_on(
    people: Database, world: World, clock: Clock
) -> None:
    used, left = begin_session(people, world, "amina"), begin_session(people, world, "amina")
    clock.turn(IDLE_SECONDS - 1)
    assert session_of(people, world, used) is not None
    clock.turn(1)
    assert session_of(people, world, left) is None
    found = session_of(people, world, used)
    assert found is not None
    assert [each.session_id for each in list_sessions(people, world, "amina")] == [found.session_id]


def test_a_session_that_is_always_used_ends_after_its_day(people: Database, world: World, clock: Clock) -> None:
    cookie = begin_session(people, world, "amina")
    for _ in range(ABSOLUTE_SECONDS // (IDLE_SECONDS // 2)):
        assert session_of(people, world, cookie) is not None
        clock.turn(IDLE_SECONDS // 2)
    assert session_of(people, world, cookie) is None


def test_that_a_session_is_used_is_written_once_a_minute(people: Database, world: World, clock: Clock) -> None:
    cookie, begun = begin_session(people, world, "amina"), world.timestamp()
    for passed, seen in ((SEEN_SECONDS - 1, begun), (1, begun + SEEN_SECONDS), (1, begun + SEEN_SECONDS)):
        clock.turn(passed)
        assert session_of(people, world, cookie) is not None
        assert rows(people, "SELECT seen_at FROM login_session") == [(seen,)]


def test_who_is_logged_in_can_read_where_nothing_can_be_written(
    sqlite_database: Database, world: World, clock: Clock, kept: str
) -> None:
    add_account(sqlite_database, world, "amina", "Amina")
    with sqlite_database.write() as connection:
        connection.exec_driver_sql(f"UPDATE account SET password = '{kept}'")
    cookie = begin_session(sqlite_database, world, "amina")
    clock.turn(SEEN_SECONDS)

    class Full:
        read = sqlite_database.read

        def write(self) -> None:
            raise Unavailable("The disk is full.")

    found = session_of(Full(), world, cookie)  # type: ignore[arg-type]
    assert found is not None


def test_only_an_open_account_with_a_password_can_have_a_session(people: Database, world: World) -> None:
    add_account(people, world, "chi", "Chi")
    disable_account(people, world, "ben")
    for handle in ("nobody", "chi", "ben"):
        with pytest.raises(NotFound):
            begin_session(people, world, handle)
    assert rows(people, "SELECT count(*) FROM login_session") == [(0,)]


def test_a_closed_account_is_out_at_once(people: Database, world: World) -> None:
    cookie, other = begin_session(people, world, "ben"), begin_session(people, world, "amina")
    disable_account(people, world, "ben")
    assert session_of(people, world, cookie) is None
    assert list_sessions(people, world, "ben") == []
    assert session_of(people, world, other) is not None


def test_an_account_that_was_closed_behind_the_sessions_back_has_none(people: Database, world: World) -> None:
    cookie = begin_session(people, world, "ben")
    with people.write() as connection:
        connection.exec_driver_sql("UPDATE account SET disabled_at = 1 WHERE handle = 'ben'")
    assert session_of(people, world, cookie) is None


def test_a_new_password_ends_every_session_but_the_one_that_set_it(people: Database, world: World) -> None:
    here, there = begin_session(people, world, "amina"), begin_session(people, world, "amina")
    link = setup_link(people, world, "", "amina").partition("#")[2]
    found = session_of(people, world, here)
    assert found is not None
    change_password(people, "amina", NEW, keep=found.session_id)
    assert session_of(people, world, here) is not None
    assert session_of(people, world, there) is None
    with pytest.raises(NotFound):
        redeem_link(people, world, link, PASSWORD)
    with pytest.raises(NotFound):
        change_password(people, "nobody", NEW)


def test_a_reset_ends_every_session_and_the_password_with_them(people: Database, world: World) -> None:
    cookie = begin_session(people, world, "amina")
    code = reset_account(people, world, "https://river.example", "amina").partition("#")[2]
    assert session_of(people, world, cookie) is None
    with pytest.raises(NotFound):
        begin_session(people, world, "amina")
    with pytest.raises(NotFound):
        reset_account(people, world, "", "nobody")
    assert redeem_link(people, world, code, NEW) == "amina"
    assert session_of(people, world, begin_session(people, world, "amina")) is not None


def test_a_reset_ends_what_programs_may_do_for_the_account_and_for_no_other(people: Database, world: World) -> None:
    columns = {"client_id": "x", "sub": "person", "scopes": "", "created_at": 1, "ends_at": 2**40}
    with people.write() as connection:
        for handle in ("amina", "ben"):
            row = OAuthGrant(grant_id=f"of {handle}", handle=handle, **columns)
            connection.execute(OAuthGrant.__table__.insert().values(**row.model_dump()))  # type: ignore[attr-defined]
    reset_account(people, world, "", "amina")
    assert rows(people, "SELECT grant_id FROM oauth_grant WHERE revoked_at IS NULL") == [("of ben",)]


def test_a_link_that_sets_a_password_ends_what_was_begun_with_the_old_one(people: Database, world: World) -> None:
    cookie = begin_session(people, world, "amina")
    redeem_link(people, world, setup_link(people, world, "", "amina").partition("#")[2], NEW)
    assert session_of(people, world, cookie) is None


def test_one_session_is_ended_by_its_owner_alone(people: Database, world: World) -> None:
    mine, other = begin_session(people, world, "amina"), begin_session(people, world, "amina")
    found = session_of(people, world, mine)
    assert found is not None
    for handle, session_id in (("ben", found.session_id), ("amina", "nothing"), ("amina", "")):
        with pytest.raises(NotFound):
            end_session(people, handle, session_id)
    end_session(people, "amina", found.session_id)
    assert session_of(people, world, mine) is None
    assert session_of(people, world, other) is not None
    assert end_sessions(people, "amina") == 1
    assert end_sessions(people, "amina") == 0


def test_an_account_has_so_many_sessions_and_the_oldest_goes(people: Database, world: World, clock: Clock) -> None:
    cookies = []
    for _ in range(MOST + 2):
        cookies.append(begin_session(people, world, "amina"))
        clock.turn(1)
    assert [session_of(people, world, each) is not None for each in cookies] == [False] * 2 + [True] * MOST
    listed = list_sessions(people, world, "amina")
    assert [each.begun_at for each in listed] == sorted((each.begun_at for each in listed), reverse=True)


def test_what_is_over_is_forgotten(people: Database, world: World, clock: Clock) -> None:
    assert prune_sessions(people, world) == 0
    begin_session(people, world, "amina")
    setup_link(people, world, "", "ben")
    assert prune_sessions(people, world) == 0
    clock.turn(IDLE_SECONDS)
    fresh = begin_session(people, world, "amina")
    assert prune_sessions(people, world) == 1
    assert session_of(people, world, fresh) is not None
    clock.turn(86_400)
    assert prune_sessions(people, world) == 2
    for table in ("login_session", "setup_link"):
        assert rows(people, f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_login_beside_a_new_password_is_ended_by_it_or_comes_after(people: Database, world: World) -> None:
    """Whichever is first, no session of the old password is left that the change did not see."""

    def begin(_: int) -> str | None:
        return begin_session(people, world, "amina")

    with ThreadPoolExecutor(4) as at_once:
        begun = [at_once.submit(begin, number) for number in range(6)]
        changed = at_once.submit(reset_account, people, world, "", "amina")
        later = [at_once.submit(begin, number) for number in range(6)]
    assert changed.exception() is None
    for each in (*begun, *later):
        assert each.exception() is None or isinstance(each.exception(), NotFound)
        assert each.exception() is not None or session_of(people, world, each.result() or "") is None


def test_times_are_short_enough_for_a_shared_machine() -> None:
    assert sessions.IDLE_SECONDS <= 3600
    assert sessions.ABSOLUTE_SECONDS <= 86_400
