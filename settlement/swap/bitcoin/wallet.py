"""The trader's own bitcoin wallet: a wallet of its node, used over RPC. No key of it leaves the node.

A funding transaction is signed and handed to the caller, who saves it before it is broadcast; until then its coins are
set aside in the node. Source: Bitcoin Core, wallet/rpc/*.cpp (forms and codes of the answers).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec

from adapters.bitcoin import answers
from adapters.bitcoin.addresses import Network, address_text, parse_address
from adapters.bitcoin.builders import fee_at
from adapters.bitcoin.errors import BadAnswer, InsufficientFunds, RpcRefused
from adapters.bitcoin.fees import replacement_fee
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut, hash_text, parse_hash
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.transactions import parse_transaction
from foundation.errors import BadInput, Fatal, Retryable
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB
from settlement.swap.bitcoin.fees import Standing
from settlement.swap.bitcoin.funding import Draft, Funding, funding_draft, spend_vsize, sweep_draft

LABEL: Final = "causeway swap"
"""Under which the wallet lists the addresses that it makes for swaps."""
_TRIES: Final = 4
_COIN: Final = 100_000_000

_INVALID_PARAMETER: Final = -8
_WALLET_ERROR: Final = -4
_NO_FUNDS: Final = -6
_LOCKED: Final = -13
_NOT_FOUND: Final = -18
_NOT_SPECIFIED: Final = -19
"""Error codes of Bitcoin Core (rpc/protocol.h)."""

_T = TypeVar("_T")


class WalletLocked(Retryable):
    """The wallet is encrypted and locked: its owner has to unlock it (`walletpassphrase`)."""

    def __init__(self) -> None:
        super().__init__("the bitcoin wallet is locked: unlock it with walletpassphrase")


class CoinsTaken(Retryable):
    """Coins that were chosen were taken by somebody else meanwhile, again and again."""

    def __init__(self) -> None:
        super().__init__("the wallet's coins are being spent or set aside by somebody else")


class WalletUnusable(Fatal):
    """The wallet cannot do what a swap needs. Fields: problem; cure."""

    def __init__(self, problem: str, cure: str) -> None:
        self.problem = problem
        self.cure = cure
        super().__init__(f"the bitcoin wallet {problem} ({cure})")


class TraderWallet(Protocol):
    """What a swap needs of a wallet; `NodeWallet` says there what the methods return and raise."""

    async def balance(self) -> Satoshi: ...

    async def new_script(self) -> bytes: ...

    async def fund(self, paid: TxOut, rate: SatPerKvB, *, at_most: Satoshi) -> Funding: ...

    async def reserve(self, funding: Funding) -> None: ...

    async def release(self, funding: Funding) -> None: ...

    async def rebid(
        self, funding: Funding, standing: Standing | None, rate: SatPerKvB, incremental: SatPerKvB, *, at_most: Satoshi
    ) -> Funding: ...

    async def take_back(
        self, funding: Funding, standing: Standing | None, rate: SatPerKvB, incremental: SatPerKvB
    ) -> bytes: ...

    async def child(
        self, parent: bytes, parent_fee: Satoshi, coin: Coin, rate: SatPerKvB, *, minimum_fee: Satoshi = Satoshi(0)
    ) -> bytes: ...


class _Balance(msgspec.Struct, frozen=True):
    trusted: Decimal


class _Balances(msgspec.Struct, frozen=True):
    mine: _Balance


class _Unspent(msgspec.Struct, frozen=True):
    txid: answers.Hash
    vout: Annotated[int, msgspec.Meta(ge=0)]
    script: str = msgspec.field(name="scriptPubKey")
    amount: Decimal
    confirmations: int
    spendable: bool = False
    solvable: bool = False


class _Address(msgspec.Struct, frozen=True):
    ismine: bool


class _Signed(msgspec.Struct, frozen=True):
    hex: str
    complete: bool


class NodeWallet:
    """A wallet of a bitcoin node. Every method also raises what `BitcoinRpc` raises, `WalletLocked`, `WalletUnusable`.

    One process at a time signs for a swap; several may share the wallet.
    """

    def __init__(self, rpc: BitcoinRpc, network: Network) -> None:
        """`rpc`: its URL names the wallet (`/wallet/<name>`), unless the node has just one."""
        self._rpc = rpc
        self._network = network

    async def balance(self) -> Satoshi:
        """What it can spend: confirmed, or unconfirmed change of its own."""
        found = await self._call(_Balances, "getbalances")
        return answers.satoshi("getbalances", "mine.trusted", found.mine.trusted)

    async def new_script(self) -> bytes:
        """A fresh scriptPubKey of its own, Taproot."""
        text = await self._call(str, "getnewaddress", LABEL, "bech32m")
        return parse_address(text, self._network, "getnewaddress")

    async def owns(self, script: bytes) -> bool:
        """Whether a scriptPubKey is one of its own."""
        try:
            text = address_text(script, self._network)
        except BadInput:
            return False  # a script without an address
        found = await self._call(_Address, "getaddressinfo", text)
        return found.ismine

    async def coins(self, least_confirmations: int = 1) -> tuple[Coin, ...]:
        """Its coins that are confirmed so often and not set aside."""
        method = "listunspent"
        tip = await self._rpc.tip()
        found = await self._call(list[_Unspent], method, least_confirmations)
        coins = []
        for index, one in enumerate(found):
            if not (one.spendable and one.solvable):
                continue
            height = BlockHeight(tip.height - one.confirmations + 1) if one.confirmations else None
            value = answers.satoshi(method, f"[{index}].amount", one.amount)
            script = answers.decode_hex(method, one.script, f"[{index}].scriptPubKey")
            coins.append(Coin(OutPoint(parse_hash(one.txid), one.vout), value, script, height))
        return tuple(coins)

    # --- Funding ---

    async def fund(self, paid: TxOut, rate: SatPerKvB, *, at_most: Satoshi) -> Funding:
        """Sign a transaction that makes `paid` exactly, and set its coins aside. Nothing is broadcast.

        Save it, then broadcast it or `release` it. The coins are set aside until the node is started again: whoever
        starts anew calls `reserve` for each funding that it has saved.

        Args:
            rate: in sat/kvB.
            at_most: the highest fee.

        Raises:
            InsufficientFunds: the confirmed coins of native segregated witness do not suffice, now.
            CoinsTaken: others take the coins.
            OutputBelowDust: the amount is dust.
            BadInput: the fee is above `at_most`.
        """
        change = await self._change_script()
        for _ in range(_TRIES):
            draft = funding_draft(await self.coins(), paid, change, rate)
            if draft.fee > at_most:
                raise BadInput("fee", f"{draft.fee:,} satoshi to fund the swap", f"at most {at_most:,}")
            if await self._set_aside(draft.inputs):
                return await self._funding(draft, paid, draft.inputs)
        raise CoinsTaken

    async def reserve(self, funding: Funding) -> None:
        """Set its coins aside again, after a start of the node. Coins that are set aside, or spent, are left alone."""
        for coin in funding.inputs:
            await self._set_aside((coin,))

    async def release(self, funding: Funding) -> None:
        """Free its coins. Only for one that was never broadcast, nor will be."""
        await self._free(funding.inputs)

    async def rebid(
        self, funding: Funding, standing: Standing | None, rate: SatPerKvB, incremental: SatPerKvB, *, at_most: Satoshi
    ) -> Funding:
        """The same payment at a higher fee, with all of the same inputs and more where needed (BIP-125).

        Only in hash mode, for its txid is another one: the swap's output is found by its script. To be saved before it
        is broadcast.

        Args:
            standing: what the mempool has in its place (`BitcoinDesk.standing` of an input); None where it has nothing.
            incremental: the node's rate for replacements.

        Raises:
            As `fund`.
        """
        paid = TxOut(funding.coin.value, funding.coin.script)
        change = funding.change.script if funding.change is not None else await self._change_script()
        own = {coin.outpoint for coin in funding.inputs}
        for _ in range(_TRIES):
            others = await self.coins()
            minimum = Satoshi(0)
            for _ in range(2):  # the second time with the size that the first has found
                draft = funding_draft(others, paid, change, rate, required=funding.inputs, minimum_fee=minimum)
                if standing is not None:
                    vsize = spend_vsize(draft.inputs, [output.script for output in draft.outputs])
                    minimum = replacement_fee(standing.fee, vsize, incremental)
            if draft.fee > at_most:
                raise BadInput("fee", f"{draft.fee:,} satoshi to fund the swap", f"at most {at_most:,}")
            added = [coin for coin in draft.inputs if coin.outpoint not in own]
            if await self._set_aside(added):
                return await self._funding(draft, paid, added)
        raise CoinsTaken

    async def take_back(
        self, funding: Funding, standing: Standing | None, rate: SatPerKvB, incremental: SatPerKvB
    ) -> bytes:
        """A transaction, signed, that spends the inputs of a funding that lingers back to the wallet.

        Once it is final, the funding can never confirm. Raises `OutputBelowDust`.
        """
        change = funding.change.script if funding.change is not None else await self._change_script()
        minimum = Satoshi(0)
        if standing is not None:
            minimum = replacement_fee(standing.fee, spend_vsize(funding.inputs, [change]), incremental)
        return await self._signed(sweep_draft(funding.inputs, change, rate, minimum_fee=minimum))

    async def child(
        self, parent: bytes, parent_fee: Satoshi, coin: Coin, rate: SatPerKvB, *, minimum_fee: Satoshi = Satoshi(0)
    ) -> bytes:
        """A transaction, signed, that spends `coin` of an unconfirmed parent so that both together pay `rate` (CPFP).

        Where the parent cannot be replaced: a funding whose txid is signed for already, or a claim that needs the
        other side's signature. The money goes to the same script, so a second child replaces the first.

        Args:
            parent: the transaction, signed; parent_fee: what it pays.
            coin: its output to this wallet.
            minimum_fee: what a replacement of an earlier child has to pay.

        Raises:
            BadInput: `coin` is no output of the parent, or of a kind that no key of this wallet alone spends.
            OutputBelowDust: the coin does not bear the fee.
        """
        parsed = parse_transaction(parent)
        if coin.outpoint.txid != parsed.txid or parsed.outputs[coin.outpoint.vout] != TxOut(coin.value, coin.script):
            raise BadInput("coin", f"{coin.outpoint} is no output of the parent")
        together = parsed.vsize + spend_vsize([coin], [coin.script])
        missing = fee_at(rate, together) - parent_fee
        draft = sweep_draft([coin], coin.script, rate, minimum_fee=Satoshi(max(missing, minimum_fee, 0)))
        return await self._signed(draft)

    # --- The node's wallet ---

    async def _change_script(self) -> bytes:
        text = await self._call(str, "getrawchangeaddress", "bech32m")
        return parse_address(text, self._network, "getrawchangeaddress")

    async def _funding(self, draft: Draft, paid: TxOut, taken: Sequence[Coin]) -> Funding:
        try:
            raw = await self._signed(draft)
        except BaseException:
            # Nobody has the transaction, so nobody waits for its coins.
            await asyncio.shield(self._free(taken))
            raise
        return Funding(raw, draft.outputs.index(paid), draft.inputs)

    async def _free(self, coins: Sequence[Coin]) -> None:
        for coin in coins:
            try:
                await self._rpc.call("lockunspent", True, [_named(coin.outpoint)])
            except RpcRefused as refused:
                if refused.code != _INVALID_PARAMETER:  # free already, or spent
                    raise _wallet_error(refused) from refused

    async def _signed(self, draft: Draft) -> bytes:
        """Have the wallet sign all inputs, and believe nothing that it says about the rest."""
        method = "signrawtransactionwithwallet"
        spent = [
            {**_named(coin.outpoint), "scriptPubKey": coin.script.hex(), "amount": _btc(coin.value)}
            for coin in draft.inputs
        ]
        found = await self._call(_Signed, method, draft.serialized().hex(), spent)
        if not found.complete:
            raise WalletUnusable("cannot sign for its coins", "use a wallet with private keys, of one signer")
        raw = answers.decode_hex(method, found.hex, "hex")
        draft.check(raw)
        return raw

    async def _set_aside(self, coins: Sequence[Coin]) -> bool:
        """All of the coins or none; whether they were free."""
        if not coins:
            return True
        try:
            await self._rpc.call("lockunspent", False, [_named(coin.outpoint) for coin in coins])
        except RpcRefused as refused:
            if refused.code == _INVALID_PARAMETER:
                return False
            raise _wallet_error(refused) from refused
        return True

    async def _call(self, kind: type[_T], method: str, *params: object) -> _T:
        try:
            answer: Any = await self._rpc.call(method, *params)
        except RpcRefused as refused:
            raise _wallet_error(refused) from refused
        try:
            return msgspec.convert(answer, kind)
        except msgspec.ValidationError as error:
            raise BadAnswer(method, "result", str(error)) from error


def _named(outpoint: OutPoint) -> dict[str, object]:
    return {"txid": hash_text(outpoint.txid), "vout": outpoint.vout}


def _btc(value: int) -> Decimal:
    return Decimal(value) / _COIN


def _wallet_error(refused: RpcRefused) -> Exception:
    """What a refusal of the node means for whoever uses its wallet."""
    if refused.code == _LOCKED:
        return WalletLocked()
    if refused.code in (_NOT_FOUND, _NOT_SPECIFIED):
        return WalletUnusable(
            "is not loaded, or not named", "load it in the node, and name it in the URL: /wallet/NAME"
        )
    if refused.code == _NO_FUNDS:
        return InsufficientFunds(Satoshi(0), Satoshi(0))
    if refused.code == _WALLET_ERROR:
        return WalletUnusable(
            f"refuses {refused.method}: {refused.message}", "use a descriptor wallet with private keys"
        )
    return refused
