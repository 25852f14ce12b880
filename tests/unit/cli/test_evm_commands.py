"""`lock`, `withdraw`, `relay`, `bond` and `voucher halt`, as far as no chain is asked, and what they work out."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey
from typer.testing import CliRunner

from adapters.bitcoin.addresses import REGTEST
from adapters.evm.lockbox.events import LockboxEvent, PaymentDelayed, PaymentFailed, Released
from adapters.evm.lockbox.messages import Messages
from adapters.evm.lockbox.messages import proof as made_proof
from adapters.evm.lockbox.types import Payment, Position
from adapters.evm.types import BlockRef
from adapters.native.proofs import Proof
from adapters.native.types import WithdrawalRecord, WithdrawalStatus
from cli.exits import ExitCode, NotFound
from cli.lock_assets import Destination, Newcomer, find_lockable
from cli.lock_permit import PermitTerms, separator
from cli.lock_receipt import LockReceipt
from cli.locking import Lockable, plan
from cli.main import app
from cli.relaying import Release, outcomes, payment_of, verifies
from cli.withdraw import _check
from cli.withdraw_terms import WithdrawTerms, read_terms, suggested_relay_fee
from cli.withdrawing import TooLate
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, TokenUnits, Wei
from registry.assets import Asset, AssetPolicy
from registry.caip import AssetType, ChainId, erc20, evm_coin
from registry.chains import Chain, Vault

ETHER = 10**18
ACCOUNT = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
EVM = Chain.named(ChainId("eip155", "5001"), b"\x0e" * 32, 1)
BITCOIN = Chain.named(ChainId.parse("bip122:0f9188f13cb7b2c71f2a335e3a4fc328"), b"\x0f" * 32, 1)
TERMS = AssetPolicy(TokenUnits(1_000), TokenUnits(0), TokenUnits(1_000), fee_bps=100)
COIN = Asset.named(evm_coin(EVM.chain_id), "Ether", "ETH", 18, TERMS)
USD = Asset.named(erc20(EVM.chain_id, b"\x0a" * 20), "Dollar", "USDX", 6, TERMS)
FALSE_USD = Asset.named(erc20(EVM.chain_id, b"\x0b" * 20), "Dollar", "USDX", 6, TERMS)
BTC = Asset.named(AssetType.parse(f"{BITCOIN.caip2}/slip44:1"), "Bitcoin", "BTC", 8, TERMS)
HUB, LOCKBOX = b"\x02" * 20, b"\x10" * 20


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, node or key of the machine is found by chance."""
    monkeypatch.chdir(tmp_path)
    for name in ("CAUSEWAY_HOME", "CAUSEWAY_NETWORK", "CAUSEWAY_NODE", "CAUSEWAY_ACCOUNT_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: Any) -> tuple[int, dict[str, Any]]:
    """The exit status, and the error's document."""
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    return done.exit_code, json.loads(done.stderr)["error"] if done.stderr.startswith("{") else {}


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["lock", "ETH", "1", "--recipient", ACCOUNT[:-1] + "9"], "--recipient"),
        (["lock", "ETH", "1", "--recipient", ACCOUNT], "--account-key"),
        (["lock", "status", "missing.json"], "missing.json"),
        (["withdraw", "1", "--to", "eip155:1:0x00", "--max-fee", "1", "--relay-fee", "1"], "--relay-fee"),
        (["withdraw", "raise-fee", "5f1a9c"], "--max-fee"),
        (["relay", "--chain", "eip155:1"], "ID"),
        (["relay", "5f1a", "--all", "--chain", "eip155:1"], "ID"),
        (["relay", "--all", "--chain", "eip155:1"], "--account-key"),
        (["relay", "--all", "--chain", "eip155:1", "--min-profit", "much"], "--min-profit"),
        (["relay", "claim", "-5x", "--chain", "eip155:1"], None),
        (["relay", "claim", "five", "--chain", "eip155:1"], "NUMBER"),
        (["relay", "claim", str(1 << 256), "--chain", "eip155:1"], "NUMBER"),
        (["bond", "delegate", "voucher-1", "0"], "AMOUNT"),
        (["bond", "delegate", "voucher-1", "1,5"], "AMOUNT"),
        (["bond", "deposit", "1", "--join-as-storeman", "9c3f"], "--join-as-storeman"),
        (["bond", "unbond", "3", "some"], "AMOUNT"),
        (["bond", "claim"], "--account-key"),
    ],
)
def test_what_can_be_refused_is_refused_before_a_chain_is_asked(arguments: list[str], field: str | None) -> None:
    """The option or argument that is wrong is named; a wrong command line has a status of its own."""
    code, error = run(*arguments)
    if field is None:
        assert code == ExitCode.USAGE
        return
    assert (code, error["fields"]["field"]) == (ExitCode.BAD_INPUT, field)
    assert error["cure"]


