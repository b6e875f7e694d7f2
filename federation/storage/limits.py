"""The table of counts of limits, and their end. What counts is in `counters`, which only a node that answers needs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, text
from sqlmodel import Field, SQLModel

from federation.storage.database import Database


class LimitCount(SQLModel, table=True):
    """One window: the number of its slot of time, the count of the slot before and its own, and the second after which
    neither counts any more."""

    __tablename__ = "limit_count"
    __table_args__ = {"sqlite_with_rowid": False}

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    slot: int = Field(sa_column=Column(BigInteger, nullable=False))
    earlier: int = Field(sa_column=Column(BigInteger, nullable=False))
    present: int = Field(sa_column=Column(BigInteger, nullable=False))
    ends_at: int = Field(sa_column=Column(BigInteger, nullable=False))


def prune_counts(database: Database, at: int) -> int:
    """Forgets windows that are over; gives how many."""
    over = {"now": at}
    with database.read() as connection:
        if connection.execute(text("SELECT 1 FROM limit_count WHERE ends_at < :now LIMIT 1"), over).first() is None:
            return 0
    with database.write() as connection:
        return connection.execute(text("DELETE FROM limit_count WHERE ends_at < :now"), over).rowcount
