"""A node without its web edge: the one place that builds its parts and wires them together.

It decides nothing itself; what a viewer sees is the gate's, what may enter the intake's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from federation.audit import Ledger
from federation.errors import SettingsInvalid, Unavailable
from federation.gate import Gate
from federation.intake import Incoming, Intake
from federation.keys import KeyRing, NodeKeys, create_keys
from federation.oauth.client import PeerSession
from federation.oauth.clients import registered_clients
from federation.oauth.grants import prune_grants
from federation.oauth.realm import Realm, first_of
from federation.oauth.sessions import prune_sessions
from federation.outbound import Outbound
from federation.peers.agreements import registered_peers
from federation.peers.handing import Renewal
from federation.peers.holding import Holding
from federation.peers.loop import ExchangeLoop
from federation.peers.pull import Puller
from federation.peers.serve import Source
from federation.peers.state import prune_served
from federation.peers.trust import Self
from federation.peers.vouching.entity import Entity, metadata_of
from federation.peers.vouching.renewal import renew_until
from federation.policies.catalogue import Catalogue
from federation.policies.terms import Labels, labels
from federation.policies.tiers import ACTION_SCOPES, SCOPED_TIERS, Tier, scope_for
from federation.policies.viewer import Viewer, ViewerKind
from federation.records import lint
from federation.records.codes import CodeLists
from federation.records.codes import load as load_codes
from federation.records.registry import catalogue as describe_types
from federation.settings import FILE_NAME, Settings, planned_settings, write_settings
from federation.storage.backup import back_up, let_backups_go
from federation.storage.database import Database, open_database
from federation.storage.ids import network_id
from federation.storage.limits import prune_counts
from federation.storage.migrating import migrate
from federation.storage.policy_log import PolicyLog
from federation.storage.sweeper import sweep
from federation.telemetry import logger
from federation.world import World, real_world

_log = logger("node")


@dataclass(frozen=True)
class Node:
    """One node, opened: its parts, wired. Close it after use."""

    settings: Settings
    world: World
    ring: KeyRing
    database: Database
    codes: CodeLists
    catalogue: Catalogue
    policies: PolicyLog
    ledger: Ledger
    gate: Gate
    intake: Intake
    outbound: Outbound
    session: PeerSession
    realm: Realm
    puller: Puller
    source: Source
    entity: Entity

    @property
    def keys(self) -> NodeKeys:
        """The node's keys in force. Who needs two that belong together asks once."""
        return self.ring.in_force

    @property
    def me(self) -> Self:
        """The node as it presents itself to another."""
        return self.source.me

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope that exists here."""
        return self.realm.scopes

    @property
    def operator(self) -> Viewer:
        """The viewer behind the command line: who can read the home's keys is a steward."""
        return Viewer(ViewerKind.STEWARD, "operator", ACTION_SCOPES)

    @property
    def holder(self) -> str:
        """A new name for this process, where one at a time may do a thing."""
        return f"{os.getpid()}-{self.world.draw('holder', str(os.getpid()), 6).hex()}"

    def exchange_loop(self) -> ExchangeLoop:
        """The background exchange of this process."""
        return ExchangeLoop(
            self.database,
            self.world,
            self.puller.sync,
            self.holder,
            interval=self.settings.exchange_interval,
            let_go=self.puller.let_go,
        )

    def sweep(self) -> None:
        """Writes down what only time changes: expiry, ended agreements, small cells, what is told once a day; and lets
        go what was kept for its time."""
        sweep(
            self.database,
            self.world,
            self.codes,
            _labels_in_force(self.policies),
            place_k=self.settings.place_k,
            journal_days=self.settings.journal_days,
        )
        now, kept = self.world.now(), self.settings
        self.ledger.prune(now - timedelta(days=kept.ledger_days))
        prune_served(self.database, now - timedelta(days=kept.served_days or kept.ledger_days))
        prune_sessions(self.database, self.world)
        prune_grants(self.database, self.world.timestamp(), kept.ledger_days * 86_400)
        prune_counts(self.database, int(now.timestamp()))
        let_backups_go(kept.home, now - timedelta(days=kept.backup_days))

    def check(self) -> None:
        """Reads from the database. Raises Unavailable where that is away."""
        with self.database.reader() as connection:
            connection.execute("SELECT 1").fetchone()

    def close(self) -> None:
        """Lets go of the database and of connections to peers."""
        self.outbound.close()
        self.database.close()


def create_home(home: Path, values: Mapping[str, Any], world: World | None = None) -> None:
    """Makes a node home: keys, database, a draft of the network's own record, and last the settings file.

    Only the settings file makes it a home: what was cut short can be begun again. Nothing is ever overwritten.
    Raises SettingsInvalid for values that are not understood, before anything is written; FileExistsError for a home.
    """
    settings = planned_settings(home, values)
    if (home / FILE_NAME).exists():
        raise FileExistsError(f"{home / FILE_NAME} exists.")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    create_keys(home, world or real_world(), settings.url)
    with closing(open_node(settings, world, migrating=True)) as node:
        own = Incoming("network", {"name": settings.name, "scope": settings.scope}, network_id(node.keys.origin))
        node.intake.import_many(node.operator, [own], confirm=True)
    write_settings(home, values)


