"""Tables of trust: the peers that this node knows and the invitations that it gave out.

Rows hold public keys and hashes of codes only, never a code, a private key or a token.
"""

from __future__ import annotations

from sqlalchemy import Text
from sqlmodel import Field, SQLModel


class Peer(SQLModel, table=True):
    """One other node: its pinned keys, and what the local operator granted it.

    `state` is `pinned` (no agreement yet), `active`, `ended` (its date has passed) or `revoked`; `frozen` stops all
    exchange whatever the state is. `origin` is the thumbprint under which the peer's own records are signed.
    """

    __tablename__ = "peers"

    pid: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text, unique=True)
    issuer: str = Field(sa_type=Text, unique=True)
    jwks: str = Field(sa_type=Text)
    thumbprint: str = Field(sa_type=Text, unique=True)
    origin: str = Field(sa_type=Text)
    provenance: str = Field(sa_type=Text)
    verified: bool = False
    state: str = Field(default="pinned", sa_type=Text)
    frozen: bool = False
    scopes: str = Field(default="[]", sa_type=Text)
    purpose: str | None = Field(default=None, sa_type=Text)
    until: str | None = Field(default=None, sa_type=Text)
    narrowing: str = Field(default="[]", sa_type=Text)
    affiliation: str | None = Field(default=None, sa_type=Text)
    jurisdiction: str | None = Field(default=None, sa_type=Text)


class Invitation(SQLModel, table=True):
    """An invitation given out: the hash of its code, when it ends, and the key that used it."""

    __tablename__ = "invitations"

    code: str = Field(sa_type=Text, primary_key=True)
    ends: int
    used_by: str | None = Field(default=None, sa_type=Text)
