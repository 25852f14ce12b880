"""The whole way: a trader's engine keeps a bundle, dies for good, and a tower's command brings its money back."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from pathlib import Path

import pytest

from adapters.bitcoin.hd_keys import new_mnemonic
from adapters.native.eip712 import account_of_secret
from foundation.quantities import Wei
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind, Wallet
from mpc.keystore import ScryptCost
from settlement.swap.terms import Role
from settlement.swap.wallet.secrets import TraderKeys
from settlement.swap.wallet.wallet_file import create_wallet
from settlement.swap.watchtower.bundle import Bundle
from settlement.swap.watchtower.shelf import SUFFIX
from tests.support.patience import PATIENCE_S, eventually
from tests.support.swap_people import COIN, agreed, town

pytestmark = pytest.mark.integration
CHEAP = ScryptCost(log_n=4)


async def causeway(*arguments: str | Path, password: str = "") -> asyncio.subprocess.Process:
    """A command, under way."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "swap", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "CAUSEWAY_PASSWORD": password},
    )


async def test_a_tower_refunds_for_an_engine_that_was_killed(
    tmp_path: Path, fresh_bitcoind: Bitcoind, fresh_anvil: Anvil
) -> None:
    """The bundles that the engine kept are enough, its database, its words and its node's wallet are not needed."""
    async with town(tmp_path, fresh_bitcoind, fresh_anvil) as place:
        words = new_mnemonic(secrets.token_bytes(32))
        place.alice.keys = TraderKeys(words)
        await fresh_anvil.faucet("0x" + place.alice.keys.account.hex(), Wei(10**18))
        bundles = tmp_path / "bundles"
        settings = place.alice.folder / "swap.toml"
        settings.write_text(settings.read_text() + f'\n[watchtower]\nfolder = "{bundles}"\n')
        async with place.alice.at_work() as alice, place.bob.at_work() as bob:
            offer = await place.alice.offer(alice, gives_bitcoin=True)
            await bob.trading.take(offer)
            swap_id = await agreed(bob, offer)
            file = bundles / f"{swap_id.hex()}{SUFFIX}"

            async def kept() -> Bundle | None:
                found = Bundle.decode(file.read_bytes()) if file.exists() else None
                row = await alice.office.swap(swap_id)
                is_sent = row is not None and bool(row.state.outputs)
                return found if found is not None and found.refunds and is_sent else None

            bundle = await eventually(kept, "a bundle with refunds is kept")
        create_wallet(place.alice.folder / "wallet", words, "p", CHEAP)
        by_hand = tmp_path / "by-hand.bundle"
        made = await causeway("bundle", swap_id.hex()[:8], by_hand, "--folder", place.alice.folder, password="p")  # noqa: S106
        out, err = await made.communicate()
        assert made.returncode == 0, err.decode()
        assert b"refund 1 BTC after T2" in out
        again = Bundle.decode(by_hand.read_bytes())
        assert [one.outpoint for one in again.refunds] == [one.outpoint for one in bundle.refunds]
        assert bundle.role is Role.FOLLOWER

        gas = secrets.token_bytes(32)
        await fresh_anvil.faucet("0x" + account_of_secret(gas).hex(), Wei(10**18))
        (tmp_path / "gas.key").write_text(gas.hex())
        tower = tmp_path / "tower"
        tower.mkdir()
        (tower / "swap.toml").write_text((place.bob.folder / "swap.toml").read_text())
        await fresh_bitcoind.mine()
        assert await alice_has(place.alice.wallet) < 2 * COIN
        watching = await causeway(
            *("watch", "--bundle", file, "--account-key", tmp_path / "gas.key"),
            *("--grace", "1s", "--folder", tower, "--json"),
        )
        await fresh_bitcoind.rpc.call("setmocktime", bundle.terms.bitcoin.expires_at + 2)
        await fresh_bitcoind.mine(11)

        async def refunded() -> bool:
            if await fresh_bitcoind.rpc.call("getrawmempool"):
                await fresh_bitcoind.mine()
            return await alice_has(place.alice.wallet) > 3 * COIN - 20_000

        await eventually(refunded, "the bitcoin is back")
        await fresh_anvil.rpc.call("evm_setNextBlockTimestamp", bundle.terms.evm.expires_at + 1)
        await fresh_anvil.mine()
        out, err = await asyncio.wait_for(watching.communicate(), PATIENCE_S)
        assert watching.returncode == 0, err.decode()
        news = [json.loads(line) for line in out.splitlines()]
        assert {one["swap"] for one in news} == {swap_id.hex()}
        assert any("the refund is broadcast" in one["news"] for one in news)
        assert news[-1]["news"] == "nothing is left that this bundle can do"


async def alice_has(wallet: Wallet) -> int:
    """Satoshi in a wallet."""
    return round(float((await wallet.call("getbalances"))["mine"]["trusted"]) * COIN)
