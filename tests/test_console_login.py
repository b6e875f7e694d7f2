"""The login page: forms of this node alone, one answer to whatever is wrong, and nowhere to go but this node."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anyio
import pytest
from conftest import rows
from httpx2 import Response
from passkey_device import Device, options_in
from people_world import PASSWORD, SECRET, URL, People, QuickHasher, hasher
from starlette.applications import Starlette
from starlette.testclient import TestClient

from federation.console.account import account_routes
from federation.console.forms import MAX_BYTES, Turns
from federation.console.login import login_routes
from federation.console.pages import ACCOUNT, LOGIN, Console, checked_next, page_headers, to_login
from federation.errors import RateLimited
from federation.limiting.counting import Counter
from federation.limiting.logins import LoginLimits
from federation.limiting.memory import BoundedMemory
from federation.oauth.entering import REFUSED
from federation.oauth.passkeys import Passkeys
from federation.oauth.sessions import IDLE_SECONDS, list_sessions
from federation.oauth.spent import SpentIdentifiers
from federation.storage.database import Database

__all__ = ["hasher"]
FORM = {"content-type": "application/x-www-form-urlencoded", "origin": URL}


def console_at(people: People, url: str = URL, **more: Any) -> Console:
    spent = SpentIdentifiers(people.database, people.world)
    passkeys = Passkeys(people.database, people.world, url, "River", SECRET, spent)
    return Console(people.database, people.world, url, "River", SECRET, passkeys=passkeys, **more)


def tries_of(people: People) -> LoginLimits:
    """Two tries a minute, and more in an hour."""
    clock = lambda: float(people.world.timestamp())  # noqa: E731
    counter = Counter(BoundedMemory(clock), clock)
    return LoginLimits(counter, SECRET, 8, clock, lambda subject: people.world.draw("login-device", subject, 16))


def browser(console: Console) -> TestClient:
    app = Starlette(routes=[*login_routes(console), *account_routes(console)])
    return TestClient(app, base_url=console.url, follow_redirects=False, headers={"origin": console.url})


@pytest.fixture
def people(sqlite_database: Database, hasher: QuickHasher) -> People:
    found = People(sqlite_database)
    found.add("amina")
    return found


@pytest.fixture
def web(people: People) -> Iterator[TestClient]:
    with browser(console_at(people)) as client:
        yield client


def log_in(web: TestClient, handle: str = "amina", **fields: str) -> Response:
    return web.post(LOGIN, data={"handle": handle, "password": PASSWORD, **fields})


def test_who_logs_in_gets_a_cookie_for_this_host_alone(web: TestClient) -> None:
    answer = log_in(web)
    assert (answer.status_code, answer.headers["location"]) == (303, ACCOUNT)
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == "__Host-session"
    attributes = {each.strip().lower() for each in rest.split(";")[1:]}
    assert attributes == {"path=/", "secure", "httponly", "samesite=lax"}
    assert answer.headers["cache-control"] == "no-store"
    assert web.get(ACCOUNT).status_code == 200


def test_without_tls_the_cookie_has_a_name_for_each_port(people: People) -> None:
    for url, name in (("http://127.0.0.1:8701", "session-8701"), ("http://localhost", "session-80")):
        with browser(console_at(people, url)) as web:
            answer = log_in(web)
            assert answer.headers["set-cookie"].partition("=")[0] == name
            assert "secure" not in answer.headers["set-cookie"].lower()
            assert web.get(ACCOUNT).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "wrong"},
        {"handle": "nobody"},
        {"handle": ""},
        {"handle": "<b>x</b>", "password": "<script>"},
        {"code": "000000", "password": "wrong"},
        {"passkey": "nothing"},
    ],
    ids=str,
)
def test_a_refusal_says_the_same_and_repeats_nothing(web: TestClient, fields: dict[str, str]) -> None:
    answer = web.post(LOGIN, data={"handle": "amina", "password": PASSWORD, **fields})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    if "passkey" not in fields:
        assert REFUSED in answer.text
    assert '<form method="post" action="/console/login">' in answer.text
    for typed in fields.values():
        assert not typed or f">{typed}<" not in answer.text
        assert f'value="{typed}"' not in answer.text or not typed
    assert "<script>alert" not in answer.text


def test_refusals_of_every_kind_are_the_same_to_the_byte(people: People, web: TestClient) -> None:
    people.add("ben", totp=True)
    people.add("chi", password=None)
    attempts: list[dict[str, str]] = [
        {"handle": "nobody", "password": PASSWORD},
        {"handle": "amina", "password": "another"},
        {"handle": "ben", "password": PASSWORD},
        {"handle": "ben", "password": PASSWORD, "code": "000000"},
        {"handle": "chi", "password": PASSWORD},
    ]
    answers = [web.post(LOGIN, data=each) for each in attempts]
    pages = {re.sub(r'data-passkey="[^"]*"', "", each.text) for each in answers}
    assert len(pages) == 1
    assert {each.status_code for each in answers} == {401}


def test_with_an_app_the_code_goes_into_the_same_form(people: People, web: TestClient) -> None:
    people.add("ben", totp=True)
    assert log_in(web, "ben").status_code == 401
    code = people.code()
    assert log_in(web, " ben ", code=code).status_code == 303
    assert log_in(web, "ben", code=code).status_code == 401


def test_a_passkey_needs_nothing_typed(people: People, web: TestClient) -> None:
    console, device = console_at(people), Device(URL)
    assert console.passkeys is not None
    console.passkeys.add("amina", "x", "phone", device.create(console.passkeys.adding_options("amina", "x")))
    answer = web.post(LOGIN, data={"passkey": device.get(options_in(web.get(LOGIN).text)), "next": "/console"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert "with a passkey" in web.get(ACCOUNT).text


def test_a_node_without_passkeys_asks_for_none_and_runs_no_script(people: People) -> None:
    with browser(replace(console_at(people), passkeys=None)) as web:
        page = web.get(LOGIN)
        assert "passkey" not in page.text
        assert "<script>" not in page.text
        assert "script-src" not in page.headers["content-security-policy"]
        assert web.post(LOGIN, data={"passkey": "x"}).status_code == 401
        log_in(web)
        assert "takes no passkeys" in web.get(ACCOUNT).text


# Where from, and where to


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://river.example"},
        {"origin": URL, "sec-fetch-site": "cross-site"},
        {"origin": URL, "sec-fetch-site": "same-site"},
        {"origin": URL, "sec-fetch-site": "none"},
        {"origin": URL, "sec-fetch-site": ""},
        {"origin": URL, "sec-fetch-mode": "no-cors"},
        {"origin": URL, "sec-fetch-mode": "cors"},
        {"origin": URL, "sec-fetch-dest": "iframe"},
        {"origin": URL, "sec-fetch-dest": "empty"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [LOGIN, "/console/logout", ACCOUNT])
def test_a_form_that_the_browser_calls_foreign_is_refused(web: TestClient, path: str, headers: dict[str, str]) -> None:
    log_in(web)
    fields = {"handle": "amina", "password": PASSWORD, "do": "end-others"}
    answer = web.post(path, data=fields, headers=headers)
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers
    assert f"Open it at {URL}{path} instead." in answer.text
    assert web.get(ACCOUNT).status_code == 200


def test_a_form_without_an_origin_or_with_two_is_refused(people: People) -> None:
    app = Starlette(routes=login_routes(console_at(people)))
    body = f"handle=amina&password={PASSWORD.replace(' ', '+')}"
    kind = ("content-type", "application/x-www-form-urlencoded")
    with TestClient(app, base_url=URL, follow_redirects=False) as web:
        for origins in ([], [("origin", URL), ("origin", URL)], [("origin", URL), ("origin", "https://evil.example")]):
            assert web.post(LOGIN, content=body, headers=[kind, *origins]).status_code == 400
        assert web.post(LOGIN, content=body, headers=[kind, ("origin", URL)]).status_code == 303


def test_a_form_as_browsers_send_it_is_taken(web: TestClient) -> None:
    told = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = web.post(LOGIN, data={"handle": "amina", "password": PASSWORD}, headers=told)
    assert answer.status_code == 303


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"handle", b"handle=amina&handle=amina", b"a=%00", b"a=%ff", b"a" * (MAX_BYTES + 1),
     b"&".join(b"a%d=1" % n for n in range(40))],
)  # fmt: skip
def test_a_malformed_form_is_refused(web: TestClient, content: bytes) -> None:
    answer = web.post(LOGIN, content=content, headers=FORM)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json", "multipart/form-data; boundary=x"])
def test_a_body_that_is_no_form_is_refused(web: TestClient, kind: str) -> None:
    answer = web.post(LOGIN, content=b"handle=amina", headers={"content-type": kind})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path",
    ["/oauth/authorize", "/oauth/authorize?client_id=x&request_uri=urn:ietf:params:oauth:request_uri:a-b_c~d",
     "/console", "/console/account", "/console/records/resource?first=20", "/console?x=https://river.example/"],
)  # fmt: skip
def test_the_login_leads_to_the_page_that_asked_for_it(web: TestClient, path: str) -> None:
    assert checked_next(path) == path
    sent = to_login(path)
    assert sent.status_code == 303
    page = web.get(sent.headers["location"])
    assert page.status_code == 200
    hidden = re.search(r'name="next" value="([^"]*)"', page.text)
    assert hidden is not None
    assert log_in(web, next=hidden[1].replace("&amp;", "&")).headers["location"] == path


@pytest.mark.parametrize(
    "path",
    ["", "https://evil.example", "//evil.example", "/\\evil.example", "/console//evil.example", "/console\\..\\x",
     "/console/../oauth/token", "/consolex", "/oauth/authorizex", "/oauth/authorize/x", "/oauth/token",
     "/console\n", "/console\r\nset-cookie: x=y", "/console#x", "javascript:alert(1)", " /console", "/console?\"<x>",
     "/console/account/", "/console/%2e%2e", "/graphql", "/CONSOLE", "/console?" + "x" * 3000, "/console?é"],
)  # fmt: skip
def test_the_login_leads_nowhere_else(web: TestClient, path: str) -> None:
    assert checked_next(path) == ACCOUNT
    answer = log_in(web, next=path)
    assert (answer.status_code, answer.headers["location"]) == (303, ACCOUNT)


# Sessions


def test_a_login_ends_the_session_that_the_browser_had(people: People, web: TestClient) -> None:
    first = log_in(web).headers["set-cookie"]
    second = log_in(web).headers["set-cookie"]
    assert first != second
    assert len(list_sessions(people.database, people.world, "amina")) == 1


def test_a_cookie_that_somebody_set_before_is_not_taken_up(people: People, web: TestClient) -> None:
    web.cookies.set("__Host-session", "A" * 43, domain="river.example")
    answer = log_in(web)
    assert "A" * 43 not in answer.headers["set-cookie"]


def test_two_cookies_of_one_name_are_none(web: TestClient) -> None:
    cookie = log_in(web).headers["set-cookie"].partition(";")[0]
    web.cookies.clear()
    for sent in (f"{cookie}; __Host-session=x", f"__Host-session=x; {cookie}"):
        assert web.get(ACCOUNT, headers={"cookie": sent}).status_code == 303
    assert web.get(ACCOUNT, headers={"cookie": f"other=1; {cookie}"}).status_code == 200


def test_who_logs_out_is_out_and_the_cookie_is_dead(people: People, web: TestClient) -> None:
    cookie = log_in(web).headers["set-cookie"].partition(";")[0]
    answer = web.post("/console/logout", data={"leave": "yes"})
    assert (answer.status_code, answer.headers["location"]) == (303, LOGIN)
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert list_sessions(people.database, people.world, "amina") == []
    web.cookies.clear()
    assert web.get(ACCOUNT, headers={"cookie": cookie}).headers["location"] == f"{LOGIN}?next=%2Fconsole%2Faccount"
    assert web.post("/console/logout", data={"leave": "yes"}).status_code == 303


def test_who_was_away_for_long_logs_in_again(people: People, web: TestClient) -> None:
    log_in(web)
    people.clock.turn(IDLE_SECONDS)
    assert web.get(ACCOUNT).status_code == 303
    assert web.post(ACCOUNT, data={"do": "end-others"}).status_code == 303


# Guessing, and many at once


def test_each_try_is_asked_for_before_any_work(people: People, hasher: QuickHasher) -> None:
    with browser(console_at(people, tries=tries_of(people))) as web:
        hasher.verified = 0
        answers = [log_in(web, password="wrong").status_code for _ in range(2)]
        refused = log_in(web)
    assert answers == [401, 401]
    assert refused.status_code == 429
    assert f"again in {refused.headers['retry-after']} seconds" in refused.text
    assert hasher.verified == 2


def test_a_device_that_has_been_here_before_is_held_out_by_nobody(people: People) -> None:
    console = console_at(people, tries=tries_of(people))
    with browser(console) as known, browser(console) as stranger:
        entered = log_in(known)
        assert entered.status_code == 303
        (mark,) = [each for each in entered.headers.get_list("set-cookie") if each.startswith(console.mark_name)]
        assert {"HttpOnly", "SameSite=strict", "Secure", "Path=/"} <= set(mark.split("; "))
        assert [log_in(stranger, password="wrong").status_code for _ in range(4)] == [401, 401, 429, 429]
        assert log_in(stranger).status_code == 429
        assert log_in(known).status_code == 303


def test_a_right_password_forgives_the_wrong_ones_before(people: People) -> None:
    with browser(console_at(people, tries=tries_of(people))) as web:
        for _ in range(3):
            web.cookies.clear()
            assert log_in(web, password="wrong").status_code == 401
            web.cookies.clear()
            assert log_in(web).status_code == 303


def test_costly_work_is_done_one_by_one_and_too_many_that_wait_are_refused() -> None:
    running, most, go = [], [], threading.Event()

    def work(number: int) -> int:
        running.append(number)
        most.append(len(running))
        go.wait(10)
        running.remove(number)
        return number

    async def many() -> list[Any]:
        turns, results = Turns(waiting=3), []

        async def one(number: int) -> None:
            try:
                results.append(await turns.run(work, number))
            except RateLimited as refused:
                results.append(refused.status)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(one, number)
            with anyio.fail_after(10):
                while results.count(429) < 6:
                    await anyio.sleep(0.01)
            go.set()
        results.append(await turns.run(work, 99))
        return results

    results = anyio.run(many)
    assert results.count(429) == 6
    assert len(results) == 11
    assert results[-1] == 99
    assert set(most) == {1}


# What is shown and what is kept


def test_pages_run_no_script_but_their_own_and_are_kept_by_nobody(web: TestClient) -> None:
    log_in(web)
    for path in (LOGIN, ACCOUNT):
        answer = web.get(path)
        policy = answer.headers["content-security-policy"]
        (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
        assert policy == page_headers(script)["content-security-policy"]
        assert "'unsafe" not in policy
        assert "default-src 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert not re.search(r"\son\w+=|\sstyle=|https?://", answer.text.replace(URL, "").replace("&#34;", '"'))


def test_every_field_has_a_label_and_no_rule_knows_left_from_right(people: People, web: TestClient) -> None:
    log_in(web)
    pages = [web.get(LOGIN), web.get(ACCOUNT), web.post(ACCOUNT, data={"do": "totp", "password": PASSWORD})]
    for answer in pages:
        assert answer.status_code == 200
        shown = re.findall(r"<input(?![^>]*(?:type=\"hidden\"|\shidden))[^>]*>", answer.text)
        ids = re.findall(r'<input[^>]*\bid="([^"]+)"', answer.text)
        assert len(shown) == len(ids) == len(set(ids))
        for each in ids:
            assert f'<label for="{each}">' in answer.text
        style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
        assert style is not None
        assert not re.search(r"\b(left|right|margin-top|margin-bottom|padding-top)\b", style[1])
        assert '<html lang="en">' in answer.text


def test_nothing_that_is_typed_is_logged_or_stored(
    people: People, web: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    typed = {"handle": "typed-handle", "password": "typed-password", "code": "typed-code", "next": "/typed-next"}
    web.post(LOGIN, data=typed)
    cookie = log_in(web).headers["set-cookie"].split("=")[1].split(";")[0]
    tables = ("account", "login_session", "spent_identifier")
    held = caplog.text + str([rows(people.database, f"SELECT * FROM {table}") for table in tables])
    for secret in (*typed.values(), PASSWORD, cookie):
        assert secret not in held
