"""The coins of a Bitcoin engine, and the transactions that spend them. Pure but for the store.

Each account has an address of its own, so that it is known whose payment a coin is. All keys come from one secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from coincurve import PublicKeyXOnly
from sqlalchemy import ColumnElement, delete, select, update

from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.coins import select_coins
from adapters.bitcoin.errors import InsufficientFunds
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from adapters.bitcoin.scripts import dust_threshold, vault_script
from adapters.bitcoin.taproot import tweak_secret
from adapters.bitcoin.transactions import UnsignedTx, key_path_vsize
from foundation.database.repository import Repository
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB
from settlement.connector.settle.engines.tables import accounts, bitcoin_coins, bitcoin_versions
from settlement.quantities import tagged_hash

OURS: Final = ""
"""The owner of what funds the engine, and of its change."""
_OUTPOINT_BYTES: Final = 36


class Keys:
    """A key for each account, and one for ourselves, from one secret."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 bytes; whoever has it has the money."""
        self._secret = secret
        self._owners: dict[bytes, str] = {}

    def script(self, owner: str) -> bytes:
        """The Taproot output (BIP-86) that pays `owner`'s address."""
        script = vault_script(PublicKeyXOnly.from_secret(self._child(owner)).format())
        self._owners[script] = owner
        return script

    def owner(self, script: bytes) -> str:
        """Whose script it is, of those that were asked for."""
        return self._owners[script]

    def sign(self, unsigned: UnsignedTx) -> bytes:
        """The signed transaction; all its coins are of scripts that were asked for."""
        signatures = []
        for coin, sighash in zip(unsigned.inputs, unsigned.sighashes(), strict=True):
            key = tweak_secret(self._child(self.owner(coin.script)))
            signatures.append(key.sign_schnorr(sighash, secrets.token_bytes(32)))
        return unsigned.signed(signatures)

    def _child(self, owner: str) -> bytes:
        return tagged_hash("engine/bitcoin-key", self._secret, owner.encode())


def payment_to(
    payee: TxOut, coins: Sequence[Coin], change: bytes, rate: SatPerKvB, minimum_fee: Satoshi = Satoshi(0)
) -> UnsignedTx:
    """Pay exactly `payee` out of all of `coins`; the rest less the fee goes to `change`, where it is no dust.

    Raises:
        InsufficientFunds: the coins do not pay for the fee.
    """
    held = sum(coin.value for coin in coins)
    fee = max(fee_at(rate, key_path_vsize(len(coins), [payee.script, change])), minimum_fee)
    left = held - payee.value - fee
    if left >= dust_threshold(change):
        return UnsignedTx(tuple(coins), (payee, TxOut(Satoshi(left), change)))
    fee = max(fee_at(rate, key_path_vsize(len(coins), [payee.script])), minimum_fee)
    if held < payee.value + fee:
        raise InsufficientFunds(Satoshi(payee.value + fee), Satoshi(held))
    return UnsignedTx(tuple(coins), (payee,))


def coins_for(payee: TxOut, coins: Sequence[Coin], change: bytes, rate: SatPerKvB) -> tuple[Coin, ...]:
    """Coins that pay `payee` and the fee. Raises `InsufficientFunds`."""
    rest = fee_at(rate, key_path_vsize(1, [payee.script, change]))
    return select_coins(coins, Satoshi(payee.value + rest), rate, inputs_bear_fee=True)


@dataclass(frozen=True, slots=True)
class Version:
    """A signed transaction of a payment.

    Fields: payment (id); version (from 0; all spend the same coins); txid (32 bytes); raw; inputs; fee; signed_at (the
    height then); height (of its block, None outside of the chain).
    """

    payment: str
    version: int
    txid: bytes
    raw: bytes
    inputs: tuple[OutPoint, ...]
    fee: Satoshi
    signed_at: BlockHeight
    height: BlockHeight | None = None


@dataclass(frozen=True, slots=True)
class OwnedCoin:
    """A coin of ours in the chain. Fields: coin; owner (whose address it was paid to); is_credited."""

    coin: Coin
    owner: str
    is_credited: bool


