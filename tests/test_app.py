"""The node's web edge as a whole: which addresses there are, what every answer says and keeps to itself."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlcipher3
from starlette.routing import Route
from starlette.testclient import TestClient

from federation import app as wiring
from federation.app import build, public_schema
from federation.audit import Ledger
from federation.errors import SettingsInvalid, Unavailable
from federation.node import Node, create_home, open_node
from federation.policies.loading import load_policy
from federation.settings import load_settings
from federation.storage import backup
from federation.storage.database import Database
from federation.storage.journal import START, Position, floor
from federation.world import World

URL = "http://river.example"
ROUTES = {
    "/graphql": {"GET", "HEAD", "POST"},
    "/graphql/schema.graphql": {"GET", "HEAD"},
    "/health/live": {"GET", "HEAD"},
    "/health/ready": {"GET", "HEAD"},
    "/console/setup": {"GET", "HEAD", "POST"},
    "/console/login": {"GET", "HEAD", "POST"},
    "/console/logout": {"POST"},
    "/console/account": {"GET", "HEAD", "POST"},
    "/console/consent": {"GET", "HEAD", "POST"},
    "/oauth/authorize": {"GET", "HEAD"},
    "/oauth/token": {"POST"},
    "/oauth/revoke": {"POST"},
    "/oauth/par": {"POST"},
    "/oauth/introspect": {"POST"},
    "/oauth/register": {"POST"},
    "/.well-known/oauth-authorization-server": {"GET", "HEAD"},
    "/.well-known/oauth-protected-resource/graphql": {"GET", "HEAD"},
    "/.well-known/jwks.json": {"GET", "HEAD"},
    "/exchange/join": {"POST"},
    "/exchange/keys": {"POST"},
    "/exchange/changes": {"POST"},
    "/exchange/reconcile": {"POST"},
    "/.well-known/openid-federation": {"GET", "HEAD"},
    "/exchange/trust": {"POST"},
    "/exchange/trust/fetch": {"POST"},
    "/exchange/trust/list": {"POST"},
    "/exchange/trust/resolve": {"POST"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that nobody has opened yet."""
    home = tmp_path_factory.mktemp("homes") / "river"
    create_home(home, {"name": "River", "url": URL, "scope": "local"})
    return home


@pytest.fixture
def node(made: Path, tmp_path: Path) -> Iterator[Node]:
    """An opened node with nothing public, for a test that changes something."""
    settings, _ = load_settings(Path(shutil.copytree(made, tmp_path / "river")), environment={})
    opened = open_node(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def web(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A node's application, as strangers reach it."""
    settings, _ = load_settings(
        Path(shutil.copytree(made, tmp_path_factory.mktemp("served") / "river")), environment={}
    )
    opened = build(open_node(settings), background=False)
    with TestClient(opened, base_url=URL, raise_server_exceptions=False) as client:
        yield client


def test_these_are_all_addresses_there_are(node: Node) -> None:
    found: dict[str, set[str]] = {}
    for route in build(node, background=False).routes:
        assert isinstance(route, Route)
        found.setdefault(route.path, set()).update(route.methods or ())
    assert found == ROUTES


NEED_MORE = {"/oauth/authorize": 400, "/console/consent": 400}
"""What cannot be read by its address alone, and how it says so."""


@pytest.mark.parametrize("path", [path for path, methods in ROUTES.items() if "GET" in methods and path != "/graphql"])
def test_what_can_be_read_is_there_with_headers_that_protect(path: str, web: TestClient) -> None:
    answer = web.get(path)
    assert answer.status_code == NEED_MORE.get(path, 200)
    assert answer.headers["x-content-type-options"] == "nosniff"
    of_a_page = path.startswith("/console/") or path == "/oauth/authorize"  # whose forms must tell where they come from
    assert answer.headers["referrer-policy"] == ("same-origin" if of_a_page else "no-referrer")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in answer.headers
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/", "/admin", "/docs", "/openapi.json", "/graphql/", "/exchange", "/metrics", "/%00"]
)
def test_an_unknown_address_says_so_and_no_more(path: str, web: TestClient) -> None:
    answer = web.get(path, follow_redirects=False)
    assert answer.status_code == 404
    assert answer.json() == {"error": "NOT_FOUND", "message": "There is nothing at this address."}
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/graphql"), ("POST", "/health/live"), ("PUT", "/console/setup"), ("GET", "/exchange/changes")],
)
def test_another_method_is_refused_with_those_that_are_taken(method: str, path: str, web: TestClient) -> None:
    answer = web.request(method, path)
    assert answer.status_code == 405
    assert answer.json()["error"] == "BAD_INPUT"
    assert answer.headers["allow"]


