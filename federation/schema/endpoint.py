"""The GraphQL endpoint: a request in, the bytes of an answer out. It decides nothing about sharing: the gate does.

The order is fixed: read, parse and validate, cost, scopes, what the projection refuses, and only then execution.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from threading import BoundedSemaphore, Lock
from time import perf_counter
from typing import Any, TypeVar

import orjson
from graphql import OperationType, Undefined, execute_sync
from graphql.execution.values import VariableValues, get_variable_values
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from federation.errors import BadInput, FederationError, ForbiddenField, Unauthenticated, Unavailable
from federation.policies.rules import Policy
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.base import RecordType
from federation.records.codes import CodeLists
from federation.records.registry import OPPORTUNITIES, RECORD_TYPES
from federation.schema.build import build_schema
from federation.schema.documents import DocumentCache, Limits, Operation
from federation.schema.mutations import WRITE_SCOPE
from federation.schema.names import upper
from federation.schema.problems import problem, status_of
from federation.schema.reads import Plan, Reads
from federation.schema.resolving import Asked, Reader, whole_shapes
from federation.schema.roots import Roots, Sight
from federation.storage.pool import NoneFree, without_waiting

RESPONSE_JSON = "application/graphql-response+json"
READY_LIMIT = 512
READY_BODY = 16 * 1024
"""Longer requests are compiled anew each time."""
READY_SIZE = 512 * 1024
"""So many bytes of requests are kept in all; parsed, each takes more than a hundred."""
QUICK_SECONDS = 0.004
TOLD_LIMIT = 64
STANDARD_WAIT = 5.0
"""So many seconds a request waits for a place in the standard executor."""

T = TypeVar("T")
Answer = tuple[int, str, bytes]
"""Status, content type, body."""


@dataclass
class Ready:
    """A request that was seen before, as far as it does not depend on who asks: operation, variables, cost."""

    operation: Operation
    variables: VariableValues
    cost: int
    plan: Plan | None
    seconds: float = 1.0
    keep: bool = field(default=True)
    size: int = 0


class GraphQLEndpoint:
    """Executes GraphQL requests for viewers, synchronously. Safe for threads.

    `policy` gives the policy in force; `public_scopes` is printed in the SDL for gateways; `peer_names` gives the
    names of linked nodes.
    """

    def __init__(
        self,
        gate: Any,
        intake: Any,
        codes: CodeLists,
        registry: Mapping[str, RecordType] = RECORD_TYPES,
        *,
        policy: Callable[[], Policy],
        public_scopes: frozenset[str] = frozenset(),
        peer_names: Callable[[], Sequence[str]] = tuple,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        self.limits = limits
        self.schema = build_schema(registry, codes, policy(), public_scopes)
        self._core = self.schema._schema
        self._roots = Roots(gate, intake, registry, OPPORTUNITIES, policy, peer_names)
        self._reader = Reader(gate, registry, codes, whole_shapes(registry, codes))
        sizes = {upper(name): len(codes.codes(name)) for name in codes.lists()}
        self._documents = DocumentCache(self._core, limits, sizes=sizes)
        self._places = BoundedSemaphore(limits.standard)
        self._reads = Reads(self._core, self._roots, registry, codes)
        self._ready: OrderedDict[bytes, Ready] = OrderedDict()
        self._ready_size = 0
        self._lock = Lock()

    def execute(self, viewer: Viewer, body: bytes, *, legacy: bool = False) -> Answer:
        """Answers one request. `legacy`: for `application/json`, where a request that never ran is still 200.

        Never raises: what is unexpected is masked and logged under an id. (But NoneFree, within `at_once`.)
        """
        media = f"{'application/json' if legacy else RESPONSE_JSON}; charset=utf-8"
        try:
            status, content = self._answer(viewer, body, legacy)
        except NoneFree:
            raise
        except Exception as error:
            entry = problem(error)
            return status_of([entry]), media, orjson.dumps({"errors": [entry]})
        return status, media, content

    @staticmethod
    def at_once(run: Callable[[], T]) -> T | None:
        """What a cheap step of a request gives, or None where it would have to wait for a reader of the database."""
        try:
            with without_waiting():
                return run()
        except NoneFree:
            return None

    def is_cheap(self, viewer: Viewer, body: bytes) -> bool:
        """Whether the request may run in an event loop: seen before, compiled, quick when it last ran, and of a
        viewer whose reading need not wait for the ledger."""
        ready = self._ready.get(sha256(body).digest())
        return (
            ready is not None
            and ready.plan is not None
            and ready.seconds < QUICK_SECONDS
            and all(scope.endswith(":open") for scope in viewer.scopes)
            and not viewer.at_home
        )

    def is_compiled(self, body: bytes) -> bool:
        """Whether the request is answered without the standard executor."""
        try:
            return self._read(body).plan is not None
        except _Invalid:
            return False

    def _answer(self, viewer: Viewer, body: bytes, legacy: bool) -> tuple[int, bytes]:
        key = sha256(body).digest()
        ready = self._ready.get(key)
        if ready is None:
            try:
                ready = self._read(body)
            except _Invalid as invalid:
                status = 200 if legacy and not invalid.malformed else status_of(invalid.errors)
                return status, orjson.dumps({"errors": invalid.errors})
            if ready.keep and len(body) <= READY_BODY:
                self._remember(key, ready, len(body))
        try:
            return self._run(viewer, ready)
        except NoneFree:  # no answer yet: the caller asks again in a thread, which waits
            raise
        except FederationError as error:
            status = error.status if not legacy or error.status in (401, 429, 503) else 200
            return status, orjson.dumps({"errors": [problem(error)], "extensions": {"cost": self._cost(ready.cost)}})

    def _remember(self, key: bytes, ready: Ready, size: int) -> None:
        """Keeps a request, and with it its document: as many as are bounded in number and in length."""
        ready.size = size
        with self._lock:
            self._ready_size += size - (self._ready.pop(key).size if key in self._ready else 0)
            self._ready[key] = ready
            while len(self._ready) > READY_LIMIT or self._ready_size > READY_SIZE:
                self._ready_size -= self._ready.popitem(last=False)[1].size

    def _cost(self, cost: int) -> dict[str, int]:
        return {"requested": cost, "limit": self.limits.cost}

    def _read(self, body: bytes) -> Ready:
        """Everything up to execution that does not depend on who asks. Raises _Invalid."""
        query, name, raw = _request_of(body)
        document = self._documents.get(query)
        if document.errors:
            raise _Invalid([problem(error) for error in document.errors])
        try:
            operation = document.operation(name)
            operation.check(0, self.limits)
            definitions = operation.node.variable_definitions or ()
            variables = get_variable_values(self._core, definitions, raw, 20, hide_suggestions=True)
            if not isinstance(variables, VariableValues):
                raise _Invalid([problem(error) for error in variables])
            cost = operation.cost(variables.coerced)
            operation.check(cost, self.limits)
            plan = self._reads.plan(operation, variables)
            if plan is None and operation.node.operation is OperationType.QUERY:
                cost = operation.cost(variables.coerced, standard=True)
                operation.check(cost, self.limits)
        except FederationError as error:
            raise _Invalid([problem(error)]) from error
        return Ready(operation, variables, cost, plan, keep=plan is not None and not plan.private)

    def _run(self, viewer: Viewer, ready: Ready) -> tuple[int, bytes]:
        operation = ready.operation
        if operation.node.operation is OperationType.MUTATION:
            _may_write(viewer)
        plan, sight = ready.plan, self._roots.sight(viewer)
        if plan is None:
            self._reads.refuse(sight, operation, ready.variables, None)
            with self._place(operation):
                return 200, self._standard(viewer, ready, self._extensions(sight, ready))
        told = plan.told.get(id(sight))
        if told is None:
            self._reads.refuse(sight, operation, ready.variables, plan)
            if len(plan.told) > TOLD_LIMIT:
                plan.told.clear()
            told = plan.told[id(sight)] = (sight, self._extensions(sight, ready))
        begun = perf_counter()
        content = self._reads.run(viewer, plan, told[1])
        ready.seconds = perf_counter() - begun
        return 200, content

    @contextmanager
    def _place(self, operation: Operation) -> Iterator[None]:
        """One of the few places in the standard executor; writes take turns in the database. Raises Unavailable."""
        if operation.node.operation is OperationType.MUTATION:
            yield
            return
        if not self._places.acquire(timeout=STANDARD_WAIT):
            raise Unavailable("The node is busy with large questions; try again in a moment.")
        try:
            yield
        finally:
            self._places.release()

    def _extensions(self, sight: Sight, ready: Ready) -> bytes:
        withheld = self._reads.withheld(sight, ready.operation)
        return b'{"cost":' + orjson.dumps(self._cost(ready.cost)) + b',"sharing":{"withheld":' + withheld + b"}}"

    def _standard(self, viewer: Viewer, ready: Ready, extensions: bytes) -> bytes:
        """The standard executor's answer."""
        operation = ready.operation
        sources = {
            name: source.value for name, source in ready.variables.sources.items() if name in ready.variables.coerced
        }
        result = execute_sync(
            self._core,
            operation.document,
            context_value=Asked(viewer, self._reader, self._roots),
            variable_values={name: value for name, value in sources.items() if value is not Undefined},
            operation_name=operation.node.name.value if operation.node.name else None,
            executor_class=StrawberryGraphQLCoreExecutionContext,
            hide_suggestions=True,
        )
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [problem(error) for error in result.errors]
        body["extensions"] = orjson.Fragment(extensions)
        return orjson.dumps(body)

    def execute_standard(self, viewer: Viewer, body: bytes) -> bytes:
        """The same answer by the standard executor, for comparison and for operations that are not compiled."""
        ready = self._read(body)
        return self._standard(viewer, ready, self._extensions(self._roots.sight(viewer), ready))


