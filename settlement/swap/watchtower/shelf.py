"""The bundles that a watchtower is given: files, or folders of files, which their owners may replace at any time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from foundation.errors import BadInput
from settlement.swap.watchtower.bundle import BUNDLE_BYTES_MAX, Bundle, BundleDamaged

SUFFIX: Final = ".bundle"
"""Of the files in a folder that are bundles."""
FILES_MAX: Final = 10_000
_log = structlog.get_logger(__name__)


class Shelf:
    """Reads bundles, and reads them again where a file has changed."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """`paths`: bundles, and folders of bundles. Nothing is read yet."""
        self._paths = tuple(paths)
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._bundles: dict[bytes, Bundle] = {}

    @property
    def is_open_ended(self) -> bool:
        """Whether more bundles may come: there is a folder."""
        return any(path.is_dir() for path in self._paths)

    def check(self) -> None:
        """Read all for the first time.

        Raises:
            BadInput: a file cannot be read. BundleDamaged: one that was named is no bundle.
        """
        for path in self._paths:
            if not path.is_dir():
                self._take(path)
        self.read()

    def read(self) -> Mapping[bytes, Bundle]:
        """All bundles by their owners, newest first read. What has become unreadable stays as it was; an older bundle
        never takes the place of a newer one, and nobody's the place of another owner's."""
        for path in self._files():
            try:
                self._take(path)
            except (BundleDamaged, BadInput) as error:
                _log.warning("a bundle is passed over", file=str(path), problem=str(error))
        return self._bundles

    def _files(self) -> Iterator[Path]:
        for path in self._paths:
            if path.is_dir():
                yield from sorted(path.glob(f"*{SUFFIX}"))[:FILES_MAX]
            elif path.exists():
                yield path

    def _take(self, path: Path) -> None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if self._stamps.get(path) == stamp:
                return
            self._stamps[path] = stamp
            with path.open("rb") as file:
                data = file.read(BUNDLE_BYTES_MAX + 1)
        except OSError as error:
            raise BadInput(str(path), error.strerror or "cannot be read", "`causeway swap bundle` makes one") from error
        bundle = Bundle.decode(data)
        known = self._bundles.get(bundle.owner)
        if known is not None and known.terms != bundle.terms:
            raise BundleDamaged("is of another swap than its owner's other one")
        if known is None or bundle.made_at >= known.made_at:
            self._bundles[bundle.owner] = bundle
