"""The page with which a new node gets its first steward."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from httpx2 import Response
from starlette.applications import Starlette
from starlette.testclient import TestClient

from federation.console.forms import MAX_BYTES, Turns
from federation.console.pages import Console
from federation.console.setup import PATH, setup_routes
from federation.oauth.accounts import add_account, has_steward, setup_link
from federation.storage.database import Database
from federation.world import World

URL = "https://river.example"
PASSWORD = "a long and invented password"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def world() -> World:
    return World(lambda: datetime(2027, 1, 15, 12, tzinfo=UTC), b"s" * 32)


@pytest.fixture
def web(sqlite_database: Database, world: World) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=setup_routes(Console(sqlite_database, world, URL))), base_url=URL) as client:
        yield client


@pytest.fixture
def code(sqlite_database: Database, world: World) -> str:
    """The code of the link that `serve` prints."""
    add_account(sqlite_database, world, "steward", "First steward")
    link = setup_link(sqlite_database, world, URL, "steward")
    assert urlsplit(link).path == PATH
    assert urlsplit(link).query == ""
    return urlsplit(link).fragment


def send(web: TestClient, origin: str | None = URL, **fields: str) -> Response:
    headers = {} if origin is None else {"origin": origin}
    return web.post(PATH, data={"password": PASSWORD, "again": PASSWORD, **fields}, headers=headers)


def test_the_page_runs_its_own_script_and_nothing_else(web: TestClient) -> None:
    answer = web.get(PATH)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    for kind, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "http" not in re.sub(r"<!doctype.*?>", "", answer.text).replace("http-equiv", "")


def test_the_page_can_be_used_without_script_and_by_a_screen_reader(web: TestClient) -> None:
    text = web.get(PATH).text
    assert '<html lang="en">' in text
    for name in ("code", "password", "again"):
        assert f'<label for="{name}">' in text
        assert re.search(f'<input id="{name}" name="{name}"[^>]* required', text)


def test_the_link_makes_a_steward_once(web: TestClient, code: str, sqlite_database: Database) -> None:
    done = send(web, code=code)
    assert done.status_code == 200
    assert "steward" in done.text
    assert PASSWORD not in done.text
    assert code not in done.text
    assert has_steward(sqlite_database)
    again = send(web, code=code, password="another invented one", again="another invented one")
    assert again.status_code in (400, 404, 409)
    assert 'role="alert"' in again.text


def test_a_pasted_sign_before_the_code_does_no_harm(web: TestClient, code: str) -> None:
    assert send(web, code=f" #{code} ").status_code == 200


@pytest.mark.parametrize("origin", [None, "https://evil.example", "http://river.example", "null"])
def test_a_form_from_elsewhere_is_refused(origin: str | None, web: TestClient, code: str, sqlite_database: Database):
    refused = send(web, origin=origin, code=code)
    assert refused.status_code == 400
    assert f"Open it at {URL}{PATH} instead." in refused.text
    assert not has_steward(sqlite_database)


def test_a_form_that_a_browser_calls_foreign_is_refused(web: TestClient, code: str) -> None:
    headers = {"origin": URL, "sec-fetch-site": "cross-site"}
    assert (
        web.post(PATH, data={"code": code, "password": PASSWORD, "again": PASSWORD}, headers=headers).status_code == 400
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"again": "something else"}, "differ"),
        ({"password": "short", "again": "short"}, "12"),
        ({"code": "nonsense"}, "link"),
        ({"code": ""}, "link"),
    ],
)
def test_a_form_with_a_mistake_says_which_and_the_link_stays_good(
    fields: dict[str, str], said: str, web: TestClient, code: str
) -> None:
    answer = send(web, **{"code": code, **fields})
    assert 400 <= answer.status_code < 500
    assert said in answer.text
    assert '<form method="post"' in answer.text
    assert send(web, code=code).status_code == 200


def test_no_answer_repeats_the_code_and_the_page_takes_it_from_a_link_that_is_opened_again(
    web: TestClient, code: str
) -> None:
    refused = send(web, code=code, again="something else").text
    assert code not in refused
    assert "Open the link again" in refused
    assert 'addEventListener("hashchange"' in refused


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"code", b"&".join(b"a=%d" % n for n in range(20)), b"a" * (MAX_BYTES + 1)]
)
def test_a_malformed_form_is_refused(content: bytes, web: TestClient) -> None:
    answer = web.post(PATH, content=content, headers={"origin": URL, **FORM})
    assert answer.status_code == 400
    assert "Traceback" not in answer.text


def test_who_comes_while_too_many_wait_is_told_when_to_come_again(
    sqlite_database: Database, world: World, code: str
) -> None:
    room_for_nobody = Console(sqlite_database, world, URL, turns=Turns(waiting=-1))
    with TestClient(Starlette(routes=setup_routes(room_for_nobody)), base_url=URL) as web:
        answer = send(web, code=code)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "try again in" in answer.text
    assert not has_steward(sqlite_database)


def test_nothing_that_was_typed_comes_back_as_markup(web: TestClient) -> None:
    answer = send(web, code="<script>alert(1)</script>")
    assert "<script>alert" not in answer.text
