"""The depositor's way back: a receipt, a key and a bitcoin node; nothing of ours has to run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from coincurve import PublicKeyXOnly

from adapters.bitcoin.addresses import parse_address
from adapters.bitcoin.primitives import Coin, OutPoint, hash_text, parse_hash
from adapters.bitcoin.reclaim import UnsignedReclaim, parse_reclaim_key, reclaim_transaction, sign_reclaim
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.unspent import SCAN_SECONDS, unspent_on
from bridge.receipts import DepositReceipt
from bridge.settings import sat_per_kvb
from cli.context import network_file, open_bitcoin, read_text
from cli.exits import NotFound
from cli.output import btc, facts
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, SatPerKvB

_FALLBACK: Final = SatPerKvB(5_000)
_TARGET_BLOCKS: Final = 6


@dataclass(frozen=True, slots=True)
class BitcoinAccess:
    """Which bitcoin node to ask: one that the options name, else the network file's."""

    url: str | None
    user: str
    password_file: Path | None
    cookie: Path | None
    network: Path | None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[BitcoinRpc]:
        """Its RPC. Raises `BadInput`, `NotFound`."""
        if self.url is None:
            async with open_bitcoin(network_file(self.network), check=False, timeout_s=SCAN_SECONDS) as rpc:
                yield rpc
            return
        async with self._named(self.url) as rpc:
            yield rpc

    def _named(self, url: str) -> BitcoinRpc:
        if self.cookie is not None:
            return BitcoinRpc.from_cookie(url, self.cookie.expanduser(), timeout_s=SCAN_SECONDS)
        if self.password_file is None or not self.user:
            cure = "give --bitcoin-cookie, or --bitcoin-user and --bitcoin-password-file"
            raise BadInput("--bitcoin-url", "nothing says how to log in there", cure)
        password = read_text(self.password_file, "--bitcoin-password-file").rstrip("\r\n")
        return BitcoinRpc(url, self.user, password, timeout_s=SCAN_SECONDS)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the depositor asks for; see the command's options."""

    to: str
    key_file: Path | None
    fee_rate: float | None
    outpoint: str | None
    broadcast: bool


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What became of one coin. Fields: reclaim; tip; raw (signed; None without a key); sent."""

    reclaim: UnsignedReclaim
    tip: BlockHeight
    raw: bytes | None
    sent: bool

    @property
    def valid_from(self) -> BlockHeight:
        """The first block that may contain it."""
        assert self.reclaim.coin.height is not None, "only confirmed coins are reclaimed"
        return self.reclaim.valid_from(self.reclaim.coin.height)

    @property
    def valid(self) -> bool:
        """Whether the next block may contain it."""
        return self.tip + 1 >= self.valid_from

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "outpoint": str(self.reclaim.coin.outpoint),
            "amount_sat": self.reclaim.coin.value,
            "pays_sat": self.reclaim.output.value,
            "fee_sat": self.reclaim.fee,
            "txid": hash_text(self.reclaim.txid()),
            "valid_from": self.valid_from,
            "valid": self.valid,
            "sent": self.sent,
            "psbt": self.reclaim.psbt(),
            "signed": None if self.raw is None else self.raw.hex(),
        }

    def text(self) -> str:
        """For people; what is to be copied stands on a line of its own."""
        lines = facts(
            [
                ("coin", f"{self.reclaim.coin.outpoint}, {btc(self.reclaim.coin.value)}"),
                ("pays", f"{btc(self.reclaim.output.value)}, fee {self.reclaim.fee:,} sat"),
                ("transaction", hash_text(self.reclaim.txid())),
                ("valid", self._validity()),
            ]
        )
        if self.sent:
            return f"{lines}\n\nIt is sent: a block will confirm it."
        if self.raw is not None and self.valid:
            return (
                f"{lines}\n\nSigned and not sent; send it with any bitcoin node (sendrawtransaction):\n{self.raw.hex()}"
            )
        return f"{lines}\n\nReady to be signed by the reclaim key (PSBT):\n{self.reclaim.psbt()}"

    def _validity(self) -> str:
        if self.valid:
            return f"now (from block {self.valid_from:,} on; the chain is at {self.tip:,})"
        return f"from block {self.valid_from:,} on; the chain is at {self.tip:,}: run this again then"


@dataclass(frozen=True, slots=True)
class Outcome:
    """All coins of a receipt."""

    coins: tuple[Reclaimed, ...]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"coins": [coin.as_json() for coin in self.coins]}

    def text(self) -> str:
        """For people."""
        return "\n\n".join(coin.text() for coin in self.coins)


async def reclaim_all(
    receipt: DepositReceipt, access: BitcoinAccess, wishes: Wishes, progress: Callable[[str], None]
) -> Outcome:
    """Build, sign and send the reclaims of a receipt's coins, each as far as is possible now.

    Raises:
        BadInput: the key is not the receipt's, or an option is wrong.
        NotFound: no unspent coin is there.
        OutputBelowDust: a coin is worth less than its fee.
        MempoolRefused, and what else `BitcoinRpc` raises.
    """
    destination = parse_address(wishes.to, receipt.network, "--to")
    secret = None if wishes.key_file is None else _secret(wishes.key_file, receipt)
    wanted = None if wishes.outpoint is None else _outpoint(wishes.outpoint)
    async with access.open() as bitcoin:
        await bitcoin.check_network(receipt.network)
        coins, tip = await _coins(bitcoin, receipt, wanted, progress)
        rate = await _rate(bitcoin, wishes.fee_rate)
        done = []
        for coin in coins:
            reclaim = reclaim_transaction(receipt.terms, coin, destination, rate)
            raw = None if secret is None else sign_reclaim(reclaim, secret)
            one = Reclaimed(reclaim, tip, raw, False)
            if raw is not None and one.valid and wishes.broadcast:
                progress(f"sending {hash_text(reclaim.txid())}")
                await bitcoin.submit(raw)
                one = Reclaimed(reclaim, tip, raw, True)
            done.append(one)
    return Outcome(tuple(done))


async def _coins(
    bitcoin: BitcoinRpc, receipt: DepositReceipt, wanted: OutPoint | None, progress: Callable[[str], None]
) -> tuple[Sequence[Coin], BlockHeight]:
    if wanted is None:
        progress(f"searching the node's coins for {receipt.address}; on the main network that takes minutes")
        found = await unspent_on(bitcoin, [receipt.script])
        coins, tip = list(found.coins), found.tip.height
    else:
        tip = (await bitcoin.tip()).height
        coin = await bitcoin.unspent(wanted)
        coins = [] if coin is None else [coin]
        if coin is not None and coin.script != receipt.script:
            raise BadInput("--outpoint", "does not pay the receipt's address", "the payment of this receipt")
    if not coins:
        cure = "causeway deposit status tells whether it was ever paid, and what took the coin"
        raise NotFound(f"no confirmed, unspent coin is on {receipt.address}", cure)
    return coins, tip


async def _rate(bitcoin: BitcoinRpc, given: float | None) -> SatPerKvB:
    """What is asked for, or the node's estimate, and at least what its mempool takes."""
    if given is not None:
        return sat_per_kvb(given)
    estimate = await bitcoin.estimate_fee_rate(_TARGET_BLOCKS)
    return SatPerKvB(max(_FALLBACK if estimate is None else estimate, await bitcoin.relay_floor()))


def _secret(path: Path, receipt: DepositReceipt) -> bytes:
    secret = parse_reclaim_key(read_text(path, "--reclaim-key-file"), receipt.network)
    if PublicKeyXOnly.from_secret(secret).format() != receipt.terms.reclaim_key:
        raise BadInput(
            "--reclaim-key-file", "is not the key that this deposit was made with", "the key of this receipt"
        )
    return secret


def _outpoint(text: str) -> OutPoint:
    txid, _, vout = text.partition(":")
    if not (vout.isascii() and vout.isdigit() and len(vout) <= 10):
        raise BadInput("--outpoint", f"{text!r} is no outpoint", "TXID:VOUT, as explorers show them")
    return OutPoint(parse_hash(txid, "--outpoint"), int(vout))
