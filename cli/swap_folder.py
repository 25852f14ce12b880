"""A trader's folder as commands find and open it, and how it comes to be."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from cli.context import home, keystore_password
from cli.exits import NotFound

if TYPE_CHECKING:
    from foundation.database import Database
    from settlement.swap.engine.settings import TraderSettings
    from settlement.swap.wallet.secrets import TraderKeys

FOLDER_VARIABLE: Final = "CAUSEWAY_SWAP"
WALLET_NAME: Final = "wallet"

FolderOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        envvar=FOLDER_VARIABLE,
        metavar="FOLDER",
        help="The trader's folder; by default .causeway/swap here.",
        show_default=False,
    ),
]


def swap_folder(given: Path | None) -> Path:
    """The trader's folder, which need not exist."""
    return (given or Path(os.environ.get(FOLDER_VARIABLE) or home() / "swap")).expanduser().absolute()


def trader(given: Path | None) -> TraderSettings:
    """The settings of a trader's folder. Raises `NotFound`, `BadInput`."""
    from settlement.swap.engine.settings import FILE_NAME, load_settings

    folder = swap_folder(given)
    if not (folder / FILE_NAME).exists():
        raise NotFound(f"{folder} is no trader's folder", "`causeway swap init` makes one; or name it with --folder")
    return load_settings(folder)


def trader_keys(settings: TraderSettings, password_file: Path | None) -> TraderKeys:
    """The keys of the folder's mnemonic, in its realm. Raises `WrongPassword`, `BadInput`, `NotFound`."""
    from settlement.swap.wallet.secrets import TraderKeys
    from settlement.swap.wallet.wallet_file import open_wallet

    path = settings.folder / WALLET_NAME
    if not path.exists():
        raise NotFound(f"there is no wallet at {path}", "`causeway swap init` makes one")
    words = open_wallet(path, keystore_password(password_file, what="swap wallet"))
    return TraderKeys(words).at(settings.realm)


@asynccontextmanager
async def reading(settings: TraderSettings) -> AsyncIterator[Database]:
    """The folder's database, to look at; another process may work on it. Raises `NotFound`."""
    from settlement.swap.engine.runtime import DATABASE_NAME, open_store

    if not (settings.folder / DATABASE_NAME).exists():
        raise NotFound("there are no swaps yet", "make an offer, or take one")
    async with open_store(settings.folder) as database:
        yield database
