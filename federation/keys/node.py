"""The keys of one node, in HOME/keys, each in a file of mode 0600 that nobody else may read.

A key is never overwritten, printed or logged; a file that others can read stops the start.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from federation.errors import SettingsInvalid
from federation.keys.jose import KeyRefused, PublicKey, SigningKey, generate_key, public_key, signing_key
from federation.world import World

NAMES = ("provenance", "tokens", "peer")
RETIRED_SECONDS = 3600
"""How long the public half of a replaced token key stays known: longer than any token lives."""


@dataclass(frozen=True)
class NodeKeys:
    """`provenance` signs what the node originates, `tokens` its access tokens, `peer` its client assertions and
    invitations; `secret` is what cursors, nonces and pairwise ids derive from. `retired` are replaced token keys with
    the second (since 1970) up to which they verify."""

    provenance: SigningKey
    tokens: SigningKey
    peer: SigningKey
    secret: bytes = field(repr=False)
    retired: tuple[tuple[PublicKey, int], ...] = ()

    @property
    def origin(self) -> str:
        """The node's name as an origin: the RFC 7638 thumbprint of its provenance key."""
        return self.provenance.thumbprint

    def token_keys(self, now: int) -> tuple[PublicKey, ...]:
        """What access tokens of this node may be signed with: the present key, and retired ones not yet over."""
        return (self.tokens.public, *(key for key, until in self.retired if until > now))


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
        _write_new(directory / f"{name}.jwk", _file_of(getattr(fresh, name)))
    _write_new(directory / "secret", fresh.secret.hex().encode())
    return load_keys(home, world)


def load_keys(home: Path, world: World) -> NodeKeys:
    """Read the node's keys. Raises SettingsInvalid if one is missing, broken, or readable by others."""
    directory = home / "keys"
    deterministic = world.seed is not None
    try:
        provenance, tokens, peer = (signing_key(_jwk_in(directory / f"{name}.jwk"), deterministic) for name in NAMES)
        secret = bytes.fromhex(_read_private(directory / "secret").decode())
        old = [_jwk_in(path) for path in sorted(directory.glob("*.retired"))]
        retired = tuple((public_key(jwk), int(str(jwk.get("exp")))) for jwk in old)
    except (KeyRefused, ValueError) as broken:
        raise SettingsInvalid(f"A key in {directory} is broken; restore it from a backup.") from broken
    if len(secret) != 32:
        raise SettingsInvalid(f"The secret in {directory} is broken; restore it from a backup.")
    return NodeKeys(provenance, tokens, peer, secret, retired)


def rotate_tokens(home: Path, world: World) -> NodeKeys:
    """Replace the key that signs access tokens; tokens signed with the old one stay valid until they expire."""
    directory = home / "keys"
    old = load_keys(home, world).tokens
    jwk = {**old.public_jwk, "exp": world.timestamp() + RETIRED_SECONDS}
    _write_new(directory / f"tokens-{old.thumbprint}.retired", orjson.dumps(jwk))
    fresh = generate_key("ES256", world, f"{old.thumbprint}/tokens")
    next_file = directory / ".tokens.next"
    next_file.unlink(missing_ok=True)
    _write_new(next_file, _file_of(fresh))
    os.replace(next_file, directory / "tokens.jwk")
    _sync_directory(directory)
    return load_keys(home, world)


def _file_of(key: SigningKey) -> bytes:
    return orjson.dumps(dict(key.jwk) | {"kid": key.thumbprint, "alg": key.algorithm, "use": "sig"})


def _write_new(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 whole or not at all; an existing one is left alone."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike rename, a link never replaces what another process has just made
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
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
        return os.read(descriptor, 65_536)
    finally:
        os.close(descriptor)


def _jwk_in(path: Path) -> dict[str, object]:
    try:
        jwk = orjson.loads(_read_private(path))
    except orjson.JSONDecodeError as broken:
        raise SettingsInvalid(f"The key {path} is broken; restore it from a backup.") from broken
    if not isinstance(jwk, dict):
        raise SettingsInvalid(f"The key {path} is broken; restore it from a backup.")
    return jwk
