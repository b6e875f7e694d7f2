"""The account page: each form does what it says, for its own person, who types the password again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyotp
import pytest
from conftest import rows
from httpx2 import Response
from passkey_device import Device, options_in
from people_world import PASSWORD, SECRET, URL, People, QuickHasher, hasher
from starlette.testclient import TestClient
from test_console_login import browser, console_at, log_in, tries_of

from federation.console.account import DONE, FREE, GUARDED
from federation.console.pages import ACCOUNT, LOGIN
from federation.oauth.accounts import add_account, disable_account
from federation.oauth.factors import Factors, factors_of, new_recovery_codes
from federation.oauth.passkeys import MOST
from federation.oauth.sessions import begin_session, list_sessions
from federation.storage.database import Database

__all__ = ["hasher"]
NEW = "another horse, another battery"


@pytest.fixture
def people(sqlite_database: Database, hasher: QuickHasher) -> People:
    found = People(sqlite_database)
    found.add("amina")
    found.add("ben")
    return found


@pytest.fixture
def web(people: People) -> Iterator[TestClient]:
    """Amina is logged in, here and in another place."""
    begin_session(people.database, people.world, "amina")
    with browser(console_at(people)) as client:
        assert log_in(client).status_code == 303
        yield client


def send(web: TestClient, do: str, password: str = PASSWORD, **fields: str) -> Response:
    return web.post(ACCOUNT, data={"do": do, "password": password, **fields})


def followed(web: TestClient, answer: Response) -> str:
    assert answer.status_code == 303, answer.text
    page = web.get(answer.headers["location"])
    assert page.status_code == 200
    return page.text


def sessions(people: People, handle: str = "amina") -> int:
    return len(list_sessions(people.database, people.world, handle))


def set_up_app(people: People, web: TestClient) -> tuple[pyotp.TOTP, Response]:
    page = send(web, "totp").text
    secret, sealed = re.search(r"<code>(.*?)</code>", page), re.search(r'name="sealed" value="([^"]+)"', page)
    assert secret is not None
    assert sealed is not None
    app = pyotp.TOTP(secret[1].replace(" ", ""))
    assert send(web, "totp-code", sealed=sealed[1], code="000000").status_code == 400
    again = send(web, "totp-code", sealed=sealed[1], code="000000")
    assert secret[1] in again.text
    return app, send(web, "totp-code", sealed=sealed[1], code=app.at(people.world.timestamp()))


def test_the_page_shows_a_person_their_own_account_only(people: People, web: TestClient) -> None:
    add_account(people.database, people.world, "eve", "<b>Eve</b> \u202e", password=PASSWORD)
    page = web.get(ACCOUNT).text
    assert "Amina" in page
    assert "Ben" not in page
    log_in(web, "eve")
    assert "&lt;b&gt;Eve&lt;/b&gt;" in web.get(ACCOUNT).text


@pytest.mark.parametrize("key", [*DONE, "nothing", "<b>", ""])
def test_what_was_done_is_said_in_fixed_words(web: TestClient, key: str) -> None:
    page = web.get(ACCOUNT, params={"done": key})
    assert page.status_code == 200
    assert ('role="status"' in page.text) is (key in DONE)
    assert "<b>" not in page.text.replace("<b><bdi>", "")


@pytest.mark.parametrize("do", GUARDED)
def test_what_changes_how_one_logs_in_asks_for_the_password(people: People, web: TestClient, do: str) -> None:
    before = factors_of(people.database, "amina"), rows(people.database, "SELECT * FROM account"), sessions(people)
    for password in ("", "another password"):
        answer = send(web, do, password, new=NEW, again=NEW, name="phone", passkey="x")
        assert answer.status_code == 401
        assert "nothing was changed" in answer.text
    assert before == (
        factors_of(people.database, "amina"), rows(people.database, "SELECT * FROM account"), sessions(people)
    )  # fmt: skip


@pytest.mark.parametrize("do", [*FREE, *GUARDED, "", "nothing", "__class__"])
def test_nobody_else_gets_anything_done(people: People, web: TestClient, do: str) -> None:
    web.cookies.clear()
    answer = send(web, do)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, LOGIN)
    assert sessions(people) == 2


@pytest.mark.parametrize("do", ["", "nothing", "__class__"])
def test_another_form_is_refused(web: TestClient, do: str) -> None:
    assert send(web, do).status_code == 400


def test_each_try_of_the_password_is_asked_for(people: People) -> None:
    """By the session alone: strangers who guess at the same account do not keep its owner from changing it."""
    console = console_at(people, tries=tries_of(people))
    with browser(console) as web, browser(console) as stranger:
        log_in(web)
        for _ in range(4):
            log_in(stranger, password="wrong")
        assert [send(web, "codes", password="wrong").status_code for _ in range(3)] == [401, 401, 429]
        assert send(web, "end-others").status_code == 303


def test_sessions_are_ended_one_by_one_or_all_but_this(people: People, web: TestClient) -> None:
    (other,) = re.findall(r'name="session" value="([^"]+)"', web.get(ACCOUNT).text)
    assert DONE["ended"] in followed(web, send(web, "end", session=other))
    assert sessions(people) == 1
    assert send(web, "end", session=other).status_code == 404
    theirs = begin_session(people.database, people.world, "ben")
    assert theirs
    (ben,) = list_sessions(people.database, people.world, "ben")
    assert send(web, "end", session=ben.session_id).status_code == 404
    begin_session(people.database, people.world, "amina")
    assert DONE["others"] in followed(web, send(web, "end-others"))
    assert (sessions(people), sessions(people, "ben")) == (1, 1)


def test_a_new_password_counts_at_once_and_ends_the_other_sessions(people: People, web: TestClient) -> None:
    for new, again in ((NEW, NEW + "x"), ("short", "short"), ("", "")):
        assert send(web, "password", new=new, again=again).status_code == 400
    assert DONE["password"] in followed(web, send(web, "password", new=NEW, again=NEW))
    assert sessions(people) == 1
    assert log_in(web).status_code == 401
    assert log_in(web, password=NEW).status_code == 303


def test_an_app_is_set_up_with_its_first_code_and_recovery_codes_come_with_it(people: People, web: TestClient) -> None:
    app, answer = set_up_app(people, web)
    assert answer.status_code == 200
    assert DONE["totp"] in answer.text
    codes = re.findall(r"<li>([a-z2-7-]{19})</li>", answer.text)
    assert len(codes) == 10
    assert factors_of(people.database, "amina") == Factors(True, 10, 0)
    assert sessions(people) == 1
    assert log_in(web).status_code == 401
    assert log_in(web, code=codes[0]).status_code == 303
    people.clock.turn(30)
    assert log_in(web, code=app.at(people.world.timestamp())).status_code == 303
    assert codes[1] not in web.get(ACCOUNT).text
    assert "with your app" in web.get(ACCOUNT).text


def test_another_app_takes_the_place_of_the_one_before(people: People, web: TestClient) -> None:
    first, _ = set_up_app(people, web)
    people.clock.turn(60)
    second, answer = set_up_app(people, web)
    assert DONE["totp"] in followed(web, answer)
    assert factors_of(people.database, "amina").recovery_codes == 10
    people.clock.turn(60)
    assert log_in(web, code=first.at(people.world.timestamp())).status_code == 401
    assert log_in(web, code=second.at(people.world.timestamp())).status_code == 303
    assert DONE["no-totp"] in followed(web, send(web, "no-totp"))
    assert log_in(web).status_code == 303


def test_the_picture_is_drawn_here_and_says_what_it_is(people: People, web: TestClient) -> None:
    page = send(web, "totp")
    assert page.status_code == 200
    assert "<svg " in page.text
    assert 'role="img"' in page.text
    assert "http" not in page.text.replace("http-equiv", "")
    assert page.headers["cache-control"] == "no-store"


def test_new_recovery_codes_take_the_place_of_the_old(people: People, web: TestClient) -> None:
    old = new_recovery_codes(people.database, people.world, SECRET, "amina")
    page = send(web, "codes").text
    assert len(re.findall(r"<li>([a-z2-7-]{19})</li>", page)) == 10
    assert not any(each in page for each in old)


def add_passkey(web: TestClient, device: Device, name: str = "<i>phone</i>") -> Response:
    return send(web, "passkey", name=name, passkey=device.create(options_in(web.get(ACCOUNT).text)))


def test_passkeys_are_added_listed_and_removed(people: People, web: TestClient) -> None:
    device = Device(URL)
    first = add_passkey(web, device)
    assert first.status_code == 200
    assert DONE["passkey"] in first.text
    assert len(re.findall(r"<li>([a-z2-7-]{19})</li>", first.text)) == 10
    assert sessions(people) == 1
    assert DONE["passkey"] in followed(web, add_passkey(web, Device(URL), "key"))
    page = web.get(ACCOUNT).text
    assert "&lt;i&gt;phone&lt;/i&gt;" in page
    ids = re.findall(r'name="id" value="([^"]+)"', page)
    assert len(ids) == 2
    assert log_in(web).status_code == 401
    for passkey_id in ids:
        assert DONE["no-passkey"] in followed(web, send(web, "no-passkey", id=passkey_id))
    assert send(web, "no-passkey", id=ids[0]).status_code == 404
    assert log_in(web).status_code == 303


def test_a_passkey_that_cannot_be_added_is_refused_with_a_reason(people: People, web: TestClient) -> None:
    assert "could not be added" in send(web, "passkey", name="x", passkey="nonsense").text
    assert send(web, "passkey", name="", passkey="nonsense").status_code == 400
    for number in range(MOST):
        add_passkey(web, Device(URL), f"device {number}")
    assert add_passkey(web, Device(URL)).status_code == 409


def test_an_account_that_is_closed_meanwhile_is_out(people: People, web: TestClient) -> None:
    disable_account(people.database, people.world, "amina")
    assert web.get(ACCOUNT).status_code == 303
    assert send(web, "codes").status_code == 303
    assert factors_of(people.database, "amina") == Factors()


def test_a_node_without_passkeys_refuses_their_forms(people: People) -> None:
    from dataclasses import replace

    with browser(replace(console_at(people), passkeys=None)) as web:
        log_in(web)
        for do in ("passkey", "no-passkey"):
            assert send(web, do, name="x", passkey="x", id="x").status_code == 400