class _Invalid(Exception):
    """A request that cannot be executed. `malformed`: not even a GraphQL request."""

    def __init__(self, errors: list[dict[str, Any]], malformed: bool = False) -> None:
        super().__init__("invalid request")
        self.errors, self.malformed = errors, malformed


def _request_of(body: bytes) -> tuple[str, str | None, dict[str, Any]]:
    """Query, operation name and variables of a request body. Raises _Invalid."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _malformed("The body is not JSON.") from None
    if not isinstance(request, dict):
        raise _malformed("The request is not one JSON object; batches are not taken.")
    query, name = request.get("query"), request.get("operationName")
    variables, extensions = request.get("variables"), request.get("extensions")
    if not isinstance(query, str) or not query.strip():
        raise _malformed("The request has no `query` that is a text.")
    if name is not None and not isinstance(name, str):
        raise _malformed("`operationName` is not a text.")
    if variables is not None and not isinstance(variables, dict):
        raise _malformed("`variables` is not an object.")
    if extensions is not None and not isinstance(extensions, dict):
        raise _malformed("`extensions` is not an object.")
    return query, name or None, variables or {}


def _malformed(message: str) -> _Invalid:
    return _Invalid([problem(BadInput(message))], malformed=True)


def _may_write(viewer: Viewer) -> None:
    """Only for a scope that writes, or a steward."""
    if viewer.kind is ViewerKind.ANONYMOUS:
        raise Unauthenticated("Writing needs a token or an account.")
    if WRITE_SCOPE not in viewer.scopes and viewer.kind is not ViewerKind.STEWARD:
        raise ForbiddenField(f"Writing needs the scope {WRITE_SCOPE}.")
