"""All tables: one for each record type, derived from the registry, and those of the exchange, the ledger and the node.

A sealed step has no column. Only storage, gate and intake may touch the record tables.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import SQLModel

from federation.policies.tiers import Tier
from federation.records.base import FieldSpec, RecordType
from federation.records.registry import RECORD_TYPES

metadata: MetaData = SQLModel.metadata
"""The one metadata: the tables of accounts and peers, which are classes elsewhere, are in it too."""

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BIG = BigInteger().with_variant(Integer(), "sqlite")
WORDS = TSVECTOR().with_variant(Text(), "sqlite")
"""The text index of a row on PostgreSQL; on SQLite it stays NULL and the index is a table of its own."""

DRAFT, SHARED, WITHDRAWN, EXPIRED, SHADOWED = STATUSES = ("draft", "shared", "withdrawn", "expired", "shadowed")

FACTS = ("status", "handling", "terms", "relay", "hops_left", "not_to", "filled")
"""The facts of a row on which it depends who may know of it; the journal keeps them, and never a value. `filled` is the
mask of the steps that have a value."""

_LIVE = text("status = 'shared'")

POSTGRESQL_ONLY = frozenset({"ix_change_position"} | {f"ix_{each.table}_fts" for each in RECORD_TYPES.values()})
"""Indexes that only PostgreSQL has."""


def step_column_names(spec: FieldSpec, step: str) -> tuple[str, ...]:
    """The names of the columns of one step of a field."""
    return tuple(f"{spec.name}__{step}{column.suffix}" for column in spec.kind.columns(step))


@cache
def searched_columns(type_key: str) -> tuple[str, ...]:
    """The text columns whose words are indexed, in the order of the index; their place is the prefix of a lexeme."""
    return tuple(
        f"{spec.name}__{step.name}"
        for spec in RECORD_TYPES[type_key].fields.values()
        if spec.searched
        for step in spec.open_steps
    )


def _row_columns() -> list[Column]:
    return [
        Column("rid", BIG, primary_key=True, autoincrement=True),
        Column("id", LargeBinary, nullable=False),
        Column("origin", Integer, nullable=False),
        Column("via", Integer, nullable=False),
        Column("gid", TEXT, nullable=False),
        Column("status", TEXT, nullable=False),
        Column("handling", Integer, nullable=False),
        Column("terms", Integer, nullable=False),
        Column("path", TEXT),
        Column("relay", Integer, nullable=False),
        Column("hops_left", Integer, nullable=False),
        Column("not_to", Integer, nullable=False),
        Column("filled", BIG, nullable=False),
        Column("revisions", TEXT),
        Column("home", TEXT),
        Column("provenance", LargeBinary),
        Column("digest", LargeBinary, nullable=False),
        Column("created_at", TEXT, nullable=False),
        Column("updated_at", TEXT, nullable=False),
        Column("fts", WORDS),
    ]


def _step_columns(record_type: RecordType) -> list[Column]:
    columns = []
    for spec in record_type.fields.values():
        for step in spec.open_steps:
            for column in spec.kind.columns(step.name):
                kind = TEXT if column.sql == "text" else BIG
                columns.append(Column(f"{spec.name}__{step.name}{column.suffix}", kind, nullable=column.nullable))
    return columns


def _public_step(spec: FieldSpec) -> str:
    """The step of which most is asked: the finest that is open by default, else the coarsest."""
    for step in spec.steps:
        if step.tier == Tier.OPEN:
            return step.name
    return spec.steps[-1].name


def _filter_column(spec: FieldSpec) -> str | None:
    """The column that an index on a filter begins with; None where equality on a column is not how it is filtered."""
    step = _public_step(spec)
    names = [column.suffix for column in spec.kind.columns(step)]
    place = {"sub_region": "__sub", "country": "__country", "subdivision": "__subdivision", "region": "__region"}
    suffix = place.get(step, "__country") if "__code" in names else ""
    return f"{spec.name}__{step}{suffix}" if suffix in names and "__up" not in names[1:] else None


def indexed_pairs(type_key: str) -> tuple[tuple[str, ...], ...]:
    """The columns of each index on shared rows, without the id that ends them: (filter, order), (filter,) or (order,).

    For an order there is one index on its lower bounds (ascending) and one on its upper bounds (descending).
    """
    record_type = RECORD_TYPES[type_key]
    pairs: dict[tuple[str, ...], None] = {}
    for filtered, ordered in record_type.indexes:
        head = (_filter_column(record_type.fields[filtered]),) if filtered else ()
        if None in head:
            continue
        start = tuple(name for name in head if name)
        if ordered is None:
            pairs[start] = None
            continue
        order = f"{ordered}__{_public_step(record_type.fields[ordered])}"
        pairs[(*start, f"{order}__lo")] = None
        pairs[(*start, f"{order}__hi")] = None
    return tuple(pairs)


def _record_table(record_type: RecordType) -> Table:
    name = record_type.table
    table = Table(
        name,
        metadata,
        *_row_columns(),
        *_step_columns(record_type),
        UniqueConstraint("id", "origin", "via", name=f"uq_{name}_id"),
        Index(f"ix_{name}_gid", "gid"),
        sqlite_autoincrement=True,
    )
    for number, columns in enumerate(indexed_pairs(record_type.key)):
        on = [*(table.c[column] for column in columns), table.c.id]
        Index(f"ix_{name}_{number}", *on, sqlite_where=_LIVE, postgresql_where=_LIVE)
    Index(
        f"ix_{name}_until",
        table.c["valid_until__exact"],
        sqlite_where=text("valid_until__exact IS NOT NULL AND status IN ('shared', 'expired')"),
        postgresql_where=text("valid_until__exact IS NOT NULL AND status IN ('shared', 'expired')"),
    )
    Index(f"ix_{name}_fts", table.c.fts, postgresql_using="gin").ddl_if(dialect="postgresql")
    if columns := searched_columns(record_type.key):
        quoted = ", ".join(f'"{column}"' for column in columns)
        create = DDL(
            f"CREATE VIRTUAL TABLE \"{name}_fts\" USING fts5({quoted}, content='', contentless_delete=1, "
            f"detail=column, tokenize=\"ascii tokenchars '_'\")"
        )
        secure = DDL(f'INSERT INTO "{name}_fts" ("{name}_fts", rank) VALUES (\'secure-delete\', 1)')  # noqa: S608  (names of the schema)
        event.listen(table, "after_create", create.execute_if(dialect="sqlite"))
        event.listen(table, "after_create", secure.execute_if(dialect="sqlite"))
    return table


_RECORD_TABLES = {key: _record_table(record_type) for key, record_type in RECORD_TYPES.items()}

_networks = _RECORD_TABLES["network"]
Index("ix_network_origin", _networks.c.origin, _networks.c.id, sqlite_where=_LIVE, postgresql_where=_LIVE)
"""Every record may be asked for the network that it comes from."""


def record_table(type_key: str) -> Table:
    """The table of a record type. Raises KeyError for a type that does not exist."""
    return _RECORD_TABLES[type_key]


origins = Table(
    "origins",
    metadata,
    Column("oid", Integer, primary_key=True),
    Column("thumbprint", TEXT, nullable=False, unique=True),
    Column("name", TEXT, nullable=False),
    Column("jwk", TEXT),
    Column("handovers", TEXT),
    Column("pinned", Integer, nullable=False, server_default=text("0")),
)
"""Who wrote records: 0 is this node; the empty thumbprint stands for the unnamed origins of received needs."""

terms = Table(
    "terms",
    metadata,
    Column("tid", Integer, primary_key=True),
    Column("origin", Integer, ForeignKey("origins.oid"), nullable=False),
    Column("type", TEXT, nullable=False),
    Column("hash", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
    UniqueConstraint("origin", "type", "hash", name="uq_terms"),
)

change = Table(
    "change",
    metadata,
    Column("pos", BIG, primary_key=True, autoincrement=True),
    Column("x", BigInteger, nullable=False),
    Column("tag", LargeBinary, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("rid", BIG, nullable=False),
    Column("id", LargeBinary, nullable=False),
    Column("origin", Integer, nullable=False),
    Column("via", Integer, nullable=False),
    Column("before", TEXT),
    Column("after", TEXT),
    Column("steps", TEXT, nullable=False),
    Index("ix_change_tag", "tag"),
    sqlite_autoincrement=True,
)
"""The journal: facts of rows before and after, as JSON lists in the order of FACTS, and the mask of changed steps."""
Index("ix_change_position", change.c.x, change.c.pos).ddl_if(dialect="postgresql")

meta = Table(
    "meta",
    metadata,
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)
policy_versions = Table(
    "policy_versions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("version", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Index("ix_policy_versions_version", "version"),
    sqlite_autoincrement=True,
)
served = Table(
    "served",
    metadata,
    Column("sid", BIG, primary_key=True, autoincrement=True),
    Column("peer", Integer, nullable=False),
    Column("incarnation", TEXT, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("class", TEXT, nullable=False),
    Column("token_from", TEXT, nullable=False),
    Column("token_to", TEXT, nullable=False),
    Column("pos_from", TEXT, nullable=False),
    Column("pos_to", TEXT, nullable=False),
    Column("policy", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Index("ix_served_peer", "peer", "sid"),
)
"""What was sent to each peer, written before it goes out. Positions are texts `x:n`."""
peer_ack = Table(
    "peer_ack",
    metadata,
    Column("peer", Integer, primary_key=True),
    Column("incarnation", TEXT, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("cursor", TEXT, nullable=False),
    Column("digest", TEXT),
    Column("at", TEXT, nullable=False),
)
grants = Table(
    "grants",
    metadata,
    Column("peer", Integer, primary_key=True),
    Column("class", TEXT, nullable=False),
    Column("epoch", Integer, nullable=False),
)
sync_state = Table(
    "sync_state",
    metadata,
    Column("via", Integer, primary_key=True),
    Column("incarnation", TEXT),
    Column("epoch", Integer),
    Column("cursor", TEXT),
    Column("reconcile", TEXT),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("next_try", TEXT),
    Column("last_success", TEXT),
    Column("last_error", TEXT),
)
quarantine = Table(
    "quarantine",
    metadata,
    Column("qid", BIG, primary_key=True, autoincrement=True),
    Column("via", Integer, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("origin", TEXT, nullable=False),
    Column("id", LargeBinary, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    UniqueConstraint("via", "type", "origin", "id", name="uq_quarantine"),
)
ledger = Table(
    "ledger",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("chain", TEXT, nullable=False),
    Column("n", BIG, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("viewer", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
    Column("prev", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("chain", "n", name="uq_ledger"),
    Index("ix_ledger_viewer", "viewer", "seq"),
    sqlite_autoincrement=True,
)
ledger_chain = Table(
    "ledger_chain",
    metadata,
    Column("chain", TEXT, primary_key=True),
    Column("first", BIG, nullable=False),
    Column("base", LargeBinary, nullable=False),
    Column("n", BIG, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
"""The ends of each chain: the number of its first kept entry and the hash before it, the last number and its hash."""
ledger_anchor = Table(
    "ledger_anchor",
    metadata,
    Column("aid", BIG, primary_key=True, autoincrement=True),
    Column("at", TEXT, nullable=False),
    Column("heads", TEXT, nullable=False),
    Column("prev", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
ledger_open_counts = Table(
    "ledger_open_counts",
    metadata,
    Column("day", TEXT, primary_key=True),
    Column("kind", TEXT, primary_key=True),
    Column("type", TEXT, primary_key=True),
    Column("rows", BigInteger, nullable=False),
)
place_cells = Table(
    "place_cells",
    metadata,
    Column("level", TEXT, primary_key=True),
    Column("code", TEXT, primary_key=True),
    Column("networks", Integer, nullable=False),
    Column("others", Integer, nullable=False),
)
"""How many networks have shared records in a place: all, and those beside this node's."""
sealed_words = Table(
    "sealed_words",
    metadata,
    Column("first", LargeBinary, primary_key=True),
    Column("phrase", LargeBinary, primary_key=True),
    Column("type", TEXT, primary_key=True),
    Column("rid", BIG, primary_key=True),
    Column("length", Integer, nullable=False),
    Index("ix_sealed_words_row", "type", "rid"),
)
"""Keyed hashes of the sealed names, addresses and numbers of own records, to warn where a free text repeats one."""
leases = Table(
    "leases",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("holder", TEXT, nullable=False),
    Column("expires", BigInteger, nullable=False),
    CheckConstraint("length(name) > 0", name="ck_leases_name"),
)
