"""The bridge's transactions on a real node: swept, paid out, replaced, helped by a child. A local key is the group."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.bitcoin.addresses import REGTEST, address_text, parse_address
from adapters.bitcoin.builders import (
    Payment,
    child_transaction,
    payout_transaction,
    return_transaction,
    sweep_transaction,
)
from adapters.bitcoin.fees import replacement_fee
from adapters.bitcoin.primitives import Coin, OutPoint, hash_text, parse_hash
from adapters.bitcoin.scripts import deposit_script, return_script
from adapters.bitcoin.transactions import UnsignedTx, check_signed, parse_transaction
from foundation.quantities import Satoshi, SatPerKvB
from infra.bitcoind import Bitcoind, Wallet, as_btc
from infra.errors import RpcRefused
from infra.rpc import Json
from tests.support.vault_coins import RECLAIM_KEY, VAULT, signatures, terms

RATE = SatPerKvB(2_000)
INCREMENTAL = SatPerKvB(1_000)
"""The node's `incrementalrelayfee` at its default."""


async def funded(node: Bitcoind, wallet: Wallet, value: int, *scripts: bytes) -> list[Coin]:
    """Coins of `value` with these scripts, paid by a wallet in one transaction, confirmed."""
    paid: dict[str, Json] = {address_text(script, REGTEST): as_btc(Satoshi(value)) for script in scripts}
    txid = str(await wallet.call("sendmany", "", paid))
    # Before it is mined: the index, which confirmed transactions are looked up in, lags behind the chain.
    parsed = parse_transaction(bytes.fromhex(str(await node.rpc.call("getrawtransaction", txid))))
    await node.mine()
    places = {output.script: number for number, output in enumerate(parsed.outputs)}
    height = await node.height()
    return [Coin(OutPoint(parse_hash(txid), places[script]), Satoshi(value), script, height) for script in scripts]


async def submitted(node: Bitcoind, unsigned: UnsignedTx, roots: Sequence[bytes] | None = None) -> bytes:
    """Sign, check and send it; the node must agree about its id, fee and size. Returns the signed form."""
    raw = unsigned.signed(signatures(unsigned, roots))
    check_signed(unsigned, raw)
    txid = await node.rpc.call("sendrawtransaction", raw.hex())
    assert txid == hash_text(unsigned.txid())
    entry = await node.rpc.call("getmempoolentry", txid)
    assert isinstance(entry, dict)
    fees = entry["fees"]
    assert isinstance(fees, dict)
    assert entry["vsize"] == unsigned.vsize
    assert round(float(str(fees["base"])) * 100_000_000) == unsigned.fee
    return raw


async def in_mempool(node: Bitcoind, unsigned: UnsignedTx) -> bool:
    pool = await node.rpc.call("getrawmempool")
    assert isinstance(pool, list)
    return hash_text(unsigned.txid()) in pool


def change_of(unsigned: UnsignedTx) -> Coin:
    """The last output, as a coin that is not confirmed yet."""
    output = unsigned.outputs[-1]
    return Coin(OutPoint(unsigned.txid(), len(unsigned.outputs) - 1), output.value, output.script)


@pytest.fixture
async def vault_coin(bitcoind: Bitcoind, funded_wallet: Wallet) -> Coin:
    """A million satoshi in the vault."""
    (coin,) = await funded(bitcoind, funded_wallet, 1_000_000, VAULT)
    return coin


async def payment_to(wallet: Wallet, amount: int, kind: str) -> Payment:
    """A payment to a fresh address of this kind."""
    return Payment(parse_address(await wallet.address(kind), REGTEST), Satoshi(amount), Satoshi(20_000))


async def test_deposits_are_swept_by_key_path(bitcoind: Bitcoind, funded_wallet: Wallet) -> None:
    """Deposits with different terms are swept in one transaction, which takes at most 60 virtual bytes for each."""
    deposits = [deposit_script(terms(number)) for number in range(25)]
    coins = await funded(bitcoind, funded_wallet, 50_000, *(deposit.script for deposit in deposits))
    unsigned = sweep_transaction(coins, VAULT, RATE)
    await submitted(bitcoind, unsigned, [deposit.merkle_root for deposit in deposits])  # the node agrees on the size
    assert unsigned.vsize / len(coins) <= 60
    await bitcoind.mine()
    assert not await in_mempool(bitcoind, unsigned)


