"""The native contracts as they were built, in an EVM inside this process, with keys for everybody who signs.

Signatures are made by eth-account from the type texts of docs/architecture.md: nothing of ours computes what is signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import boa
import pytest
from boa.contracts.abi.abi_contract import ABIContract, ABIContractFactory
from boa.contracts.event_decoder import RawLogEntry
from coincurve import PrivateKey, PublicKey, PublicKeyXOnly
from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from contracts import artifacts
from contracts.build import build_all

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ZERO = "0x" + "00" * 20
NOBODY = bytes(32)
"""The id of nothing."""

CAIP2 = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328"
CAIP19 = CAIP2 + "/slip44:1"
GENESIS = hashlib.sha256(b"genesis").digest()
POLICY = (20_000, 1_000, 10_000, False, False, 0, 0, 0, 0)
"""minimum_deposit, deposit_fee, minimum_withdrawal, paused, denied, fee_bps, fee_floor, both limits: no service fee."""

EVM_CAIP2 = "eip155:31337"
EVM_COIN = EVM_CAIP2 + "/slip44:60"
LOCKBOX = to_checksum_address("0x" + "b0" * 20)
COIN_POLICY = (1_000, 0, 500, False, False, 0, 0, 0, 0)
"""The policy of the EVM chain's coin: nothing is swept there, so there is no deposit fee."""

STAKE = 10**18
UNBONDING_SECONDS = 7 * 86_400
SLASH_BPS = 5_000
REWARD_BPS = 1_000
COMMISSION_BPS = 1_000
P2TR = b"\x51\x20" + bytes(range(32))

TYPES = {
    "GroupKey": "bytes32 group,uint256 epoch,bytes32 key",
    "DepositAttestation": "bytes32 asset,bytes32 txid,uint256 vout,uint256 amount,address recipient,bytes32 group",
    "DepositReturn": "bytes32 asset,bytes32 txid,uint256 vout,uint256 amount,bytes32 group,uint256 reason",
    "PayoutReservation": "bytes32 group,bytes32 asset,bytes32[] withdrawals,bytes32[] inputs",
    "AnchorSpent": "bytes32 payout,bytes32 spender",
    "PayoutSettlement": "bytes32 payout,bytes32 txid,uint256 fee",
    "AssetIntroduction": "bytes32 chain,string caip19,string name,string symbol,uint256 decimals",
    "ReleaseCancelled": "bytes32 withdrawal,uint256 amount",
    "Halt": "bytes32 asset,uint256 until",
    "Resume": "bytes32 asset,uint256 until",
}


# --- Signing ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def account(label: str) -> LocalAccount:
    """An account whose key is the hash of a label."""
    made: LocalAccount = Account.from_key(hashlib.sha256(label.encode()).digest())
    return made


def accounts(label: str, count: int) -> list[LocalAccount]:
    """Several accounts, in the order of their addresses: the order in which contracts take signatures."""
    return sorted((account(f"{label}-{n}") for n in range(count)), key=lambda one: int(one.address, 16))


def typed(
    contract: ABIContract | str, name: str, *values: object, chain_id: int | None = None, version: str = "1"
) -> SignableMessage:
    """An EIP-712 structure in the domain of a contract (or of an address)."""
    fields = [dict(zip(("type", "name"), field.split(" "), strict=True)) for field in TYPES[name].split(",")]
    domain = {
        "name": "Causeway",
        "version": version,
        "chainId": boa.env.evm.patch.chain_id if chain_id is None else chain_id,
        "verifyingContract": contract if isinstance(contract, str) else str(contract.address),
    }
    message = dict(zip((field["name"] for field in fields), values, strict=True))
    return encode_typed_data(domain, {name: fields}, message)


def digest_of(message: SignableMessage) -> bytes:
    """What is signed of a structure, 32 bytes. Source: EIP-191, version 0x01."""
    return keccak(b"\x19" + message.version + message.header + message.body)


def sign(by: Sequence[LocalAccount], message: SignableMessage) -> list[bytes]:
    """Signatures of all of `by`, in that order."""
    return [bytes(one.sign_message(message).signature) for one in by]


def malleated(signature: bytes) -> bytes:
    """The twin of a signature with the high s, which recovers to the same account."""
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def schnorr_proof(secret: bytes, message: bytes) -> tuple[bytes, bytes, bytes]:
    """A BIP-340 signature as contracts take it: (rx, s, even ry)."""
    signature = PrivateKey(secret).sign_schnorr(message, bytes(32))
    return signature[:32], signature[32:], even_y(signature[:32])


