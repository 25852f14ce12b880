"""Who is on the demo's stage: the network, the chains, the nodes' books, and the people with their accounts."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adapters.bitcoin.rpc import BitcoinRpc
from adapters.evm.sender import TxSender
from adapters.native.chain import NativeChain
from adapters.native.eip712 import account_of_secret
from bridge.storage import JourneyEntry
from cli.context import open_bitcoin, open_native, open_sender
from cli.demo_books import Books, until
from cli.demo_screen import Screen
from cli.dev.network import DevNetwork
from cli.lock_chain import Origin, open_origin, open_origin_sender
from cli.output import btc
from foundation.files import write_durably
from foundation.quantities import Satoshi, Wei
from infra.bitcoind import Wallet
from registry.caip import ChainId

STEP_SECONDS: Final = 300.0
"""Until a step counts as never done: far more than it takes, because some machines are slow."""
_WALLET: Final = Satoshi(100_000_000)
_COIN: Final = Wei(100 * 10**18)


@dataclass
class Scene:
    """Everybody on the stage. `origin`: the EVM chain with its vault; `alice_there`: Alice's account on it."""

    screen: Screen
    network: DevNetwork
    folder: Path
    native: NativeChain
    bitcoin: BitcoinRpc
    origin: Origin
    books: Books
    depositor: Wallet
    payee: Wallet
    secrets: dict[str, bytes]
    alice: TxSender
    bob: TxSender
    alice_there: TxSender
    happened: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, what: str, amount: str, transaction: str) -> None:
        """A row of the table at the end."""
        self.happened.append((what, amount, transaction))

    @property
    def chris(self) -> bytes:
        """Chris's account, 20 bytes; he has nothing but that."""
        return account_of_secret(self.secrets["chris"])

    async def attested(self, transfer: bytes) -> JourneyEntry:
        """Who attested a transfer."""
        return await until(lambda: self.books.told(transfer, "attested by voucher-"), "a voucher tells who attested")


@asynccontextmanager
async def people(screen: Screen, network: DevNetwork, keys: Path) -> AsyncIterator[Scene]:
    """Open everything, and give the people what they begin with; `keys`: a folder for their keys."""
    assert network.origin is not None, "the demo's network has an EVM origin chain"
    found = network.network()
    books = Books([node.folder for node in [*network.storemen, *network.vouchers]])
    async with AsyncExitStack() as stack:
        native = await stack.enter_async_context(open_native(found))
        bitcoin = await stack.enter_async_context(open_bitcoin(found))
        await stack.enter_async_context(books)
        chain = await native.chain_info(ChainId.parse(network.origin.chain).id, "latest")
        assert chain is not None, "the network's start registers it"
        origin = await stack.enter_async_context(open_origin(found, native, chain, None))
        with screen.step("Wallets and accounts") as step:
            suffix = secrets.token_hex(3)
            depositor = await network.bitcoind.wallet(f"depositor-{suffix}", _WALLET)
            payee = await network.bitcoind.wallet(f"payee-{suffix}")
            known = {name: await _account(network, keys, name) for name in ("alice", "bob")}
            known["chris"] = secrets.token_bytes(32)
            step.done(f"a bitcoin wallet holds {btc(await depositor.balance())}")
            step.also("Alice and Bob have accounts on both EVM chains; Chris has an empty one on Ethereum")
        alice = await stack.enter_async_context(open_sender(found, native, known["alice"]))
        bob = await stack.enter_async_context(open_sender(found, native, known["bob"]))
        there = await stack.enter_async_context(open_origin_sender(found, origin, known["alice"]))
        yield Scene(screen, network, keys, native, bitcoin, origin, books, depositor, payee, known, alice, bob, there)


async def _account(network: DevNetwork, keys: Path, name: str) -> bytes:
    """A fresh account with coin on both chains; its key is kept in a file, so that commands can use it with --keep."""
    assert network.origin is not None, "see `people`"
    secret = secrets.token_bytes(32)
    write_durably(keys / f"{name}.key", secret.hex().encode())
    address = "0x" + account_of_secret(secret).hex()
    await network.anvil.faucet(address, _COIN)
    await network.origin.anvil.faucet(address, _COIN)
    return secret