async def test_a_batch_of_withdrawals_is_paid(bitcoind: Bitcoind, funded_wallet: Wallet, vault_coin: Coin) -> None:
    """Payments to every kind of address relay and confirm, less an equal share of the fee; the vault gets the rest."""
    kinds = ("legacy", "p2sh-segwit", "bech32", "bech32m")
    payments = [await payment_to(funded_wallet, 100_000, kind) for kind in kinds]
    unsigned = payout_transaction([vault_coin], payments, VAULT, RATE)
    await submitted(bitcoind, unsigned)
    (block,) = await bitcoind.mine()
    found = await funded_wallet.call("gettransaction", hash_text(unsigned.txid()))
    assert isinstance(found, dict)
    assert found["blockhash"] == block
    assert unsigned.outputs[-1].value == 600_000


async def test_a_payout_is_replaced_by_fee(bitcoind: Bitcoind, funded_wallet: Wallet, vault_coin: Coin) -> None:
    """A version with `replacement_fee` replaces the first; with a satoshi less the node refuses it."""
    payments = [await payment_to(funded_wallet, 100_000, "bech32")]
    first = payout_transaction([vault_coin], payments, VAULT, RATE)
    await submitted(bitcoind, first)
    least = replacement_fee(first.fee, first.vsize, INCREMENTAL)
    too_little = payout_transaction([vault_coin], payments, VAULT, RATE, minimum_fee=Satoshi(least - 1))
    with pytest.raises(RpcRefused, match="insufficient fee"):
        await submitted(bitcoind, too_little)
    second = payout_transaction([vault_coin], payments, VAULT, RATE, minimum_fee=least)
    await submitted(bitcoind, second)
    assert not await in_mempool(bitcoind, first)
    assert await in_mempool(bitcoind, second)
    await bitcoind.mine()


async def test_a_child_pays_for_its_parent(bitcoind: Bitcoind, funded_wallet: Wallet, vault_coin: Coin) -> None:
    """A child of the unconfirmed change is accepted, and the node sees the package at the wanted rate."""
    payments = [await payment_to(funded_wallet, 100_000, "bech32m")]
    parent = payout_transaction([vault_coin], payments, VAULT, SatPerKvB(1_000))
    await submitted(bitcoind, parent)
    child = child_transaction(parent.vsize, parent.fee, change_of(parent), VAULT, SatPerKvB(20_000))
    await submitted(bitcoind, child)
    entry = await bitcoind.rpc.call("getmempoolentry", hash_text(child.txid()))
    assert isinstance(entry, dict)
    assert entry["ancestorsize"] == parent.vsize + child.vsize
    assert (parent.fee + child.fee) * 1000 // (parent.vsize + child.vsize) == 20_000
    await bitcoind.mine()
    assert not await in_mempool(bitcoind, parent)
    assert not await in_mempool(bitcoind, child)


async def test_a_payout_without_change_relays(bitcoind: Bitcoind, funded_wallet: Wallet, vault_coin: Coin) -> None:
    """The whole coin is paid out, with some dust left over; at the relay floor, which rounding up just meets."""
    payments = [await payment_to(funded_wallet, 999_800, "bech32m")]
    unsigned = payout_transaction([vault_coin], payments, VAULT, SatPerKvB(2_501))
    assert len(unsigned.outputs) == 1
    await submitted(bitcoind, unsigned)
    await bitcoind.mine()


async def test_a_refused_deposit_is_returned(bitcoind: Bitcoind, funded_wallet: Wallet) -> None:
    """The group sends a deposit's coin to the depositor's return script, at the lowest rate that nodes relay."""
    deposit = deposit_script(terms(77))
    (coin,) = await funded(bitcoind, funded_wallet, 5_000, deposit.script)
    unsigned = return_transaction(coin, return_script(RECLAIM_KEY), SatPerKvB(1_000))
    await submitted(bitcoind, unsigned, [deposit.merkle_root])
    await bitcoind.mine()
    assert await bitcoind.rpc.call("gettxout", hash_text(unsigned.txid()), 0)