def test_a_request_that_fails_in_the_database_leaves_the_next_quick_one_its_answer(web: TestClient) -> None:
    """A failed read costs its connection; a quick request that finds none open waits for one in a thread."""
    quick = {"query": "{ resources(first: 1) { edges { node { title } } } }"}
    statuses = []
    for _ in range(4):
        assert web.post("/graphql", json=quick).status_code == 200
        failed = web.post("/graphql", json={"query": '{ resources(after: "zz") { edges { node { title } } } }'})
        assert failed.json()["errors"][0]["extensions"]["code"] == "BAD_INPUT"
        statuses.append(web.post("/graphql", json=quick).status_code)
    assert statuses == [200] * 4


def test_the_node_is_live_and_ready(web: TestClient) -> None:
    assert web.get("/health/live").json() == {"status": "live"}
    assert web.get("/health/ready").json() == {"status": "ready"}


def test_the_schema_tells_the_scopes_of_the_policy_in_force(node: Node) -> None:
    with TestClient(build(node, background=False), base_url=URL) as web:
        before = web.get("/graphql/schema.graphql").text
        node.policies.apply(load_policy('[resource]\ntitle = "partner"\n', node.catalogue))
        after = web.get("/graphql/schema.graphql").text
        assert after == public_schema(node) != before
        node.policies.apply(node.policies.previous())
        assert web.get("/graphql/schema.graphql").text == before


def test_a_database_that_is_away_is_not_ready_and_not_told_in_detail(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Database) -> None:
        raise Unavailable("The database does not answer.")

    with TestClient(build(node, background=False), base_url=URL) as web:
        monkeypatch.setattr(Database, "reader", gone)
        answer = web.get("/health/ready")
        assert answer.status_code == Unavailable.status
        assert answer.json()["error"] == "UNAVAILABLE"
        assert web.get("/health/live").status_code == 200


def test_what_breaks_unforeseen_says_nothing_of_why(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: object) -> None:
        raise RuntimeError("the secret value 4711")

    monkeypatch.setattr(wiring, "live", broken)
    with TestClient(build(node, background=False), base_url=URL, raise_server_exceptions=False) as client:
        answer = client.get("/health/live")
    assert answer.status_code == 500
    assert answer.json() == {"error": "INTERNAL", "message": "Something broke here; it was logged."}
    assert "4711" not in answer.text


@pytest.mark.parametrize(
    ("path", "limit", "kind"),
    [
        ("/graphql", 2_000_000, "application/json"),
        ("/oauth/token", 200_000, "application/x-www-form-urlencoded"),
        ("/console/setup", 10_000, "application/x-www-form-urlencoded"),
        ("/exchange/join", 70_000, "application/jwt"),
        ("/exchange/keys", 70_000, "application/jwt"),
    ],
)
def test_a_body_that_is_too_long_is_refused(path: str, limit: int, kind: str, web: TestClient) -> None:
    answer = web.post(path, content=b"a" * limit, headers={"content-type": kind, "origin": URL})
    assert answer.status_code in (400, 413)
    assert len(answer.content) < 5000


@pytest.mark.parametrize("path", ["/exchange/changes", "/exchange/reconcile"])
def test_the_exchange_is_for_those_with_a_token(path: str, web: TestClient) -> None:
    answer = web.post(path, json={})
    assert answer.status_code == 401
    assert answer.json()["error"] == "UNAUTHENTICATED"


def test_strangers_see_nothing_where_nothing_is_public(web: TestClient) -> None:
    answer = web.post("/graphql", json={"query": "{ resources { edges { node { id title } } } }"})
    assert answer.status_code in (200, 401, 403)
    assert not (answer.json().get("data") or {}).get("resources", {}).get("edges")


def test_a_forged_token_is_refused_with_a_challenge(web: TestClient) -> None:
    answer = web.post(
        "/graphql", json={"query": "{ viewer { kind } }"}, headers={"authorization": "DPoP a.b.c", "dpop": "a.b.c"}
    )
    assert answer.status_code == 401
    assert "DPoP" in answer.headers["www-authenticate"]


def test_the_issuer_is_what_was_set_and_not_what_the_request_says(web: TestClient) -> None:
    answer = web.get("/.well-known/oauth-authorization-server", headers={"host": "evil.example"})
    assert answer.json()["issuer"] == URL
    assert "evil.example" not in answer.text


