"""A bridge in this process with an EVM origin chain, on real nodes."""

from __future__ import annotations

import secrets
from pathlib import Path

from adapters.evm.lockbox.calls import LockboxCalls
from adapters.evm.lockbox.types import NATIVE_COIN
from foundation.quantities import TokenUnits
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from registry.caip import evm_chain, evm_coin
from tests.support.bridge_network import ETHER, bridge_network, eventually

NUMBER = 777


async def test_ether_goes_over_the_bridge_and_back(bitcoind: Bitcoind, fresh_anvil: Anvil, tmp_path: Path) -> None:
    """What is locked is minted but for the service fee; what is withdrawn is paid but for both fees, by the vault."""
    asset = evm_coin(evm_chain(NUMBER)).id
    async with (
        Anvil(tmp_path / "evm", chain_id=NUMBER) as evm,
        bridge_network(
            tmp_path / "bridge", bitcoind, fresh_anvil, evm=evm, storemen=2, threshold=2, vouchers=2
        ) as network,
        network.evm_account("alice") as alice,
    ):
        bob, payee = await network.account("bob"), secrets.token_bytes(20)
        assert network.evm_side is not None
        calls, native = LockboxCalls(network.evm_side.vault.lockbox), network.native
        await alice.send(calls.lock(NATIVE_COIN, TokenUnits(ETHER), bob.account), "lock")

        async def minted() -> int | None:
            token = await native.token_of(asset, "latest")
            return None if token is None else await native.token_balance(token, bob.account)

        assert await eventually(minted, "the tokens are minted", 60) == ETHER - ETHER // 1000
        token = await native.token_of(asset, "latest")
        assert token is not None
        await bob.send(native.calls.approve(token, TokenUnits(10**17)), "approve")
        await bob.send(native.calls.withdraw(asset, TokenUnits(10**17), TokenUnits(10**15), payee), "withdraw")

        async def paid() -> int | None:
            return int(str(await evm.rpc.call("eth_getBalance", "0x" + payee.hex(), "latest")), 16)

        assert await eventually(paid, "the vault pays", 60) == 10**17 - 10**14 - 10**15
