"""How every route is asked beside what callers put to GraphQL and the exchange: with what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlencode

import orjson
import pyotp
from passkey_device import Device, options_in

from federation.cli.examining import first_setup_link
from federation.keys import Earlier, generate_keys
from federation.oauth.accounts import add_account
from federation.peers.handing import KEYS_PATH, tell
from federation.peers.statements import hand_over
from federation.peers.trust import Self
from federation.peers.vouching.entity import CONFIGURATION_PATH, FETCH_PATH, LIST_PATH, RESOLVE_PATH, TRUST_PATH
from oracles.network import Said
from oracles.programs import PROGRAM_ROUTES
from oracles.questions import SECRET_INPUT
from oracles.stage import Stage


def _get(path: str) -> Callable[[Stage], list[Said]]:
    def ask(stage: Stage) -> list[Said]:
        url = stage.node.settings.url
        return [
            stage.network.call("GET", url + path),
            stage.network.call("GET", f"{url}{path}?q={SECRET_INPUT}"),
            stage.network.call("DELETE", url + path),
        ]

    return ask


def _join(stage: Stage) -> list[Said]:
    url = stage.node.settings.url + "/exchange/join"
    bodies = [b"", b"a.b.c", SECRET_INPUT.encode()]
    found = [stage.network.call("POST", url, {}, body) for body in bodies]
    return found + [said for said in stage.network.said if said.url == url]


def _keys(stage: Stage) -> list[Said]:
    """What is no statement, what a stranger says of itself, and a peer that tells its keys and hears the node's."""
    url, world = stage.node.settings.url, stage.node.world
    at, kind = url + KEYS_PATH, {"content-type": "application/jwt"}
    light, stranger = stage.lights["peer-partner"], generate_keys(world, "stranger")
    known = tell(Self(light.name, light.issuer, light.keys), world, url)
    said = hand_over(light.keys.peer, stranger.peer, SECRET_INPUT, 1, world.timestamp())
    leading = {"peer": (Earlier(light.keys.peer.public, 0, 0, 0, said),)}
    told = [
        tell(Self(light.name, light.issuer, each), world, url)
        for each in (stranger, replace(stranger, earlier=leading))
    ]
    bad = [b"", SECRET_INPUT.encode(), *(each.encode() for each in told)]
    found = [stage.network.call("POST", at, kind, body) for body in bad]
    answered = stage.network.call("POST", at, kind, known.encode())
    assert answered.status == 200, answered
    return [*found, answered]


def _graphql(stage: Stage) -> list[Said]:
    """Requests that are none, with a wrong method, kind, token or form."""
    url = stage.node.settings.url + "/graphql"
    json = {"content-type": "application/json"}
    body = orjson.dumps({"query": f'{{ search(text: "{SECRET_INPUT}") {{ nodes {{ id '})
    return [
        stage.network.call("GET", f"{url}?query={SECRET_INPUT}"),
        stage.network.call("POST", url, {"content-type": "text/plain"}, body),
        stage.network.call("POST", url, json, body),
        stage.network.call("POST", url, json, b"[1]"),
        stage.network.call("POST", url, json | {"authorization": f"Bearer {SECRET_INPUT}"}, body),
        stage.network.call("POST", url, json | {"authorization": f"DPoP {SECRET_INPUT}"}, body),
        stage.network.call("POST", url, json | {"dpop": SECRET_INPUT}, body),
    ]


def _exchange(path: str) -> Callable[[Stage], list[Said]]:
    def ask(stage: Stage) -> list[Said]:
        url, caller = stage.node.settings.url + path, stage.askers["peer-partner"].caller
        bad = [b"", b"[]", b"{", orjson.dumps({"run": SECRET_INPUT, "cursor": SECRET_INPUT, "type": SECRET_INPUT})]
        bad.append(orjson.dumps({"cursor": "x", "limit": -1}))
        return [stage.network.call("POST", url, {}, b"{}"), *(caller.post(path, body) for body in bad)]

    return ask