class WalletStore(Repository):
    """Coins and versions, on the connection of a unit of work."""

    async def owners(self) -> tuple[str, ...]:
        """Everybody who ever had an address, ourselves first."""
        rows = await self._connection.execute(select(accounts.c.id).order_by(accounts.c.id))
        return (OURS, *(row.id for row in rows))

    async def receive(self, outpoint: OutPoint, value: int, owner: str, height: int) -> None:
        """A block has a coin for us."""
        row = {
            "outpoint": outpoint.serialized(),
            "value": value,
            "owner": owner,
            "height": height,
            "spent_height": None,
            "is_credited": 0,
        }
        statement = self._insert(bitcoin_coins).values(row)
        again = {"height": height, "spent_height": None}
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["outpoint"], set_=again))

    async def spend(self, outpoint: OutPoint, spender: bytes, height: int) -> None:
        """A block spends a coin of ours, by the transaction `spender`."""
        coin = update(bitcoin_coins).where(bitcoin_coins.c.outpoint == outpoint.serialized())
        await self._connection.execute(coin.values(spent_height=height))
        version = update(bitcoin_versions).where(bitcoin_versions.c.txid == spender)
        await self._connection.execute(version.values(height=height))

    async def disconnect(self, height: int) -> None:
        """The block at `height` left the chain. What it had credited stays credited, and is not credited again."""
        coins, versions = bitcoin_coins, bitcoin_versions
        fresh = delete(coins).where(coins.c.height == height, coins.c.is_credited == 0)
        await self._connection.execute(fresh)
        await self._connection.execute(update(coins).where(coins.c.spent_height == height).values(spent_height=None))
        await self._connection.execute(update(versions).where(versions.c.height == height).values(height=None))

    async def creditable(self, keys: Keys, up_to: int) -> tuple[OwnedCoin, ...]:
        """Coins of accounts, in blocks up to that height, that no credit was written for."""
        coins = bitcoin_coins.c
        return await self._coins(keys, coins.is_credited == 0, coins.owner != OURS, coins.height <= up_to)

    async def credited(self, outpoint: OutPoint) -> None:
        """A credit was written."""
        row = update(bitcoin_coins).where(bitcoin_coins.c.outpoint == outpoint.serialized())
        await self._connection.execute(row.values(is_credited=1))

    async def unspent(self, keys: Keys) -> tuple[OwnedCoin, ...]:
        """All coins that no block spends."""
        return await self._coins(keys, bitcoin_coins.c.spent_height.is_(None))

    async def spendable(self, keys: Keys) -> tuple[Coin, ...]:
        """Coins for a new payment: in the chain, and in no payment yet. Accounts' coins only once they are credited."""
        rows = await self._connection.execute(
            select(bitcoin_versions.c.inputs).where(bitcoin_versions.c.height.is_(None))
        )
        taken = {point for row in rows for point in _points(row.inputs)}
        found = await self.unspent(keys)
        return tuple(
            one.coin for one in found if (one.owner == OURS or one.is_credited) and one.coin.outpoint not in taken
        )

    async def coins_of(self, keys: Keys, points: Iterable[OutPoint]) -> tuple[Coin, ...]:
        """Coins by outpoint, in that order."""
        wanted = [point.serialized() for point in points]
        found = await self._coins(keys, bitcoin_coins.c.outpoint.in_(wanted))
        by_point = {one.coin.outpoint.serialized(): one.coin for one in found}
        return tuple(by_point[point] for point in wanted if point in by_point)

    async def spent_up_to(self, points: Iterable[OutPoint], height: int) -> bool:
        """Whether a block up to that height spends one of these coins."""
        wanted = [point.serialized() for point in points]
        table = bitcoin_coins.c
        query = select(table.outpoint).where(table.outpoint.in_(wanted), table.spent_height <= height)
        return (await self._connection.execute(query)).first() is not None

    async def add_version(self, version: Version) -> None:
        """Keep a signed transaction, before it is sent."""
        row = {
            "payment": version.payment,
            "version": version.version,
            "txid": version.txid,
            "raw": version.raw,
            "inputs": b"".join(point.serialized() for point in version.inputs),
            "fee": version.fee,
            "signed_at_height": version.signed_at,
            "height": None,
        }
        await self._connection.execute(self._insert(bitcoin_versions).values(row))

    async def versions(self, payment: str) -> tuple[Version, ...]:
        """The transactions of a payment, oldest first."""
        table = bitcoin_versions
        query = select(
            table.c.payment,
            table.c.version,
            table.c.txid,
            table.c.raw,
            table.c.inputs,
            table.c.fee,
            table.c.signed_at_height,
            table.c.height,
        )
        rows = await self._connection.execute(query.where(table.c.payment == payment).order_by(table.c.version))
        return tuple(
            Version(
                row.payment,
                row.version,
                bytes(row.txid),
                bytes(row.raw),
                _points(row.inputs),
                Satoshi(row.fee),
                BlockHeight(row.signed_at_height),
                None if row.height is None else BlockHeight(row.height),
            )
            for row in rows
        )

    async def _coins(self, keys: Keys, *where: ColumnElement[bool]) -> tuple[OwnedCoin, ...]:
        table = bitcoin_coins.c
        query = select(table.outpoint, table.value, table.owner, table.height, table.is_credited).where(*where)
        found = []
        for row in await self._connection.execute(query.order_by(table.outpoint)):
            point = OutPoint.parse(bytes(row.outpoint))
            coin = Coin(point, Satoshi(row.value), keys.script(row.owner), BlockHeight(row.height))
            found.append(OwnedCoin(coin, row.owner, bool(row.is_credited)))
        return tuple(found)


def _points(raw: bytes) -> tuple[OutPoint, ...]:
    return tuple(OutPoint.parse(raw[at : at + _OUTPOINT_BYTES]) for at in range(0, len(raw), _OUTPOINT_BYTES))
