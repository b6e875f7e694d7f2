"""GraphQL errors as callers see them: a code from the closed list, a sentence, and nothing of what broke inside.

Unknown exceptions are masked with an id; the log holds the id and the kind of exception, never its text.
"""

from __future__ import annotations

import re
import secrets
import traceback
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError

from federation.errors import BadInput, CostExceeded, FederationError
from federation.schema.names import camel
from federation.telemetry import logger

CODES = (
    "UNAUTHENTICATED",
    "FORBIDDEN_FIELD",
    "NOT_FOUND",
    "BAD_INPUT",
    "CONFLICT",
    "COST_EXCEEDED",
    "RATE_LIMITED",
    "UNAVAILABLE",
    "INTERNAL",
)
"""Every value that `extensions.code` may have."""

_REPRESENTED = re.compile(r"(cannot represent [^:]*): .*", re.DOTALL)
_FOUND = re.compile(r"[;,.] [fF]ound(?:: | (?!Name |<EOF>|')).*", re.DOTALL)
_QUOTED = re.compile(r"((?:Block)?String) \"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_ENUM_VALUE = re.compile(r"Value .* does not exist", re.DOTALL)


def code_of(error: FederationError) -> str:
    """The error's code, or the closed list's nearest one for codes that belong to other surfaces."""
    return error.code if error.code in CODES else ("BAD_INPUT" if error.status < 500 else "INTERNAL")


def problem(error: BaseException, path: list[str | int] | None = None) -> dict[str, Any]:
    """One entry of `errors` for an exception: message, locations and path where known, `extensions.code`."""
    located = error if isinstance(error, GraphQLError) else None
    cause: BaseException = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    extensions: dict[str, Any]
    if isinstance(cause, FederationError):
        message, extensions = cause.message, {"code": code_of(cause)}
        if cause.field:
            extensions["field"] = camel(cause.field)
    elif isinstance(cause, GraphQLError) and (not cause.path or cause.message.startswith("Argument")):
        message = without_values(cause.message if located is None else located.message)
        extensions = {"code": "BAD_INPUT"}
    else:
        message, extensions = _masked(cause)
    entry: dict[str, Any] = {"message": message}
    if located is not None and located.locations:
        entry["locations"] = [{"line": place.line, "column": place.column} for place in located.locations]
    where = path if path is not None else (located.path if located is not None else None)
    if where:
        entry["path"] = where
    entry["extensions"] = extensions
    return entry


def without_values(message: str) -> str:
    """What the GraphQL library says of a bad document or variable, without what was sent: an answer goes through logs
    and consoles of the caller's side, and the value may be one that is to be sealed."""
    message = _FOUND.sub(".", _REPRESENTED.sub(r"\1.", message))
    return _ENUM_VALUE.sub("This value does not exist", _QUOTED.sub(r"\1", message))


def _masked(cause: BaseException) -> tuple[str, dict[str, Any]]:
    """A message with an id for what must not be shown; the id and the place in the code go to the log."""
    number = secrets.token_hex(6)
    frames = traceback.extract_tb(cause.__traceback__)
    at = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "unknown"
    logger("federation.schema").error("graphql_internal_error", id=number, kind=type(cause).__name__, at=at)
    return f"Something went wrong inside the node. Tell its operator this number: {number}.", {
        "code": "INTERNAL",
        "id": number,
    }


def syntax_error(error: GraphQLSyntaxError) -> GraphQLError:
    """A syntax error as it is, and a document that is too long or too deep as COST_EXCEEDED."""
    text = error.message
    if "more than" in text or "too deeply" in text:
        return GraphQLError(text, original_error=CostExceeded("The document is longer or deeper than this node reads."))
    return error


def status_of(errors: list[dict[str, Any]]) -> int:
    """The HTTP status of a request that never ran: that of its first error."""
    kinds: dict[str, int] = {kind.code: kind.status for kind in _kinds(FederationError) if kind is not FederationError}
    code = errors[0]["extensions"]["code"] if errors else "BAD_INPUT"
    return 500 if code == "INTERNAL" else kinds.get(code, BadInput.status)


def _kinds(root: type[FederationError]) -> list[type[FederationError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _kinds(child))]
