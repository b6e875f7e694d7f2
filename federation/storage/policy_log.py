"""The node's policies over time: which one is in force, and every one before it. Values of records never come here."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, text

from federation.errors import Conflict, NotFound
from federation.policies.catalogue import Catalogue
from federation.policies.loading import load_policy
from federation.policies.rules import Policy, canonical, default_policy
from federation.storage.database import Database
from federation.storage.tables import meta, policy_versions
from federation.world import World

SETTLED = "policy_file"
"""Under this key `meta` keeps the hash of the operator's file over which was decided last."""


@dataclass(frozen=True)
class PolicyEntry:
    """One policy as it was put in force: its number in order, version hash, and when (ISO, UTC)."""

    number: int
    version: str
    at: str


class PolicyLog:
    """Reads and writes the policy in force.

    `current` looks at the database every time: a policy that another process has put in force holds for the very
    next answer. Parsed policies are kept by version.
    """

    def __init__(self, database: Database, catalogue: Catalogue, world: World) -> None:
        self._database = database
        self._catalogue = catalogue
        self._world = world
        self._parsed: dict[str, Policy] = {}

    def current(self) -> Policy:
        """The policy in force; the defaults of the record types while none was ever applied."""
        with self._database.reader() as connection:
            row = connection.execute("SELECT version FROM policy_versions ORDER BY number DESC LIMIT 1").fetchone()
        if row is None:
            return self._default()
        return self.at_version(row[0])

    def at_version(self, version: str) -> Policy:
        """A policy that was in force once. Raises NotFound."""
        if (known := self._parsed.get(version)) is not None:
            return known
        with self._database.read() as connection:
            body = connection.execute(
                select(policy_versions.c.body).where(policy_versions.c.version == version).limit(1)
            ).scalar_one_or_none()
        if body is None:
            raise NotFound("No such policy version; `federation policy show --history` lists them.")
        policy = load_policy(body, self._catalogue, f"policy {version[:12]}")
        self._parsed[version] = policy
        return policy

    def apply(self, policy: Policy, *, over: str | None = None, settles: str | None = None) -> bool:
        """Puts a checked policy in force, at once and for every process. Gives False where it is in force already.

        `over`: the version with which the policy was compared; Conflict where another one is in force by now.
        `settles`: the hash of the operator's file as it is, over which this decides: it is not taken at a start.
        """
        with self._database.write() as connection:
            newest = self._newest(connection)
            if over is not None and newest != over:
                raise Conflict(
                    "Another policy was put in force meanwhile; compare again with `federation policy diff`."
                )
            return self._put(connection, policy, newest, settles)

    def take(self, policy: Policy, mark: str) -> bool:
        """Puts the policy of the operator's file in force, unless the file with this hash is settled: it was taken or
        written before, or was there when another policy was applied. Gives whether anything changed."""
        with self._database.write() as connection:
            newest = self._newest(connection)
            if _settled(connection) == mark:
                return False
            return self._put(connection, policy, newest, mark)

    def settled(self) -> str | None:
        """The hash of the operator's file that is not taken at a start; None before there was one."""
        with self._database.read() as connection:
            return _settled(connection)

    def settle(self, mark: str) -> None:
        """Remembers the hash of the operator's file as it was written."""
        with self._database.write() as connection:
            _settle(connection, mark)

    def previous(self) -> Policy:
        """The policy before the one in force. Raises Conflict if none was ever applied."""
        entries = self.history()
        if not entries:
            raise Conflict("No policy was applied yet; the defaults are in force.")
        return self.at_version(entries[1].version) if len(entries) > 1 else self._default()

    def history(self) -> tuple[PolicyEntry, ...]:
        """Every policy put in force, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(text("SELECT number, version, at FROM policy_versions ORDER BY number DESC"))
            return tuple(PolicyEntry(*row) for row in rows)

    def _newest(self, connection: Connection) -> str:
        """The version in force, which stays so until the transaction ends."""
        if self._database.dialect == "postgresql":
            connection.execute(text("LOCK TABLE policy_versions IN SHARE ROW EXCLUSIVE MODE"))
        newest = connection.execute(
            select(policy_versions.c.version).order_by(policy_versions.c.number.desc()).limit(1)
        ).scalar_one_or_none()
        return newest or self._default().version

    def _put(self, connection: Connection, policy: Policy, newest: str, mark: str | None) -> bool:
        if mark is not None:
            _settle(connection, mark)
        if newest == policy.version:
            return False
        at = self._world.now().isoformat()
        connection.execute(insert(policy_versions).values(version=policy.version, body=canonical(policy), at=at))
        return True

    def _default(self) -> Policy:
        if "" not in self._parsed:
            self._parsed[""] = default_policy(self._catalogue)
        return self._parsed[""]


def _settled(connection: Connection) -> str | None:
    return connection.execute(select(meta.c.value).where(meta.c.key == SETTLED)).scalar_one_or_none()


def _settle(connection: Connection, mark: str) -> None:
    connection.execute(delete(meta).where(meta.c.key == SETTLED))
    connection.execute(insert(meta).values(key=SETTLED, value=mark))
