"""The one tree of errors: each has a stable code, an HTTP status and a sentence that tells a person what to do.

Messages never hold record values, tokens or keys: they are shown to callers and written to logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar


class FederationError(Exception):
    """Base of every error that the project raises on purpose.

    `code` is stable and belongs to the closed list of GraphQL codes or to a module's own documented list;
    `status` is the HTTP status at the edge; the message is one sentence for the person.
    """

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[int] = 500
    headers: Mapping[str, str] = MappingProxyType({})
    """What the edge sends along."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Unauthenticated(FederationError):
    """No valid token or session where one is needed."""

    code = "UNAUTHENTICATED"
    status = 401


class ForbiddenField(FederationError):
    """A filter, sort or mutation names a field that the viewer's projection withholds."""

    code = "FORBIDDEN_FIELD"
    status = 403


class NotFound(FederationError):
    """Absent and forbidden look alike: both are this."""

    code = "NOT_FOUND"
    status = 404


class BadInput(FederationError):
    """What came in is not understood or breaks a rule of its type."""

    code = "BAD_INPUT"
    status = 400


class Unconfirmed(BadInput):
    """A warning that the caller has to confirm before the write goes on (free-text lint)."""


class Conflict(FederationError):
    """The state has moved on: a used invitation, a changed record, another writer."""

    code = "CONFLICT"
    status = 409


class CostExceeded(FederationError):
    """The request would cost more than the limit for its viewer."""

    code = "COST_EXCEEDED"
    status = 400


class RateLimited(FederationError):
    """Too many requests; after `seconds`, where they are known, the same may be asked again."""

    code = "RATE_LIMITED"
    status = 429

    def __init__(self, message: str, *, seconds: int | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds
        if seconds is not None:
            self.headers = {"Retry-After": str(seconds)}


class Unavailable(FederationError):
    """The node cannot do this now and says so (ledger not writable, statement time limit, disk full)."""

    code = "UNAVAILABLE"
    status = 503


class PolicyInvalid(FederationError):
    """A policy file fails a check. Names file, line and reason; the policy in force stays."""

    code = "POLICY_INVALID"
    status = 400

    def __init__(self, reason: str, *, file: str = "<policy>", line: int | None = None) -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"{place}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class SettingsInvalid(FederationError):
    """A setting is unknown or has a value that is not understood; the start stops."""

    code = "SETTINGS_INVALID"
