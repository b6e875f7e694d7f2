"""Tables of what people allow programs to do: requests, grants, codes and refresh tokens; and of invited programs.

They hold no secret in clear: digests and public keys only. Times are whole seconds since 1970.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, Text
from sqlmodel import Field, SQLModel


class ClientProfile(SQLModel, table=True):
    """What a program has beside its row as a client: where it leads people back to (a JSON list of addresses), whether
    it can keep no key of its own (`public`), and what it calls itself."""

    __tablename__ = "client_profile"

    client_id: str = Field(sa_column=Column(Text, primary_key=True))
    public: bool = Field(sa_column=Column(Boolean, nullable=False))
    redirect_uris: str = Field(sa_column=Column(Text, nullable=False))
    calls_itself: str = Field(sa_column=Column(Text, nullable=False))


class ClientInvitation(SQLModel, table=True):
    """A one-time token with which a program registers itself, and all that it may become. `digest` is its SHA-256."""

    __tablename__ = "client_invitation"

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    name: str = Field(sa_column=Column(Text, nullable=False))
    scopes: str = Field(sa_column=Column(Text, nullable=False))
    public: bool = Field(sa_column=Column(Boolean, nullable=False))
    redirect_uris: str = Field(sa_column=Column(Text, nullable=False))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    used_by: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


class PushedRequest(SQLModel, table=True):
    """An authorization request that a program left here (RFC 9126). `digest` is that of the name under which it is
    asked for: another one as soon as it is `opened`, so that the first works once."""

    __tablename__ = "pushed_request"

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    client_id: str = Field(sa_column=Column(Text, nullable=False))
    redirect_uri: str = Field(sa_column=Column(Text, nullable=False))
    scopes: str = Field(sa_column=Column(Text, nullable=False))
    state: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    challenge: str = Field(sa_column=Column(Text, nullable=False))
    jkt: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    opened: bool = Field(sa_column=Column(Boolean, nullable=False))
    expires_at: int = Field(sa_column=Column(BigInteger, nullable=False))


class OAuthGrant(SQLModel, table=True):
    """What an account allowed a program: `sub` is what the program knows the account by, `jkt` the key that a public
    program's tokens are bound to."""

    __tablename__ = "oauth_grant"

    grant_id: str = Field(sa_column=Column(Text, primary_key=True))
    client_id: str = Field(sa_column=Column(Text, nullable=False, index=True))
    handle: str = Field(sa_column=Column(Text, nullable=False))
    sub: str = Field(sa_column=Column(Text, nullable=False))
    scopes: str = Field(sa_column=Column(Text, nullable=False))
    jkt: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    ends_at: int = Field(sa_column=Column(BigInteger, nullable=False, index=True))
    revoked_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class AuthorizationCode(SQLModel, table=True):
    """A code, by its digest. A used one is kept as long as its grant, so that it is known when it is shown again."""

    __tablename__ = "authorization_code"

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    grant_id: str = Field(sa_column=Column(Text, nullable=False, index=True))
    redirect_uri: str = Field(sa_column=Column(Text, nullable=False))
    challenge: str = Field(sa_column=Column(Text, nullable=False))
    jkt: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    expires_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    used_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class RefreshToken(SQLModel, table=True):
    """A refresh token, by its digest. All of one grant are a family; it ends with its grant."""

    __tablename__ = "refresh_token"

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    grant_id: str = Field(sa_column=Column(Text, nullable=False, index=True))
    used_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
