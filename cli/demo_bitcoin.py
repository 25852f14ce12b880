"""The demo's first transfer: bitcoin in, mapping token out, bitcoin back."""

from __future__ import annotations

from typing import Final

from adapters.bitcoin.addresses import REGTEST, parse_address
from adapters.bitcoin.primitives import OutPoint, parse_hash
from bridge.deposits import Deposit, Stage
from cli import withdrawing
from cli.demo_books import brief, until, who
from cli.demo_stage import STEP_SECONDS, Scene
from cli.depositing import announce, make_offer, new_reclaim_key, write_receipt
from cli.output import btc
from foundation.quantities import Satoshi, TokenUnits
from registry.ids import deposit_id

DEPOSITED: Final = Satoshi(50_000_000)
SENT: Final = TokenUnits(20_000_000)
WITHDRAWN: Final = TokenUnits(10_000_000)


async def bitcoin_there_and_back(scene: Scene) -> tuple[bytes, bytes]:
    """A bitcoin wallet's deposit, minted to Alice; her tokens to Bob; his withdrawal. The ids of the two transfers."""
    scene.screen.say("\nBitcoin: 0.5 BTC in, and back", "bold")
    deposit = await _deposit(scene)
    await _transfer(scene)
    requested = await _request(scene)
    await _sweep(scene, deposit)
    await _payout(scene, requested)
    return deposit, requested.id


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

        deposit = await until(minted, "the token is minted", STEP_SECONDS)
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
        entry = await until(lambda: scene.books.told(id_, "sweep signed by"), "the sweep is signed", STEP_SECONDS)
        assert entry.txid is not None, "the note names its transaction"
        txid = entry.txid
        await until(lambda: scene.bitcoin.mempool_entry(txid), "the sweep is broadcast", STEP_SECONDS)
        step.done(f"broadcast {brief(txid)}")
        step.also(who(entry))
        scene.note("deposit swept into the vault", btc(DEPOSITED), txid[::-1].hex())
    await _mine(scene, "A block confirms the sweep", "1 of 1 confirmations")
    with scene.screen.step("The vault has the coin") as step:

        async def swept() -> Deposit | None:
            found = await scene.books.deposit(id_)
            return found if found is not None and found.stage is Stage.SWEPT else None

        await until(swept, "the sweep is final", STEP_SECONDS)
        step.done(btc((await scene.books.reserves()).held))


async def _payout(scene: Scene, requested: withdrawing.Requested) -> None:
    """Bob is paid, and his tokens are burnt."""
    with scene.screen.step("The storemen reserve coins on the Hub") as step:
        payout = await until(lambda: scene.books.payout(requested.id), "the payout is reserved", STEP_SECONDS)
        step.done(f"payout {payout.payout_id.hex()[:12]}…, {len(payout.inputs)} coin(s)")
    with scene.screen.step("The storemen sign and broadcast the payout") as step:
        entry = await until(
            lambda: scene.books.told(requested.id, "payout signed by"), "the payout is signed", STEP_SECONDS
        )
        assert entry.txid is not None, "the note names its transaction"
        txid = entry.txid
        await until(lambda: scene.bitcoin.mempool_entry(txid), "the payout is broadcast", STEP_SECONDS)
        step.done(f"broadcast {brief(txid)}")
        step.also(who(entry))
    await _mine(scene, "A block confirms the payout", "1 of 1 confirmations")
    received = await scene.payee.balance()
    scene.note("paid to Bob's bitcoin address", btc(received), txid[::-1].hex())
    with scene.screen.step("The vouchers attest, the Hub burns the tokens") as step:
        settled = await until(
            lambda: scene.books.told(requested.id, "settled: "), "the payout is settled", STEP_SECONDS
        )
        attested = await until(
            lambda: scene.books.told(requested.id, "attested by voucher-"), "a voucher tells who attested"
        )
        assert settled.txid is not None, "the note names its transaction"
        step.done(f"{btc(WITHDRAWN)} in {brief(settled.txid, 'native')}")
        step.also(who(attested))
        scene.note("settled, tokens burnt", btc(WITHDRAWN), "0x" + settled.txid.hex())