INNER = ("Traceback", ".py", "site-packages", "sqlite", "starlette", "strawberry", "/tmp/")


def test_no_answer_names_a_file_a_module_or_a_version(web: TestClient) -> None:
    for path, methods in ROUTES.items():
        for method in sorted(methods - {"HEAD"}):
            answer = web.request(method, path, content=b"{" if method == "POST" else None)
            text = answer.text if path != "/graphql/schema.graphql" else ""
            for inner in INNER:
                assert inner not in text, (path, method, inner)


def test_the_background_sweeps_and_survives_what_breaks(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ending, turns, anchored = threading.Event(), [], []

    def sweep(self: Node) -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            raise Unavailable("The disk is full.")
        if len(turns) == 2:
            raise RuntimeError("broken")
        ending.set()

    monkeypatch.setattr(Node, "sweep", sweep)
    monkeypatch.setattr(Ledger, "anchor", lambda self: anchored.append(len(turns)))
    object.__setattr__(node, "settings", node.settings.model_copy(update={"sweep_interval": 0.01}))
    thread = threading.Thread(target=wiring.run_background, args=(node, ending))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert turns == [0, 1, 2]
    assert anchored == [1, 2, 3]


def test_a_started_application_stops_its_background(node: Node) -> None:
    begun = time.monotonic()
    with TestClient(build(node), base_url=URL) as client:
        assert client.get("/health/ready").status_code == 200
    assert not [thread for thread in threading.enumerate() if thread.name in ("background", "exchange")]
    assert time.monotonic() - begun < 15


def test_a_home_is_never_made_twice(tmp_path: Path) -> None:
    values = {"name": "River", "url": URL, "scope": "local"}
    create_home(tmp_path / "river", values)
    with pytest.raises(FileExistsError):
        create_home(tmp_path / "river", values)


def test_a_home_with_bad_values_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="place_k"):
        create_home(tmp_path / "river", {"name": "River", "url": URL, "scope": "local", "place_k": 0})
    assert not (tmp_path / "river").exists()


def test_the_application_of_a_server_process_is_made_from_its_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_home(tmp_path / "river", {"name": "River", "url": URL, "scope": "local"})
    monkeypatch.setenv("FEDERATION_HOME", str(tmp_path / "river"))
    monkeypatch.setattr(wiring, "configure_logging", lambda level: None)
    with TestClient(wiring.create(), base_url=URL) as client:
        assert client.get("/health/ready").status_code == 200


def test_a_database_is_copied_before_it_is_migrated(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    home = node.settings.home
    assert backup.back_up(node.database, home, node.world) is None
    monkeypatch.setattr(backup, "pending", lambda database: True)
    copy = backup.back_up(node.database, home, node.world)
    assert copy is not None
    assert copy.parent == home / "backups"
    assert copy.stat().st_mode & 0o077 == 0
    with closing(sqlcipher3.connect(str(copy))) as connection:
        assert connection.execute("SELECT count(*) FROM network").fetchone() == (1,)
    other = home / "backups" / "mine.db"
    other.touch()
    now = node.world.now()
    assert backup.let_backups_go(home, now - timedelta(minutes=1)) == 0
    assert copy.exists()
    assert backup.let_backups_go(home, now + timedelta(minutes=1)) >= 1
    assert list((home / "backups").iterdir()) == [other]


def test_a_running_node_lets_go_of_what_was_kept_for_its_time(tmp_path: Path) -> None:
    moment = [datetime(2026, 3, 1, tzinfo=UTC)]
    home = tmp_path / "river"
    values = {"name": "River", "url": URL, "scope": "local", "journal_days": 3, "backup_days": 2, "served_days": 5}
    create_home(home, values, World(lambda: moment[0], seed=bytes(32)))
    settings, _ = load_settings(home, environment={})
    (home / "backups").mkdir()
    copy = home / "backups" / f"node-0001-{int(moment[0].timestamp())}.db"
    copy.touch()
    with closing(open_node(settings, World(lambda: moment[0], seed=bytes(32)))) as node:
        for _ in range(3):
            node.sweep()
            assert (copy.exists(), floor_of(node)) == (True, START)
            moment[0] += timedelta(days=1)
        node.sweep()
        assert not copy.exists()
        assert floor_of(node) > START


def floor_of(node: Node) -> Position:
    with node.database.read() as connection:
        return floor(connection)
