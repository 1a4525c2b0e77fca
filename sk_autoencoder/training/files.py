"""One file of notes and arrays, which is replaced as a whole and read without trust in what it says about itself.

A head of fixed length, the notes as JSON, and the bytes of the arrays, one after the other. The head holds the length
and the digest of the notes. The notes list the arrays with types and shapes, and hold the digest of their bytes. So the
notes can be read and judged alone, and no size is taken from the file before it was compared.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import struct
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import numpy as np

_MAGIC = b"sk_autoencoder training\n"
_HEAD = struct.Struct(f"<{len(_MAGIC)}sQ16s")
_LONGEST_NOTES = 1 << 28
# Links are not followed, and opening a named pipe does not wait for its other end; not every platform has these.
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

Layout = dict[str, list[Any]]  # type and shape by name, in the order of the file


def layout(arrays: dict[str, np.ndarray]) -> Layout:
    """Return type and shape of each array, as the notes list them."""
    return {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}


def write(path: Path, notes: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Replace a file; whatever ends the process meanwhile leaves the old one."""
    parts = [np.ascontiguousarray(array).data for array in arrays.values()]
    text = json.dumps({**notes, "arrays": layout(arrays), "digest": _digest(parts).hex()}).encode()
    if len(text) > _LONGEST_NOTES:
        raise ValueError(f"its notes would take {len(text)} bytes, more than {_LONGEST_NOTES}")
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    file = _open(unfinished, "xb")
    try:
        with file:
            file.write(_HEAD.pack(_MAGIC, len(text), _digest([text])) + text)
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_folder(path.parent)


def read_notes(path: Path) -> tuple[dict[str, Any], int] | None:
    """Return the notes and where the arrays begin, or None if there is no file."""
    try:
        file = _open(path, "rb")
    except FileNotFoundError:
        return None
    with file:
        size = _size(file)
        head = file.read(_HEAD.size)
        if not head.startswith(_MAGIC) or size < _HEAD.size:
            raise ValueError("it does not begin as such a file does")
        _, length, digest = _HEAD.unpack(head)
        if length > min(size - _HEAD.size, _LONGEST_NOTES):
            raise ValueError("its notes are cut off, or too long")
        text = file.read(length)
    if _digest([text]) != digest:
        raise ValueError("its notes are damaged")
    notes = json.loads(text)
    if not isinstance(notes, dict):
        raise ValueError(f"its notes are a {type(notes).__name__}, no dict")
    return notes, _HEAD.size + length


def read_arrays(path: Path, start: int, arrays: Layout, digest: Any) -> dict[str, np.ndarray]:
    """Read arrays that begin at ``start``; their layout has been compared with what is expected."""
    kinds = {name: (np.dtype(kind), tuple(shape)) for name, (kind, shape) in arrays.items()}
    sizes = {name: kind.itemsize * int(np.prod(shape, dtype=int)) for name, (kind, shape) in kinds.items()}
    total = sum(sizes.values())
    with _open(path, "rb") as file:
        if _size(file) != start + total:
            raise ValueError(f"it should be {start + total} bytes long")
        file.seek(start)
        content = memoryview(file.read(total))
    if _digest([content]).hex() != digest:
        raise ValueError("its arrays are damaged")
    found, offset = {}, 0
    for name, (kind, shape) in kinds.items():
        found[name] = np.frombuffer(content[offset : offset + sizes[name]], kind).reshape(shape).copy()
        offset += sizes[name]
    return found


def _open(path: Path, mode: str) -> IO[bytes]:
    return open(path, mode, opener=lambda name, flags: os.open(name, flags | _FLAGS, 0o666))


def _size(file: IO[bytes]) -> int:
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    return found.st_size


def _digest(parts: Iterable[Any]) -> bytes:
    hashed = blake2b(digest_size=16)
    for part in parts:
        hashed.update(part)
    return hashed.digest()


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure, where folders can be opened and synchronized."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network drives synchronize files only
            raise
    finally:
        os.close(opened)
