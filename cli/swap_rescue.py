"""Commands that move a trader's swaps to another machine, or bring them back: recover, export, import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.exits import NotFound
from cli.output import short, table
from cli.swap_folder import WALLET_NAME
from cli.swap_view import trade
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from settlement.swap.engine.runtime import only_process, open_engine, open_store, wall_clock
from settlement.swap.machine.outlook import needs_word
from settlement.swap.recovery.recover import recover
from settlement.swap.rescue import bring_in, export, open_rescue
from settlement.swap.store.store import SwapRow, SwapStore
from settlement.swap.wallet.secrets import TraderKeys
from settlement.swap.wallet.wallet_file import create_wallet, open_wallet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.output import Output
    from settlement.swap.engine.settings import TraderSettings


async def recover_swaps(
    settings: TraderSettings, keys: TraderKeys, output: Output, gap: int, since: int | None
) -> None:
    """Find this mnemonic's swaps on the chains."""
    async with open_engine(settings, keys) as engine:
        output.progress("asking the EVM nodes for all locks of your account, and for it")
        found = await recover(engine, gap=gap, since=None if since is None else BlockHeight(since))
    document = {
        "locks": found.locks,
        "swaps": [row.swap_id.hex() for row in found.swaps],
        "next_index": found.next_index,
        "need_your_word": [row.swap_id.hex() for row in _waiting(found.swaps)],
    }
    text = f"{found.locks} locks were looked at; {len(found.swaps)} swaps were not known here"
    if found.swaps:
        text += "\n\n" + _listed(settings, found.swaps) + _next_steps(found.swaps)
    output.result(document, text)


async def export_swaps(
    settings: TraderSettings, password: str, output: Output, swap: str | None, file: Path, with_words: bool
) -> None:
    """Write a rescue file under the wallet's password."""
    words = open_wallet(settings.folder / WALLET_NAME, password)
    keys = TraderKeys(words).at(settings.realm)
    async with open_store(settings.folder, keys) as database:
        only = None
        if swap is not None:
            async with database.view() as view:
                only = (await SwapStore(view.connection).named(swap)).swap_id
        count = await export(database, keys.wallet_id, file, password, only=only, mnemonic=words if with_words else "")
    text = f"{count} swaps are in {file}, encrypted under your wallet's password"
    if not with_words:
        text += "\nThe words are not in it: it is of use together with them, or with the wallet"
    output.result({"file": str(file), "swaps": count, "with_words": with_words}, text)


async def import_swaps(settings: TraderSettings, password: str, output: Output, file: Path) -> None:
    """Put a rescue file's swaps into this folder; its words make the wallet where there is none."""
    rescue = open_rescue(file, password)
    wallet = settings.folder / WALLET_NAME
    if not wallet.exists():
        if not rescue.mnemonic:
            raise NotFound("there is no wallet here, and no words in the file", "swap init with --mnemonic-file")
        create_wallet(wallet, rescue.mnemonic, password)
    keys = TraderKeys(open_wallet(wallet, password)).at(settings.realm)
    with only_process(settings.folder):
        async with open_store(settings.folder, keys) as database:
            brought = await bring_in(database, keys.wallet_id, rescue, wall_clock())
    document = {
        "swaps": [row.swap_id.hex() for row in brought],
        "need_your_word": [row.swap_id.hex() for row in _waiting(brought)],
    }
    text = f"{len(brought)} swaps were brought in"
    if brought:
        text += "\n\n" + _listed(settings, brought) + _next_steps(brought)
    output.result(document, text)


def check_file(file: Path) -> None:
    """Raises `BadInput` where a rescue file cannot be made there."""
    if file.exists():
        raise BadInput("FILE", f"{file} is there already", "a new name")
    if not file.absolute().parent.is_dir():
        raise BadInput("FILE", f"there is no folder {file.absolute().parent}", "make it first")


def _listed(settings: TraderSettings, rows: Sequence[SwapRow]) -> str:
    shown = [(short(row.swap_id), *trade(settings, row), row.role.value) for row in rows]
    return table(("swap", "give", "get", "you are the"), shown)


def _waiting(rows: Sequence[SwapRow]) -> list[SwapRow]:
    """Those that go on in time only by their owner's word."""
    now = wall_clock() // 1_000
    return [row for row in rows if needs_word(row.state) and row.state.gates.last_reveal > now]


def _next_steps(rows: Sequence[SwapRow]) -> str:
    text = "\n\nCarry on with them: causeway swap resume"
    for row in _waiting(rows):
        name = short(row.swap_id)
        text += (
            f"\n{name} needs your word: causeway swap redeem {name}, to show the secret and claim;"
            f"\nbut if you had called it off, causeway swap refund {name}: the other side may have your signature"
        )
    return text
