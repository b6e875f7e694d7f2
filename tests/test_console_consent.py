"""The page on which a person decides: it says what is asked, and a request that is not known leads nobody anywhere."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from oauth_people import BACK, Program, member, person, set_scopes
from oauth_world import SCOPES, URL, Node
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.testclient import TestClient

from federation.console.consent import ACTIONS, CONSENT, TIERS, consent_routes, readings
from federation.console.login import login_routes
from federation.console.pages import Console
from federation.edge import Protected
from federation.errors import NotFound
from federation.oauth.accounts import disable_account, reset_account
from federation.oauth.authorizing import Question, Wish, approve, question
from federation.oauth.clients import Kind, add_client, keep_client, revoke_client
from federation.oauth.grants import list_grants
from federation.oauth.realm import RegisteredClient
from federation.oauth.redeeming import Terms
from federation.oauth.sessions import begin_session, end_sessions, session_of
from federation.policies.decide import decide
from federation.policies.loading import load_policy
from federation.policies.policy import Policy, default_policy
from federation.policies.tiers import ACTION_SCOPES, SCOPED_TIERS, scope_for
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.registry import RECORD_TYPES, catalogue
from federation.storage.database import Database

PASSWORD = "a long and invented password"
POLICY = default_policy(catalogue())


@pytest.fixture
def node(sqlite_database: Database) -> Node:
    return Node(sqlite_database)


@pytest.fixture
def program(node: Node) -> Program:
    return Program(node)


@pytest.fixture
def web(node: Node) -> Iterator[TestClient]:
    with TestClient(application(node), base_url=URL, follow_redirects=False) as client:
        yield client


def application(node: Node, policy: Callable[[], Policy] = lambda: POLICY) -> Any:
    console = Console(node.database, node.world, URL, "River")
    return Protected(Starlette(routes=[*consent_routes(console, node.realm, policy), *login_routes(console)]))


def log_in(web: TestClient, node: Node, viewer: Viewer | None = None) -> None:
    """The browser comes as somebody, a steward unless told, from now on."""
    who = viewer or person(node)
    handle = who.subject.removeprefix("account:")
    with node.database.write() as connection:
        connection.execute(text("UPDATE account SET password = 'x' WHERE handle = :h"), {"h": handle})
    web.cookies.set("__Host-session", begin_session(node.database, node.world, handle))


def asked(web: TestClient, program: Program, **fields: Any) -> str:
    """Follow a program's request as far as the page: the name under which it is asked there."""
    answer = web.get("/oauth/authorize", params={"client_id": program.id, "request_uri": program.name(**fields)})
    assert answer.status_code == 303, answer.text
    place = urlsplit(answer.headers["location"])
    assert place.path == CONSENT
    return dict(parse_qsl(place.query))["asked"]


def form_of(web: TestClient, name: str) -> dict[str, str]:
    """What the form of the page sends, beside the button; the name alone where there is no form."""
    page = web.get(CONSENT, params={"asked": name}).text
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
    return {"asked": name} | {each: html.unescape(value) for each, value in hidden if "given" in dict(hidden)}


def decide_on(
    web: TestClient, name: str, decision: str = "allow", form: dict[str, str] | None = None, **headers: str | None
) -> Any:
    sent = {name: value for name, value in ({"origin": URL} | headers).items() if value is not None}
    fields = (form_of(web, name) if form is None else form) | {"decision": decision}
    return web.post(CONSENT, data=fields, headers=sent)


def stays(answer: Any, status: int) -> None:
    """A page that leads nowhere else."""
    assert answer.status_code == status, answer.text
    assert "location" not in answer.headers
    assert "form-action 'self';" in answer.headers["content-security-policy"]


# Being sent here


def test_nobody_is_shown_a_request_before_they_are_logged_in(web: TestClient, program: Program) -> None:
    name = asked(web, program)
    answer = web.get(CONSENT, params={"asked": name})
    assert answer.status_code == 303
    login = urlsplit(answer.headers["location"])
    assert login.path == "/console/login"
    assert dict(parse_qsl(login.query)) == {"next": f"{CONSENT}?asked={name}"}
    stays(decide_on(web, name), 401)
    assert list_grants(program.node.database) == []


def test_row_37_no_request_is_taken_that_was_not_pushed(web: TestClient, node: Node, program: Program) -> None:
    log_in(web, node)
    plain = {"client_id": program.id} | program.wish()
    for params in (
        plain,
        {},
        {"client_id": program.id},
        {"request_uri": program.name()},
        {"client_id": program.id, "request_uri": "https://x.example/request"},
        {"client_id": program.id, "request": "e.y.z"},
        {"client_id": [program.id, program.id], "request_uri": program.name()},
        {"client_id": program.id, "request_uri": [program.name(), program.name()]},
        {"client_id": "client-nobody", "request_uri": program.name()},
        {"client_id": Program(node).id, "request_uri": program.name()},
    ):
        answer = web.get("/oauth/authorize", params=params)
        stays(answer, answer.status_code)
        assert answer.status_code in (400, 404)
        assert BACK not in answer.text


