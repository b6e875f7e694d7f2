"""What `doctor` looks at: findings that are wrong or dangerous, each with its mend. It changes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from urllib.parse import urlsplit

from federation.cli.policy_file import difference
from federation.cli.reading import moment
from federation.errors import Conflict, FederationError
from federation.node import Node
from federation.oauth.accounts import add_account, has_steward, list_accounts, setup_link
from federation.peers import agreements, handing, state, trust
from federation.peers.agreements import Partner
from federation.peers.serve import MAX_CLASSES
from federation.policies.viewer import ViewerKind
from federation.settings import FILE_NAME, load_settings
from federation.storage.migrating import check

FIRST_STEWARD = "steward"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SOON = timedelta(days=14)
MANY_FAILURES = 3
MANY_CLASSES = 100
CLOCK_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or dangerous: a stable code, a sentence, and what to do."""

    code: str
    sentence: str
    mend: str


def first_setup_link(node: Node) -> str:
    """The one-time link with which the first steward sets a password; links given out before end. Where that account
    was closed, or is a member's, it is another one's."""
    held = {each.handle: each for each in list_accounts(node.database)}
    fit = (
        each
        for each in _handles()
        if each not in held or (held[each].kind is ViewerKind.STEWARD and held[each].disabled_at is None)
    )
    handle = next(fit)
    with suppress(Conflict):  # made at an earlier start, and not yet set up
        add_account(node.database, node.world, handle, "First steward")
    return setup_link(node.database, node.world, node.settings.url, handle)


def _handles() -> Iterator[str]:
    """What the first steward may be called, in order."""
    yield FIRST_STEWARD
    yield from (f"{FIRST_STEWARD}-{number}" for number in count(2))


def examine(node: Node) -> list[Finding]:
    """Everything found, the node's own state first, then its peers."""
    return [*_of_settings(node), *_of_files(node), *_of_database(node), *_of_peers(node)]


def _of_settings(node: Node) -> Iterator[Finding]:
    settings, (_, origins) = node.settings, load_settings(node.settings.home)
    host = urlsplit(settings.url).hostname or ""
    if settings.url.startswith("http://") and host not in LOOPBACK:
        yield Finding("PLAIN_HTTP", "The node's address is not encrypted.", "Put TLS in front and use https:// in url.")
    if settings.place_k < 3 and host not in LOOPBACK:
        yield Finding(
            "SMALL_CELLS", "Places with very few networks are shown as they are.", "Set place_k to 3 or more."
        )
    if settings.allow_private_peers and host not in LOOPBACK:
        yield Finding(
            "PRIVATE_PEERS",
            "The node may be sent to private addresses.",
            "Empty allow_private_peers if no peer needs it.",
        )
    if settings.url.startswith("https://") and not settings.trusted_proxies:
        yield Finding(
            "PROXY_UNNAMED",
            "What stands in front with TLS is not named: everybody counts as one address, and soon as one too many.",
            "Set trusted_proxies to the addresses that it asks from, like 127.0.0.1/32.",
        )
    if settings.database_key and origins["database_key"] == "file":
        yield Finding(
            "KEY_ON_DISK",
            "The database's key lies beside the database: it protects nothing from who takes the disk.",
            f"Remove database_key from {FILE_NAME} and give it as FEDERATION_DATABASE_KEY at start.",
        )
    if not settings.database_key and not settings.database_url:
        yield Finding(
            "NOT_ENCRYPTED",
            "The database file is not encrypted.",
            "Move to an encrypted volume, or start a new home with FEDERATION_DATABASE_KEY and import into it.",
        )


def _of_files(node: Node) -> Iterator[Finding]:
    home, file = node.settings.home, node.settings.policy_file
    if (sentence := difference(node)) is not None:
        yield Finding(
            "POLICY_FILE",
            sentence,
            f"Compare: federation policy diff {file}. Put it in force: federation policy apply {file}. Or write what is"
            f" in force into it: federation policy show > {file}",
        )
    names = ("*.toml", "*.jwk", "node.db", "node.db-*", "keys", "backups")
    for path in (home, *(path for name in names for path in sorted(home.glob(name)))):
        within = [path, *path.rglob("*")] if path.name in ("keys", "backups") else [path]
        if any(each.exists() and each.stat().st_mode & 0o077 for each in within):
            every = " -R" if len(within) > 1 else ""
            yield Finding("OPEN_FILE", f"Others on this machine can reach {path}.", f"chmod{every} go-rwx {path}")