RECEIPT = LockReceipt(
    asset=AssetType.parse(USD.caip19),
    decimals=6,
    symbol="USDX",
    lockbox=LOCKBOX,
    number=7,
    amount=TokenUnits(2**255),
    sender=b"\x03" * 20,
    recipient=b"\x04" * 20,
    transaction=b"\x05" * 32,
    block=BlockHeight(9),
    hub_chain_id=31_337,
    hub=HUB,
)


def test_a_locks_receipt_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Amounts of any size survive; a changed member is noticed and named, with the file."""
    path = tmp_path / "lock.json"
    RECEIPT.write(path)
    assert LockReceipt.read(path) == RECEIPT
    content = json.loads(path.read_text())
    for name, value in (
        ("number", 8),
        ("lock", "00" * 32),
        ("amount", "1.5"),
        ("asset", COIN.caip19 + "x"),
        ("kind", "causeway deposit receipt"),
        ("version", 2),
        ("transaction", "0x12"),
        ("more", 1),
    ):
        path.write_text(json.dumps(content | {name: value}))
        with pytest.raises(BadInput) as error:
            LockReceipt.read(path)
        assert error.value.field.startswith(str(path))


class Native:
    """A native chain that is asked about assets and their chains."""

    def __init__(self, *assets: Asset, is_open: bool = False, halted: int = 0) -> None:
        self._assets = assets
        self._open = is_open
        self._halted = halted

    @property
    def deployment(self) -> Any:
        class Where:
            chain_id = 31_337
            hub = HUB

        return Where

    async def assets(self, at: Any = None) -> tuple[Asset, ...]:
        return self._assets

    async def asset(self, asset: bytes, at: Any = None) -> Asset | None:
        return next((one for one in self._assets if one.id == asset), None)

    async def chain_info(self, chain: bytes, at: Any = None) -> Chain | None:
        return next((one for one in (EVM, BITCOIN) if one.id == chain), None)

    async def chain_by_text(self, caip2: str, at: Any = None) -> Chain | None:
        return next((one for one in (EVM, BITCOIN) if one.caip2 == caip2), None)

    async def chain_policy(self, chain: bytes, at: Any = None) -> AssetPolicy | None:
        return TERMS if self._open else None

    async def vault(self, chain: bytes, at: Any = None) -> Vault | None:
        return Vault(LOCKBOX, BlockHeight(1), b"\x09" * 32) if chain == EVM.id else None

    async def halted_until(self, asset: bytes, at: Any = None) -> int:
        return self._halted


class Network:
    """A network file's facts."""

    network = REGTEST
    chain = BITCOIN.id
    asset = BTC.id


def lockable(native: Native, text: str) -> Any:
    return asyncio.run(find_lockable(native, text))  # type: ignore[arg-type]  # a fake