def test_row_37_a_request_is_opened_once_and_only_in_time(web: TestClient, node: Node, program: Program) -> None:
    params = {"client_id": program.id, "request_uri": program.name()}
    assert web.head("/oauth/authorize", params=params).status_code == 405
    assert web.get("/oauth/authorize", params=params).status_code == 303
    stays(web.get("/oauth/authorize", params=params), 404)
    late = {"client_id": program.id, "request_uri": program.name()}
    node.clock.turn(61)
    stays(web.get("/oauth/authorize", params=late), 404)


def test_row_39_what_stands_beside_the_request_changes_nothing(web: TestClient, node: Node, program: Program) -> None:
    log_in(web, node)
    params = {"client_id": program.id, "request_uri": program.name(scope="resource:open"), "scope": "resource:partner"}
    params |= {"redirect_uri": "https://evil.example/", "state": "other", "response_type": "token"}
    answer = web.get("/oauth/authorize", params=params)
    name = answer.headers["location"].partition("asked=")[2]
    assert "evil.example" not in answer.text + answer.headers["location"] + web.get(answer.headers["location"]).text
    led = decide_on(web, name).headers["location"]
    assert led.startswith(f"{BACK}?code=")
    assert "state=st&" in led
    assert list_grants(node.database)[0].scopes == ("resource:open",)


@pytest.mark.parametrize("name", ["", "x", "../login", "https://evil.example", "a" * 43, "a" * 44, "é" * 43])
def test_a_page_without_a_known_request_leads_nowhere(web: TestClient, node: Node, name: str) -> None:
    log_in(web, node)
    for answer in (web.get(CONSENT, params={"asked": name}), decide_on(web, name)):
        stays(answer, 404 if name == "a" * 43 else 400)


# The page


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", answer.text.partition("</style>")[2])).split())


def test_the_page_says_who_asks_where_it_leads_and_until_when(web: TestClient, node: Node, program: Program) -> None:
    log_in(web, node)
    said = text_of(web.get(CONSENT, params={"asked": asked(web, program)}))
    assert "A dashboard asks to act on behalf of your account asha at River." in said
    assert "you are led to https://dashboard.example then" in said
    assert "It may, until 2026-03-31" in said
    assert "It keeps no key of its own" in said
    assert "The operator of this node can end it at any time." in said
    keyed = Program(node, public=False)
    assert "no key" not in text_of(web.get(CONSENT, params={"asked": asked(web, keyed)}))


def test_the_page_says_what_is_shown_as_the_policy_decides(web: TestClient, node: Node, program: Program) -> None:
    log_in(web, node)
    said = text_of(web.get(CONSENT, params={"asked": asked(web, program, scope="resource:community")}))
    assert "read, of Resource, what any network in agreement with this one may read." in said
    assert RECORD_TYPES["resource"].meaning in said
    steps = decide(POLICY, Viewer(ViewerKind.CLIENT, "c", frozenset({"resource:community"})), "resource").steps
    exact, coarser = re.search(r"As it is held: (.*?)\. Less exactly: (.*?)\. Records marked (.*?)\.", said).groups()[
        :2
    ]
    assert set(exact.split(", ")) == {name.replace("_", " ") for name, step in steps.items() if step == "exact"}
    assert "amount (band)" in coarser.split(", ")
    assert "site" not in exact.split(", ")
    assert "Records marked TLP:CLEAR or TLP:GREEN." in said
    assert "TLP:AMBER" not in said


def test_the_page_follows_the_policy_in_force(node: Node, program: Program) -> None:
    nobody = load_policy('[resource]\ntitle = "partner"\n', catalogue())
    with TestClient(application(node, lambda: nobody), base_url=URL, follow_redirects=False) as web:
        log_in(web, node)
        said = text_of(web.get(CONSENT, params={"asked": asked(web, program, scope="resource:open")}))
    assert "title" not in re.search(r"As it is held: (.*?)\.", said)[1].split(", ")


def test_a_type_of_which_nothing_would_be_seen_says_so(node: Node, program: Program) -> None:
    put = question(node.realm, program.question(scope="resource:open"))
    rules = [
        f"{name}.{step.name} = 'network'"
        for name, spec in RECORD_TYPES["resource"].fields.items()
        for step in spec.open_steps
    ]
    shut = load_policy("\n".join(("[resource]", *rules)), catalogue())
    (found,) = readings(shut, put, frozenset({"resource:open"}))
    assert (found.exact, found.coarser, found.marks) == ((), (), ())


