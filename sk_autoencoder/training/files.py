"""A .npz file of notes and arrays, which is replaced as a whole and read without trust in what it says about itself.

The file is an uncompressed zip, as `numpy.savez` writes it. Its member "notes" is a text (JSON), the others are arrays.
No more bytes of it are read at once than the file has, and arrays only after their types and shapes were compared.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import secrets
import stat
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.lib import format as npy

_LONGEST_NOTES, _LONGEST_HEADER = 1 << 28, 1 << 14  # in bytes
_HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# What numpy raises for a header that it does not understand; it reads the text as a literal of Python.
_NO_HEADER = (ValueError, TypeError, LookupError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)
# Links are not followed, and opening a named pipe does not wait for its other end; not every platform has these.
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

# What opening and reading a file can raise.
UNREADABLE = (OSError, ValueError, BadZipFile, EOFError, NotImplementedError)
Layout = dict[str, tuple[np.dtype, tuple[int, ...]]]  # type and shape by name


def write(path: Path, notes: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Replace a file; whatever ends the process meanwhile leaves the old one."""
    text = np.array(json.dumps(notes))
    if text.nbytes > _LONGEST_NOTES:
        raise ValueError(f"its notes would take {text.nbytes} bytes, more than {_LONGEST_NOTES}")
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    file = _open(unfinished, "xb")
    try:
        with file:
            np.savez(file, notes=text, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextmanager
def opened(path: Path) -> Iterator[ZipFile]:
    """Open a file whose members can be read one by one: all stored as they are, and none larger than the file."""
    with _open(path, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no regular file")
        with ZipFile(file) as archive:
            file.seek(-22, os.SEEK_END)
            if not file.read().startswith(b"PK\5\6"):
                raise ValueError("it does not end as a zip file does")
            names = archive.namelist()
            if len(set(names)) < len(names) or not all(name.endswith(".npy") for name in names):
                raise ValueError("two of its members have the same name, or one is no array")
            for member in archive.infolist():
                if member.compress_type != ZIP_STORED or member.flag_bits & 1:
                    raise ValueError(f"{member.filename} is compressed or encrypted")
                if member.file_size > found.st_size:
                    raise ValueError(f"{member.filename} is larger than the file")
            yield archive


def read_notes(archive: ZipFile) -> str:
    """Return the text of the notes."""
    if "notes.npy" not in archive.namelist():
        raise ValueError("it has no notes")
    kind, shape = _read_header(archive, "notes.npy")
    if kind.kind != "U" or shape != () or kind.itemsize > _LONGEST_NOTES:
        raise ValueError("its notes are no text, or too long")
    text = _read_array(archive, "notes.npy").astype(kind.newbyteorder("<"))
    return text.tobytes().decode("utf-32-le").rstrip("\0")  # str(text) raises SystemError for some bytes


def read_layout(archive: ZipFile) -> Layout:
    """Return type and shape of each array, from the headers alone."""
    found = {name.removesuffix(".npy"): _read_header(archive, name) for name in archive.namelist()}
    del found["notes"]
    return found


def read_arrays(archive: ZipFile, names: list[str]) -> dict[str, np.ndarray]:
    """Read arrays, whose types and shapes have been compared with what is expected; zip's checksums are compared."""
    return {name: _read_array(archive, f"{name}.npy") for name in names}


def _read_header(archive: ZipFile, name: str) -> tuple[np.dtype, tuple[int, ...]]:
    """Return type and shape of one member, whose size must be that of its header and its array."""
    with archive.open(name) as file:
        beginning = io.BytesIO(file.read(_LONGEST_HEADER))
    try:
        shape, _, kind = _HEADER_READERS[npy.read_magic(beginning)](beginning)
    except _NO_HEADER as error:
        raise ValueError(f"{name} has no header that numpy can read: {error}") from error
    size = archive.getinfo(name).file_size
    if size != beginning.tell() + kind.itemsize * math.prod(shape):
        raise ValueError(f"{name} has {size} bytes, which does not fit its type and shape")
    return kind, shape


def _read_array(archive: ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as file:
        return npy.read_array(file, allow_pickle=False)


def _open(path: Path, mode: str) -> IO[bytes]:
    return open(path, mode, opener=lambda name, flags: os.open(name, flags | _FLAGS, 0o666))


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure, where folders can be opened and synchronized."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network drives synchronize files only
            raise
    finally:
        os.close(descriptor)
