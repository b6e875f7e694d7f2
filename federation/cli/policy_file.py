"""The policy file in the home: when it is put in force, and when a policy that is put in force is written there.

A crash at any point must leave the policy that was decided on last in force, now and after the next start.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from federation.errors import PolicyInvalid, Unavailable
from federation.node import Node
from federation.policies.catalogue import Catalogue
from federation.policies.loading import load_policy
from federation.policies.policy import Policy, canonical
from federation.policies.rules import diff
from federation.telemetry import logger

_log = logger("policy")


def read_policy(catalogue: Catalogue, file: Path) -> Policy:
    """The policy of a file. Raises PolicyInvalid with file, line and reason; OSError where it cannot be read."""
    return _policy(catalogue, file, file.read_bytes())


def take_policy_file(node: Node) -> None:
    """At a start: puts the file in the home in force where it was changed by hand since it was last taken or written.

    A file that fails a check stops the start: PolicyInvalid.
    """
    file = node.settings.policy_file
    with _alone(file.parent), suppress(FileNotFoundError):
        content = file.read_bytes()
        policy, before = _policy(node.catalogue, file, content), node.policies.current()
        if node.policies.take(policy, _mark(content)):
            changes = diff(before, policy)
            wider, narrower = sum(each.wider for each in changes), sum(each.narrower for each in changes)
            _log.warning("policy_file_taken", version=policy.version, wider=wider, narrower=narrower)


def put_in_force(node: Node, policy: Policy, over: str) -> None:
    """Puts a policy in force that was compared with the version `over`, and writes it into the file in the home.

    The file is prepared first, so that a disk without room stops it before anything holds. What decides is the commit:
    it settles the file that is there, so that no start takes that one if this is cut short before the file is replaced.
    Raises Conflict where another policy was put in force meanwhile, Unavailable, OSError.
    """
    file, content = node.settings.policy_file, canonical(policy).encode()
    fresh = file.with_suffix(".new")
    with _alone(file.parent) as folder:
        try:
            _written(fresh, content)
            node.policies.apply(policy, over=over, settles=_mark_of(file))
            _replaced(fresh, file, folder)
        finally:
            fresh.unlink(missing_ok=True)
        with suppress(Unavailable):  # the file holds what is in force: to take it once more at a start changes nothing
            node.policies.settle(_mark(content))


def difference(node: Node) -> str | None:
    """A sentence where the file in the home says otherwise than the policy in force; None where there is no file."""
    file = node.settings.policy_file
    try:
        content = file.read_bytes()
        policy = _policy(node.catalogue, file, content)
    except FileNotFoundError:
        return None
    except PolicyInvalid as broken:
        return f"{broken.message}. Another policy is in force; the next start stops at this."
    if policy.version == node.policies.current().version:
        return None
    kept = node.policies.settled() == _mark(content)
    then = "leaves it alone: another policy was put in force after it" if kept else "puts it in force"
    return f"{file} differs from what is in force; the next start {then}."


def _policy(catalogue: Catalogue, file: Path, content: bytes) -> Policy:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as broken:
        line = content[: broken.start].count(b"\n") + 1
        raise PolicyInvalid("this is not UTF-8 text", file=str(file), line=line) from None
    return load_policy(text, catalogue, str(file))


def _mark(content: bytes) -> str:
    return sha256(content).hexdigest()


def _mark_of(file: Path) -> str | None:
    with suppress(FileNotFoundError):
        return _mark(file.read_bytes())
    return None


def _written(fresh: Path, content: bytes) -> None:
    with open(fresh, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())


def _replaced(fresh: Path, file: Path, folder: int) -> None:
    try:
        os.replace(fresh, file)
        os.fsync(folder)
    except OSError as error:
        raise Unavailable(
            f"The policy is in force, but {file} could not be replaced ({error.strerror}) and is not taken at a start."
        ) from None


@contextmanager
def _alone(home: Path) -> Iterator[int]:
    """The home's folder, locked: one process at a time compares the file with what is in force, and replaces it."""
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(folder)