def _trust(path: str) -> Callable[[Stage], list[Said]]:
    """What a verified peer is answered, and what everybody else is."""

    def ask(stage: Stage) -> list[Said]:
        url, caller = stage.node.settings.url, stage.askers["peer-partner"].caller
        kind = "application/x-www-form-urlencoded"
        forms = [b"", f"sub={SECRET_INPUT}&trust_anchor={url}".encode(), f"sub={url}&trust_anchor={url}".encode()]
        forms += [f"entity_type={SECRET_INPUT}".encode(), b"\xff", b"a" * 9000, b"sub=https%3A%2F%2Fdelta.example"]
        open_to_all = [stage.network.call("POST", url + path, {"content-type": kind}, form) for form in forms]
        asked = [caller.post(path, form, **{"content-type": kind}) for form in forms]
        assert {said.status for said in open_to_all} == {401}
        assert {said.status for said in asked} <= {200, 400, 404}
        return [*open_to_all, *asked]

    return ask


def _setup(stage: Stage) -> list[Said]:
    """The first steward sets a password: with a wrong code, from elsewhere, and as it should be."""
    url = stage.node.settings.url
    code = first_setup_link(stage.node).partition("#")[2]
    kind = {"content-type": "application/x-www-form-urlencoded"}
    forms = [f"code={SECRET_INPUT}&password={SECRET_INPUT}&again={SECRET_INPUT}", f"code={SECRET_INPUT}", ""]
    forms.append(f"code={code}&password=long-and-used-nowhere&again=long-and-used-nowhere")
    said = [stage.network.call("POST", url + SETUP, kind | {"origin": url}, form.encode()) for form in forms]
    return [*said, stage.network.call("POST", url + SETUP, kind, forms[0].encode())]


def _log_in(stage: Stage) -> list[Said]:
    """Somebody logs in: with nothing, with wrong things, from elsewhere, and as it should be, and stays so."""
    url, form = stage.node.settings.url, {"content-type": "application/x-www-form-urlencoded"}
    handle = f"person-{len(stage.network.said)}"
    add_account(stage.node.database, stage.node.world, handle, "Somebody", password=PASSWORD)
    wrong = [
        "",
        f"handle={SECRET_INPUT}&password={SECRET_INPUT}",
        f"handle={handle}&password={SECRET_INPUT}",
        "a=1&a=2",
    ]
    good = urlencode({"handle": handle, "password": PASSWORD, "next": "/oauth/authorize?x=y"})
    said = [stage.network.call("POST", url + LOGIN, form | {"origin": url}, each.encode()) for each in (*wrong, good)]
    assert said[-1].status == 303, said[-1]
    return [*said, stage.network.call("POST", url + LOGIN, form, good.encode())]


def session_in(said: Said) -> str:
    """The cookie of the session that an answer begins; the mark of the device comes beside it."""
    given = [value.decode().partition(";")[0] for name, value in said.headers if name == b"set-cookie"]
    return next(each for each in given if "session" in each)


def _log_out(stage: Stage) -> list[Said]:
    """Somebody who is logged in goes, and somebody who is not."""
    url, form = stage.node.settings.url, {"content-type": "application/x-www-form-urlencoded"}
    cookie = session_in(_log_in(stage)[-2])
    headers = [form, form | {"origin": url}, form | {"origin": url, "cookie": cookie}]
    return [stage.network.call("POST", url + LOGOUT, each, b"a=b") for each in headers]


