"""Faults of what people allow programs, and who must notice each."""

from __future__ import annotations

from faults.planting import fault
from federation.oauth import (
    adapter,
    authorizing,
    endpoints,
    grants,
    holders,
    realm,
    redeeming,
    redirects,
    registering,
    tokens,
)

AUTHORIZE, PAR, REFRESH, REGISTER, INTROSPECT = (
    f"tests/test_oauth_{name}.py" for name in ("authorize", "par", "refresh", "register", "introspect")
)


GRANT_FAULTS = (
    fault(
        "a plain challenge is taken",
        endpoints._terms, 'form.get("code_challenge_method") != "S256" or ', "", PAR, "row_38",
    ),
    fault(
        "the verifier is not compared",
        redeeming.redeem_code, "and hmac.compare_digest(create_s256_code_challenge(verifier), row.challenge)", "",
        AUTHORIZE, "row_38",
    ),
    fault(
        "the address is not compared when a code is redeemed",
        redeeming.redeem_code, "and row.redirect_uri == redirect_uri", "", AUTHORIZE, "row_38",
    ),
    fault(
        "a code works with any key",
        redeeming.redeem_code, "and row.jkt in (None, jkt)", "", AUTHORIZE, "row_41",
    ),
    fault(
        "a code never ends",
        redeeming.redeem_code, "row.expires_at > now", "True", AUTHORIZE, "row_41",
    ),
    fault(
        "a code works for another client",
        redeeming.redeem_code, " or row.client_id != client.client_id", "", AUTHORIZE, "clients_alone",
    ),
    fault(
        "a code works again",
        redeeming.redeem_code, " AND used_at IS NULL", "", AUTHORIZE, "row_41",
    ),
    fault(
        "a code that is shown again ends nothing",
        redeeming.redeem_code, "end_in(connection, row.grant_id, now)", "None", AUTHORIZE, "row_41",
    ),
    fault(
        "a refresh token works again",
        redeeming.refresh, " AND used_at IS NULL", "", REFRESH, "again or parallel",
    ),
    fault(
        "a refresh token that is shown again ends nothing",
        redeeming.refresh, "end_in(connection, grant.grant_id, now)", "None", REFRESH, "again or parallel",
    ),
    fault(
        "a public client's refresh token works with any key",
        redeeming.refresh, "client.public and grant.jkt != jkt", "False", REFRESH, "bound_to_its_key",
    ),
    fault(
        "a refresh gives whatever scope is asked for",
        redeeming.refresh, " or grant.gives(client, scopes) != scopes", "", REFRESH, "row_42",
    ),
    fault(
        "a grant gives more than was granted",
        grants.Grant.gives, "closure(self.scopes) & scopes", "scopes", REFRESH, "row_42",
    ),
    fault(
        "what an account lost is given on",
        grants.Grant.gives, " & self.allows", "", AUTHORIZE, "lose",
    ),
    fault(
        "a member gives what only a steward may",
        grants.may_give, "if kind is ViewerKind.STEWARD else held", "", AUTHORIZE, "member_gives",
    ),
    fault(
        "a token counts for any grant of its client",
        holders.holder, "(grant.client_id, grant.sub) != (client.client_id, token.subject)", "False", AUTHORIZE,
        "another_grant",
    ),
    fault(
        "who asks people asks for itself too",
        holders.holder, "if client.redirect_uris:", "if False:", AUTHORIZE, "another_grant",
    ),
    fault(
        "a token of a person outlives the grant",
        tokens.mint, "min(now + LIFETIME, on_behalf.ends)", "now + LIFETIME", AUTHORIZE, "thirty_days",
    ),
    fault(
        "a pushed request is opened again",
        authorizing.open_request, " AND opened = :no", "", PAR, "row_37",
    ),
    fault(
        "a pushed request is opened by another client",
        authorizing.open_request, " AND client_id = :client", "", PAR, "row_37",
    ),
    fault(
        "an answer does not say who gives it",
        authorizing._address, ' | {"iss": realm.url}', "", AUTHORIZE, "row_40",
    ),
    fault(
        "an address matches by its beginning",
        redirects.matches, "if given in registered:", "if given.startswith(registered):", PAR, "row_39",
    ),
    fault(
        "any port is taken of everybody",
        redirects.matches, "if public and len(given) <= MAX_LENGTH else None", "", PAR, "row_39",
    ),
    fault(
        "a client with a key is known by its name",
        adapter.AdaptedServer._named, " or not client.public", "", PAR, "authenticates_by_it",
    ),
    fault(
        "a public client may write policy",
        realm.RegisteredClient.allowed, " or self.public", "", PAR, "never_writes",
    ),
    fault(
        "introspection tells of others' tokens",
        endpoints.Introspection._of_access, "claims.client_id != client.get_client_id() or ", "", INTROSPECT, "row_35",
    ),
    fault(
        "introspection tells of revoked tokens",
        endpoints.Introspection._of_access, " or is_revoked(realm, claims.jti)", "", INTROSPECT, "row_35",
    ),
    fault(
        "a client ends another's token",
        endpoints._Revocable.check_client, "return self.client_id == client.get_client_id()", "return True",
        INTROSPECT, "row_36",
    ),
    fault(
        "an invitation works again",
        registering.register, "row = connection.execute(_CLAIM, asked).first()",
        "row = connection.exec_driver_sql('SELECT * FROM client_invitation').first()", REGISTER, "row_48",
    ),
    fault(
        "a program says itself what it may",
        registering._check_fits, "_fixed(kind).items()", "()", REGISTER, "row_48",
    ),
)  # fmt: skip