def test_every_scope_has_its_words() -> None:
    assert set(ACTIONS) == ACTION_SCOPES
    assert list(TIERS) == [tier.label for tier in SCOPED_TIERS]
    every = frozenset(scope_for(key, tier) for key in RECORD_TYPES for tier in SCOPED_TIERS)
    found = readings(POLICY, _put(), every)
    assert len(found) == len(RECORD_TYPES)
    assert {each.tier for each in found} == {TIERS["partner"]}
    assert all(each.marks and each.exact for each in found)


def _put() -> Question:
    return Question(RegisteredClient("c", (), frozenset()), Wish(frozenset(), Terms("", "", None), None), 0)


def test_a_steward_is_told_of_actions_in_plain_words(web: TestClient, node: Node) -> None:
    log_in(web, node)
    program = Program(node, public=False, scopes=SCOPES)
    said = text_of(web.get(CONSENT, params={"asked": asked(web, program, scope="peers:write exchange")}))
    assert ACTIONS["peers:write"] in said
    assert ACTIONS["exchange"] in said


def test_what_the_account_cannot_give_is_named_and_not_given(web: TestClient, node: Node, program: Program) -> None:
    log_in(web, node, member(node, "baraka", "resource:open"))
    name = asked(web, program, scope="resource:open resource:partner")
    said = text_of(web.get(CONSENT, params={"asked": name}))
    assert "which your account cannot give: resource:partner." in said
    assert "what anybody may read" in said
    decide_on(web, name)
    assert list_grants(node.database)[0].scopes == ("resource:open",)


def test_an_account_that_has_nothing_of_it_can_only_refuse(web: TestClient, node: Node, program: Program) -> None:
    log_in(web, node, member(node, "baraka"))
    name = asked(web, program)
    page = web.get(CONSENT, params={"asked": name})
    assert "Your account has nothing of what it asks for." in text_of(page)
    assert 'value="allow"' not in page.text
    stays(decide_on(web, name), 404)
    assert "error=access_denied" in decide_on(web, name, "deny").headers["location"]


def test_names_that_a_program_gives_itself_are_marked_as_such_and_escaped(web: TestClient, node: Node) -> None:
    program = Program(node)
    with node.database.write() as connection:
        kind = Kind(SCOPES - {"peers:write"}, (BACK,), public=True)
        keep_client(connection, "client-x", "A watcher", [], kind, node.now, "<b>River</b> & co")
    program.id = "client-x"
    log_in(web, node)
    answer = web.get(CONSENT, params={"asked": asked(web, program)})
    assert "A watcher (it calls itself <b>River</b> & co) asks to act" in text_of(answer)
    assert "<b>River</b>" not in answer.text
    assert "&lt;b&gt;River&lt;/b&gt;" in answer.text


def test_the_page_may_send_its_form_to_the_program_alone_and_to_no_frame(web: TestClient, node: Node) -> None:
    log_in(web, node)
    local = Program(node, back="http://127.0.0.1/back")
    for program, origin, fields in (
        (Program(node), "https://dashboard.example", {}),
        (local, "http://127.0.0.1:49152", {"redirect_uri": "http://127.0.0.1:49152/back"}),
    ):
        answer = web.get(CONSENT, params={"asked": asked(web, program, **fields)})
        policy = answer.headers["content-security-policy"]
        assert f"form-action 'self' {origin};" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"


# The decision


@pytest.mark.parametrize(("decision", "word"), [("allow", "code"), ("deny", "error")])
def test_row_40_a_decision_leads_back_once_with_issuer_and_state(
    web: TestClient, node: Node, program: Program, decision: str, word: str
) -> None:
    log_in(web, node)
    name = asked(web, program)
    answer = decide_on(web, name, decision)
    assert answer.status_code == 303
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["location"].startswith(f"{BACK}?")
    told = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert set(told) == {word, "state", "iss"}
    assert (told["iss"], told["state"]) == (URL, "st")
    assert len(list_grants(node.database)) == (decision == "allow")
    stays(decide_on(web, name), 404)
    stays(web.get(CONSENT, params={"asked": name}), 404)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": None},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "https://dashboard.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-mode": "no-cors"},
        {"sec-fetch-dest": "iframe"},
    ],
)
def test_a_form_of_another_site_decides_nothing(
    web: TestClient, node: Node, program: Program, headers: dict[str, str | None]
) -> None:
    log_in(web, node)
    name = asked(web, program)
    stays(decide_on(web, name, **headers), 400)
    assert list_grants(node.database) == []
    assert decide_on(web, name).status_code == 303


@pytest.mark.parametrize("decision", ["", "yes", "Allow"])
def test_a_decision_that_is_none_decides_nothing(web: TestClient, node: Node, program: Program, decision: str) -> None:
    log_in(web, node)
    name = asked(web, program)
    stays(decide_on(web, name, decision), 400)
    assert decide_on(web, name).status_code == 303


