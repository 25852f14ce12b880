"""What nodes say of a broadcast, in the words of several of them."""

from __future__ import annotations

import pytest

from adapters.evm.mempool import Verdict, verdict


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("already known", Verdict.TAKEN),  # geth, reth
        ("transaction already imported", Verdict.TAKEN),  # anvil
        ("AlreadyKnown", Verdict.TAKEN),  # nethermind
        ("Known transaction", Verdict.TAKEN),  # besu
        ("nonce too low: next nonce 5, tx nonce 4", Verdict.NONCE_USED),  # geth
        ("nonce too low", Verdict.NONCE_USED),  # anvil
        ("OldNonce, Current nonce: 5, nonce of rejected tx: 4", Verdict.NONCE_USED),  # nethermind
        ("replacement transaction underpriced", Verdict.UNDERPRICED),  # geth, anvil
        ("transaction underpriced: gas tip cap 1, minimum needed 1000000", Verdict.UNDERPRICED),  # geth
        ("max fee per gas less than block base fee: address 0x…", Verdict.UNDERPRICED),  # geth, anvil
        ("FeeTooLow, MaxFeePerGas too low", Verdict.UNDERPRICED),  # nethermind
        ("ReplacementNotAllowed", Verdict.UNDERPRICED),  # nethermind
        ("Gas price below configured minimum gas price", Verdict.UNDERPRICED),  # besu
        ("insufficient funds for gas * price + value: balance 0", Verdict.TOO_POOR),  # geth
        ("Insufficient funds for gas * price + value", Verdict.TOO_POOR),  # anvil
        ("InsufficientFunds, Account balance: 0", Verdict.TOO_POOR),  # nethermind
        ("intrinsic gas too low: have 20000, want 21000", Verdict.NEVER),  # geth
        ("exceeds block gas limit", Verdict.NEVER),  # geth
        ("transaction gas limit too high (cap: 16777216, tx: 17000000)", Verdict.NEVER),  # geth, EIP-7825
        ("invalid chain id for signer: have 1 want 5", Verdict.NEVER),  # geth
        ("txpool is full", Verdict.REFUSED),
        ("", Verdict.REFUSED),
    ],
)
def test_a_nodes_words_are_understood(words: str, expected: Verdict) -> None:
    """Each way of saying it is known."""
    assert verdict(words) is expected
