"""The main job, step by step, on a live network: bitcoin in, mapping token out, bitcoin back."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adapters.bitcoin.addresses import REGTEST, parse_address
from adapters.bitcoin.primitives import OutPoint, parse_hash
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.evm.sender import TxSender
from adapters.native.chain import NativeChain
from adapters.native.eip712 import account_of_secret
from bridge.deposits import Deposit, Stage
from bridge.reserves import Reserves, differences, observed
from cli import withdrawing
from cli.context import open_bitcoin, open_native, open_sender
from cli.demo_books import Books, brief, until, who
from cli.demo_screen import Screen
from cli.depositing import announce, make_offer, new_reclaim_key, write_receipt
from cli.dev.network import DevNetwork
from cli.output import btc
from foundation.files import write_durably
from foundation.quantities import Satoshi, TokenUnits, Wei
from infra.bitcoind import Wallet
from registry.ids import deposit_id

DEPOSITED: Final = Satoshi(50_000_000)
SENT: Final = TokenUnits(20_000_000)
WITHDRAWN: Final = TokenUnits(10_000_000)
_WALLET: Final = Satoshi(100_000_000)
_GAS: Final = Wei(10 * 10**18)
_STEP_SECONDS: Final = 60.0


@dataclass
class Scene:
    """Everybody on the stage: the network, its nodes' books, the chains, and the people with their wallets."""

    screen: Screen
    network: DevNetwork
    folder: Path
    native: NativeChain
    bitcoin: BitcoinRpc
    books: Books
    depositor: Wallet
    payee: Wallet
    alice: TxSender
    bob: TxSender
    happened: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, what: str, amount: str, transaction: str) -> None:
        """A row of the table at the end."""
        self.happened.append((what, amount, transaction))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What can be looked at afterwards. Fields: reserves; deposit, withdrawal (ids); address (the payee's)."""

    reserves: Reserves
    deposit: bytes
    withdrawal: bytes
    address: str


async def perform(screen: Screen, network: DevNetwork, keys: Path) -> Outcome:
    """The whole main job on a network that is started here; `keys`: a folder for the people's keys.

    Raises:
        TimedOut: a step took too long.
        What starting the network raises.
    """
    await _start(screen, network)
    async with _people(screen, network, keys) as scene:
        deposit = await _deposit(scene)
        await _transfer(scene)
        requested = await _request(scene)
        await _sweep(scene, deposit)
        await _payout(scene, requested)
        reserves = await _close(scene)
        return Outcome(reserves, deposit, requested.id, await scene.payee.address("bech32"))


async def _start(screen: Screen, network: DevNetwork) -> None:
    plan = network.plan
    with screen.step("A network starts: two chains and the nodes") as step:
        await network.start()
        assert network.group is not None, "start() sets it"
        assert network.group.key is not None, "start() waits for it"
        step.done(f"{plan.threshold} of {plan.storemen} storemen sign; {plan.vouchers} vouchers")
        step.also(
            f"bitcoind (regtest) and anvil; {len(network.nodes)} nodes, each a process with its keystore and database"
        )
        step.also(f"the storemen made the key {network.group.key.hex()[:24]}… together; nobody has it")


@asynccontextmanager
async def _people(screen: Screen, network: DevNetwork, keys: Path) -> AsyncIterator[Scene]:
    found = network.network()
    books = Books([node.folder for node in [*network.storemen, *network.vouchers]])
    async with open_native(found) as native, open_bitcoin(found) as bitcoin, books:
        with screen.step("Wallets and accounts") as step:
            suffix = secrets.token_hex(3)
            depositor = await network.bitcoind.wallet(f"depositor-{suffix}", _WALLET)
            payee = await network.bitcoind.wallet(f"payee-{suffix}")
            secrets_of = {name: await _account(network, keys, name) for name in ("alice", "bob")}
            step.done(f"a bitcoin wallet holds {btc(await depositor.balance())}")
            step.also("Alice and Bob have accounts on the native chain, with coin for gas")
        async with (
            open_sender(found, native, secrets_of["alice"]) as alice,
            open_sender(found, native, secrets_of["bob"]) as bob,
        ):
            yield Scene(screen, network, keys, native, bitcoin, books, depositor, payee, alice, bob)


async def _account(network: DevNetwork, keys: Path, name: str) -> bytes:
    """A fresh account with coin for gas; its key is kept in a file, so that commands can use it with --keep."""
    secret = secrets.token_bytes(32)
    write_durably(keys / f"{name}.key", secret.hex().encode())
    await network.anvil.faucet("0x" + account_of_secret(secret).hex(), _GAS)
    return secret


async def _deposit(scene: Scene) -> bytes:
    """A bitcoin wallet pays, and the token is minted; the deposit's id."""
    network = scene.network.network()
    with scene.screen.step("Alice makes a deposit address") as step:
        key = new_reclaim_key(scene.folder / "reclaim.key", network.network)
        offer = await make_offer(network, scene.native, scene.bitcoin, scene.alice.account, key)
        receipt = offer.receipt
        write_receipt(scene.folder / "receipt.json", receipt)
        announced = await announce(scene.native, scene.alice, receipt)
        assert announced is not None, "its salt is fresh"
        step.done(f"{receipt.address[:18]}…{receipt.address[-6:]}")
        step.also(
            f"announced in {brief(announced, 'native')}; the depositor may reclaim after {receipt.terms.delay} blocks"
        )
        scene.note("deposit address announced", "", "0x" + announced.hex())
    with scene.screen.step("The depositor's wallet pays") as step:
        text = await scene.depositor.send(receipt.address, DEPOSITED)
        txid = parse_hash(text)
        id_ = deposit_id(receipt.terms.asset, txid, await _output(scene, txid, receipt.script))
        step.done(f"{btc(DEPOSITED)} in {brief(text)}")
        scene.note("deposit paid", btc(DEPOSITED), text)
    await _mine(scene, "A block confirms the deposit", "1 of 1 confirmations")
    with scene.screen.step("The vouchers attest, the Hub mints to Alice") as step:

        async def minted() -> Deposit | None:
            found = await scene.books.deposit(id_)
            if found is not None:
                step.say(f"the deposit is {found.stage}")
            return found if found is not None and found.mint_transaction is not None else None

        deposit = await until(minted, "the token is minted", _STEP_SECONDS)
        assert deposit.mint_transaction is not None, "looked at"
        attested = await until(lambda: scene.books.told(id_, "attested by voucher-"), "a voucher tells who attested")
        step.done(f"{btc(deposit.minted)} in {brief(deposit.mint_transaction, 'native')}")
        step.also(who(attested))
        scene.note("token minted to Alice", btc(deposit.minted), "0x" + deposit.mint_transaction.hex())
    return id_


async def _output(scene: Scene, txid: bytes, script: bytes) -> int:
    """Which output of a transaction in the mempool pays to `script`."""
    vout = 0
    while True:
        coin = await scene.bitcoin.unspent(OutPoint(txid, vout), include_mempool=True)
        if coin is not None and coin.script == script:
            return vout
        vout += 1
        assert vout < 8, "a wallet's payment has an output or two"


async def _mine(scene: Scene, title: str, what: str) -> None:
    with scene.screen.step(title) as step:
        await scene.network.bitcoind.mine()
        step.done(f"{what}, block {await scene.network.bitcoind.height()}")


async def _transfer(scene: Scene) -> None:
    with scene.screen.step("Alice sends tokens to Bob") as step:
        token = await withdrawing.token_of(scene.native, scene.network.network().asset)
        sent = await scene.alice.send(scene.native.calls.transfer(token, scene.bob.account, SENT), "to bob")
        step.done(f"{btc(SENT)} in {brief(sent.transaction, 'native')}")
        scene.note("token sent to Bob", btc(SENT), "0x" + sent.transaction.hex())


async def _request(scene: Scene) -> withdrawing.Requested:
    address = await scene.payee.address()
    with scene.screen.step("Bob withdraws to a bitcoin address") as step:
        asset = scene.network.network().asset
        limit = await withdrawing.fee_limit(scene.bitcoin, WITHDRAWN)
        script, fee = parse_address(address, REGTEST), TokenUnits(limit.limit)
        requested = await withdrawing.request(scene.native, scene.bob, asset, WITHDRAWN, fee, script)
        step.done(f"{btc(WITHDRAWN)} locked in {brief(requested.transaction, 'native')}")
        step.also(f"to {address}")
        step.also(f"the miner's fee is taken from it, at most {limit.limit:,} sat")
        scene.note("withdrawal requested by Bob", btc(WITHDRAWN), "0x" + requested.transaction.hex())
    return requested


async def _sweep(scene: Scene, id_: bytes) -> None:
    """The deposit's coin goes to the vault, from which Bob is paid."""
    with scene.screen.step("The storemen sweep the coin into the vault") as step:
        entry = await until(lambda: scene.books.told(id_, "sweep signed by"), "the sweep is signed", _STEP_SECONDS)
        assert entry.txid is not None, "the note names its transaction"
        txid = entry.txid
        await until(lambda: scene.bitcoin.mempool_entry(txid), "the sweep is broadcast", _STEP_SECONDS)
        step.done(f"broadcast {brief(txid)}")
        step.also(who(entry))
        scene.note("deposit swept into the vault", btc(DEPOSITED), txid[::-1].hex())
    await _mine(scene, "A block confirms the sweep", "1 of 1 confirmations")
    with scene.screen.step("The vault has the coin") as step:

        async def swept() -> Deposit | None:
            found = await scene.books.deposit(id_)
            return found if found is not None and found.stage is Stage.SWEPT else None

        await until(swept, "the sweep is final", _STEP_SECONDS)
        step.done(btc((await scene.books.reserves()).held))


async def _payout(scene: Scene, requested: withdrawing.Requested) -> None:
    """Bob is paid, and his tokens are burnt."""
    with scene.screen.step("The storemen reserve coins on the Hub") as step:
        payout = await until(lambda: scene.books.payout(requested.id), "the payout is reserved", _STEP_SECONDS)
        step.done(f"payout {payout.payout_id.hex()[:12]}…, {len(payout.inputs)} coin(s)")
    with scene.screen.step("The storemen sign and broadcast the payout") as step:
        entry = await until(
            lambda: scene.books.told(requested.id, "payout signed by"), "the payout is signed", _STEP_SECONDS
        )
        assert entry.txid is not None, "the note names its transaction"
        txid = entry.txid
        await until(lambda: scene.bitcoin.mempool_entry(txid), "the payout is broadcast", _STEP_SECONDS)
        step.done(f"broadcast {brief(txid)}")
        step.also(who(entry))
    await _mine(scene, "A block confirms the payout", "1 of 1 confirmations")
    received = await scene.payee.balance()
    scene.note("paid to Bob's bitcoin address", btc(received), txid[::-1].hex())
    with scene.screen.step("The vouchers attest, the Hub burns the tokens") as step:
        settled = await until(
            lambda: scene.books.told(requested.id, "settled: "), "the payout is settled", _STEP_SECONDS
        )
        attested = await until(
            lambda: scene.books.told(requested.id, "attested by voucher-"), "a voucher tells who attested"
        )
        assert settled.txid is not None, "the note names its transaction"
        step.done(f"{btc(WITHDRAWN)} in {brief(settled.txid, 'native')}")
        step.also(who(attested))
        scene.note("settled, tokens burnt", btc(WITHDRAWN), "0x" + settled.txid.hex())


async def _close(scene: Scene) -> Reserves:
    """The table, and the proof of reserves."""
    found = scene.network.network()
    with scene.screen.step("Everybody counts: proof of reserves") as step:

        async def agreed() -> Reserves | None:
            ours = await scene.books.reserves()
            chains = await observed(scene.bitcoin, scene.native, found.chain, found.asset, ours.block)
            # Until the settlement is final on the native chain, both still count Bob's payment as not burnt.
            return None if chains.unsettled or differences(ours, chains) else chains

        reserves = await until(agreed, "a storeman's books and the chains agree", _STEP_SECONDS)
        step.done("storemen's books and chains agree")
    screen = scene.screen
    token = await withdrawing.token_of(scene.native, found.asset)
    balances = [
        ("Alice's tokens now", btc(await scene.native.token_balance(token, scene.alice.account)), ""),
        ("Bob's tokens now", btc(await scene.native.token_balance(token, scene.bob.account)), ""),
    ]
    screen.say()
    screen.table("What happened", ("what", "amount", "transaction"), [*scene.happened, *balances])
    screen.say()
    screen.say(f"Proof of reserves: {reserves.line()}", "bold green" if reserves.covered else "bold red")
    return reserves
