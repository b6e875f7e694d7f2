"""How the endpoints that programs ask are driven: with what they refuse, and with a good request of each kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import orjson

from federation.console.pages import Console
from federation.keys import generate_key, sign_assertion
from federation.oauth.accounts import account_viewer, add_account
from federation.oauth.assertions import ASSERTION_TYPE
from federation.oauth.authorizing import approve, open_request
from federation.oauth.clients import Kind
from federation.oauth.registering import invite_client
from federation.oauth.sessions import begin_session
from federation.policies.viewer import ViewerKind
from oracles.dashboards import FORM, Dashboard
from oracles.network import Said, client_of
from oracles.questions import SECRET_INPUT
from oracles.stage import Stage


def _form(path: str) -> Callable[[Stage], list[Said]]:
    """Forms that are refused, and a token of a good client, which the callers of the stage have asked for too."""

    def ask(stage: Stage) -> list[Said]:
        url, kind = stage.node.settings.url + path, {"content-type": "application/x-www-form-urlencoded"}
        bad = [b"", b"a=b", f"grant_type={SECRET_INPUT}&token={SECRET_INPUT}".encode(), b"\xff"]
        found = [stage.network.call("POST", url, kind, body) for body in bad]
        stage.askers["client-mixed"].caller.post("/graphql", b"{}")
        return found + [said for said in stage.network.said if said.url == url][-4:]

    return ask


def _revoke(stage: Stage) -> list[Said]:
    """A client lets go of its token, with the proof that it is its own."""
    url = stage.node.settings.url
    name = f"leaving-{len(stage.network.said)}"
    client = client_of(stage.network, stage.node, name, frozenset({"resource:open"}))
    token = client.session.token(url, client.scopes)
    now = stage.node.world.timestamp()
    form = {
        "token": token,
        "client_id": client.session._client_id,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": sign_assertion(client.session._key, client.session._client_id, url, now, name),
    }
    kind = {"content-type": "application/x-www-form-urlencoded"}
    said = stage.network.call("POST", f"{url}/oauth/revoke", kind, urlencode(form).encode())
    assert said.status == 200, said
    return [said, *_form("/oauth/revoke")(stage)]


def _push(stage: Stage) -> list[Said]:
    return [Dashboard(stage).push(), *_form("/oauth/par")(stage)]


def _introspect(stage: Stage) -> list[Said]:
    asked = Dashboard(stage).send("/oauth/introspect", {"token": SECRET_INPUT})
    return [asked, *_form("/oauth/introspect")(stage)]


def _authorize(stage: Stage) -> list[Said]:
    """A request that there is, once and again, and some that there are not."""
    url, asking = stage.node.settings.url + "/oauth/authorize", Dashboard(stage)
    good = (
        f"{url}?{urlencode({'client_id': asking.id, 'request_uri': orjson.loads(asking.push().body)['request_uri']})}"
    )
    wrong = f"{url}?client_id={SECRET_INPUT}&request_uri={SECRET_INPUT}&redirect_uri={SECRET_INPUT}"
    return [stage.network.call("GET", each) for each in (good, good, wrong, f"{url}?state={SECRET_INPUT}", url)]


def _asked(stage: Stage) -> tuple[Dashboard, str, dict[str, str]]:
    """A dashboard, the name under which its request is put to a person, and the headers of somebody logged in."""
    asking, node = Dashboard(stage), stage.node
    name = open_request(node.realm, asking.id, orjson.loads(asking.push().body)["request_uri"])
    handle = f"person-{len(stage.network.said)}"
    add_account(node.database, node.world, handle, "Somebody", password="long-and-used-nowhere")
    console = Console(node.database, node.world, node.settings.url)
    cookie = f"{console.cookie_name}={begin_session(node.database, node.world, handle)}"
    return asking, name, {"cookie": cookie}


def _consent_page(stage: Stage) -> list[Said]:
    _, name, somebody = _asked(stage)
    url = stage.node.settings.url + "/console/consent"
    shown = stage.network.call("GET", f"{url}?asked={name}", somebody)
    assert (shown.status, b"Allow" in shown.body) == (200, True), shown
    others = [stage.network.call("GET", each) for each in (f"{url}?asked={name}", f"{url}?asked={SECRET_INPUT}", url)]
    return [shown, *others, stage.network.call("GET", f"{url}?asked={SECRET_INPUT}", somebody)]


def _consent(stage: Stage) -> list[Said]:
    """One request is refused, one allowed; the rest is not understood."""
    url, said = stage.node.settings.url, []
    for decision in ("deny", "allow"):
        _, name, somebody = _asked(stage)
        headers = FORM | somebody | {"origin": url}
        page = stage.network.call("GET", f"{url}/console/consent?asked={name}", somebody).body.decode()
        shown = urlencode(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
        forms = [f"asked={SECRET_INPUT}&decision=allow", f"{shown}&decision=x", f"{shown}&decision={decision}"]
        said += [stage.network.call("POST", f"{url}/console/consent", headers, each.encode()) for each in forms]
        assert said[-1].status == 303, said[-1]
    return [*said, stage.network.call("POST", f"{url}/console/consent", FORM, b"asked=x")]


def _token(stage: Stage) -> list[Said]:
    """A dashboard gets a token on behalf of a person, and the next one."""
    asking, node = Dashboard(stage), stage.node
    name = orjson.loads(asking.push().body)["request_uri"]
    if account_viewer(node.database, "asked") is None:
        add_account(
            node.database,
            node.world,
            "asked",
            "Asked",
            kind=ViewerKind.MEMBER,
            scopes=frozenset({"resource:open"}),
        )
    account = account_viewer(node.database, "asked")
    assert account is not None
    given = asking.redeem(approve(node.realm, open_request(node.realm, asking.id, name), account))
    again = asking.refresh(orjson.loads(given.body)["refresh_token"])
    return [given, again, *_form("/oauth/token")(stage)]


def _register(stage: Stage) -> list[Said]:
    """An invitation that there is not, registrations that do not fit, and one that does."""
    node, url = stage.node, stage.node.settings.url + "/oauth/register"
    name, kind = f"invited-{len(stage.network.said)}", Kind(frozenset({"resource:open"}))
    token = invite_client(node.database, node.world, name, kind, node.scopes)
    json = {"content-type": "application/json"}
    bodies = [b"", b"{", b"[]", orjson.dumps({"client_name": SECRET_INPUT, "scope": SECRET_INPUT})]
    found = [stage.network.call("POST", url, json, body) for body in bodies]
    json |= {"authorization": f"Bearer {token}"}
    found += [stage.network.call("POST", url, json, body) for body in bodies]
    good = orjson.dumps({"client_name": "A watcher", "jwks": {"keys": [generate_key().public_jwk]}})
    found.append(stage.network.call("POST", url, json, good))
    assert found[-1].status == 201, found[-1]
    return found


PROGRAM_ROUTES: Mapping[str, Callable[[Stage], list[Said]]] = {
    "POST /oauth/token": _token,
    "POST /oauth/revoke": _revoke,
    "POST /oauth/par": _push,
    "POST /oauth/introspect": _introspect,
    "GET /oauth/authorize": _authorize,
    "GET /console/consent": _consent_page,
    "POST /console/consent": _consent,
    "POST /oauth/register": _register,
}
