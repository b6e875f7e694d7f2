"""Who asks with a token: the viewer behind its claims, as client, grant and account stand at this moment."""

from __future__ import annotations

from federation.oauth.grants import standing
from federation.oauth.realm import Realm
from federation.oauth.tokens import AccessToken
from federation.policies.viewer import Viewer, ViewerKind


def holder(realm: Realm, token: AccessToken) -> Viewer | None:
    """The viewer; None if the client, the grant or the account is not in force. Whether the token itself was revoked
    is not looked at.

    Who asks on behalf of a person is a client all the same, with no more than both sides have now, and is named by the
    client and what it knows the person by: the ledger tells both, and the client learns no account's name."""
    client = realm.active_client(token.client_id)
    if client is None or token.issued <= client.tokens_after:
        return None
    if token.grant_id is None:
        if client.redirect_uris:  # it asks people now, and has no rights of its own any more
            return None
        scopes = client.allowed(token.scopes)
        return Viewer(client.kind, client.client_id, scopes, client.agreement, client.affiliation, client.jurisdiction)
    grant = standing(realm, token.grant_id)
    if grant is None or (grant.client_id, grant.sub) != (client.client_id, token.subject):
        return None
    return Viewer(ViewerKind.CLIENT, f"{client.client_id}/{grant.sub}", grant.gives(client, token.scopes))
