"""Rows of the gate as the bytes of an answer: joined, never taken apart."""

from __future__ import annotations

from typing import Any

from federation.schema.compiling import Member, Read


class Writer:
    """Turns rows into text."""

    def record(self, row: str | None) -> str:
        """One record, or null."""
        return "null" if row is None else row

    def page(self, read: Read, page: Any, count: int | None) -> str:
        """A connection in the order in which it was asked for. `page` is None where only the number was."""
        return "{" + ",".join(member.key + self._member(member, page, count) for member in read.layout or ()) + "}"

    def _member(self, member: Member, page: Any, count: int | None) -> str:
        if member.constant is not None:
            return member.constant
        if member.name == "nodes":
            return "[" + ",".join([row.json for row in page.rows]) + "]"
        if member.name == "edges":
            return self._edges(member, page)
        if member.name == "pageInfo":
            return "{" + ",".join(inner.key + _page_info(inner, page) for inner in member.members) + "}"
        number = count or 0
        if member.name == "totalCount":
            return str(min(number, 1000))
        return "true" if number > 1000 else "false"

    def _edges(self, member: Member, page: Any) -> str:
        rows = page.rows
        if not rows:
            return "[]"
        before = after = ""
        node = False
        cursors = False
        for at, inner in enumerate(member.members):
            text = ("," if at else "") + inner.key
            if inner.name == "cursor":
                cursors = True
                text += '"\0"'
            elif inner.name != "node":
                text += inner.constant or "null"
            if node:
                after += text
            else:
                before += text
            node = node or inner.name == "node"
        if not cursors:
            if not node:
                return "[" + ",".join(["{" + before + "}"] * len(rows)) + "]"
            return "[{" + before + (after + "},{" + before).join([row.json for row in rows]) + after + "}]"
        parts = []
        for row in rows:
            cursor = row.cursor
            body = row.json if node else ""
            parts.append(before.replace("\0", cursor) + body + after.replace("\0", cursor))
        return "[{" + "},{".join(parts) + "}]"


def _page_info(member: Member, page: Any) -> str:
    if member.constant is not None:
        return member.constant
    if member.name == "hasNextPage":
        return "true" if page.has_next else "false"
    if member.name == "hasPreviousPage":
        return "true" if page.has_previous else "false"
    if not page.rows:
        return "null"
    return f'"{page.rows[0 if member.name == "startCursor" else -1].cursor}"'