def test_an_asset_to_lock_is_found_or_may_be_new() -> None:
    """By symbol and by name; an address in any letters; a token that nobody knows only where the chain is open."""
    native = Native(BTC, COIN, USD)
    assert lockable(native, "ETH") == (COIN, EVM)
    assert lockable(native, USD.caip19.replace("0x0a", "0x0A").upper().replace("EIP155", "eip155").replace(
        "ERC20:0X", "erc20:0x")) == (USD, EVM)  # fmt: skip
    with pytest.raises(BadInput) as error:
        lockable(native, "BTC")
    assert error.value.cure == "causeway deposit address"
    strange = str(erc20(EVM.chain_id, b"\x0c" * 20))
    with pytest.raises(NotFound) as missing:
        lockable(native, strange)
    assert "asset register" in missing.value.cure
    found, chain = lockable(Native(COIN, is_open=True), strange)
    assert isinstance(found, Newcomer)
    assert (found.caip19, found.policy, chain) == (strange, TERMS, EVM)
    with pytest.raises(NotFound):
        lockable(Native(COIN, is_open=True), str(erc20(ChainId("eip155", "7"), b"\x0c" * 20)))
    with pytest.raises(BadInput, match="USDX"):
        lockable(Native(USD, FALSE_USD), "USDX")


class Vaulted:
    """An origin chain whose vault has limits."""

    def __init__(self, limit: int = 0, locked: int = 0, denied: bool = False) -> None:
        from adapters.evm.lockbox.vault import Limits

        self._limits = Limits(TokenUnits(limit), TokenUnits(locked), TokenUnits(0), TokenUnits(0), denied)

    @property
    def reader(self) -> Any:
        return self

    async def latest(self) -> BlockHeight:
        return BlockHeight(5)

    async def limits(self, token: bytes, at: BlockHeight) -> Any:
        return self._limits


WHAT = Lockable(AssetType.parse(COIN.caip19), TERMS, bytes(20), "ETH", 18, is_new=False)


def planned(amount: int, origin: Any = None, native: Any = None, recipient: bytes = b"\x04" * 20, **policy: Any) -> Any:
    what = replace(WHAT, policy=replace(TERMS, **policy))
    bridge: Any = native or Native()
    vault: Any = origin or Vaulted()
    return asyncio.run(plan(bridge, vault, what, TokenUnits(amount), recipient))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"amount": 999}, "AMOUNT"),
        ({"amount": 5_000, "deposit_limit": TokenUnits(4_999)}, "AMOUNT"),
        ({"amount": 5_000, "origin": Vaulted(limit=9_000, locked=4_001)}, "AMOUNT"),
        ({"amount": 5_000, "origin": Vaulted(denied=True)}, "ASSET"),
        ({"amount": 5_000, "paused": True}, "ASSET"),
        ({"amount": 5_000, "denied": True}, "ASSET"),
        ({"amount": 5_000, "recipient": bytes(20)}, "--recipient"),
        ({"amount": 5_000, "recipient": HUB}, "--recipient"),
    ],
)
def test_a_lock_that_would_come_back_is_refused(arguments: dict[str, Any], field: str) -> None:
    """Too little, above a limit, a paused or denied asset, nobody to receive it: said before anything is sent."""
    with pytest.raises(BadInput) as error:
        planned(**arguments)
    assert error.value.field == field
    assert error.value.cure


def test_a_lock_tells_its_fees_and_what_delays_it() -> None:
    """The service fee is taken off; a halt is told, and keeps nobody from locking."""
    fine = planned(5_000, Vaulted(limit=9_000, locked=4_000))
    assert (fine.fees, fine.minted, fine.notes) == (50, 4_950, ())
    assert "halted until" in planned(5_000, native=Native(halted=2**40)).notes[0]


def test_a_permit_is_signed_for_the_tokens_own_domain() -> None:
    """The signature recovers to the owner, and depends on the token, its chain, and the version that it names."""
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    secret, token, spender = b"\x11" * 32, b"\x0a" * 20, LOCKBOX
    owner = bytes.fromhex(Account.from_key(secret).address[2:])
    signature = PermitTerms(separator("Dollar", "2", 5_001, token), 3).sign(secret, owner, spender, 10**9, 99)
    domain = {"name": "Dollar", "version": "2", "chainId": 5_001, "verifyingContract": "0x" + token.hex()}
    kinds = [("owner", "address"), ("spender", "address"), ("value", "uint256"), ("nonce", "uint256")]
    types = {"Permit": [{"name": name, "type": kind} for name, kind in [*kinds, ("deadline", "uint256")]]}
    said = {"owner": owner, "spender": spender, "value": 10**9, "nonce": 3, "deadline": 99}
    message = encode_typed_data(domain, types, said)
    assert Account.recover_message(message, signature=signature) == Account.from_key(secret).address
    assert separator("Dollar", "1", 5_001, token) != separator("Dollar", "2", 5_001, token)


