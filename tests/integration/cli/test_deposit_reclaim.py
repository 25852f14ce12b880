"""`causeway deposit reclaim` with a receipt, a key and a real bitcoin node, while nothing else runs."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from coincurve import PublicKeyXOnly
from typer.testing import CliRunner

from adapters.bitcoin.addresses import REGTEST
from adapters.bitcoin.reclaim import reclaim_key_text
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.unspent import unspent_on
from bridge.coin_search import coins_since
from bridge.deposits import Purpose
from bridge.receipts import DepositReceipt
from cli.depositing import write_receipt
from cli.exits import ExitCode
from cli.main import app
from foundation.quantities import Satoshi
from infra.bitcoind import Bitcoind, Wallet
from tests.support.receipts import receipt

AMOUNT = Satoshi(1_000_000)
DELAY = 6


class Depositor:
    """A person with a receipt, a reclaim key and a bitcoin node."""

    def __init__(self, node: Bitcoind, wallet: Wallet, folder: Path, birthday: int) -> None:
        self.node = node
        self.wallet = wallet
        self.folder = folder
        secret = secrets.token_bytes(32)
        key = PublicKeyXOnly.from_secret(secret).format()
        self.receipt: DepositReceipt = receipt(
            delay=DELAY, salt=secrets.token_bytes(32), reclaim_key=key, birthday=birthday
        )
        write_receipt(folder / "receipt.json", self.receipt)
        (folder / "reclaim.key").write_text(reclaim_key_text(secret, REGTEST))
        (folder / "password").write_text(node.password + "\n")

    async def reclaims(self, *options: str, key: bool = True) -> tuple[int, dict[str, Any]]:
        """Run the command; its status and document (the error's where it failed)."""
        arguments = [
            *("deposit", "reclaim", str(self.folder / "receipt.json"), "--to", await self.wallet.address()),
            *("--bitcoin-url", self.node.url, "--bitcoin-user", self.node.user),
            *("--bitcoin-password-file", str(self.folder / "password"), "--fee-rate", "2", "--json"),
            *(("--reclaim-key-file", str(self.folder / "reclaim.key")) if key else ()),
            *options,
        ]
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments)  # it runs an event loop of its own
        if done.exit_code:
            return done.exit_code, json.loads(done.stderr[done.stderr.index("{") :])["error"]
        return 0, json.loads(done.stdout)


@pytest.fixture
async def depositor(bitcoind: Bitcoind, funded_wallet: Wallet, tmp_path: Path) -> Depositor:
    """Somebody who has paid a deposit address; one block confirms it."""
    person = Depositor(bitcoind, funded_wallet, tmp_path, await bitcoind.height())
    await funded_wallet.send(person.receipt.address, AMOUNT)
    await bitcoind.mine()
    return person


async def test_a_deposit_is_reclaimed_with_a_bitcoin_node_alone(depositor: Depositor) -> None:
    """Before its height there is a PSBT and nothing is sent; from its height on the same command pays the coin back."""
    code, document = await depositor.reclaims()
    assert code == 0, document
    (coin,) = document["coins"]
    assert coin["valid_from"] == await depositor.node.height() + DELAY
    assert (coin["valid"], coin["sent"]) == (False, False)
    shown = await depositor.node.rpc.call("decodepsbt", coin["psbt"])
    assert isinstance(shown, dict)
    assert shown["tx"]["txid"] or shown["tx"]["vin"]

    await depositor.node.mine(DELAY - 2)
    code, document = await depositor.reclaims()
    assert document["coins"][0]["valid"] is False, "the next block is one too early"

    await depositor.node.mine()
    before = await depositor.wallet.balance()
    code, document = await depositor.reclaims()
    assert code == 0, document
    (coin,) = document["coins"]
    assert coin["sent"] is True
    await depositor.node.mine()
    assert await depositor.wallet.balance() == before + AMOUNT - coin["fee_sat"]

    code, error = await depositor.reclaims()
    assert (code, error["type"]) == (ExitCode.NOT_FOUND, "NotFound")


async def test_two_payments_are_reclaimed_together_or_one_by_one(depositor: Depositor) -> None:
    """Each payment to the address is a coin of its own: --outpoint picks one, without it all are taken."""
    await depositor.wallet.send(depositor.receipt.address, AMOUNT)
    await depositor.node.mine(DELAY)
    code, document = await depositor.reclaims("--no-broadcast")
    assert code == 0, document
    first, second = document["coins"]
    assert not first["sent"]
    assert not second["sent"]
    code, document = await depositor.reclaims("--outpoint", second["outpoint"])
    assert code == 0, document
    assert [coin["outpoint"] for coin in document["coins"]] == [second["outpoint"]]
    assert document["coins"][0]["sent"] is True
    await depositor.node.mine()
    code, document = await depositor.reclaims()
    assert [coin["outpoint"] for coin in document["coins"]] == [first["outpoint"]]


async def test_without_the_key_a_psbt_is_made_for_whoever_has_it(depositor: Depositor) -> None:
    """A hardware wallet's owner signs elsewhere: the command needs no secret to build the transaction."""
    await depositor.node.mine(DELAY)
    code, document = await depositor.reclaims(key=False)
    assert code == 0, document
    (coin,) = document["coins"]
    assert (coin["valid"], coin["sent"], coin["signed"]) == (True, False, None)
    assert coin["psbt"]


async def test_another_transactions_coin_is_refused(depositor: Depositor) -> None:
    """--outpoint must name a payment of this receipt."""
    listed = await depositor.wallet.call("listunspent")
    assert isinstance(listed, list)
    other = next(coin for coin in listed if isinstance(coin, dict))
    code, error = await depositor.reclaims("--outpoint", f"{other['txid']}:{other['vout']}")
    assert (code, error["fields"]["field"]) == (ExitCode.BAD_INPUT, "--outpoint")


async def test_the_blocks_tell_what_became_of_a_deposits_coins(depositor: Depositor) -> None:
    """Reading the blocks since the receipt was made finds spent coins too, and who took them."""
    node, kept = depositor.node, depositor.receipt
    async with BitcoinRpc(node.url, node.user, node.password) as rpc:
        vault = vault_script(kept.terms.group_key)
        (found,), tip = await coins_since(rpc, kept.script, kept.birthday, vault)
        assert (found.coin.value, found.spend) == (AMOUNT, None)
        assert tip.height == await node.height()
        unspent = await unspent_on(rpc, [kept.script])
        assert unspent.coins == (found.coin,)
        await node.mine(DELAY)
        await depositor.reclaims()
        await node.mine()
        (found,), _ = await coins_since(rpc, kept.script, kept.birthday, vault)
        assert found.spend is not None
        assert found.spend.purpose is Purpose.RECLAIM
        assert (await unspent_on(rpc, [kept.script])).coins == ()
