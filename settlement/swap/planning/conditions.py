"""What is known of the chains and of the people behind the machines: what the planner reckons with.

Each field may be overridden (`dataclasses.replace`). The figures for public networks are of 2025; docs/swaps.md has the
time-outs that follow from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from registry.caip import BitcoinGenesis, ChainId, bitcoin_chain, evm_chain
from settlement.swap.planning.errors import UnsafeTerms
from settlement.swap.planning.waiting import seconds_for
from settlement.swap.terms import OWN_FINALITY

HOUR: Final = 3_600
BITCOIN: Final = 100_000_000
_DOUBLING_S: Final = 450
_DOUBLINGS_MOST: Final = 3


@dataclass(frozen=True, slots=True)
class Confirmations:
    """How many confirmations a value needs. Fields: steps (pairs of a value in satoshi, not reached, and a number of
    confirmations, in rising order); most (for all that is more)."""

    steps: tuple[tuple[int, int], ...]
    most: int

    def of(self, satoshi: int) -> int:
        """For a swap of this value. One table counts the value of both legs in satoshi: they are worth the same."""
        return next((number for below, number in self.steps if satoshi < below), self.most)


@dataclass(frozen=True, slots=True)
class BitcoinConditions:
    """A bitcoin chain.

    Fields: interval_s (between blocks, on average); is_random (a Poisson process; else one block in each interval);
    ordinary_blocks, stress_blocks (within which a transaction that is paid more again and again gets in: on most days,
    and on the worst that is reckoned with); confirmations; lag_blocks (the median time past is as old as the sixth
    block from the end: BIP-113); lie_s (by how much blocks' times may be wrong: nodes take two hours of future time);
    least_satoshi (below it, a claim under stress costs too great a part).
    """

    interval_s: int
    is_random: bool
    ordinary_blocks: int
    stress_blocks: int
    confirmations: Confirmations
    lie_s: int
    least_satoshi: int
    lag_blocks: int = 6

    def seconds(self, blocks: int, exponent: int) -> int:
        """In how long so many blocks come, but for one time in 10**exponent."""
        return seconds_for(blocks, self.interval_s, exponent, is_random=self.is_random)


@dataclass(frozen=True, slots=True)
class EvmConditions:
    """An EVM chain.

    Fields: interval_s, is_random, ordinary_blocks, stress_blocks, confirmations (0: `OWN_FINALITY`), lie_s as above;
    final_s, final_stress_s (until the chain calls a block final; 0: it never does); outage_s (for how long it may
    stand still: chains with one sequencer do).
    """

    interval_s: int
    is_random: bool
    ordinary_blocks: int
    stress_blocks: int
    confirmations: Confirmations
    final_s: int
    final_stress_s: int
    lie_s: int = 0
    outage_s: int = 0

    @property
    def has_own_finality(self) -> bool:
        """Whether the chain says itself what is final."""
        return self.final_s > 0

    @property
    def fee_stress(self) -> int:
        """How many times the present base fee a transaction may have to bear that has to get in on the worst day.

        Twice, which covers six full blocks at once (EIP-1559: an eighth more for each); and doubled once more for each
        450 s of the `stress_blocks` that the planner gives it to get in, three times at most: eightfold on Ethereum.
        The protocol allows for more in that time. Should it come, a sender still bids what the account bears.
        """
        return 2 << min(self.stress_blocks * self.interval_s // _DOUBLING_S, _DOUBLINGS_MOST)

    def seconds(self, blocks: int, confirmations: int, exponent: int, *, stress: bool) -> int:
        """In how long a transaction is in a block of so many, and final, but for one time in 10**exponent."""
        wait = seconds_for(blocks + confirmations, self.interval_s, exponent, is_random=self.is_random)
        if confirmations == OWN_FINALITY:
            wait += self.final_stress_s if stress else self.final_s
        return wait


@dataclass(frozen=True, slots=True)
class Conditions:
    """Both chains, and what a side allows for on its own part.

    Fields: bitcoin; evm; risk (exponent: safety fails one time in 10**risk, by the chains' chance alone); progress (the
    same for a swap that merely does not come about); skew_s (how far clocks may be apart); reaction_s (how long a
    machine may take to act); margin_s (for a person who has to start it again); handshake_s (for letters, before the
    lock); longest_s (the longest time for which money may be bound); tolerance (percent of the time for progress with
    which a side is content where the other planned); patience_ms, resend_ms, bump_bitcoin_ms, bump_evm_ms (see
    `Gates`).
    """

    bitcoin: BitcoinConditions
    evm: EvmConditions
    risk: int = 6
    progress: int = 3
    skew_s: int = 60
    reaction_s: int = 300
    margin_s: int = HOUR
    handshake_s: int = 900
    longest_s: int = 72 * HOUR
    tolerance: int = 50
    patience_ms: int = 120_000
    resend_ms: int = 10_000
    bump_bitcoin_ms: int = 900_000
    bump_evm_ms: int = 60_000


_BY_VALUE: Final = Confirmations(((BITCOIN // 10, 2), (BITCOIN, 3), (10 * BITCOIN, 6)), 12)
_MAINNET: Final = BitcoinConditions(
    interval_s=600,
    is_random=True,
    ordinary_blocks=3,
    stress_blocks=12,
    confirmations=_BY_VALUE,
    lie_s=2 * HOUR,
    least_satoshi=50_000,
)
_TEST_BITCOIN: Final = BitcoinConditions(
    interval_s=600,
    is_random=True,
    ordinary_blocks=2,
    stress_blocks=6,
    confirmations=Confirmations((), 2),
    lie_s=2 * HOUR,
    least_satoshi=2_000,
)
_REGTEST: Final = BitcoinConditions(
    interval_s=5,
    is_random=False,
    ordinary_blocks=1,
    stress_blocks=2,
    confirmations=Confirmations((), 1),
    lie_s=0,
    least_satoshi=2_000,
)
BITCOIN_PROFILES: Final[dict[ChainId, BitcoinConditions]] = {
    bitcoin_chain(BitcoinGenesis.MAIN.value): _MAINNET,
    bitcoin_chain(BitcoinGenesis.TESTNET.value): _TEST_BITCOIN,
    bitcoin_chain(BitcoinGenesis.TESTNET4.value): _TEST_BITCOIN,
    bitcoin_chain(BitcoinGenesis.SIGNET.value): _TEST_BITCOIN,
    bitcoin_chain(BitcoinGenesis.REGTEST.value): _REGTEST,
}

_ITS_OWN: Final = Confirmations((), OWN_FINALITY)
_ETHEREUM: Final = EvmConditions(
    interval_s=12,
    is_random=True,
    ordinary_blocks=5,
    stress_blocks=75,
    confirmations=_ITS_OWN,
    final_s=1_200,
    final_stress_s=HOUR,
)
_ROLLUP: Final = EvmConditions(
    interval_s=2,
    is_random=False,
    ordinary_blocks=30,
    stress_blocks=450,
    confirmations=_ITS_OWN,
    final_s=1_800,
    final_stress_s=2 * HOUR,
    lie_s=600,
    outage_s=6 * HOUR,
)
_ANVIL: Final = EvmConditions(
    interval_s=2,
    is_random=False,
    ordinary_blocks=2,
    stress_blocks=5,
    confirmations=Confirmations((), 1),
    final_s=0,
    final_stress_s=0,
)
EVM_PROFILES: Final[dict[ChainId, EvmConditions]] = {
    evm_chain(1): _ETHEREUM,
    evm_chain(11155111): _ETHEREUM,  # Sepolia
    evm_chain(560048): _ETHEREUM,  # Hoodi
    evm_chain(10): _ROLLUP,  # OP
    evm_chain(8453): _ROLLUP,  # Base
    evm_chain(42161): _ROLLUP,  # Arbitrum One
    evm_chain(1337): _ANVIL,
    evm_chain(31337): _ANVIL,
}


def conditions_for(bitcoin: ChainId, evm: ChainId) -> Conditions:
    """The profile of a pair of chains; on regtest a side allows for seconds.

    Raises:
        UnsafeTerms: nothing is known of one of the chains.
    """
    base, other = BITCOIN_PROFILES.get(bitcoin), EVM_PROFILES.get(evm)
    if base is None:
        raise UnsafeTerms("bitcoin.chain", f"nothing is known of {bitcoin}", "give its conditions")
    if other is None:
        raise UnsafeTerms("evm.chain", f"nothing is known of {evm}", "give its conditions")
    if base is not _REGTEST:
        return Conditions(base, other)
    return development(base, other)


def development(bitcoin: BitcoinConditions = _REGTEST, evm: EvmConditions = _ANVIL) -> Conditions:
    """Conditions for chains on one machine, whose blocks come when they are asked for."""
    return Conditions(
        bitcoin,
        evm,
        skew_s=2,
        reaction_s=5,
        margin_s=30,
        handshake_s=60,
        longest_s=4 * HOUR,
        patience_ms=2_000,
        resend_ms=1_000,
        bump_bitcoin_ms=5_000,
        bump_evm_ms=3_000,
    )
