"""A trader's commands around a swap: a folder, what is there, what is refused, and moving to another machine."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

import pytest

from adapters.evm.escrow.deploy import deploy_escrow
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.native.eip712 import account_of_secret
from foundation.quantities import Satoshi, Wei
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from settlement.swap.offers import SignedOffer
from tests.support.command import InProcess
from tests.support.swap_offers import an_offer

pytestmark = pytest.mark.integration


async def test_a_trader_begins_looks_and_moves_house(tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil) -> None:
    """`init` asks the nodes and makes 24 words; `funds` and `plan` tell; offers that cannot be are refused by name;
    a rescue file with the words makes the folder again elsewhere, and `recover` finds that nothing was missed."""
    deployer = secrets.token_bytes(32)
    await anvil.faucet("0x" + account_of_secret(deployer).hex(), Wei(10**20))
    policy = SenderPolicy(poll_seconds=0.02)
    async with (
        EvmRpc(anvil.url) as rpc,
        TxSender(rpc, VolatileJournal(), deployer, anvil.chain_id, policy) as sender,
    ):
        escrow, _ = await deploy_escrow(sender)
    wallet = await bitcoind.wallet(f"trader-{secrets.token_hex(4)}", Satoshi(200_000_000))
    (tmp_path / "rpc").write_text(bitcoind.password)
    nodes = ["--bitcoin-url", bitcoind.url, "--bitcoin-wallet", wallet.name, "--bitcoin-user", bitcoind.user]
    nodes += ["--bitcoin-password-file", str(tmp_path / "rpc"), "--evm-url", anvil.url]
    causeway = InProcess(tmp_path, {"CAUSEWAY_PASSWORD": "secret", "CAUSEWAY_SWAP": str(tmp_path / "alice")})

    async def told(*arguments: str, status: int = 0) -> Any:
        return await asyncio.to_thread(causeway.json, "swap", *arguments, status=status)

    async def refused(*arguments: str, status: int) -> str:
        done = await asyncio.to_thread(causeway.run, "swap", *arguments, status=status)
        return str(done.stderr)

    assert "is no trader's folder" in await refused("list", status=6)
    wrong = "0x" + b"\x11".hex() * 20
    assert "nothing" in await refused("init", "--escrow", wrong, "--escrow-start", "0", *nodes, status=4)
    made = await told("init", "--escrow", "0x" + escrow.hex(), *nodes)
    assert len(made["mnemonic"].split()) == 24
    assert "exists" in await refused("init", "--escrow", "0x" + escrow.hex(), *nodes, status=4)

    funds = await told("funds")
    assert (funds["account"], funds["bitcoin"], funds["evm"]) == (made["account"], "200000000", {"ETH": "0"})
    plan = await told("plan", "1BTC")
    assert 0 < plan["bitcoin_seconds"] < plan["evm_seconds"]
    assert len(plan["reasons"]) > 5

    assert "one side has to be bitcoin" in await refused("offer", "--give", "1ETH", "--want", "2ETH", status=3)
    assert "not known" in await refused("offer", "--give", "1BTC", "--want", "2DAI", status=3)
    assert "no span" in await refused("offer", "--give", "1BTC", "--want", "2ETH", "--valid", "soon", status=3)
    assert "gas included" in await refused("offer", "--give", "1BTC", "--want", "2ETH", "--no-qr", status=5)
    strange = an_offer(1_900_000_000)
    assert "escrow" in await refused("take", strange.text, "--yes", status=4)
    assert "as its maker signed it" in await refused("take", strange.text[:-30] + "a" * 30, "--yes", status=4)
    assert SignedOffer.read(strange.text) == strange
    assert (await told("list"))["swaps"] == []
    assert "no swap begins with" in await refused("show", "abcd", status=3)
    assert await told("resume") == []

    await anvil.faucet(made["account"], Wei(10**18))
    nobody = ("offer", "--give", "1BTC", "--want", "2ETH", "--valid", "2s", "--no-qr")
    assert "nobody took" in await refused(*nobody, status=5)

    file = tmp_path / "rescue"
    exported = await told("export", str(file), "--with-words")
    assert exported == {"file": str(file), "swaps": 0, "with_words": True}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "swap.toml").write_bytes((tmp_path / "alice" / "swap.toml").read_bytes())
    assert await told("import", str(file), "--folder", str(elsewhere)) == {"swaps": [], "need_your_word": []}
    assert (await told("funds", "--folder", str(elsewhere)))["account"] == made["account"]
    found = await told("recover", "--folder", str(elsewhere), "--gap", "20")
    assert (found["locks"], found["swaps"]) == (0, [])
