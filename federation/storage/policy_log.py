"""The node's policies over time: which one is in force, and every one before it. Values of records never come here."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select, text

from federation.errors import Conflict, NotFound
from federation.policies.catalogue import Catalogue
from federation.policies.loading import load_policy
from federation.policies.rules import Policy, canonical, default_policy
from federation.storage.database import Database
from federation.storage.tables import policy_versions
from federation.world import World


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

    def apply(self, policy: Policy) -> bool:
        """Puts a checked policy in force, at once and for every process. Gives False where it is in force already."""
        with self._database.write() as connection:
            newest = connection.execute(
                select(policy_versions.c.version).order_by(policy_versions.c.number.desc()).limit(1)
            ).scalar_one_or_none()
            if (newest or self._default().version) == policy.version:
                return False
            connection.execute(
                insert(policy_versions).values(
                    version=policy.version, body=canonical(policy), at=self._world.now().isoformat()
                )
            )
        return True

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

    def _default(self) -> Policy:
        if "" not in self._parsed:
            self._parsed[""] = default_policy(self._catalogue)
        return self._parsed[""]
