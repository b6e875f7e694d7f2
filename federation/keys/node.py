"""The keys of one node, in HOME/keys, each in a file of mode 0600 that nobody else may read.

A file holds a key and the public halves of those that it replaced, so that one step puts another in force, whole. A key
is never printed or logged; a file that others can read stops the start.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from federation.errors import SettingsInvalid
from federation.keys.jose import KeyRefused, PublicKey, SigningKey, generate_key, public_key, signing_key
from federation.world import World

NAMES = ("provenance", "tokens", "peer")


@dataclass(frozen=True)
class Earlier:
    """A key that was replaced: from when to when it was in force, up to when what it signed counts (seconds since
    1970), and the statement with which it handed over to the next; None where it did not."""

    key: PublicKey
    since: int
    replaced: int
    until: int
    handover: str | None = None


@dataclass(frozen=True)
class NodeKeys:
    """`provenance` signs what the node originates, `tokens` its access tokens, `peer` its client assertions and
    invitations; `secret` is what cursors, nonces and pairwise ids derive from. `since` is when each came into force and
    `earlier` what it replaced, the oldest first."""

    provenance: SigningKey
    tokens: SigningKey
    peer: SigningKey
    secret: bytes = field(repr=False)
    since: Mapping[str, int] = field(default_factory=dict)
    earlier: Mapping[str, tuple[Earlier, ...]] = field(default_factory=dict)

    @property
    def in_force(self) -> NodeKeys:
        """These keys: where a ring is asked for, keys that nobody replaces are one."""
        return self

    def look(self) -> NodeKeys:
        """These keys."""
        return self

    @property
    def first(self) -> PublicKey:
        """The first provenance key, which the node is known by."""
        return next((each.key for each in self.earlier.get("provenance", ())), self.provenance.public)

    @property
    def origin(self) -> str:
        """The node's name as an origin: the RFC 7638 thumbprint of its first provenance key."""
        return self.first.thumbprint

    def token_keys(self, now: int) -> tuple[PublicKey, ...]:
        """What access tokens of this node may be signed with: the present key, and earlier ones not yet over."""
        return (self.tokens.public, *(each.key for each in self.earlier.get("tokens", ()) if each.until > now))

    def handovers(self, name: str) -> tuple[str, ...]:
        """The statements that lead to the present key of that name without a gap, the oldest first."""
        found: tuple[str, ...] = ()
        for each in self.earlier.get(name, ()):
            found = () if each.handover is None else (*found, each.handover)
        return found


class Keys(Protocol):
    """Where the keys in force are asked for: a ring, or keys that nobody replaces."""

    @property
    def in_force(self) -> NodeKeys:
        """The keys as they are now, or were half a second ago. Who needs two that belong together asks once."""

    def look(self) -> NodeKeys:
        """The keys as they are at this moment: for what must not be said by a key that was just replaced."""


@dataclass(frozen=True)
class KeyFile:
    """What the file of one key holds."""

    key: SigningKey
    since: int
    earlier: tuple[Earlier, ...] = ()

    def content(self) -> bytes:
        """The bytes of the file: the private key, and the public halves of the earlier ones."""
        before = [
            {
                "jwk": dict(each.key.jwk),
                "since": each.since,
                "replaced": each.replaced,
                "until": each.until,
                "handover": each.handover,
            }
            for each in self.earlier
        ]
        said = {"kid": self.key.thumbprint, "alg": self.key.algorithm, "use": "sig", "since": self.since}
        return orjson.dumps(dict(self.key.jwk) | said | ({"earlier": before} if before else {}))


def generate_keys(world: World, subject: str) -> NodeKeys:
    """New keys that are in no file yet. In a seeded world they derive from (seed, subject)."""
    provenance, tokens, peer = (generate_key("ES256", world, f"{subject}/{name}") for name in NAMES)
    return NodeKeys(provenance, tokens, peer, world.draw("node-secret", subject, 32))


def create_keys(home: Path, world: World, subject: str = "") -> NodeKeys:
    """Make those keys in HOME/keys that are missing, then load all. What is there is never overwritten."""
    directory = home / "keys"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = generate_keys(world, subject or home.name)
    for name in NAMES:
        write_new(key_path(home, name), KeyFile(getattr(fresh, name), world.timestamp()).content())
    write_new(directory / "secret", fresh.secret.hex().encode())
    return load_keys(home, world)


def load_keys(home: Path, world: World) -> NodeKeys:
    """Read the node's keys. Raises SettingsInvalid if one is missing, broken, or readable by others."""
    files = {name: load_key_file(home, world, name) for name in NAMES}
    path = home / "keys" / "secret"
    try:
        secret = bytes.fromhex(_read_private(path).decode())
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise _broken(path)
    provenance, tokens, peer = (files[name].key for name in NAMES)
    since = {name: each.since for name, each in files.items()}
    return NodeKeys(provenance, tokens, peer, secret, since, {name: each.earlier for name, each in files.items()})


def key_path(home: Path, name: str) -> Path:
    """Where a key is kept."""
    return home / "keys" / f"{name}.jwk"


def load_key_file(home: Path, world: World, name: str) -> KeyFile:
    """One key and those that it replaced. Raises SettingsInvalid if it is missing, broken, or readable by others."""
    path = key_path(home, name)
    raw = _read_private(path)
    try:
        told = orjson.loads(raw)
        earlier = tuple(map(_earlier, told.get("earlier", ())))
        return KeyFile(signing_key(told, world.seed is not None), int(told.get("since", 0)), earlier)
    except (KeyRefused, ValueError, TypeError, KeyError, AttributeError) as broken:
        raise _broken(path) from broken


def _earlier(told: Mapping[str, Any]) -> Earlier:
    since, replaced, until = (int(told[name]) for name in ("since", "replaced", "until"))
    handover = told["handover"]
    return Earlier(public_key(told["jwk"]), since, replaced, until, None if handover is None else str(handover))


def _broken(path: Path) -> SettingsInvalid:
    return SettingsInvalid(f"The key {path} is broken; restore it from a backup.")


def write_new(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 whole or not at all; an existing one is left alone."""
    if path.exists():
        return
    temporary = _written_beside(path, content)
    try:
        os.link(temporary, path)  # unlike rename, a link never replaces what another process has just made
    except FileExistsError:
        return
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_over(path: Path, content: bytes) -> None:
    """Put a file of mode 0600 in the place of what is there, in one step: whoever reads finds one or the other."""
    temporary = _written_beside(path, content)
    os.replace(temporary, path)
    sync_directory(path.parent)


def _written_beside(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as missing:
        raise SettingsInvalid(
            f"The key {path} is missing; `federation init` makes the keys of a new node."
        ) from missing
    except OSError as refused:
        raise SettingsInvalid(f"The key {path} cannot be read: {refused.strerror}.") from refused
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise SettingsInvalid(f"The key {path} is not a plain file.")
        if state.st_mode & 0o077:
            raise SettingsInvalid(f"The key {path} can be read by others; run: chmod 600 {path}")
        return os.read(descriptor, 262_144)
    finally:
        os.close(descriptor)
