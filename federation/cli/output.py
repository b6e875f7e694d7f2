"""How commands speak: tables for people, JSON for programs, one sentence and an exit code for errors. What draws for
people is imported when something is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

OK, FAILED, USAGE, FINDINGS, STOPPED = 0, 1, 2, 3, 130
IDS = frozenset({"id", "client_id", "token_id", "thumbprint"})
UNLIMITED = 1_000_000
NOT_CONFIRMED = "NOT_CONFIRMED"

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Output:
    """Prints results on standard output and everything else on standard error. A result of a `dry_run` says so."""

    json: bool = False
    dry_run: bool = False

    @property
    def _out(self) -> Console:
        return _console()

    @property
    def _err(self) -> Console:
        return _console(stderr=True)

    def result(self, value: Mapping[str, Any], sentence: str) -> None:
        """One result: the mapping as JSON, or the sentence for a person."""
        if self.json:
            typer.echo(_json({**value, "dry_run": True} if self.dry_run else value))
        else:
            told = f"Nothing was written. Without --dry-run it would be:\n{sentence}" if self.dry_run else sentence
            self._out.print(_plain(told), markup=False)

    def rows(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], empty: str) -> None:
        """A list: JSON array, or a table whose empty state says what to do next."""
        found = list(rows)
        if self.json:
            typer.echo(_json(found))
            return
        if not found:
            self._out.print(_plain(empty), markup=False)
            return
        self._table(columns, [[_plain(cell(row.get(column))) for column in columns] for row in found])

    def _table(self, columns: Sequence[str], rows: list[list[str]]) -> None:
        """Fitted to the terminal; but a row with an id, which is copied, is one line, and for a program each is."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        out = self._out
        if not out.is_terminal or IDS.intersection(columns):
            out.width = max(out.width, out.measure(table, options=out.options.update(max_width=UNLIMITED)).maximum)
        out.print(table)

    def text(self, text: str) -> None:
        """Text as it is: a file's content, a schema, a sealed string to copy."""
        typer.echo(_plain(text))

    def note(self, sentence: str) -> None:
        """A remark beside the result, on standard error."""
        self._err.print(_plain(sentence), markup=False, style="dim")

    def error(self, message: str, *, code: str) -> None:
        """One sentence with its code, on standard error; with `--json` an object on standard output."""
        if self.json:
            typer.echo(_json({"error": {"code": code, "message": message}}))
        else:
            self._err.print(_plain(f"{code}: {message}"), markup=False, style="red")

    def confirm(self, question: str, *, yes: bool) -> None:
        """Asks a person, who may end the command there, unless `--yes` was given or nothing will be kept. With `--json`
        nobody can be asked: the command ends with exit 2."""
        if yes or self.dry_run:
            return
        if self.json:
            self.error(f"{question} With --json nobody is asked: add --yes.", code=NOT_CONFIRMED)
            raise typer.Exit(USAGE)
        typer.confirm(question, abort=True)

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Progress]:
        """A progress display for long work; silent with `--json` and where standard error is no terminal."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = self._err
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=self.json or not console.is_terminal,
        )
        with bar:
            bar.add_task(label, total=total)
            yield bar

    def tracked(self, label: str, items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
        """The items, one by one, with a progress display that counts them."""
        with self.progress(label, total) as bar:
            task = bar.task_ids[0]
            for item in items:
                yield item
                bar.advance(task)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=True, highlight=False)


def cell(value: object) -> str:
    """A value as people read it, in a table or a line."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={each}" for key, each in value.items()) or "–"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(item) for item in value) or "–"
    return str(value)


def _json(value: object) -> str:
    """JSON that a terminal shows as it is: what it would obey is escaped, and means the same to a program."""
    text = orjson.dumps(value, default=str).decode()
    return _CONTROLS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _plain(text: str) -> str:
    """The text without what a terminal would obey: names of peers and values of records are chosen by others."""
    return _CONTROLS.sub("�", text)