def _of_database(node: Node) -> Iterator[Finding]:
    for differing in check(node.database):
        yield Finding("SCHEMA", f"The tables differ: {differing}", "federation db upgrade")
    for broken in node.ledger.verify():
        yield Finding("LEDGER", broken, "Keep a copy of the database and find out who could write to it.")
    if not has_steward(node.database):
        yield Finding("NO_STEWARD", "Nobody has an account here.", "Open the link that `federation serve` prints.")


def _of_peers(node: Node) -> Iterator[Finding]:
    today, known = node.world.today(), agreements.partners(node.database)
    yield from _of_classes(state.classes(node.database))
    yield from _of_clocks(node, [who for who in known if who.asked])
    for who in known:
        if not who.verified and not trust.is_awaited(node.database, who):
            yield Finding(
                "NOT_VERIFIED",
                f"{who.name} is not verified: somebody may stand between.",
                f"Compare words: federation peer words {shlex.quote(who.name)}, then peer verify.",
            )
        yield from _of_keys(node, who)
        if who.state == "active" and who.until and who.until - today < SOON:
            yield Finding("ENDS_SOON", f"The agreement with {who.name} ends on {who.until}.", "federation peer grant …")
        if who.affiliation is None and who.scopes:
            yield Finding(
                "UNKNOWN_TIE",
                f"It is not entered whether {who.name} is tied to a State; it fails every condition on that.",
                f"federation peer set {shlex.quote(who.name)} --affiliation … --jurisdiction …",
            )
        failing = state.sync_state_of(node.database, who.pid)
        if failing.failures >= MANY_FAILURES:
            yield Finding(
                "EXCHANGE_FAILS",
                f"The last {failing.failures} pulls from {who.name} failed ({failing.last_error}).",
                f"federation sync {shlex.quote(who.name)}",
            )


def _of_keys(node: Node, who: Partner) -> Iterator[Finding]:
    """What speaks against the key of a peer, and of those whose records came by it."""
    named = shlex.quote(who.name)
    if trust.is_awaited(node.database, who):
        yield Finding(
            "KEY_AWAITED",
            f"The key of {who.name} was given up, and it has shown no new one.",
            f"Send them the invitation, or make another: federation peer rekey {named}",
        )
    if (warned := handing.warning(node.database, who)) is not None:
        yield Finding(
            "KEY_WARNING",
            f"Somebody else may hold a key of {who.name}: {handing.REASONS[warned.reason]} ({moment(warned.at)}).",
            f"Ask them. Unless they can tell: federation peer freeze {named}, then federation peer rekey {named}",
        )
    for origin in state.forked_origins(node.database, who.pid):
        yield Finding(
            "FORKED_ORIGIN",
            f"By {who.name} came another successor of a key of the origin {origin}; it was not believed.",
            "Somebody else holds that key: ask the network that the origin is, over another channel.",
        )


def _of_classes(classes: int) -> Iterator[Finding]:
    """Peers that see the same share one class, which is served to all of them from one cache."""
    if classes >= MANY_CLASSES:
        yield Finding(
            "MANY_CLASSES",
            f"What peers see differs in {classes} ways, of {MAX_CLASSES} at most: each costs as much as a peer alone.",
            "Grant peers that may see the same the same scopes and narrowing; federation peer list shows them.",
        )


def _of_clocks(node: Node, asked: Sequence[Partner]) -> Iterator[Finding]:
    """Compares clocks with the peers that are pulled and answer; who does not answer is found by failed pulls."""

    def offset(who: Partner) -> int:
        with suppress(FederationError):
            return node.session.compare_clock(who.issuer, CLOCK_PATIENCE_SECONDS)
        return 0

    with ThreadPoolExecutor(max_workers=8) as at_once:
        for who, ahead in zip(asked, at_once.map(offset, asked), strict=True):
            if ahead:
                way = "ahead of" if ahead > 0 else "behind"
                yield Finding(
                    "CLOCK",
                    f"The clock of {who.name} is {abs(ahead)} seconds {way} this one. Tokens still work: its time is "
                    "used for them. Agreements and dates end at other moments.",
                    "Have this machine's clock set by the network (NTP), and tell them if theirs is wrong.",
                )
