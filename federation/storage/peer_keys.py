"""Tables of the keys that peers had: what was replaced, by what, and what speaks against it. Public keys only."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Text
from sqlmodel import Field, SQLModel


class ReplacedKey(SQLModel, table=True):
    """A key of a peer that counts no longer: the thumbprint of its successor, the number of the statement by which it
    handed over, and when that was taken (seconds since 1970). Without a successor it was given up for lost."""

    __tablename__ = "replaced_peer_key"

    pid: int = Field(primary_key=True)
    thumbprint: str = Field(sa_column=Column(Text, primary_key=True))
    successor: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    number: int = Field(sa_column=Column(BigInteger, nullable=False))
    at: int = Field(sa_column=Column(BigInteger, nullable=False))


class KeyWarning(SQLModel, table=True):
    """The last thing that told that somebody else may hold a key of a peer: a stable word, and the key shown."""

    __tablename__ = "peer_key_warning"

    pid: int = Field(primary_key=True)
    reason: str = Field(sa_column=Column(Text, nullable=False))
    thumbprint: str = Field(sa_column=Column(Text, nullable=False))
    at: int = Field(sa_column=Column(BigInteger, nullable=False))


class Rekeying(SQLModel, table=True):
    """A peer that has no key until it takes up the invitation of this hash."""

    __tablename__ = "peer_rekeying"

    pid: int = Field(primary_key=True)
    code: str = Field(sa_column=Column(Text, nullable=False))
