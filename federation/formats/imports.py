"""What every import gives and reports: rows to take in, rows that could not be read, and counts.

Nothing here stores anything; the caller passes rows to the intake. A problem names file, line and reason and must
never hold a value of the row."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from federation.errors import BadInput, NotFound
from federation.records.lint import DEFAULT_REGIONS
from federation.storage.ids import origin_mark, parse_global_id

Outcome = Literal["imported", "updated", "unchanged"]
Trouble = Literal["record", "unread", "loose", "remark"]
"""What a problem is about: a record that did not go in; another row or a whole side table that could not be read;
another row that hangs on no record, of which the source alone knows better; something taken in with a reservation."""


@dataclass(frozen=True)
class ImportOptions:
    """How a foreign directory is taken in.

    `expectations` is used where the source says nothing of its own; `publish_websites` puts a service's website in
    the open `front_door` (it often tells who the provider is); `source` names the directory, so that a later edition
    of it updates the same records; `language` is that of its texts (BCP 47); `country` (ISO 3166-1) is used where an
    address names none; `regions` are the countries whose phone formats are looked for.
    """

    expectations: str | None = None
    publish_websites: bool = False
    source: str | None = None
    language: str = "en"
    country: str | None = None
    regions: tuple[str, ...] = DEFAULT_REGIONS


@dataclass(frozen=True)
class ImportRow:
    """One record to take in: its id, type key and home document, the place in the source that it comes from, and how
    much of each kind was cut out of its texts."""

    id: uuid.UUID
    type_key: str
    document: dict[str, Any]
    file: str
    source_line: int
    cut: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def has_expectations(self) -> bool:
        """Whether it may be shared: an offer cannot be without expectations; what has none stays a draft."""
        return bool(self.document.get("expectations"))


@dataclass(frozen=True)
class RowProblem:
    """What could not be read, or was read with a reservation: `rows` rows of a file, the first of them at `line`
    (None: the file as a whole)."""

    file: str
    line: int | None
    reason: str
    rows: int = 1
    trouble: Trouble = "record"

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        many = "" if self.rows < 2 else f" ({self.rows} rows, the first here)"
        return f"{place}: {self.reason}{many}"


@dataclass
class ImportReport:
    """Counts of one import. `count` sums the rows up; `outcome` notes what the intake did with each."""

    imported: int = 0
    updated: int = 0
    unchanged: int = 0
    drafts: int = 0
    without_expectations: int = 0
    cut: Counter[str] = field(default_factory=Counter)
    problems: list[RowProblem] = field(default_factory=list)

    def read(self, item: ImportRow | RowProblem) -> None:
        """Notes one item that was read."""
        if isinstance(item, RowProblem):
            self.problems.append(item)
        else:
            self.cut.update(item.cut)
            self.without_expectations += not item.has_expectations

    def outcome(self, result: Outcome, *, draft: bool) -> None:
        """Notes what became of a row: taken in, changed, or found as it was; and whether it is a draft."""
        setattr(self, result, getattr(self, result) + 1)
        self.drafts += draft

    def rows(self, trouble: Trouble) -> int:
        """How many rows have a trouble; of `record`, how many records did not go in."""
        return sum(problem.rows for problem in self.problems if problem.trouble == trouble)

    @property
    def needs_someone(self) -> bool:
        """Whether something did not go in that a person could mend and import again."""
        return any(problem.trouble in ("record", "unread") for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """The report for `--json`: counts, and problems as file, line, reason, rows and trouble."""
        return {
            "imported": self.imported,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "drafts": self.drafts,
            "withoutExpectations": self.without_expectations,
            "skipped": self.rows("record"),
            "otherRows": {"unread": self.rows("unread"), "loose": self.rows("loose")},
            "cut": dict(sorted(self.cut.items())),
            "problems": [
                {
                    "file": each.file,
                    "line": each.line,
                    "reason": each.reason,
                    "rows": each.rows,
                    "trouble": each.trouble,
                }
                for each in self.problems
            ],
        }


def record_uuid(told: str, type_key: str, origin: str, secret: bytes) -> uuid.UUID | None:
    """The id of a record that an export named: its own where it is of this node (`origin` is its thumbprint), else one
    made of it, so that a second import of another node's file changes nothing. None for a text that is no such id.

    Raises BadInput for the id of another type.
    """
    try:
        named, mark, id = parse_global_id(told)
    except NotFound:
        return None
    if named != type_key:
        raise BadInput(f"id: this is the id of a {named}, not of a {type_key}.", field="id")
    if mark == origin_mark(origin):
        return uuid.UUID(bytes=id)
    return source_uuid(secret, "", told)


def source_uuid(secret: bytes, source: str, source_id: str) -> uuid.UUID:
    """The id of a source's record on this node, in the form of a UUIDv4.

    HMAC-SHA256 under the node's secret: the same row always gets the same id here, so that a second import changes
    nothing; without the secret it is random, so that nobody can test for a row of a public directory.
    """
    message = b"\0".join((b"import", source.encode(), source_id.encode()))
    return uuid.UUID(bytes=hmac.new(secret, message, hashlib.sha256).digest()[:16], version=4)
