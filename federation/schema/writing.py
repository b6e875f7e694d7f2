"""Rows of the gate as the bytes of an answer: joined, never taken apart. Codes get their capitals and places their
names in one pass over the text.
"""

from __future__ import annotations

import re
from typing import Any

from federation.schema.compiling import CODE_KEY, Member, Read
from federation.schema.names import shown_code

_CODED = re.compile(rf'"{CODE_KEY}[A-Za-z0-9_]+":(?:"[^"]*"|\[[^\]]*\]|null)')
_WORD = re.compile(r'"([^"]*)"')
_KNOWN_LIMIT = 20_000
_MARK = f'"{CODE_KEY}'
_USUAL = 8
_FEW = 24
"""Up to so many different members are replaced one after the other, which is faster than one by one in order."""


class Writer:
    """Turns rows into text. Keeps a bounded table of code members that it has written before; codes are no secrets."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def capitals(self, text: str, usual: dict[str, str]) -> str:
        """The text with its marked code members in capitals and the marks gone. `usual` is a small table of members
        that this selection has had before: trying those first is faster than looking for any."""
        for member, shown in tuple(usual.items()):
            text = text.replace(member, shown)
        if _MARK not in text:
            return text
        found = set(_CODED.findall(text))
        if len(found) > _FEW:
            return _CODED.sub(lambda member: self._shown(member[0]), text)
        for member in found:
            shown = self._shown(member)
            text = text.replace(member, shown)
            if len(usual) < _USUAL:
                usual[member] = shown
        return text

    def _shown(self, member: str) -> str:
        made = self._known.get(member)
        if made is None:
            if len(self._known) > _KNOWN_LIMIT:
                self._known.clear()
            key, _, value = member.partition(":")
            value = _WORD.sub(lambda word: f'"{shown_code(word[1])}"', value)
            made = self._known[member] = f'"{key[1 + len(CODE_KEY) :]}:{value}'
        return made

    def record(self, read: Read, row: str | None) -> str:
        """One record, or null."""
        if row is None:
            return "null"
        return self.capitals(row, read.usual) if read.coded else row

    def page(self, read: Read, page: Any, count: int | None) -> str:
        """A connection in the order in which it was asked for. `page` is None where only the number was."""
        text = "{" + ",".join(member.key + self._member(member, page, count) for member in read.layout or ()) + "}"
        return self.capitals(text, read.usual) if read.coded else text

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
