"""A book's configuration: one TOML file with a table `[book]`, checked before anything starts."""

from __future__ import annotations

import ssl
import tomllib
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from foundation.errors import BadInput
from settlement.ledgers.book.wire import Hex32

_SQLITE: Final = "sqlite:///"


class BookConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a book is run.

    Fields: ledger_id (the name that others configure); database (URL; a relative SQLite path is relative to the file's
    folder); host and port (0 for a free one); operators (SHA-256 digests of the operators' API keys in hex, by the
    keys' ids, as `python -m settlement.ledgers.book new-key` prints them); hold_ms_min and hold_ms_max (the shortest
    hold that can be relied upon, the longest that is taken); tick_ms (how often holds are looked through for those that
    are due, and the journal for what other processes wrote); body_bytes_max (of a request); streams_max (readers of
    events at once); heartbeat_seconds (how often a quiet stream of events shows that it lives); tls_certificate and
    tls_key (PEM files; without them the book speaks plain HTTP, and listens on loopback alone).
    """

    ledger_id: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]
    database: str
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8480
    operators: dict[Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")], Hex32] = {}
    hold_ms_min: Annotated[int, Meta(ge=1, le=3_600_000)] = 1_000
    hold_ms_max: Annotated[int, Meta(ge=1_000, le=366 * 86_400_000)] = 31 * 86_400_000
    tick_ms: Annotated[int, Meta(ge=10, le=10_000)] = 100
    body_bytes_max: Annotated[int, Meta(ge=65_536, le=1 << 28)] = 8 << 20
    streams_max: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    heartbeat_seconds: Annotated[float, Meta(ge=0.05, le=15)] = 10.0
    tls_certificate: str = ""
    tls_key: str = ""

    @classmethod
    def load(cls, path: Path) -> BookConfig:
        """Read a configuration file.

        Raises:
            BadInput: naming the file, or the dotted name of the value that is wrong in it.
        """
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(str(path), "cannot be read", "the path of a book's configuration") from error
        except tomllib.TOMLDecodeError as error:
            raise BadInput(str(path), f"is not TOML: {error}") from error
        return cls.checked(content, path.parent.absolute())

    @classmethod
    def checked(cls, content: dict[str, object], folder: Path) -> BookConfig:
        """Check parsed content. Raises `BadInput` naming the first value that is wrong."""
        if strangers := sorted(set(content) - {"book"}):
            raise BadInput(strangers[0], "is not known", "remove it; all is in [book]")
        try:
            config = msgspec.convert(content.get("book", {}), cls)
        except msgspec.ValidationError as error:
            problem, _, place = str(error).partition(" - at `$")
            raise BadInput(f"book{place.rstrip('`')}", problem[:1].lower() + problem[1:]) from error
        config._check_tls()
        url = config.database
        if url.startswith(_SQLITE) and not url.startswith(_SQLITE + "/"):
            url = f"{_SQLITE}{folder / url.removeprefix(_SQLITE)}"
        files = {field: str(folder / name) for field in _FILES if (name := getattr(config, field))}
        return msgspec.structs.replace(config, database=url, **files)

    def _check_tls(self) -> None:
        if bool(self.tls_certificate) is not bool(self.tls_key):
            raise BadInput(
                "book.tls_key", "a certificate without its key, or a key without its certificate", "give both"
            )
        if not self.tls_certificate and self.host not in _LOOPBACK:
            raise BadInput(
                "book.host", "API keys would go over the network in clear", "set tls_certificate and tls_key"
            )

    def tls(self) -> ssl.SSLContext | None:
        """The server's TLS, None for plain HTTP on loopback.

        Raises:
            BadInput: the files are none that TLS can use.
        """
        if not self.tls_certificate:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.tls_certificate, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise BadInput("book.tls_certificate", f"cannot be used: {error}", "name PEM files") from error
        return context


_FILES: Final = ("tls_certificate", "tls_key")
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
