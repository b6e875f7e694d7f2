"""The client side: this node asks a peer's authorization server for tokens, and its resources for answers.

A token goes only to the node that issued it, in a request of its own, with a proof. Redirects are not followed; an
issuer that names itself otherwise, or endpoints elsewhere, is refused.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Any
from urllib.parse import urlencode

import orjson

from federation.errors import RateLimited, Unauthenticated, Unavailable
from federation.keys import SigningKey, b64, dpop_proof, generate_key, sign_assertion
from federation.oauth.assertions import ASSERTION_TYPE
from federation.outbound import MAX_BYTES, Outbound, Response, StreamedResponse, retry_after
from federation.world import World

METADATA_PATH = "/.well-known/oauth-authorization-server"
MAX_DOCUMENT = 65_536
METADATA_SECONDS = 3600
SPARE_SECONDS = 30
CLOCK_SECONDS = 5
ATTEMPTS = 4
MAX_TOKEN = 8192


class PeerRefused(Unauthenticated):
    """A peer's authorization server gave no token, or its resource did not take it; `error` is the OAuth code."""

    def __init__(self, message: str, error: str) -> None:
        super().__init__(message)
        self.error = error


class PeerAnswerInvalid(Unavailable):
    """A peer's answer is none that its protocol knows."""


@dataclass
class _Server:
    """What is known of one authorization server: kept in memory only."""

    token_endpoint: str = ""
    known_at: int = 0
    nonce: str | None = None
    offset: int = 0
    tokens: dict[frozenset[str], tuple[str, int]] = field(default_factory=dict)


