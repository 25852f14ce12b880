"""What an operator may set of the REST interface: a file `api.toml` beside the gateway's configuration.

[tls]
certificate = "api.pem"        # relative to the file's folder
key = "api.key"
client_ca = "clients.pem"      # clients may show certificates that these have signed

[webhooks]
allow_private = false          # true: http and private addresses too, in a closed network

[board]                        # an order board for atomic swaps, under /board; without this section there is none
names = ["board.example:443"]  # host:port of it as traders write it, where a proxy stands before it

[retention]
acts_days = 400                # how long who did what is kept

[agents]                       # who is meant by a BIC or an LEI in ISO 20022 messages
BANKSGSG = "bank-b"
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import msgspec

from api.webhooks.deliverer import DeliveryRules
from foundation.errors import BadInput

ACTS_DAYS: Final = 400


@dataclass(frozen=True, slots=True)
class Tls:
    """Fields: certificate, key (PEM files); client_ca (PEM; empty: no certificates are asked of clients)."""

    certificate: str
    key: str
    client_ca: str = ""

    def context(self) -> ssl.SSLContext:
        """For a server; TLS 1.2 at least.

        Raises:
            BadInput: a file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.client_ca:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ssl.SSLError) as error:
            raise BadInput("tls", f"cannot be used: {error}", "name PEM files of a certificate and its key") from error
        return context


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """Fields: names (`host:port`s under which traders reach the board, besides where the interface listens)."""

    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Fields: tls (None: none, and loopback alone); deliveries (of webhooks); agents (parties by their BIC or LEI);
    board (None: there is none); acts_days (how long acts are kept, and the names of transfers)."""

    tls: Tls | None = None
    deliveries: DeliveryRules = field(default_factory=DeliveryRules)
    agents: dict[str, str] = field(default_factory=dict)
    board: BoardSettings | None = None
    acts_days: int = ACTS_DAYS


class _Webhooks(msgspec.Struct, forbid_unknown_fields=True):
    allow_private: bool = False


class _Tls(msgspec.Struct, forbid_unknown_fields=True):
    certificate: str
    key: str
    client_ca: str = ""


class _Board(msgspec.Struct, forbid_unknown_fields=True):
    names: frozenset[str] = frozenset()


class _Retention(msgspec.Struct, forbid_unknown_fields=True):
    acts_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] = ACTS_DAYS


class _File(msgspec.Struct, forbid_unknown_fields=True):
    tls: _Tls | None = None
    webhooks: _Webhooks = msgspec.field(default_factory=_Webhooks)
    agents: dict[str, str] = {}
    retention: _Retention = msgspec.field(default_factory=_Retention)
    board: _Board | None = None


def load_settings(path: Path) -> ApiSettings:
    """Read `api.toml`; what usually holds, where there is none.

    Raises:
        BadInput: names the field and what is wrong with it.
    """
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return ApiSettings()
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(str(path), str(error), "docs/rest.md shows the file") from error
    folder = path.parent.absolute()
    tls = None
    if found.tls is not None:
        given = found.tls
        client_ca = str(folder / given.client_ca) if given.client_ca else ""
        tls = Tls(str(folder / given.certificate), str(folder / given.key), client_ca)
    board = None if found.board is None else BoardSettings(found.board.names)
    return ApiSettings(
        tls,
        DeliveryRules(allow_private=found.webhooks.allow_private),
        dict(found.agents),
        board,
        found.retention.acts_days,
    )
