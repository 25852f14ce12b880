"""The demo's second and third transfer: Ether to a second person and back to a third, and a token that nobody knows."""

from __future__ import annotations

from typing import Final

from adapters.evm.hexes import address_text
from cli import locking, withdrawing
from cli.demo_books import brief, until, who
from cli.demo_stage import STEP_SECONDS, Scene
from cli.lock_assets import find_lockable
from cli.lock_receipt import LockReceipt
from cli.withdraw_terms import read_terms, suggested_relay_fee
from registry.assets import Asset

_ETHER: Final = "10"
_TOKENS: Final = "250"
_SUPPLY: Final = 1_000_000 * 10**18


async def ether_there_and_back(scene: Scene) -> tuple[bytes, bytes]:
    """Alice's Ether becomes Bob's tokens, which become Chris's Ether. The ids of the two transfers."""
    scene.screen.say("\nEther: 10 ETH from Alice to Bob's account here, and back to Chris on Ethereum", "bold")
    assert scene.network.origin is not None, "see `cli.demo_stage.people`"
    receipt = await _lock(scene, f"{scene.network.origin.chain}/slip44:60", _ETHER)
    asset = await _minted(scene, receipt)
    requested = await _withdraw(scene, asset)
    await _release(scene, asset, requested)
    return receipt.deposit, requested.id


async def unknown_token(scene: Scene) -> bytes:
    """A token that the bridge has never seen crosses it; the deposit's id."""
    scene.screen.say("\nA token that the bridge has never seen", "bold")
    origin = scene.network.origin
    assert origin is not None, "see `cli.demo_stage.people`"
    with scene.screen.step("Somebody deploys a token on Ethereum") as step:
        deployer = scene.network.owner_secret  # anybody: a sender of its own, beside Alice's
        token = await origin.deploy_token(deployer, "Trout Dollar", "TRD", 18, scene.alice.account, _SUPPLY)
        step.done(f"Trout Dollar (TRD), {address_text(token)[:14]}…")
        step.also("the Registry does not know it; its chain is open for such tokens")
    receipt = await _lock(scene, f"{origin.chain}/erc20:0x{token.hex()}", _TOKENS)
    with scene.screen.step("The vouchers read its name and introduce it") as step:

        async def registered() -> Asset | None:
            return await scene.native.asset(receipt.asset.id, "latest")

        asset = await until(registered, "the token is introduced", STEP_SECONDS)
        step.done(f"{asset.name} ({asset.symbol}), {asset.decimals} decimals")
        step.also(f"registered as {asset.caip19[:60]}…")
    await _minted(scene, receipt)
    return receipt.deposit


async def _lock(scene: Scene, name: str, amount: str) -> LockReceipt:
    found, _ = await find_lockable(scene.native, name)
    what = await locking.lockable(found, scene.origin)
    planned = await locking.plan(scene.native, scene.origin, what, what.parse(amount), scene.bob.account)
    with scene.screen.step(f"Alice locks {amount} {what.symbol} in the vault on Ethereum") as step:
        receipt = await locking.send_lock(
            scene.native,
            scene.origin,
            scene.alice_there,
            scene.secrets["alice"],
            planned,
            permit=None,
            progress=step.say,
        )
        receipt.write(scene.folder / f"lock-{receipt.number}.json")
        step.done(f"{what.shown(planned.amount)} in {brief(receipt.transaction, 'evm')}")
        step.also(
            f"lock {receipt.number} of the vault {address_text(receipt.lockbox)[:14]}…, for Bob on the native chain"
        )
        scene.note(f"{what.symbol} locked by Alice", what.shown(planned.amount), "0x" + receipt.transaction.hex())
    return receipt


async def _minted(scene: Scene, receipt: LockReceipt) -> Asset:
    with scene.screen.step("The vouchers attest, the Hub mints to Bob") as step:

        async def minted() -> bytes | None:
            found = await scene.books.deposit(receipt.deposit)
            if found is not None:
                step.say(f"the deposit is {found.stage}")
            return None if found is None else found.mint_transaction

        transaction = await until(minted, "the token is minted", STEP_SECONDS)
        deposit = await scene.books.deposit(receipt.deposit)
        asset = await scene.native.asset(receipt.asset.id, "latest")
        token = await scene.native.token_of(receipt.asset.id, "latest")
        assert deposit is not None, "it was minted"
        assert deposit.minted is not None, "it was minted"
        assert asset is not None, "what is minted is registered"
        assert token is not None, "what is minted has a token"
        info = await scene.native.token_info(token, "latest")
        shown, fee = asset.format(deposit.minted), asset.format(deposit.amount - deposit.minted)
        step.done(f"{shown} in {brief(transaction, 'native')}")
        step.also(who(await scene.attested(receipt.deposit)))
        step.also(f"as {info.symbol}, the mapping token {address_text(token)[:14]}…; the fee was {fee}")
        scene.note(f"{info.symbol} minted to Bob", shown, "0x" + transaction.hex())
    return asset


async def _withdraw(scene: Scene, asset: Asset) -> withdrawing.Requested:
    token = await withdrawing.token_of(scene.native, asset.id)
    amount = await scene.native.token_balance(token, scene.bob.account)
    with scene.screen.step("Bob withdraws to Chris's account on Ethereum") as step:
        to = f"{scene.origin.chain.caip2}:0x{scene.chris.hex()}"
        written = asset.format(amount).removesuffix(f" {asset.symbol}")
        terms = await read_terms(scene.native, scene.network.network(), written, to, asset.caip19)
        fee, _why = suggested_relay_fee(terms, await scene.origin.gas_price())
        requested = await withdrawing.request(scene.native, scene.bob, asset.id, terms.amount, fee, terms.destination)
        step.done(f"{asset.format(amount)} locked in {brief(requested.transaction, 'native')}")
        step.also(f"to {address_text(scene.chris)}")
        step.also(f"{asset.format(terms.service_fee)} for vouchers and storemen, {asset.format(fee)} for the carrier")
        scene.note("withdrawal requested by Bob", asset.format(amount), "0x" + requested.transaction.hex())
    return requested


async def _release(scene: Scene, asset: Asset, requested: withdrawing.Requested) -> None:
    with scene.screen.step("The storemen sign the release") as step:
        entry = await until(
            lambda: scene.books.told(requested.id, "release signed by"), "the release is signed", STEP_SECONDS
        )
        step.done("anyone may carry it to the vault now")
        step.also(who(entry))
    with scene.screen.step("A storeman carries it, the vault pays Chris") as step:

        async def paid() -> int | None:
            return await scene.origin.rpc.balance(scene.chris) or None

        received = await until(paid, "Chris is paid", STEP_SECONDS)
        released = await until(
            lambda: scene.books.told(requested.id, "released by the vault"), "the release is final", STEP_SECONDS
        )
        assert released.txid is not None, "the note names its transaction"
        step.done(f"{asset.format(received)} in {brief(released.txid, 'evm')}")
        scene.note("released to Chris", asset.format(received), "0x" + released.txid.hex())
    with scene.screen.step("The vouchers attest, the Hub burns the tokens") as step:
        settled = await until(
            lambda: scene.books.told(requested.id, "settled: "), "the withdrawal is settled", STEP_SECONDS
        )
        assert settled.txid is not None, "the note names its transaction"
        step.done(f"in {brief(settled.txid, 'native')}")
        step.also(who(await scene.attested(requested.id)))
        scene.note("settled, tokens burnt", "", "0x" + settled.txid.hex())
