"""The development network's EVM origin chain: its node, and what makes it one of the bridge's chains."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from cli.evm_config import add_evm_block, evm_block
from cli.exits import NotFound
from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.quantities import TokenUnits, Wei
from infra.anvil import Anvil

if TYPE_CHECKING:
    from adapters.evm.sender import TxSender
    from adapters.native.chain import NativeChain
    from cli.chain_registering import ChainPlan, Registered
    from registry.groups import Member

DEV_EVM_CHAIN: Final = 31_338
"""The chain's number where nobody chooses another one: the one after the native chain's."""
PEOPLE: Final = ("alice", "bob", "chris")
"""Accounts with coin on both EVM chains, for trying things out."""

_ETHER: Final = 10**18
_FUNDS: Final = Wei(1_000 * _ETHER)
_FEE_BPS: Final = 10
_LEAST: Final = TokenUnits(_ETHER // 1000)
_SECTION: Final[dict[str, Any]] = {"poll_seconds": 0.2, "give_back_after_seconds": 60.0}
"""For a chain whose blocks are quick, and for people who do not want to wait for an hour."""


class OriginAnvil(Anvil):
    """An anvil that plays the origin chain."""

    name: ClassVar[str] = "ethereum"


class DevOrigin:
    """The chain. Attributes: anvil (its node); chain (CAIP-2 text); people (folder of the people's keys)."""

    def __init__(self, folder: Path, number: int, *, detached: bool) -> None:
        """Describe it; nothing is written or started. `folder`: the network's; `number`: EIP-155."""
        self.folder = folder
        self.anvil = OriginAnvil(folder / OriginAnvil.name, chain_id=number, detached=detached)
        self.chain = f"eip155:{number}"
        self.people = folder / "people"
        self.registered: Registered | None = None
        """What the bridge knows of it; known after the network's start."""

    @property
    def block(self) -> str:
        """The `[[evm]]` block of every node, and of the network file."""
        return evm_block(self.chain, [self.anvil.url], _SECTION)

    def configure(self, config: Path) -> None:
        """Tell a node of it, where it does not know. Raises `BadInput`."""
        add_evm_block(config, self.chain, self.block)

    def secret_of(self, person: str) -> bytes:
        """The key of a person's account, 32 bytes. Raises `NotFound`."""
        try:
            return bytes.fromhex((self.people / f"{person}.key").read_text().strip())
        except FileNotFoundError:
            raise NotFound(f"there is no {person} in this network", f"one of {', '.join(PEOPLE)}") from None

    async def fund(self, accounts: Sequence[bytes], native: Anvil) -> None:
        """Give coin to accounts on this chain; and to the people, once, on both."""
        from adapters.native.eip712 import account_of_secret

        self.people.mkdir(mode=0o700, exist_ok=True)
        for person in PEOPLE:
            key = self.people / f"{person}.key"
            if key.exists():
                continue
            secret = secrets.token_bytes(32)
            account = "0x" + account_of_secret(secret).hex()
            await asyncio.gather(self.anvil.faucet(account, _FUNDS), native.faucet(account, _FUNDS))
            write_durably(key, secret.hex().encode())
        for account_ in accounts:
            address = "0x" + account_.hex()
            balance = await self.anvil.rpc.call("eth_getBalance", address, "latest")
            if int(str(balance), 16) < _FUNDS // 2:
                await self.anvil.faucet(address, _FUNDS)

    async def register(
        self,
        native: NativeChain,
        owner: TxSender,
        owner_secret: bytes,
        bitcoin: bytes,
        members: tuple[Member, ...],
        threshold: int,
        tell: Callable[[str], None],
        timeout_seconds: float,
    ) -> Registered:
        """Make it one of the bridge's chains, as `causeway chain register` does; what is done is left alone.

        Args:
            native: the native chain.
            owner: the owner's account on it.
            owner_secret: its key, which deploys the vault here.
            bitcoin: the bitcoin chain's id, 32 bytes.
            members, threshold: of the group.
            tell: told of each step.
            timeout_seconds: for each thing that is waited for.

        Raises:
            As `cli.chain_registering.Registration.run`.
        """
        from cli.chain_origin import open_journal, open_origin
        from cli.chain_registering import Registration
        from registry.caip import ChainId

        plan = self._plan(ChainId.parse(self.chain), owner.account, members, threshold)
        async with (
            open_journal(self.folder / "registration.db") as journal,
            open_origin(plan.chain, [self.anvil.url], owner_secret, journal, timeout_seconds, tell) as origin,
        ):
            run = Registration(native, owner, origin, bitcoin, plan, tell, timeout_seconds)
            self.registered = await run.run()
        return self.registered

    def _plan(self, chain: Any, owner: bytes, members: tuple[Member, ...], threshold: int) -> ChainPlan:
        from cli.chain_registering import ChainPlan, Coin
        from registry.assets import AssetPolicy
        from registry.caip import SLIP44_ETHER

        coin = AssetPolicy(_LEAST, TokenUnits(0), _LEAST, fee_bps=_FEE_BPS)
        introduced = AssetPolicy(TokenUnits(1), TokenUnits(0), TokenUnits(1), fee_bps=_FEE_BPS)
        return ChainPlan(
            chain=chain,
            coin=Coin("Ether", "ETH", 18, SLIP44_ETHER, coin),
            guardian=owner,
            window_seconds=86_400,
            introduced=introduced,
            is_open=True,
            members=members,
            threshold=threshold,
        )

    async def deploy_token(
        self, secret: bytes, name: str, symbol: str, decimals: int, holder: bytes, amount: int
    ) -> bytes:
        """Deploy a plain ERC-20 that nobody knows yet; its address.

        Args:
            secret: of the account that pays, 32 bytes.
            name, symbol, decimals: of the token.
            holder: the account (20 bytes) that gets all units.
            amount: in base units.

        Raises:
            BadInput: the token's contract would refuse them.
            What `TxSender.send` raises.
        """
        from adapters.evm.abi import encode_values
        from adapters.evm.types import Call

        if not 1 <= len(name.encode()) <= 50:
            raise BadInput("NAME", f"{name!r} is no name", "1 to 50 bytes")
        if not 1 <= len(symbol.encode()) <= 20:
            raise BadInput("SYMBOL", f"{symbol!r} is no symbol", "1 to 20 bytes")
        kinds = ["string", "string", "uint8", "address", "uint256"]
        arguments = encode_values(kinds, [name, symbol, decimals, holder, amount], "token")
        code = await asyncio.to_thread(token_code)
        async with self.sender(secret) as sender:
            result = await sender.send(Call(None, code + arguments, "deploy token"), f"token {secrets.token_hex(8)}")
        assert result.receipt.contract is not None, "a deployment has a contract"
        return result.receipt.contract

    @asynccontextmanager
    async def sender(self, secret: bytes) -> AsyncIterator[TxSender]:
        """Sends on this chain for the account of `secret` (32 bytes)."""
        from adapters.evm.flight import SenderPolicy
        from adapters.evm.journal import VolatileJournal
        from adapters.evm.lockbox.errors import typed_revert
        from adapters.evm.rpc import EvmRpc
        from adapters.evm.sender import TxSender

        policy = SenderPolicy(poll_seconds=0.02)
        async with (
            EvmRpc(self.anvil.url, reverted=typed_revert) as rpc,
            TxSender(rpc, VolatileJournal(), secret, self.anvil.chain_id, policy) as sender,
        ):
            yield sender


def account_named(origin: DevOrigin, text: str) -> bytes:
    """An account (20 bytes) that a person wrote as 0x and 40 hex digits, or by the name of one of `PEOPLE`."""
    from adapters.evm.hexes import parse_address
    from adapters.native.eip712 import account_of_secret

    return account_of_secret(origin.secret_of(text)) if text in PEOPLE else parse_address(text, "--to")


def token_code() -> bytes:
    """The creation code of the test token, compiled where it is needed: it is no part of any bridge."""
    from vyper.cli.vyper_compile import compile_files  # type: ignore[import-untyped]  # vyper ships no types

    source = Path(__file__).parent / "DevToken.vy"
    (compiled,) = compile_files([str(source)], ["bytecode"]).values()
    return bytes.fromhex(compiled["bytecode"].removeprefix("0x"))