@pytest.mark.parametrize(
    ("text", "chain", "address", "is_evm"),
    [
        ("bc1qxyz", None, "bc1qxyz", False),
        (ACCOUNT, None, ACCOUNT, True),
        (f"eip155:1:{ACCOUNT}", "eip155:1", ACCOUNT, True),
        (f"{BITCOIN.caip2}:bcrt1q", BITCOIN.caip2, "bcrt1q", False),
    ],
)
def test_a_destination_may_name_its_chain(text: str, chain: str | None, address: str, is_evm: bool) -> None:
    """CAIP-10, or the address alone."""
    found = Destination.parse(text)
    assert (found.chain, found.address, found.looks_like_evm) == (chain, address, is_evm)


def terms(amount: str, to: str, asset: str | None = None, native: Native | None = None) -> WithdrawTerms:
    given = native or Native(BTC, COIN, USD)
    return asyncio.run(read_terms(given, Network, amount, to, asset))  # type: ignore[arg-type]  # fakes


PAYEE = "bcrt1q6z64a43mjgkcq0ul2znwneq3spghrlau9slefp"


def test_the_destination_says_what_is_withdrawn() -> None:
    """A bitcoin address means bitcoin, an account on a named chain that chain's coin, and --asset any other."""
    assert terms("0.1", PAYEE).asset == BTC
    assert terms("0.1", f"{BITCOIN.caip2}:{PAYEE}").destination == terms("0.1", PAYEE).destination
    coin = terms("2.5", f"{EVM.caip2}:{ACCOUNT}")
    assert (coin.asset, coin.amount, coin.is_release) == (COIN, 5 * ETHER // 2, True)
    assert (coin.service_fee, coin.payable) == (ETHER // 40, 99 * ETHER // 40)
    assert coin.destination == bytes.fromhex(ACCOUNT[2:])
    assert terms("2.5", ACCOUNT, "USDX").amount == 2_500_000
    assert ACCOUNT in coin.text(ETHER // 100)
    assert "0.025 ETH" in coin.text(ETHER // 100)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("0.1", ACCOUNT), "--asset"),
        (("0.1", f"eip155:7:{ACCOUNT}"), "--asset"),
        (("0.1", f"{EVM.caip2}:{ACCOUNT}", "BTC"), "--to"),
        (("0.1", PAYEE, "ETH"), "--to"),
        (("0.1", ACCOUNT, "BTC"), "--to"),
        (("0.1", f"{BITCOIN.caip2}:{PAYEE}", "ETH"), "--to"),
        (("0.1", ACCOUNT[:-1] + "9", "ETH"), "--to"),
        (("0.1", "0x" + "00" * 20, "ETH"), "--to"),
        (("0.1", "0x" + LOCKBOX.hex(), "ETH"), "--to"),
        (("0.1", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"), "--to"),
        (("0.1", "eip155:1:"), "--to"),
        (("0.0000001", PAYEE), "AMOUNT"),
        (("0.123456789", PAYEE), "AMOUNT"),
    ],
)
def test_a_withdrawal_to_the_wrong_place_is_refused(arguments: tuple[str, ...], field: str) -> None:
    """Another chain's address, a mistyped one, an account that loses what it gets: nothing of it is sent."""
    with pytest.raises(BadInput) as error:
        terms(arguments[0], arguments[1], arguments[2] if len(arguments) > 2 else None)
    assert error.value.field == field
    assert error.value.cure


def test_a_carrier_is_offered_what_the_gas_costs_or_a_share() -> None:
    """Of the chain's coin twice the price of the gas, where it is known; else a thousandth of what is paid out."""
    coin = terms("2.5", f"{EVM.caip2}:{ACCOUNT}")
    priced, _ = suggested_relay_fee(coin, Wei(10**9))
    assert priced == 2 * 110_000 * 10**9
    assert suggested_relay_fee(coin, None)[0] == coin.payable // 1_000
    token = terms("2.5", ACCOUNT, "USDX")
    assert suggested_relay_fee(token, Wei(10**9))[0] == token.payable // 1_000
    with pytest.raises(BadInput, match="too little"):
        suggested_relay_fee(coin, Wei(10**14))


def test_a_signed_release_cannot_be_changed() -> None:
    """Its relay fee is raised while it is requested, and never after; it stays below the amount."""
    amount, fee = TokenUnits(10_000), TokenUnits(500)
    asked = WithdrawalRecord(b"i" * 32, COIN.id, b"o" * 20, amount, fee, b"p" * 20, WithdrawalStatus.REQUESTED, None, 4)
    _check(asked, b"o" * 20, TokenUnits(501))
    with pytest.raises(TooLate):
        _check(replace(asked, status=WithdrawalStatus.RESERVED), b"o" * 20, TokenUnits(501))
    with pytest.raises(BadInput):
        _check(asked, b"o" * 20, TokenUnits(500))
    with pytest.raises(BadInput):
        _check(asked, b"o" * 20, TokenUnits(10_000))


RECORD = WithdrawalRecord(
    b"i" * 32,
    COIN.id,
    b"o" * 20,
    TokenUnits(1_000),
    TokenUnits(30),
    b"p" * 20,
    WithdrawalStatus.RESERVED,
    b"q" * 32,
    4,
)


def test_a_release_is_rebuilt_from_the_hub_and_its_signature_verified() -> None:
    """The relay fee goes to the carrier, the rest to the payee; a signature for anything else does not verify."""
    payment = payment_of(RECORD, bytes(20))
    assert payment == Payment(4, bytes(20), b"p" * 20, TokenUnits(970), TokenUnits(30))
    group = PrivateKey(b"\x77" * 32)
    key = group.public_key.format()[1:]
    message = Messages(5_001, LOCKBOX, 0).release([payment])
    made = made_proof(group.sign_schnorr(message), key, message)
    assert verifies(made, key, message) == made
    assert verifies(replace(made, ry=b"\x01" * 32), key, message) == made
    for other in (
        Messages(5_002, LOCKBOX, 0).release([payment]),
        Messages(5_001, LOCKBOX, 1).release([payment]),
        Messages(5_001, HUB, 0).release([payment]),
        Messages(5_001, LOCKBOX, 0).release([replace(payment, payee=b"x" * 20)]),
    ):
        assert verifies(made, key, other) is None
    assert verifies(Proof(bytes(32), bytes(32), bytes(32)), key, message) is None


def test_each_payments_outcome_is_told() -> None:
    """Released, failed and claimable, delayed, or consumed by somebody else before."""
    payments = tuple(Payment(n, bytes(20), b"p" * 20, TokenUnits(9), TokenUnits(1)) for n in range(1, 5))
    ids = tuple(bytes([n]) * 32 for n in range(1, 5))
    release = Release(b"q" * 32, COIN, ids, payments, frozenset({4}), Proof(b"", b"", b""))
    assert (release.fee, len(release.open)) == (3, 3)
    at = Position(BlockRef(BlockHeight(1), b"b" * 32), b"t" * 32, 0)
    plain = (bytes(20), b"p" * 20, TokenUnits(9), TokenUnits(1))
    events: list[LockboxEvent] = [Released(at, 1, *plain), PaymentFailed(at, 2, *plain), PaymentDelayed(at, 3)]
    told = outcomes(release, events, EVM.caip2)
    assert [one.outcome for one in told] == ["released", "failed", "delayed", "consumed before"]
    assert "causeway relay claim 2 --chain eip155:5001" in told[1].detail
    assert not told[0].detail
    assert all(one.detail for one in told[1:])
