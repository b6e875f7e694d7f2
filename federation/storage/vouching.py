"""Tables of vouching: pinned anchors, who stands above and below this node, what peers handed over, and marks.

Rows hold public keys and signed statements only. Times are whole seconds since 1970.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Text
from sqlmodel import Field, SQLModel


class TrustAnchor(SQLModel, table=True):
    """Where chains may end: an issuer, and the thumbprints of the keys that it signs with (a JSON list)."""

    __tablename__ = "trust_anchor"

    issuer: str = Field(sa_column=Column(Text, primary_key=True))
    thumbprints: str = Field(sa_column=Column(Text, nullable=False))
    added_at: int = Field(sa_column=Column(BigInteger, nullable=False))


class TrustSuperior(SQLModel, table=True):
    """A peer that this node names as its superior."""

    __tablename__ = "trust_superior"

    pid: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    added_at: int = Field(sa_column=Column(BigInteger, nullable=False))


class TrustSubordinate(SQLModel, table=True):
    """A peer that this node vouches for: for how long a statement lives, until when it is renewed (None: on and on),
    and the statement in force with its end."""

    __tablename__ = "trust_subordinate"

    pid: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    hours: int = Field(sa_column=Column(Integer, nullable=False))
    policy: str = Field(sa_column=Column(Text, nullable=False))
    constraints: str = Field(sa_column=Column(Text, nullable=False))
    until: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    statement: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    expires_at: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))


class TrustAnswer(SQLModel, table=True):
    """What a peer last handed over about trust, how asking it goes, and how it stood when that was last looked at."""

    __tablename__ = "trust_answer"

    pid: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    body: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    fetched_at: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    next_try: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, default=0))
    failures: int = Field(default=0, sa_column=Column(Integer, nullable=False, default=0))
    error: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    standing: str = Field(default="unvouched", sa_column=Column(Text, nullable=False, default="unvouched"))
    since: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, default=0))


class TrustMark(SQLModel, table=True):
    """A mark that this node gives a peer, until when it is made anew, and the owner's delegation if it has one."""

    __tablename__ = "trust_mark"

    kind: str = Field(sa_column=Column(Text, primary_key=True))
    pid: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    added_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    until: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    delegation: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


class TrustMarkRule(SQLModel, table=True):
    """As an anchor: who may give marks of a type (a JSON list; an empty one lets anybody), and its owner with keys."""

    __tablename__ = "trust_mark_rule"

    kind: str = Field(sa_column=Column(Text, primary_key=True))
    issuers: str = Field(sa_column=Column(Text, nullable=False))
    owner: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
