"""Opens an HSDS data package (zip, folder) or HSDS 3 JSON as tables of rows. What comes in is hostile until read:
sizes and ratios are capped, nothing is written to disk, no path leaves the package."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from federation.errors import BadInput
from federation.formats.hsds_json import read_json
from federation.formats.hsds_tables import TABLE_OF, Tables, parse_json, read_csv
from federation.formats.imports import RowProblem

MAX_FILES = 2_000
MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_PACKAGE_BYTES = 1024 * 1024 * 1024
MAX_RATIO = 250
"""A CSV of repeated rows packs 50:1; beyond this, in a file over a megabyte, the zip is a bomb."""

_RATIO_FREE_BYTES = 1024 * 1024
_UNTOUCHED_TEMPLATE = "human_services_data"


def open_tables(path: Path) -> Tables:
    """Reads a package: a zip or folder with datapackage.json and CSV files, or a JSON file of HSDS 3.

    Bad rows and unreadable side tables are noted as problems. Raises BadInput, with the file and the reason, for what
    cannot be read at all: no package, no datapackage.json, no services, a zip that unpacks to too much or points
    outside of itself.
    """
    if path.is_dir():
        return _read_csv_package(path.name, _FolderFiles(path))
    try:
        with path.open("rb") as opened:
            head = opened.read(64)
        if head.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                return _read_csv_package(path.name, _ZipFiles(archive))
        if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
            if path.stat().st_size > MAX_FILE_BYTES:
                raise BadInput(f"{path.name} is larger than a directory can be.")
            return read_json(path.read_bytes(), path.name, path.stem)
    except zipfile.BadZipFile as error:
        raise BadInput(f"{path.name} is a damaged zip file: {error}.") from error
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror or 'input error'}.") from error
    raise BadInput(f"{path.name} is neither an HSDS data package (zip or folder) nor HSDS JSON.")


# --- the files of a package -------------------------------------------------------------------------------------


class _ZipFiles:
    """The files of a zip by path, with every cap checked before and while unpacking."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > MAX_FILES:
            raise BadInput(f"The zip holds more than {MAX_FILES} files.")
        if sum(member.file_size for member in members) > MAX_PACKAGE_BYTES:
            raise BadInput("The zip would unpack to more than a data package can be.")
        for member in members:
            _check_name(member.filename)
        self._members = {member.filename: member for member in members}

    def names(self) -> list[str]:
        return list(self._members)

    def read(self, name: str) -> bytes:
        member = self._members[name]
        if member.flag_bits & 1:
            raise BadInput(f"{name} in the zip is encrypted.")
        try:
            with self._archive.open(member) as opened:
                content = opened.read(MAX_FILE_BYTES + 1)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
            raise BadInput(f"{name} in the zip is damaged or packed in an unknown way.") from error
        except Exception as error:
            if type(error).__module__ in ("zlib", "lzma", "_lzma", "bz2"):
                raise BadInput(f"{name} in the zip is damaged.") from error
            raise
        too_dense = len(content) > max(_RATIO_FREE_BYTES, member.compress_size * MAX_RATIO)
        if len(content) > MAX_FILE_BYTES or too_dense:
            raise BadInput(f"{name} in the zip unpacks to more than a table can be.")
        return content


class _FolderFiles:
    """The files of a folder by path; links that lead out of it are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        found = (each for each in self._root.rglob("*") if each.is_file() and each.resolve().is_relative_to(self._root))
        self._names: list[str] = []
        for each in found:
            self._names.append(each.relative_to(self._root).as_posix())
            if len(self._names) > MAX_FILES:
                raise BadInput(f"The folder holds more than {MAX_FILES} files.")

    def names(self) -> list[str]:
        return sorted(self._names)

    def read(self, name: str) -> bytes:
        path = self._root / name
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInput(f"{name} is larger than a table can be.")
        return path.read_bytes()


_Files = _ZipFiles | _FolderFiles


def _check_name(name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or ".." in parts or (parts and ":" in parts[0]) or "\0" in name:
        raise BadInput("The zip holds a file whose path leads out of it.")


# --- CSV --------------------------------------------------------------------------------------------------------


def _read_csv_package(name: str, files: _Files) -> Tables:
    names = [each for each in files.names() if "__MACOSX" not in each]
    manifests = sorted((each for each in names if PurePosixPath(each).name == "datapackage.json"), key=len)
    if not manifests:
        raise BadInput(f"{name} has no datapackage.json: it is not an HSDS data package.")
    manifest = parse_json(files.read(manifests[0]), manifests[0])
    if not isinstance(manifest, dict) or not isinstance(manifest.get("resources"), list):
        raise BadInput(f"{manifests[0]} lists no resources.")
    tables = Tables(_source_name(manifest, name))
    for table, listed in _listed_files(manifest, str(PurePosixPath(manifests[0]).parent)):
        found = _find(listed, names)
        if found is None:
            if table == "services":
                raise BadInput(f"{PurePosixPath(listed).name} is named in datapackage.json and is not in the package.")
            tables.problems.append(
                RowProblem(listed, None, "named in datapackage.json and not in the package", rows=0, trouble="remark")
            )
            continue
        try:
            read_csv(PurePosixPath(found).name, files.read(found), tables, table)
        except BadInput as error:
            if table == "services":
                raise
            tables.problems.append(RowProblem(found, None, error.message, rows=0, trouble="unread"))
    if "services" not in tables.rows:
        raise BadInput(f"{name} has no table of services: datapackage.json names none.")
    return tables


def _source_name(manifest: Mapping[str, Any], name: str) -> str:
    """What tells this directory from others, and stays for its later editions: its name, else that of the file."""
    declared = manifest.get("name")
    if isinstance(declared, str) and declared.strip() and declared != _UNTOUCHED_TEMPLATE:
        return declared.strip()[:200]
    return PurePosixPath(name).stem


def _listed_files(manifest: Mapping[str, Any], folder: str) -> Iterator[tuple[str, str]]:
    for resource in manifest["resources"]:
        if not isinstance(resource, dict):
            continue
        path = resource.get("path", resource.get("url"))
        path = path[0] if isinstance(path, list) and path else path
        if not isinstance(path, str):
            continue
        stem = PurePosixPath(path).stem.lower()
        table = TABLE_OF.get(str(resource.get("name", "")).lower()) or TABLE_OF.get(stem)
        if table is not None:
            yield table, path if folder in ("", ".") else f"{folder}/{path}"


def _find(listed: str, names: list[str]) -> str | None:
    """The file that a manifest means: at its path, else the only one of that name anywhere in the package."""
    if listed in names:
        return listed
    alike = [each for each in names if PurePosixPath(each).name.lower() == PurePosixPath(listed).name.lower()]
    return alike[0] if len(alike) == 1 else None
