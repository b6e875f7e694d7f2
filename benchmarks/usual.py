"""The usual server: Strawberry types over SQLModel tables, an async session a request, as tutorials write it.

It has no policies, no ledger, no scopes; a table of its own with just the fields of the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import strawberry
from sqlalchemy import JSON, Column
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import registry, selectinload
from sqlmodel import Field, Relationship, Session, SQLModel, create_engine, select
from starlette.applications import Starlette
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache

FILE = "usual.db"


class Base(SQLModel, registry=registry()):
    """Tables of this server alone."""


class NetworkRow(Base, table=True):
    scope: str = Field(primary_key=True)


class ResourceRow(Base, table=True):
    id: str = Field(primary_key=True)
    place: int = Field(index=True)
    title: str
    kind: str
    dimensions: list[str] = Field(sa_column=Column(JSON))
    welcomes: list[str] = Field(sa_column=Column(JSON))
    reach: list[str] = Field(sa_column=Column(JSON))
    response_hours: int
    languages: list[str] = Field(sa_column=Column(JSON))
    area: str | None
    status: str
    network_id: str = Field(foreign_key="networkrow.scope")
    network: NetworkRow = Relationship()


@strawberry.type
class Place:
    code: str


@strawberry.type
class Network:
    scope: str


@strawberry.type
class Resource:
    id: strawberry.ID
    title: str
    kind: str
    dimensions: list[str]
    welcomes: list[str]
    reach: list[str]
    response_hours: int
    languages: list[str]
    area: Place | None
    status: str
    origin: Network

    @classmethod
    def from_row(cls, row: ResourceRow) -> Resource:
        """As one maps a model to a GraphQL type."""
        return cls(
            id=strawberry.ID(row.id),
            title=row.title,
            kind=row.kind,
            dimensions=row.dimensions,
            welcomes=row.welcomes,
            reach=row.reach,
            response_hours=row.response_hours,
            languages=row.languages,
            area=Place(code=row.area) if row.area else None,
            status=row.status,
            origin=Network(scope=row.network.scope),
        )


@strawberry.type
class Connection:
    nodes: list[Resource]


@strawberry.type
class Query:
    @strawberry.field
    async def resources(self, info: strawberry.Info, first: int = 20) -> Connection:
        """A page in the stored order."""
        session: AsyncSession = info.context["session"]
        statement = select(ResourceRow).options(selectinload(ResourceRow.network)).order_by(ResourceRow.place)
        rows = (await session.execute(statement.limit(first))).scalars().all()
        return Connection(nodes=[Resource.from_row(row) for row in rows])


def fill(home: Path, nodes: list[dict[str, Any]]) -> None:
    """Makes the server's database out of answers of the node, in their order."""
    engine = create_engine(f"sqlite:///{home / FILE}")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        origin = nodes[0]["origin"]
        session.add(NetworkRow(**origin))
        for place, node in enumerate(nodes):
            plain = {key: value for key, value in node.items() if key not in ("origin", "area", "responseHours")}
            area = node["area"]["code"] if node["area"] else None
            hours = node["responseHours"]
            session.add(ResourceRow(place=place, network_id=origin["scope"], area=area, response_hours=hours, **plain))
        session.commit()
    engine.dispose()


def usual_app(home: Path) -> Starlette:
    """`POST /graphql/`."""
    return _app(home, [])


def usual_cached_app(home: Path) -> Starlette:
    """The same with the two caches that Strawberry offers."""
    return _app(home, [ParserCache(), ValidationCache()])


def _app(home: Path, extensions: list[Any]) -> Starlette:
    engine = create_async_engine(f"sqlite+aiosqlite:///{home / FILE}")
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    schema = strawberry.Schema(Query, extensions=extensions)

    class Endpoint(GraphQL[Any, Any]):
        async def get_context(self, request: Any, response: Any = None) -> Any:
            return {"request": request, "response": response, "session": request.scope["session"]}

    inner = Endpoint(schema)

    async def with_session(scope: Any, receive: Any, send: Any) -> None:
        async with sessions() as session:
            await inner({**scope, "session": session}, receive, send)

    app = Starlette()
    app.mount("/graphql", with_session)
    return app
