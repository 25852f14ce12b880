"""A trader's folder whose nodes nobody asks: bitcoin, ether, and tokens of six decimals."""

from __future__ import annotations

from pathlib import Path

from settlement.swap.engine.settings import TraderSettings, load_settings
from tests.support.swap_people import SETTINGS

TOKEN = b"\xaa" * 20
ESCROW = b"\x11" * 20
_BITCOIN = {"bitcoin": "http://127.0.0.1:1", "wallet": "w", "user": "u", "password": "p"}


def settings_in(folder: Path, *, symbols: tuple[str, ...] = ("USDC", "USDC.e"), board: str = "") -> TraderSettings:
    """Write a `swap.toml`, and read it."""
    text = SETTINGS.format(
        **_BITCOIN,
        zmq="",
        chain=31_337,
        genesis="01" * 32,
        evm="http://127.0.0.1:2",
        escrow=ESCROW.hex(),
        start=0,
        board=board,
    )
    for number, symbol in enumerate(symbols):
        address = TOKEN if not number else bytes([0xAB + number]) * 20
        text += f'\n[[evm.tokens]]\nsymbol = "{symbol}"\naddress = "0x{address.hex()}"\ndecimals = 6\n'
    (folder / "swap.toml").write_text(text)
    return load_settings(folder)
