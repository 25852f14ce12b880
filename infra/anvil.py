"""An EVM development node, which plays the native chain (and, later, Ethereum)."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

from foundation.quantities import Wei
from infra.errors import NotReady, StateDamaged
from infra.node import Node
from infra.processes import Process
from infra.programs import Program, find_anvil
from infra.rpc import JsonRpc

MNEMONIC = "test test test test test test test test test test test junk"
"""The mnemonic that Ethereum's development tools share. Its accounts are known to everyone: for development only."""

CHAIN_ID = 31_337
"""The chain id that development chains use by custom."""

_ACCOUNTS = 20
_MINE_BATCH = 500
_FINALITY_TAGS = ("finalized", "latest")
_FINALITY_DEPTH = 2
"""Blocks from the finalized one to the latest, with one slot an epoch."""
_STATES = 512
"""Newest blocks after which balances and storage can be asked for; full nodes keep 128. Without such a limit the node
writes each older one to the disk, by the megabyte."""


class Anvil(Node):
    """anvil: a block every `block_seconds`, and one at once for each transaction; `finalized` is two blocks behind.

    Its state is kept in a file: a stopped node goes on where it was, with its blocks, logs and balances. After a kill
    it goes on from the last save, at most `save_seconds` back.
    """

    name: ClassVar[str] = "anvil"

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        chain_id: int = CHAIN_ID,
        mnemonic: str = MNEMONIC,
        block_seconds: float = 0.5,
        save_seconds: int = 5,
        state: Path | None = None,
        detached: bool = False,
    ) -> None:
        """Describe the node; see `Node`.

        Args:
            folder: its data folder.
            port: for a fixed port; a free one where None.
            chain_id: EIP-155 chain id.
            mnemonic: BIP-39 words; the first 20 accounts of m/44'/60'/0'/0 have 10,000 ether each.
            block_seconds: the time between two blocks.
            save_seconds: how often the state is saved.
            state: the state's file; `state.json` in the folder where None.
            detached: let it outlive this process.
        """
        super().__init__(folder, detached=detached)
        self._wanted_port = port
        self.chain_id = chain_id
        self.mnemonic = mnemonic
        self.block_seconds = block_seconds
        self.save_seconds = save_seconds
        self.state = state or self.folder / "state.json"

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, for HTTP and WebSocket both."""
        return self._port("port", self._wanted_port)

    @property
    def url(self) -> str:
        """Where JSON-RPC is served over HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        """Where JSON-RPC is served over WebSocket."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def rpc(self) -> JsonRpc:
        """The RPC interface."""
        return JsonRpc(self.name, self.url)

    async def start(self) -> Self:
        """As `Node.start`. Raises also `StateDamaged`.

        After a restart the clock, which anvil starts at its genesis block, is put right, and two blocks are mined: the
        saved state is that of the latest block alone, and calls at the finalized block have to work.
        """
        resumed = self.state.exists() and not self.is_running
        await super().start()
        if resumed:
            await self.rpc.call("anvil_setTime", int(time.time()))
            await self.mine(_FINALITY_DEPTH)
        return self

    def account_key(self, index: int) -> bytes:
        """The private key, 32 bytes, of the development account `index` (0 to 19)."""
        # Imported here: it takes half a second, which only those pay who ask for a key.
        from adapters.evm.accounts import Account

        Account.enable_unaudited_hdwallet_features()
        return bytes(Account.from_mnemonic(self.mnemonic, account_path=f"m/44'/60'/0'/0/{index}").key)

    async def mine(self, blocks: int = 1) -> None:
        """Mine `blocks` blocks now."""
        # In batches: one call for thousands would outlast the time limit of any client.
        for done in range(0, blocks, _MINE_BATCH):
            await self.rpc.call("anvil_mine", hex(min(_MINE_BATCH, blocks - done)))

    async def faucet(self, address: str, amount: Wei) -> None:
        """Add `amount` to the balance of `address` (0x and 40 hex digits) out of nothing."""
        balance = await self.rpc.call("eth_getBalance", address, "latest")
        assert isinstance(balance, str), "eth_getBalance returns a hex number"
        await self.rpc.call("anvil_setBalance", address, hex(int(balance, 16) + amount))

    async def height(self, tag: str = "latest") -> int:
        """The number of the block that `tag` (latest, safe, finalized) stands for."""
        block = await self.rpc.call("eth_getBlockByNumber", tag, False)
        if not isinstance(block, dict):
            raise NotReady(self.name, f"it has no {tag} block")
        return int(str(block["number"]), 16)

    def _find(self) -> Program:
        return find_anvil()

    async def _prepared(self, program: Program) -> Process:
        _check_state(self.state)
        arguments: list[str | Path] = ["--host", "127.0.0.1", "--port", str(self.port)]
        arguments += ["--chain-id", str(self.chain_id), "--mnemonic", self.mnemonic, "--accounts", str(_ACCOUNTS)]
        arguments += ["--block-time", str(self.block_seconds), "--mixed-mining", "--slots-in-an-epoch", "1"]
        # The genesis block is made anew at each start, from these arguments: it has to come out the same.
        arguments += ["--timestamp", self._setting("genesis_time", str(int(time.time())))]
        arguments += ["--state", self.state, "--state-interval", str(self.save_seconds)]
        arguments += ["--prune-history", str(_STATES), "--quiet"]
        return self._supervised(program, arguments)

    async def _probe(self, timeout_seconds: float) -> None:
        rpc = replace(self.rpc, timeout_seconds=timeout_seconds)
        for tag in _FINALITY_TAGS:
            if not isinstance(await rpc.call("eth_getBlockByNumber", tag, False), dict):
                raise NotReady(self.name, f"it has no {tag} block")


def _check_state(state: Path) -> None:
    """Refuse a state that a kill cut short: anvil would start another chain under the same name."""
    try:
        json.loads(state.read_text())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise StateDamaged(state, str(error)) from error
