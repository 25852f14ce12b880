"""Origin chains, what is final on them, and their vaults."""

from __future__ import annotations

import pytest

from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from registry.caip import BitcoinGenesis, ChainId, bitcoin_chain, evm_chain
from registry.chains import OWN_FINALITY, Chain, ChainKind, Vault

GENESIS = bytes(range(32))


def test_a_chain_is_what_its_namespace_says():
    """Kind and id follow from the CAIP-2 text, which is read back from it."""
    bitcoin = Chain.named(bitcoin_chain(BitcoinGenesis.MAIN.value), BitcoinGenesis.MAIN.value, 6)
    assert (bitcoin.kind, bitcoin.confirmations, bitcoin.has_own_finality) == (ChainKind.BITCOIN, 6, False)
    ethereum = Chain.named(evm_chain(1), GENESIS, OWN_FINALITY)
    assert (ethereum.kind, ethereum.has_own_finality) == (ChainKind.EVM, True)
    assert ethereum.id == evm_chain(1).id
    assert ethereum.chain_id == evm_chain(1)


@pytest.mark.parametrize(
    ("chain", "genesis", "confirmations", "field"),
    [
        (ChainId("cosmos", "hub"), GENESIS, 1, "chain.namespace"),
        (bitcoin_chain(BitcoinGenesis.MAIN.value), GENESIS, 0, "confirmations"),
        (evm_chain(1), GENESIS, -1, "confirmations"),
        (evm_chain(1), GENESIS, 2**256, "confirmations"),
        (evm_chain(1), bytes(32), 1, "genesis"),
        (evm_chain(1), GENESIS[1:], 1, "genesis"),
    ],
)
def test_what_the_registry_would_refuse_is_refused(chain, genesis, confirmations, field):
    """A namespace that nobody can follow, no finality and no first block are refused by their field."""
    with pytest.raises(BadInput) as refusal:
        Chain.named(chain, genesis, confirmations)
    assert refusal.value.field == field
    assert refusal.value.cure


def test_a_vault_has_an_address_and_a_group():
    """Parts of a wrong length are refused by name."""
    Vault(b"l" * 20, BlockHeight(0), b"g" * 32)
    for lockbox, group, field in ((b"l" * 19, b"g" * 32, "vault.lockbox"), (b"l" * 20, b"g" * 31, "vault.group")):
        with pytest.raises(BadInput) as refusal:
            Vault(lockbox, BlockHeight(0), group)
        assert refusal.value.field == field