def even_y(x: bytes) -> bytes:
    """The even y that belongs to an x coordinate. Raises ValueError if the curve has no such point."""
    return PublicKey(b"\x02" + x).format(compressed=False)[33:]


# --- Calling ----------------------------------------------------------------------------------------------------------


@contextmanager
def refused(reason: str) -> Iterator[None]:
    """What is done inside is reverted, with exactly this reason, by whichever contract."""
    with pytest.raises(boa.BoaError) as refusal:
        yield
    assert revert_reason(refusal.value) == reason


@contextmanager
def refused_silently() -> Iterator[None]:
    """What is done inside is reverted without a reason: the compiler's own checks."""
    with pytest.raises(boa.BoaError) as refusal:
        yield
    assert bytes(refusal.value.call_trace.computation.output) == b""


def revert_reason(error: boa.BoaError) -> str:
    """The text that a contract gave, or the bytes in hex where it gave none."""
    output = bytes(error.call_trace.computation.output)
    if output[:4] != keccak(text="Error(string)")[:4]:
        return output.hex()
    (reason,) = decode(["string"], output[4:])
    return str(reason)


def events(contract: ABIContract) -> list[tuple[str, dict[str, Any]]]:
    """The events of the last call to a contract, in order, with those of the contracts that it called and boa knows."""
    found = []
    for log in contract.get_logs():
        if isinstance(log, RawLogEntry):  # a token that was created in this very call
            continue
        fields = log._asdict()
        fields.pop("address", None)
        found.append((type(log).__name__, fields))
    return found


def event(contract: ABIContract, name: str) -> dict[str, Any]:
    """The one event of that name in the last call."""
    (only,) = [fields for found, fields in events(contract) if found == name]
    return only


def execution_gas(contract: ABIContract) -> int:
    """Gas of the last call to a contract, without what a transaction costs before it runs."""
    return int(contract._computation.get_gas_used())


# --- Deploying --------------------------------------------------------------------------------------------------------


def deploy(name: str, *arguments: object) -> ABIContract:
    """Deploy a built contract. The sender becomes its owner."""
    built = artifacts.load(name)
    factory = ABIContractFactory(name, list(built.abi))
    inputs = next((entry["inputs"] for entry in built.abi if entry["type"] == "constructor"), [])
    code = built.bytecode + encode([entry["type"] for entry in inputs], arguments)
    return factory.at(deploy_code(code))


def deploy_code(code: bytes) -> str:
    """Run creation code; the new contract's address. A contract that refuses to be created raises `boa.BoaError`."""
    address, computation = boa.env.deploy(bytecode=code)
    if computation.is_error:
        raise boa.BoaError.create(computation, _Unnamed())
    return str(address)


class _Unnamed:
    """What boa asks a contract that does not exist for, when it describes a failure."""

    def stack_trace(self, computation: Any) -> Any:
        """No trace: there is no contract."""
        return boa.contracts.base_evm_contract.StackTrace([str(computation.error)])


def token_at(address: str) -> ABIContract:
    """The mapping token at an address."""
    return ABIContractFactory("MappingToken", list(artifacts.load("MappingToken").abi)).at(address)


def member(one: LocalAccount, number: int) -> tuple[str, bytes, bytes, str]:
    """A storeman's identity, as `propose_group` takes it."""
    host_key = PrivateKey(hashlib.sha256(one.address.encode()).digest()).public_key.format()
    return one.address, host_key, hashlib.sha256(host_key).digest(), f"tcp://127.0.0.1:{7000 + number}"


def outpoint(label: str | int, vout: int = 0) -> tuple[bytes, int]:
    """An outpoint of a transaction that has a label."""
    return hashlib.sha256(f"tx-{label}".encode()).digest(), vout


def outpoint_id(point: tuple[bytes, int]) -> bytes:
    """keccak256(abi.encode(txid, vout))."""
    return keccak(encode(["bytes32", "uint256"], point))


def deposit_id(asset: bytes, txid: bytes, vout: int) -> bytes:
    """keccak256(abi.encode(asset, txid, vout))."""
    return keccak(encode(["bytes32", "bytes32", "uint256"], (asset, txid, vout)))