def open_node(settings: Settings, world: World | None = None, *, migrating: bool = False) -> Node:
    """Opens the node of these settings. `migrating` brings the database up to this version first, after a backup.

    The policy in force is the database's; the file in the home is taken at a start of `serve` and `worker` alone.
    Raises SettingsInvalid (keys, scopes that do not exist), Unavailable (database).
    """
    world = world or real_world()
    ring = KeyRing(settings.home, world)
    key = settings.database_key.get_secret_value().encode() if settings.database_key else None
    database = open_database(settings.effective_database_url, key, statement_seconds=settings.statement_seconds)
    try:
        if migrating:
            back_up(database, settings.home, world)
            migrate(database)
        return _wired(settings, world, ring, database)
    except BaseException:
        database.close()
        raise


def _wired(settings: Settings, world: World, ring: KeyRing, database: Database) -> Node:
    keys = ring.in_force  # of these, origin and secret are never replaced
    codes, types = load_codes(), describe_types()
    _check_public_scopes(settings, types)
    policies = PolicyLog(database, types, world)
    ledger = Ledger(database, world)
    gate = Gate(database, policies.current, codes, ledger, keys.secret)
    intake = _intake(settings, world, keys, database, codes, ledger, _labels_in_force(policies))
    scopes = frozenset(scope_for(kind, tier) for kind in types.types for tier in SCOPED_TIERS) | ACTION_SCOPES
    outbound = Outbound(settings.allow_private_peers, settings.ca_file, settings.onion_proxy)
    clients = first_of(registered_peers(database), registered_clients(database))
    session = PeerSession(outbound, lambda: ring.in_force.peer, settings.url, world)
    me = Self(settings.name, settings.url, ring)
    realm = Realm(settings.url, ring, database, world, clients, scopes)
    return Node(
        settings=settings,
        world=world,
        ring=ring,
        database=database,
        codes=codes,
        catalogue=types,
        policies=policies,
        ledger=ledger,
        gate=gate,
        intake=intake,
        outbound=outbound,
        session=session,
        realm=realm,
        puller=Puller(
            database,
            world,
            keys.origin,
            session,
            Holding(database, intake, codes),
            renew=Renewal(database, world, me, outbound),
        ),
        source=Source(database, world, me, gate, policies.current, codes.version, max_hops=settings.max_hops),
        entity=Entity(database, world, me, session, partial(metadata_of, realm), settings.federation_public),
    )


def _intake(
    settings: Settings,
    world: World,
    keys: NodeKeys,
    database: Database,
    codes: CodeLists,
    ledger: Ledger,
    labels_of: Callable[[str], Labels],
) -> Intake:
    return Intake(
        database,
        codes,
        world,
        keys.origin,
        lint.findings,
        ledger=ledger,
        labels=labels_of,
        secret=keys.secret,
        place_k=settings.place_k,
        name=settings.name,
    )


def _labels_in_force(policies: PolicyLog) -> Callable[[str], Labels]:
    """The tiers of a type's steps under whatever policy is in force when it is asked."""
    return lambda type_key: labels(policies.current(), type_key)


def _check_public_scopes(settings: Settings, types: Catalogue) -> None:
    """A scope that opens nothing is a mistake: what it was meant to open would stay shut, or other things open."""
    known = [scope_for(kind, Tier.OPEN) for kind in types.types]
    for scope in sorted(settings.public_scopes - frozenset(known)):
        near = "".join(f" Did you mean {one}?" for one in get_close_matches(scope, known, n=1))
        raise SettingsInvalid(f"`public_scopes`: there is no scope {scope[:80]}.{near}")


def run_background(node: Node, ending: threading.Event) -> None:
    """Sweeps, exchanges and renews what it vouches for until `ending` is set. Several processes may do so: leases keep
    their pulls apart. A peer that answers slowly holds up neither the sweeper nor the pulls."""
    loop = node.exchange_loop()
    loop.start()
    vouching = (node.entity, node.holder, ending, node.settings.sweep_interval)
    renewing = threading.Thread(target=renew_until, args=vouching, name="vouching", daemon=True)
    renewing.start()
    try:
        while True:
            for step in (node.sweep, node.ledger.anchor):  # neither waits for the other to go well
                try:
                    step()
                except Unavailable as error:
                    _log.error("sweep_failed", code=error.code)
                except Exception as error:  # the next round may find the disk or the database back
                    _log.error("sweep_broke", kind=type(error).__name__)
            if ending.wait(node.settings.sweep_interval):
                return
    finally:
        loop.stop()
        renewing.join(5.0)