class PeerSession:
    """Requests to peers in the name of this node. Thread-safe. `key` authenticates it (its `peer` key or what gives the
    one in force), `client_id` is its issuer URL; proofs are made with a key of this process alone."""

    def __init__(
        self, outbound: Outbound, key: SigningKey | Callable[[], SigningKey], client_id: str, world: World
    ) -> None:
        self._outbound = outbound
        self._key_in_force = (lambda: key) if isinstance(key, SigningKey) else key
        self._client_id = client_id
        self._world = world
        self._proof_key = generate_key("ES256", world, f"{client_id} proofs")
        self._servers: dict[str, _Server] = {}
        self._lock = Lock()
        self._count = 0

    @property
    def _key(self) -> SigningKey:
        return self._key_in_force()

    def clock_offset(self, issuer: str) -> int:
        """Seconds by which the peer's clock was ahead of this one when it last mattered; 0 if it never did."""
        return self._server(issuer).offset

    def compare_clock(self, issuer: str, timeout: float) -> int:
        """Asks the peer for what anybody may see, to compare its clock; gives `clock_offset`, in which less than
        CLOCK_SECONDS do not count. Raises what Outbound raises."""
        answer = self._outbound.request("GET", f"{issuer}{METADATA_PATH}", max_bytes=MAX_DOCUMENT, timeout=timeout)
        self._correct_clock(self._server(issuer), answer.headers)
        return self.clock_offset(issuer)

    def token(self, issuer: str, scopes: frozenset[str]) -> str:
        """An access token of the peer with these scopes, out of memory while it lasts. Raises PeerRefused,
        PeerAnswerInvalid, RateLimited with the seconds that the peer asks to wait, and what Outbound raises."""
        server = self._server(issuer)
        kept = server.tokens.get(scopes)
        if kept is not None and kept[1] > self._world.timestamp() + SPARE_SECONDS:
            return kept[0]
        endpoint = self._endpoint(issuer, server)
        error, said = "invalid_request", "no answer"
        for _ in range(ATTEMPTS):
            answer = self._outbound.request(
                "POST",
                endpoint,
                headers=self._headers(server, "POST", endpoint) | {"content-type": "application/x-www-form-urlencoded"},
                content=self._form(issuer, server, scopes),
                max_bytes=MAX_DOCUMENT,
            )
            self._check_pace(issuer, answer)
            body = _object(answer, "token answer")
            if answer.status == 200:
                return self._keep(server, scopes, body)
            error, said = str(body.get("error", ""))[:40], _printable(body.get("error_description"))
            fresh = answer.headers.get("dpop-nonce")
            renewed = error == "use_dpop_nonce" and fresh not in (None, server.nonce)
            server.nonce = fresh or server.nonce
            retry = error in ("invalid_client", "invalid_dpop_proof", "invalid_grant")
            if not renewed and not (retry and self._correct_clock(server, answer.headers)):
                break
        raise PeerRefused(f"{issuer} gave no token: {said or error}.", error)

    def request(
        self,
        issuer: str,
        scopes: frozenset[str],
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = 60.0,
    ) -> Response:
        """One request to a resource of the peer and its whole answer, with token and proof. Raises PeerRefused if the
        peer does not take them, also not with a new nonce, a new token and the peer's time."""
        with self.stream(
            issuer, scopes, method, path, headers=headers, content=content, max_bytes=max_bytes, timeout=timeout
        ) as answer:
            return Response(answer.status, answer.headers, answer.read())

    @contextlib.contextmanager
    def stream(
        self,
        issuer: str,
        scopes: frozenset[str],
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = 60.0,
    ) -> Iterator[StreamedResponse]:
        """As `request`, but the body comes as it arrives."""
        server, url = self._server(issuer), issuer + path
        error, replaced = "invalid_token", False
        for _ in range(ATTEMPTS):
            token = self.token(issuer, scopes)
            sent = {**(headers or {}), **self._headers(server, method, url, token)}
            with self._outbound.stream(
                method, url, headers=sent, content=content, max_bytes=max_bytes, timeout=timeout
            ) as answer:
                fresh = answer.headers.get("dpop-nonce")
                if answer.status != 401:
                    server.nonce = fresh or server.nonce
                    yield answer
                    return
                error = _challenged(answer.headers)
                renewed = error == "use_dpop_nonce" and fresh not in (None, server.nonce)
                server.nonce = fresh or server.nonce
                if error == "invalid_token":
                    server.tokens.pop(scopes, None)
                    renewed, replaced = not replaced, True
                elif error == "invalid_dpop_proof":
                    renewed = self._correct_clock(server, answer.headers)
                if not renewed:
                    break
        raise PeerRefused(f"{issuer} does not take this node's token.", error)

    def _server(self, issuer: str) -> _Server:
        with self._lock:
            return self._servers.setdefault(issuer, _Server())

    def _endpoint(self, issuer: str, server: _Server) -> str:
        now = self._world.timestamp()
        if server.token_endpoint and 0 <= now - server.known_at < METADATA_SECONDS:
            return server.token_endpoint
        answer = self._outbound.request("GET", f"{issuer}{METADATA_PATH}", max_bytes=MAX_DOCUMENT)
        self._check_pace(issuer, answer)
        if answer.status != 200:
            raise PeerAnswerInvalid(f"{issuer} does not show how to get a token (status {answer.status}).")
        metadata = _object(answer, "metadata")
        endpoint = metadata.get("token_endpoint")
        if metadata.get("issuer") != issuer or not isinstance(endpoint, str) or not endpoint.startswith(f"{issuer}/"):
            raise PeerAnswerInvalid(f"{issuer} calls itself otherwise, or sends for tokens elsewhere; it is not used.")
        server.token_endpoint, server.known_at = endpoint, now
        return endpoint

    def _check_pace(self, issuer: str, answer: Response) -> None:
        if answer.status == 429:
            seconds = retry_after(answer.headers, self._world.timestamp())
            raise RateLimited(f"{issuer} was asked too often; it is asked again later.", seconds=seconds)

    def _form(self, issuer: str, server: _Server, scopes: frozenset[str]) -> bytes:
        now = self._world.timestamp() + server.offset
        fields = {
            "grant_type": "client_credentials",
            "scope": " ".join(sorted(scopes)),
            "client_id": self._client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": sign_assertion(self._key, self._client_id, issuer, now, self._jti("assertion", issuer)),
        }
        return urlencode(fields).encode()

    def _headers(self, server: _Server, method: str, url: str, token: str | None = None) -> dict[str, str]:
        now = self._world.timestamp() + server.offset
        jti = self._jti("proof", url)
        proof = dpop_proof(self._proof_key, method, url, now, jti, token=token, nonce=server.nonce)
        return {"dpop": proof} if token is None else {"dpop": proof, "authorization": f"DPoP {token}"}

    def _jti(self, purpose: str, subject: str) -> str:
        with self._lock:
            self._count += 1
            subject = f"{self._client_id} {subject} {self._world.timestamp()} {self._count}"
        return b64(self._world.draw(f"{purpose}-jti", subject, 16))

    def _keep(self, server: _Server, scopes: frozenset[str], body: Mapping[str, Any]) -> str:
        token, lasts = body.get("access_token"), body.get("expires_in")
        typed = isinstance(token, str) and 0 < len(token) <= MAX_TOKEN and isinstance(lasts, int)
        if not typed or str(body.get("token_type")).lower() != "dpop":
            raise PeerAnswerInvalid(
                "A peer's token answer lacks what it must have, or is not bound to this node's key."
            )
        if frozenset(str(body.get("scope", " ".join(scopes))).split()) != scopes:
            raise PeerAnswerInvalid("A peer gave a token for other scopes than were asked for.")
        server.tokens[scopes] = (str(token), self._world.timestamp() + min(int(lasts or 0), 3600))
        return str(token)

    def _correct_clock(self, server: _Server, headers: Mapping[str, str]) -> bool:
        """Take over the peer's time, if it differs from what was last assumed. True if another attempt makes sense."""
        try:
            there = int(parsedate_to_datetime(headers.get("date", "")).timestamp())
        except (ValueError, TypeError, OverflowError):
            return False
        offset = there - self._world.timestamp()
        if abs(offset - server.offset) < CLOCK_SECONDS:
            return False
        server.offset = offset
        return True


def _object(answer: Response, what: str) -> dict[str, Any]:
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError as broken:
        raise PeerAnswerInvalid(f"A peer's {what} is not JSON (status {answer.status}).") from broken
    if not isinstance(body, dict):
        raise PeerAnswerInvalid(f"A peer's {what} is not a JSON object.")
    return body


def _challenged(headers: Mapping[str, str]) -> str:
    found = re.search(r'error="([a-z_]{1,40})"', headers.get("www-authenticate", ""))
    return found[1] if found else "invalid_token"


def _printable(text: object) -> str:
    return re.sub(r"[^\x20-\x7e]", "", str(text or ""))[:200].rstrip(".")
