"""Faults of the OAuth code, as they were made elsewhere or could be made here, and who must notice each."""

from __future__ import annotations

from faults.grants import GRANT_FAULTS
from faults.planting import fault
from federation.keys import jose
from federation.oauth import assertions, personal, proofs, realm, resource, spent, tokens

SERVER, RESOURCE, ACCOUNTS, KEYS = (
    f"tests/test_{name}.py" for name in ("oauth_server", "oauth_resource", "oauth_accounts", "keys")
)


FAULTS = (
    fault(
        "the audience of an access token is not checked",
        tokens.read_token, ' or claims.get("aud") != realm.audience', "", RESOURCE, "row_33",
    ),
    fault(
        "the issuer of an access token is not checked",
        tokens.read_token, 'claims.get("iss") != realm.url or ', "", RESOURCE, "row_33",
    ),
    fault(
        "the type of an access token is not checked",
        tokens.read_token, "types=_TYPES", 'types=frozenset({None, "jwt", "at+jwt", "dpop+jwt"})', RESOURCE, "row_30",
    ),
    fault(
        "an access token never ends",
        tokens.read_token, "if expires <= now:", "if False:", RESOURCE, "row_34",
    ),
    fault(
        "a token kept as verified never ends",
        resource.ResourceServer._verify, " and known.expires > self._realm.world.timestamp()", "", RESOURCE, "row_34",
    ),
    fault(
        "a revoked token goes on, as on a worker that forgot",
        spent.SpentIdentifiers._insert, "WHERE NOT EXISTS (SELECT 1 FROM revoked_token WHERE jti = new.column3) ",
        "", RESOURCE, "row_36",
    ),
    fault(
        "a revoked client's tokens go on",
        realm.Realm.active_client, "client.active and ", "", RESOURCE, "row_36 or frozen",
    ),
    fault(
        "the replay of proofs is not noticed",
        resource.ResourceServer._bound,
        "if not realm.spent.spend([checked.spending], durable=realm.flush_proofs, token=claims.jti):",
        "if is_revoked(realm, claims.jti):", RESOURCE, "row_24",
    ),
    fault(
        "the replay of assertions is not noticed",
        spent.identifier, "return hashlib", "return __import__('os').urandom(16) or hashlib", SERVER, "row_12",
    ),
    fault(
        "an identifier counts for every key",
        spent.identifier, "owner.encode()", "b''", RESOURCE, "row_24",
    ),
    fault(
        "a bound token is taken as Bearer",
        resource.ResourceServer._personal, "if token.startswith(PREFIX) else None",
        "if token.startswith(PREFIX) else anonymous(self._verify(token).scopes)", RESOURCE, "row_28",
    ),
    fault(
        "a bound token is taken without its proof",
        resource.ResourceServer.authenticate_token, "if proof is None:", "if False:", RESOURCE, "row_25 or row_28",
    ),
    fault(
        "a proof by another key is taken",
        proofs.check_proof, "if jkt is not None and", "if False and", RESOURCE, "row_29",
    ),
    fault(
        "a proof for another token is taken",
        proofs.check_proof, "if token is not None and", "if False and", RESOURCE, "row_29",
    ),
    fault(
        "the method of a proof is not checked",
        proofs.check_proof, 'if claims.get("htm") != method:', "if False:", SERVER, "row_21",
    ),
    fault(
        "the address of a proof is not checked",
        proofs.check_proof,
        "if not isinstance(htu, str) or (htu != url and normalised(htu) != normalised(url)):", "if False:",
        RESOURCE, "row_21",
    ),
    fault(
        "the nonce is ignored",
        proofs.check_proof, "if not isinstance(given, str) or not nonce_is_fresh(secret, given, now):", "if False:",
        SERVER, "row_26",
    ),
    fault(
        "a nonce that nobody gave out is taken",
        proofs.nonce_is_fresh, "return hmac.compare_digest(mine, raw[8:])", "return True", SERVER, "row_26",
    ),
    fault(
        "the time of a proof is not checked",
        proofs.check_proof,
        "if not is_time(issued) or not -FUTURE_SECONDS <= now - issued <= PAST_SECONDS:", "if False:",
        RESOURCE, "row_23",
    ),
    fault(
        "a proof of another type is taken",
        proofs._signed, "types=_TYPES", 'types=frozenset({None, "jwt", "at+jwt", "dpop+jwt"})', RESOURCE, "row_22",
    ),
    fault(
        "a proof may bring a private key",
        jose.public_key, "_PRIVATE", "()", RESOURCE, "row_22",
    ),
    fault(
        "the signature of a proof is not checked",
        proofs._signed, "verify(read, (key,))", "pass", RESOURCE, "row_22",
    ),
    fault(
        "an assertion for another audience is taken",
        assertions.check_assertion, 'if claims.get("aud") != realm.url:',
        'if realm.url not in (claims.get("aud") or ()):', SERVER, "row_10",
    ),
    fault(
        "an assertion may last for ever",
        assertions._checked_times, "if expires > now + MAX_LIFETIME:", "if False:", SERVER, "row_11",
    ),
    fault(
        "an assertion that is over is taken",
        assertions._checked_times, "if expires <= now:", "if False:", SERVER, "row_11",
    ),
    fault(
        "an assertion of the future is taken",
        assertions._checked_times, "if not is_time(begins) or begins > now + FUTURE_SECONDS:", "if False:",
        SERVER, "row_14",
    ),
    fault(
        "an assertion may speak for another client",
        assertions.check_assertion, 'or form.get("client_id", client_id) != client_id', "", SERVER, "row_13",
    ),
    fault(
        "the issuer of an assertion may be another",
        assertions.check_assertion, 'or claims.get("iss") != client_id', "", SERVER, "row_13",
    ),
    fault(
        "a key that the assertion brings is let stand",
        assertions.check_assertion, "if any(name in read.header for name in _TRUSTS_ITSELF):", "if False:",
        SERVER, "row_09",
    ),
    fault(
        "a client may ask for any scope",
        realm.RegisteredClient.allowed, "scopes & closure(self.scopes)", "scopes", SERVER, "row_18",
    ),
    fault(
        "a peer may write policy",
        realm.RegisteredClient.allowed, "self.kind is ViewerKind.PEER or ", "",
        SERVER, "row_18",
    ),
    fault(
        "unknown critical headers are passed over",
        jose.read_jws, ' or "crit" in header', "", RESOURCE, "row_30",
    ),
    fault(
        "a token may have any size",
        jose.read_jws, "if len(token) > max_bytes:", "if False:", KEYS, "row_50",
    ),
    fault(
        "a token in an address is taken for nobody's",
        resource.ResourceServer.authenticate, 'if "access_token" in', 'if "nothing" in', RESOURCE, "row_31",
    ),
    fault(
        "a personal token never ends",
        personal.personal_viewer, " AND expires_at > {param('now')}", "", RESOURCE, "personal_token",
    ),
    fault(
        "a personal token opens whatever it was given",
        personal.issue_personal_token, 'scope.endswith(":open") and ', "", ACCOUNTS, "personal_token",
    ),
    *GRANT_FAULTS,
)  # fmt: skip
