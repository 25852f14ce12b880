"""Bonds beside a stand-in Registry and an account in the place of the Hub, in an EVM inside this process.

Bonds is compiled from its source, not loaded as an artifact: nothing here depends on the other contracts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import boa
from boa.contracts.abi.abi_contract import ABIContract, ABIContractFactory
from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from vyper.compiler.output import build_abi_output

from tests.support.native_contracts import account, deploy_code, member, sign, typed

ROOT = Path(__file__).parents[2]
BONDS = ROOT / "contracts" / "src" / "Bonds.vy"
STAND_INS = Path(__file__).parent / "vyper_bonds"

ETHER = 10**18
STAKE = ETHER
UNBONDING_SECONDS = 1_000
SLASH_BPS = 2_500
REWARD_BPS = 1_000

GROUP, OTHER_GROUP = b"\x6a" * 32, b"\x6b" * 32
CHAIN, OTHER_CHAIN = b"\x0a" * 32, b"\x0b" * 32
PAYOUT = b"\x77" * 32
KINDS = {"DepositAttestation": 1, "PayoutSettlement": 2, "AnchorSpent": 3}

Statement = tuple[int, list[bytes], bytes]
"""kind, words, signature: as `report` takes it."""


@lru_cache(maxsize=8)
def compiled(path: Path) -> tuple[list[dict[str, Any]], bytes, dict[str, Any]]:
    """ABI, creation code and storage layout of a source."""
    data = boa.load_partial(str(path)).compiler_data
    return list(build_abi_output(data)), bytes(data.bytecode), data.storage_layout["storage_layout"]


def deploy_source(path: Path, *arguments: object) -> ABIContract:
    """Deploy a contract from its source. The sender becomes its owner."""
    abi, code, _ = compiled(path)
    inputs = next((entry["inputs"] for entry in abi if entry["type"] == "constructor"), [])
    code += encode([entry["type"] for entry in inputs], arguments)
    return ABIContractFactory(path.stem, abi).at(deploy_code(code))


def stand_in(name: str, *arguments: object) -> ABIContract:
    """Deploy one of the small contracts in `vyper_bonds`."""
    return deploy_source(STAND_INS / f"{name}.vy", *arguments)


def word(value: object) -> bytes:
    """A field of an EIP-712 structure as one word."""
    if isinstance(value, bytes):
        return value
    return (int(value, 16) if isinstance(value, str) else int(str(value))).to_bytes(32, "big")


@dataclass
class BondsWorld:
    """Bonds without anybody in it, with two tokens; `hub` is an account that the test speaks for."""

    owner: str
    hub: str
    registry: ABIContract
    bonds: ABIContract
    token: ABIContract
    other_token: ABIContract

    # --- Entering ---

    def join(self, one: LocalAccount | str, stake: int = STAKE, commission_bps: int = 0) -> str:
        """Admit an account, give it what it needs, and let it join; its address."""
        who = one if isinstance(one, str) else one.address
        self.bonds.admit(who, sender=self.owner)
        self.enter(who, stake, commission_bps)
        return who

    def enter(self, who: str, stake: int = STAKE, commission_bps: int = 0) -> None:
        """Let an admitted account join."""
        self.fund(who, stake)
        key = b"\x02" + hashlib.sha256(who.encode()).digest()
        self.bonds.join(key, key[1:], "tcp://127.0.0.1:7000", commission_bps, value=stake, sender=who)

    def join_as_storeman(self, who: str, bond: int = 0, commission_bps: int = 0, group: bytes = GROUP) -> None:
        """Make an account a storeman of a group, and let it join."""
        self.registry.add_storeman(group, who)
        self.fund(who, bond)
        self.bonds.join_as_storeman(group, commission_bps, value=bond, sender=who)

    def fund(self, who: str, amount: int) -> None:
        """Give an account coin on top of what it has."""
        boa.env.set_balance(who, boa.env.get_balance(who) + amount)

    # --- Bonds ---

    def deposit(self, who: str, amount: int) -> int:
        """Add to an operator's own bond; the position."""
        self.fund(who, amount)
        return int(self.bonds.deposit(value=amount, sender=who))

    def delegate(self, operator: str, who: str, amount: int) -> int:
        """Delegate; the position."""
        self.fund(who, amount)
        return int(self.bonds.delegate(operator, value=amount, sender=who))

    def own(self, who: str) -> int:
        """The position of an operator's own bond; 0 for none."""
        return int(self.bonds.operator(who)[4])

    def wait(self, seconds: int = UNBONDING_SECONDS) -> None:
        """Let time pass."""
        boa.env.time_travel(seconds=seconds)

    def balance(self) -> int:
        """All coin in Bonds."""
        return int(boa.env.get_balance(str(self.bonds.address)))

    def pool(self, who: str) -> tuple[int, int, int, int]:
        """bond, shares, unbonding bond, unbonding shares."""
        bond, shares, unbonding, unbonding_shares, *_ = self.bonds.operator(who)
        return bond, shares, unbonding, unbonding_shares

    # --- Fees ---

    def credit(self, operators: list[str], amount: int, token: ABIContract | None = None) -> None:
        """Mint fees to Bonds and credit them, as the Hub does."""
        token = self.token if token is None else token
        token.mint(self.bonds.address, amount)
        self.bonds.credit(token.address, operators, amount, sender=self.hub)

    def claimable(self, position: int, token: ABIContract | None = None) -> int:
        """What a position can claim."""
        return int(self.bonds.claimable(position, (token or self.token).address))

    def owed(self, who: str, token: ABIContract | None = None) -> int:
        """The commission that an operator can claim."""
        return int(self.bonds.commission_owed(who, (token or self.token).address))

    # --- Evidence ---

    def statement(
        self, by: LocalAccount, name: str, *values: object, hub: str | None = None, chain_id: int | None = None
    ) -> Statement:
        """What a voucher signed, as evidence; for this Hub and chain unless another is named."""
        message = typed(hub or self.hub, name, *values, chain_id=chain_id)
        return KINDS[name], [word(value) for value in values], sign([by], message)[0]

    def attestation(self, by: LocalAccount, amount: int = 100, group: bytes = GROUP, vout: int = 0) -> Statement:
        """An attestation of one deposit."""
        recipient = account("user").address
        return self.statement(by, "DepositAttestation", b"\x01" * 32, b"\x02" * 32, vout, amount, recipient, group)

    def lie(self, by: LocalAccount, reporter: str) -> None:
        """Have an account caught with two attestations of one deposit."""
        self.bonds.report(self.attestation(by, 100), self.attestation(by, 101), sender=reporter)


def build_bonds(slash_bps: int = SLASH_BPS) -> BondsWorld:
    """Deploy and bind. For a fixture of a module: boa takes back what a test deploys."""
    owner, hub = account("owner").address, account("stand-in hub").address
    with boa.env.prank(owner):
        bonds = deploy_source(BONDS, STAKE, UNBONDING_SECONDS, slash_bps, REWARD_BPS)
        registry = stand_in("registry")
        bonds.bind(registry.address, hub)
    registry.add_group(GROUP, CHAIN)
    registry.add_group(OTHER_GROUP, OTHER_CHAIN)
    return BondsWorld(owner, hub, registry, bonds, stand_in("token"), stand_in("token"))


def set_variable(world: BondsWorld, name: str, value: int) -> None:
    """Overwrite a number in the storage of Bonds, to come near a limit that is far."""
    boa.env.set_storage(world.bonds.address, compiled(BONDS)[2][name]["slot"], value)


def entry(who: str) -> tuple[bytes, bytes, str]:
    """What a voucher joins with: host key, transport key, endpoint."""
    _, host_key, transport_key, endpoint = member(account(who), 0)
    return host_key, transport_key, endpoint
