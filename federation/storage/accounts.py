"""Tables of who may ask: clients, accounts, personal tokens; and of what was used once or revoked.

They hold no secret in clear: public keys, argon2 hashes and digests only. Times are whole seconds since 1970.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Text
from sqlmodel import Field, SQLModel


class OAuthClient(SQLModel, table=True):
    """A program that was given scopes with `client add`. `jwks` is a JSON list of public keys."""

    __tablename__ = "oauth_client"
    __table_args__ = {"sqlite_with_rowid": False}

    client_id: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=Column(Text, nullable=False))
    jwks: str = Field(sa_column=Column(Text, nullable=False))
    scopes: str = Field(sa_column=Column(Text, nullable=False))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    revoked_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class PersonalToken(SQLModel, table=True):
    """A Bearer token of a person, `:open` scopes only. `digest` is the SHA-256 of its text."""

    __tablename__ = "personal_token"

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    token_id: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    name: str = Field(sa_column=Column(Text, nullable=False))
    scopes: str = Field(sa_column=Column(Text, nullable=False))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    revoked_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class Account(SQLModel, table=True):
    """A steward or member of this network. Without `password` (argon2id) it can only be entered by a setup link."""

    __tablename__ = "account"

    handle: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=Column(Text, nullable=False))
    kind: str = Field(sa_column=Column(Text, nullable=False))
    scopes: str = Field(sa_column=Column(Text, nullable=False))
    password: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    disabled_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class SetupLink(SQLModel, table=True):
    """A one-time link that sets the password of an account. `digest` is the SHA-256 of its token."""

    __tablename__ = "setup_link"

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    handle: str = Field(sa_column=Column(Text, nullable=False))
    expires_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    used_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class LoginSession(SQLModel, table=True):
    """A person who is logged in with one browser. `digest` is the SHA-256 of the cookie; `second` what was shown
    beside the password. An ended session has no row."""

    __tablename__ = "login_session"

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    session_id: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    handle: str = Field(sa_column=Column(Text, nullable=False, index=True))
    begun_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    seen_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    second: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


class TotpSecret(SQLModel, table=True):
    """What an account's authenticator app makes its codes from, sealed under the node's secret; and the last step of
    time of which a code was used."""

    __tablename__ = "totp_secret"

    handle: str = Field(sa_column=Column(Text, primary_key=True))
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    last_step: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))


class RecoveryCode(SQLModel, table=True):
    """A code that stands in once for a lost second factor: a keyed digest. A used one has no row."""

    __tablename__ = "recovery_code"

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    handle: str = Field(sa_column=Column(Text, nullable=False, index=True))


class Passkey(SQLModel, table=True):
    """A passkey (WebAuthn) of an account: its public key in COSE form."""

    __tablename__ = "passkey"

    credential_id: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    passkey_id: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    handle: str = Field(sa_column=Column(Text, nullable=False, index=True))
    name: str = Field(sa_column=Column(Text, nullable=False))
    public_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    sign_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    used_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class SpentIdentifier(SQLModel, table=True):
    """A `jti` that was seen: of an assertion or of a proof. `digest` names kind, owner and jti. No index on the end:
    a row is written for every request, and looked for by its end once a minute."""

    __tablename__ = "spent_identifier"
    __table_args__ = {"sqlite_with_rowid": False}

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    expires_at: int = Field(sa_column=Column(BigInteger, nullable=False))


class RevokedToken(SQLModel, table=True):
    """An access token that was revoked before it expired, by its `jti`."""

    __tablename__ = "revoked_token"
    __table_args__ = {"sqlite_with_rowid": False}

    jti: str = Field(sa_column=Column(Text, primary_key=True))
    client_id: str = Field(sa_column=Column(Text, nullable=False))
    expires_at: int = Field(sa_column=Column(BigInteger, nullable=False))
