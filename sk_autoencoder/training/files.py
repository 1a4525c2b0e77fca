"""Atomic writing and safe reading of .npz files with arrays and notes.

The file is an uncompressed zip archive, as written by `numpy.savez`. Its member "notes" is a JSON string, the other
members are arrays. A file from an untrusted source can neither execute code nor allocate much more memory than its own
size: sizes are checked before reading, and the caller compares dtypes and shapes before arrays are read.
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
# Exceptions that numpy raises for an invalid header, which it parses as a Python literal.
_NO_HEADER = (ValueError, TypeError, LookupError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)
# Do not follow symbolic links, and do not block on named pipes; not all platforms have these flags.
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

# Exceptions that opening and reading a file can raise.
UNREADABLE = (OSError, ValueError, BadZipFile, EOFError, NotImplementedError)
Layout = dict[str, tuple[np.dtype, tuple[int, ...]]]  # dtype and shape by name


def write(path: Path, notes: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write or replace a file atomically: if the process is killed, the old file is unchanged."""
    text = np.array(json.dumps(notes))
    if text.nbytes > _LONGEST_NOTES:
        raise ValueError(f"its notes have {text.nbytes} bytes, more than the maximum of {_LONGEST_NOTES}")
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
    """Open a file, and check that its members are distinct, uncompressed arrays that are not larger than the file."""
    with _open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        with ZipFile(file) as archive:
            file.seek(-22, os.SEEK_END)
            if not file.read().startswith(b"PK\5\6"):
                raise ValueError("it does not end as a zip file does")
            names = archive.namelist()
            if len(set(names)) < len(names) or not all(name.endswith(".npy") for name in names):
                raise ValueError("two of its members have the same name, or one is not an array")
            for member in archive.infolist():
                if member.compress_type != ZIP_STORED or member.flag_bits & 1:
                    raise ValueError(f"{member.filename} is compressed or encrypted")
                if member.file_size > status.st_size:
                    raise ValueError(f"{member.filename} is larger than the file")
            yield archive


def read_notes(archive: ZipFile) -> str:
    """Return the text of the notes."""
    if "notes.npy" not in archive.namelist():
        raise ValueError("it has no notes")
    kind, shape = _read_header(archive, "notes.npy")
    if kind.kind != "U" or shape != () or kind.itemsize > _LONGEST_NOTES:
        raise ValueError("its notes are not a string, or too long")
    text = _read_array(archive, "notes.npy").astype(kind.newbyteorder("<"))
    return text.tobytes().decode("utf-32-le").rstrip("\0")  # str(text) raises SystemError for some bytes


def read_layout(archive: ZipFile) -> Layout:
    """Return dtype and shape of each array, reading only the headers."""
    layout = {name.removesuffix(".npy"): _read_header(archive, name) for name in archive.namelist()}
    del layout["notes"]
    return layout


def read_arrays(archive: ZipFile, names: list[str]) -> dict[str, np.ndarray]:
    """Read arrays and verify their checksums; the caller must have compared their dtypes and shapes."""
    return {name: _read_array(archive, f"{name}.npy") for name in names}


def _read_header(archive: ZipFile, name: str) -> tuple[np.dtype, tuple[int, ...]]:
    """Return dtype and shape of one member, and check that its size matches them."""
    with archive.open(name) as file:
        beginning = io.BytesIO(file.read(_LONGEST_HEADER))
    try:
        shape, _, kind = _HEADER_READERS[npy.read_magic(beginning)](beginning)
    except _NO_HEADER as error:
        raise ValueError(f"{name} has an invalid header: {error}") from error
    size = archive.getinfo(name).file_size
    if size != beginning.tell() + kind.itemsize * math.prod(shape):
        raise ValueError(f"{name} has {size} bytes, which does not match its dtype and shape")
    return kind, shape


def _read_array(archive: ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as file:
        return npy.read_array(file, allow_pickle=False)


def _open(path: Path, mode: str) -> IO[bytes]:
    return open(path, mode, opener=lambda name, flags: os.open(name, flags | _FLAGS, 0o666))


def _sync_folder(folder: Path) -> None:
    """Synchronize a directory with the disk, so that a renamed file survives a power failure; not on all platforms."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot synchronize directories
            raise
    finally:
        os.close(descriptor)