def policy_with(base: tuple[Any, ...] = POLICY, **changes: Any) -> tuple[Any, ...]:
    """A policy with some of its fields changed, by name."""
    names = (
        "minimum_deposit", "deposit_fee", "minimum_withdrawal", "paused", "denied",
        "fee_bps", "fee_floor", "deposit_limit", "withdrawal_limit",
    )  # fmt: skip
    fields = dict(zip(names, base, strict=True))
    assert not changes.keys() - fields.keys()
    return tuple((fields | changes).values())


def service_fee(policy: tuple[Any, ...], amount: int) -> int:
    """What vouchers and storemen earn by an amount: the rule of the specification, in one line."""
    return int(max(policy[6], amount * policy[5] // 10_000))


def fee_key(group: bytes, signers: int) -> bytes:
    """keccak256(abi.encode(group, bitmap)): where a pending fee is kept."""
    return keccak(encode(["bytes32", "uint256"], (group, signers)))


# --- The world --------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """A deployed bridge with one asset, an active group (3 of 5) and four vouchers of the same weight."""

    owner: str
    registry: ABIContract
    bonds: ABIContract
    hub: ABIContract
    blueprint: str
    chain: bytes
    asset: bytes
    group: bytes
    storemen: list[LocalAccount]
    vouchers: list[LocalAccount]

    def attest(self, name: str, *values: object, by: Sequence[LocalAccount] | None = None) -> list[bytes]:
        """Vouchers' signatures over a structure of the Hub; by three of the four where nobody is named."""
        return sign(self.vouchers[:3] if by is None else by, typed(self.hub, name, *values))

    def countersign(self, name: str, *values: object, by: Sequence[LocalAccount] | None = None) -> list[bytes]:
        """Storemen's signatures over a structure of the Hub; by the threshold where nobody is named."""
        return sign(self.storemen[:3] if by is None else by, typed(self.hub, name, *values))

    def deposit(self, label: str | int = 0, amount: int = 100_000, **other: Any) -> tuple[Any, ...]:
        """A deposit to account("user"), as `mint` takes it; `other` replaces fields by name."""
        txid, vout = outpoint(label)
        fields = {"asset": self.asset, "txid": txid, "vout": vout, "amount": amount}
        return tuple((fields | {"recipient": account("user").address, "group": self.group} | other).values())

    def mint(self, deposit: tuple[Any, ...], by: Sequence[LocalAccount] | None = None) -> None:
        """Bring a deposit's attestations."""
        self.hub.mint(deposit, self.attest("DepositAttestation", *deposit, by=by))

    @property
    def token(self) -> ABIContract:
        """The asset's token, which exists since the first mint."""
        return token_at(str(self.hub.token_of(self.asset)))

    def fund(self, amount: int, holder: str | None = None) -> None:
        """Mint exactly `amount` to a holder, account("user") by default, who allows the Hub to take it."""
        holder = account("user").address if holder is None else holder
        label = f"fund-{self.hub.supply(self.asset)}"
        self.mint(self.deposit(label, amount + POLICY[1], recipient=holder))
        self.token.approve(self.hub.address, 2**256 - 1, sender=holder)

    def withdraw(self, amount: int = 50_000, max_fee: int = 2_000, destination: bytes = P2TR) -> bytes:
        """Request a withdrawal of account("user")."""
        made: bytes = self.hub.withdraw(self.asset, amount, max_fee, destination, sender=account("user").address)
        return made

    def reserve(
        self,
        withdrawals: Sequence[bytes],
        inputs: Sequence[tuple[bytes, int]],
        by: Sequence[LocalAccount] | None = None,
        group: bytes | None = None,
    ) -> bytes:
        """Bring a reservation's signatures; the payout's id."""
        group = self.group if group is None else group
        ids = [outpoint_id(point) for point in inputs]
        signatures = self.countersign("PayoutReservation", group, self.asset, list(withdrawals), ids, by=by)
        made: bytes = self.hub.reserve((group, self.asset, list(withdrawals), list(inputs)), signatures)
        return made

    def settle(self, payout: bytes, label: str | int = "paid", fee: int = 500) -> None:
        """Bring a settlement's attestations."""
        txid = outpoint(label)[0]
        self.hub.settle(payout, txid, fee, self.attest("PayoutSettlement", payout, txid, fee))

    def void(self, payout: bytes, label: str | int = "spender") -> None:
        """Bring the attestations that a payout's anchor was spent."""
        spender = outpoint(label)[0]
        self.hub.void_payout(payout, spender, self.attest("AnchorSpent", payout, spender))

    def set_policy(self, **changes: Any) -> tuple[Any, ...]:
        """Give the asset its first policy with some fields changed; the policy."""
        policy = policy_with(**changes)
        self.registry.set_asset_policy(self.asset, policy, sender=self.owner)
        return policy

    def bitmap(self, people: Sequence[LocalAccount]) -> int:
        """The bitmap by which the Hub knows vouchers: the tests' vouchers joined in the order of the list."""
        return sum(1 << self.vouchers.index(one) for one in people)

    def halt(self, until: int, asset: bytes | None = None, by: Sequence[LocalAccount] | None = None) -> None:
        """Bring the votes for a halt; two of the four vouchers where nobody is named."""
        asset = self.asset if asset is None else asset
        self.hub.halt(asset, until, self.attest("Halt", asset, until, by=self.vouchers[:2] if by is None else by))

    def resume(self, until: int, asset: bytes | None = None, by: Sequence[LocalAccount] | None = None) -> None:
        """Bring the votes that lift a halt."""
        asset = self.asset if asset is None else asset
        self.hub.resume(asset, until, self.attest("Resume", asset, until, by=by))

    def restore(self, withdrawal: bytes, amount: int, by: Sequence[LocalAccount] | None = None) -> None:
        """Bring the attestations that a release was cancelled."""
        self.hub.restore(withdrawal, amount, self.attest("ReleaseCancelled", withdrawal, amount, by=by))

    def propose(self, storemen: Sequence[LocalAccount], threshold: int) -> bytes:
        """Propose a group; its id."""
        people = [member(one, number) for number, one in enumerate(storemen)]
        made: bytes = self.registry.propose_group(self.chain, threshold, people, sender=self.owner)
        return made

    def proof(self, group: bytes, secret: bytes) -> tuple[bytes, tuple[bytes, bytes, bytes]]:
        """A key and its proof for a group."""
        key = PublicKeyXOnly.from_secret(secret).format()
        return key, schnorr_proof(secret, bytes(self.registry.group_proof_message(group, key)))

    def activate(self, group: bytes, storemen: Sequence[LocalAccount], secret: bytes = b"\x11" * 32) -> None:
        """Activate a group whose members are `storemen`, in ascending order, with a key of one secret."""
        key, proof = self.proof(group, secret)
        self.registry.activate_group(group, key, proof, self.confirmations(group, key, storemen))

    def confirmations(self, group: bytes, key: bytes, storemen: Sequence[LocalAccount]) -> list[tuple[int, bytes]]:
        """Every member's confirmation of a key."""
        return list(enumerate(sign(storemen, typed(self.registry, "GroupKey", group, 0, key))))


def build_world() -> World:
    """Deploy and set up a `World`."""
    build_all()
    owner = account("owner").address
    with boa.env.prank(owner):
        registry, bonds = deploy("Registry"), deploy("Bonds", STAKE, UNBONDING_SECONDS, SLASH_BPS, REWARD_BPS)
        blueprint = deploy_code(artifacts.load("MappingToken").blueprint_bytecode)
        hub = deploy("Hub", str(registry.address), str(bonds.address), blueprint)
        bonds.bind(registry.address, hub.address)
        registry.set_registrar(hub.address)
        chain = bytes(registry.register_chain(CAIP2, GENESIS, 6))
        asset = bytes(registry.register_asset(CAIP19, chain, "Bitcoin", "BTC", 8, POLICY))
    storemen, vouchers = accounts("storeman", 5), accounts("voucher", 4)
    world = World(owner, registry, bonds, hub, blueprint, chain, asset, NOBODY, storemen, vouchers)
    for one in vouchers:
        join(world, one)
    world.group = world.propose(storemen, 3)
    world.activate(world.group, storemen)
    return world


def join(world: World, one: LocalAccount, stake: int = STAKE) -> None:
    """Admit an account and let it join as a voucher."""
    _, host_key, transport_key, endpoint = member(one, 0)
    boa.env.set_balance(one.address, stake)
    world.bonds.admit(one.address, sender=world.owner)
    world.bonds.join(host_key, transport_key, endpoint, COMMISSION_BPS, value=stake, sender=one.address)