def _account(stage: Stage) -> list[Said]:
    """Somebody sets up all that an account can have; and each form with what it refuses."""
    url, cookie = stage.node.settings.url, session_in(_log_in(stage)[-2])
    form = {"content-type": "application/x-www-form-urlencoded", "origin": url, "cookie": cookie}

    def get(path: str = ACCOUNT, **headers: str) -> Said:
        return stage.network.call("GET", url + path, headers)

    def send(**fields: str) -> Said:
        return stage.network.call("POST", url + ACCOUNT, form, urlencode(fields).encode())

    page = get(cookie=cookie)
    said = [get(), get(cookie=f"{cookie}x"), get(f"{ACCOUNT}?done={SECRET_INPUT}", cookie=cookie), page]
    said += [send(do=each, password=SECRET_INPUT, session=SECRET_INPUT, sealed=SECRET_INPUT) for each in FORMS]
    said += [send(do=each, password=PASSWORD, id=SECRET_INPUT) for each in ("no-passkey", "no-totp", "passkey", "totp")]
    totp, sealed = re.findall(r'<code>([A-Z2-7 ]+)</code>|name="sealed" value="([^"]+)"', said[-1].body.decode())
    app = pyotp.TOTP(totp[0].replace(" ", ""))
    said += [send(do="totp-code", sealed=sealed[1], code="000000")]
    said += [send(do="totp-code", sealed=sealed[1], code=app.at(stage.node.world.timestamp()))]
    made = Device(url).create(options_in(page.body.decode()))
    said += [send(do="passkey", password=PASSWORD, name="phone", passkey=made), get(cookie=cookie)]
    assert [each.status for each in said[-4:]] == [400, 200, 303, 200], said[-4:]
    new = {"new": PASSWORD + "!", "again": PASSWORD + "!"}
    said += [send(do="codes", password=PASSWORD), send(do="end-others"), send(do="password", password=PASSWORD, **new)]
    return [*said, stage.network.call("POST", url + ACCOUNT, form | {"cookie": ""}, b"do=end")]


def _elsewhere(stage: Stage) -> list[Said]:
    url = stage.node.settings.url
    return [stage.network.call("GET", f"{url}/{SECRET_INPUT}"), stage.network.call("POST", f"{url}/", {}, b"x")]


SETUP, LOGIN, LOGOUT = "/console/setup", "/console/login", "/console/logout"
ACCOUNT = "/console/account"
FORMS = ("", "end", "end-others", "totp-code", "password", "totp", "no-totp", "codes", "passkey", "no-passkey")
PASSWORD = "long-and-used-nowhere"
ANONYMOUS_ROUTES: Mapping[str, Callable[[Stage], list[Said]]] = {
    "elsewhere": _elsewhere,
    "POST /graphql": _graphql,
    "GET /graphql/schema.graphql": _get("/graphql/schema.graphql"),
    "GET /health/live": _get("/health/live"),
    "GET /health/ready": _get("/health/ready"),
    "GET /.well-known/oauth-authorization-server": _get("/.well-known/oauth-authorization-server"),
    "GET /.well-known/oauth-protected-resource/graphql": _get("/.well-known/oauth-protected-resource/graphql"),
    "GET /.well-known/jwks.json": _get("/.well-known/jwks.json"),
    f"GET {SETUP}": _get(SETUP),
    f"POST {SETUP}": _setup,
    f"GET {LOGIN}": _get(LOGIN),
    f"POST {LOGIN}": _log_in,
    f"POST {LOGOUT}": _log_out,
    **PROGRAM_ROUTES,
    f"GET {ACCOUNT}": _get(ACCOUNT),
    f"POST {ACCOUNT}": _account,
    "POST /exchange/join": _join,
    f"POST {KEYS_PATH}": _keys,
    "POST /exchange/changes": _exchange("/exchange/changes"),
    "POST /exchange/reconcile": _exchange("/exchange/reconcile"),
    f"GET {CONFIGURATION_PATH}": _get(CONFIGURATION_PATH),
    **{f"POST {path}": _trust(path) for path in (TRUST_PATH, FETCH_PATH, LIST_PATH, RESOLVE_PATH)},
}
"""How each route is driven beside what askers put to GraphQL and the exchange: with what it refuses."""
