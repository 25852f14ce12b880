"""HTLC outputs on a real node: claimed by the preimage, refunded after the time-out, and by nobody otherwise."""

from __future__ import annotations

import hashlib
import time

import pytest
from coincurve import PublicKeyXOnly

from adapters.bitcoin.addresses import REGTEST, address_text
from adapters.bitcoin.htlc import Htlc, htlc_spend, unspendable_key
from adapters.bitcoin.primitives import Coin, OutPoint, parse_hash
from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.transactions import parse_transaction
from foundation.quantities import Satoshi, SatPerKvB
from infra.bitcoind import Bitcoind
from infra.errors import RpcRefused

PREIMAGE = hashlib.sha256(b"preimage").digest()
PAYEE, PAYER = (hashlib.sha256(name).digest() for name in (b"payee", b"payer"))
RATE = SatPerKvB(2_000)
HOUR = 3_600


def key_of(secret: bytes) -> bytes:
    """The x-only public key."""
    return bytes(PublicKeyXOnly.from_secret(secret).format())


async def funded(node: Bitcoind, htlc: Htlc) -> Coin:
    """Pay an HTLC and confirm it."""
    txid = await node.faucet(address_text(htlc.script, REGTEST), Satoshi(100_000))
    parsed = parse_transaction(bytes.fromhex(str(await node.rpc.call("getrawtransaction", txid))))
    await node.mine()
    vout = next(number for number, output in enumerate(parsed.outputs) if output.script == htlc.script)
    return Coin(OutPoint(parse_hash(txid), vout), Satoshi(100_000), htlc.script)


def terms(expires_at: int, condition: bytes = hashlib.sha256(PREIMAGE).digest()) -> Htlc:
    """Terms between the two."""
    return Htlc(unspendable_key(bytes(32)), condition, key_of(PAYEE), key_of(PAYER), expires_at)


async def test_preimage_claims(bitcoind: Bitcoind) -> None:
    """A real node relays and mines a claim, which pays the payee and shows the preimage."""
    htlc = terms(int(time.time()) + HOUR)
    coin = await funded(bitcoind, htlc)
    raw = htlc_spend(htlc, coin, vault_script(key_of(PAYEE)), RATE, preimage=PREIMAGE).signed_by(PAYEE)
    await bitcoind.rpc.call("sendrawtransaction", raw.hex())
    await bitcoind.mine()
    assert await bitcoind.rpc.call("gettxout", coin.outpoint.txid[::-1].hex(), coin.outpoint.vout) is None
    assert htlc.preimage_in(parse_transaction(raw).witnesses[0]) == PREIMAGE


@pytest.mark.parametrize("preimage", [hashlib.sha256(b"other").digest(), b"\x07" * 31])
async def test_wrong_preimages_do_not(bitcoind: Bitcoind, preimage: bytes) -> None:
    """Neither another preimage, nor one of another length that hashes to the condition, makes a valid spend."""
    is_short = len(preimage) < 32
    htlc = terms(int(time.time()) + HOUR, hashlib.sha256(preimage if is_short else PREIMAGE).digest())
    coin = await funded(bitcoind, htlc)
    good = htlc_spend(htlc, coin, vault_script(key_of(PAYEE)), RATE, preimage=bytes(32)).signed_by(PAYEE)
    wrong = good.replace(b"\x20" + bytes(32) + b"\x49", bytes([len(preimage)]) + preimage + b"\x49")
    assert parse_transaction(wrong).witnesses[0][1] == preimage
    with pytest.raises(RpcRefused, match=r"mandatory-script-verify-flag-failed|mempool-script-verify"):
        await bitcoind.rpc.call("sendrawtransaction", wrong.hex())


async def test_refund_waits_for_the_median_time(fresh_bitcoind: Bitcoind) -> None:
    """A refund is not final until the median of the newest blocks' times has passed the time-out; then it pays back."""
    node = fresh_bitcoind
    now = int(time.time())
    htlc = terms(now + HOUR)
    coin = await funded(node, htlc)
    raw = htlc_spend(htlc, coin, vault_script(key_of(PAYER)), RATE).signed_by(PAYER)
    with pytest.raises(RpcRefused, match="non-final"):
        await node.rpc.call("sendrawtransaction", raw.hex())
    await node.rpc.call("setmocktime", now + HOUR + 1)
    await node.mine(5)
    with pytest.raises(RpcRefused, match="non-final"):
        await node.rpc.call("sendrawtransaction", raw.hex())
    await node.mine(1)
    assert await node.rpc.call("sendrawtransaction", raw.hex())
    await node.mine()
    assert await node.rpc.call("gettxout", coin.outpoint.txid[::-1].hex(), coin.outpoint.vout) is None
