"""Exports of the books into files, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from cli.books_reading import Opened, exported
from settlement.books.export import Period


async def write_export(books: Opened, form: str, period: Period, path: Path) -> int:
    """Write a period's export, piece by piece; how many bytes it has. A file that is there is replaced at the end.

    Raises:
        NotPermitted: the role sees no entries.
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    size = 0
    try:
        async with exported(books, form, period) as pieces:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                async for piece in pieces:
                    size += file.write(piece.encode())
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)  # noqa: ASYNC240 - a rename, at a command's end
    except BaseException:
        temporary.unlink(missing_ok=True)  # noqa: ASYNC240
        raise
    return size