def test_a_session_an_account_or_a_client_that_ended_gives_nothing_any_more(
    web: TestClient, node: Node, program: Program
) -> None:
    log_in(web, node)
    name = asked(web, program)
    end_sessions(node.database, "asha")
    stays(decide_on(web, name), 401)
    log_in(web, node)
    revoke_client(node.database, node.world, program.id)
    stays(web.get(CONSENT, params={"asked": name}), 404)
    stays(decide_on(web, name), 404)
    name = asked(web, Program(node))
    disable_account(node.database, node.world, "asha")
    stays(decide_on(web, name), 401)
    assert list_grants(node.database) == []


def test_what_is_given_is_what_the_account_has_when_it_decides(web: TestClient, node: Node, program: Program) -> None:
    log_in(web, node, member(node, "baraka", "resource:partner", "exchange"))
    name = asked(web, program, scope="resource:partner exchange")
    set_scopes(node, "account", "baraka", "exchange")
    assert decide_on(web, name).status_code == 303
    assert list_grants(node.database)[0].scopes == ("exchange",)


def test_nothing_is_given_that_was_not_shown(web: TestClient, node: Node, program: Program) -> None:
    log_in(web, node, member(node, "baraka", "exchange"))
    name = asked(web, program, scope="resource:partner exchange")
    shown = form_of(web, name)
    set_scopes(node, "account", "baraka", "exchange resource:partner")
    assert decide_on(web, name, form=shown).status_code == 303
    assert list_grants(node.database)[0].scopes == ("exchange",)


def test_who_has_logged_in_meanwhile_gives_nothing_by_the_page_of_another(
    web: TestClient, node: Node, program: Program
) -> None:
    log_in(web, node, member(node, "baraka", "resource:open"))
    name = asked(web, program)
    shown = form_of(web, name)
    log_in(web, node)
    for form in (shown, {"asked": name}, shown | {"account": ""}):
        stays(decide_on(web, name, form=form), 400)
    stays(decide_on(web, name, form=shown | {"account": "asha", "given": ""}), 404)
    assert list_grants(node.database) == []
    assert decide_on(web, name).status_code == 303


def test_a_reset_while_somebody_decides_leaves_no_grant(database: Database) -> None:
    node = Node(database)
    program, asha = Program(node), person(node, password=PASSWORD)
    cookie = begin_session(database, node.world, "asha")
    session = session_of(database, node.world, cookie)
    assert session is not None
    name = program.question()
    reset_account(database, node.world, URL, "asha")  # just after the session was looked up
    with pytest.raises(NotFound):
        approve(node.realm, name, asha, session_id=session.session_id)
    assert list_grants(database) == []


@pytest.mark.parametrize("how", ["logged out", "closed"])
def test_a_session_that_ends_while_somebody_decides_gives_nothing(web: TestClient, node: Node, how: str) -> None:
    asha, name = person(node, password=PASSWORD), Program(node).question()
    session = session_of(node.database, node.world, begin_session(node.database, node.world, "asha"))
    assert session is not None
    if how == "closed":
        disable_account(node.database, node.world, "asha")
    else:
        end_sessions(node.database, "asha")
    with pytest.raises(NotFound):
        approve(node.realm, name, asha, session_id=session.session_id)
    assert list_grants(node.database) == []


def test_from_the_login_a_person_comes_back_to_the_request(web: TestClient, node: Node, program: Program) -> None:
    person(node, password=PASSWORD)
    name = asked(web, program)
    form = {"handle": "asha", "password": PASSWORD, "next": f"{CONSENT}?asked={name}"}
    answer = web.post("/console/login", data=form, headers={"origin": URL})
    assert answer.headers["location"] == f"{CONSENT}?asked={name}"
    assert "A dashboard" in web.get(answer.headers["location"]).text
    code = dict(parse_qsl(urlsplit(decide_on(web, name).headers["location"]).query))["code"]
    given = program.redeem(code).json()
    assert program.use(given["access_token"]).scopes == {"resource:community", "resource:open"}


def test_nothing_secret_is_in_a_page_that_refuses(web: TestClient, node: Node, program: Program) -> None:
    log_in(web, node)
    for answer in (
        web.get("/oauth/authorize", params={"client_id": "peculiar", "request_uri": "peculiar"}),
        web.get(CONSENT, params={"asked": "peculiar"}),
        decide_on(web, "peculiar"),
    ):
        assert "peculiar" not in answer.text


def test_a_client_that_asks_for_itself_sends_nobody_here(web: TestClient, node: Node) -> None:
    made = add_client(node.database, node.world, "x", frozenset({"resource:open"}), SCOPES)
    params = {"client_id": made.client_id, "request_uri": Program(node).name()}
    stays(web.get("/oauth/authorize", params=params), 404)
