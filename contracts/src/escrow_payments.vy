# pragma version ~=0.4.3
# pragma nonreentrancy off
"""
@title What an Escrow takes and pays
@license MIT
@notice Moves coin and ERC-20s in and out of the contract that uses the module, and believes no token.
@dev Invariants:
     1. Exactly the amount arrives, or leaves, by the token's own account of balances; else nothing happens.
     2. What `_send` calls can neither use more than its bound of gas, nor make it revert, nor fill its memory.
     The user has to be locked while any of this runs, and to have the function `transfer_token`, which calls
     `_transfer_token` and which only it itself may call.
"""


from ethereum.ercs import IERC20


# @dev Gas for a payee of coin (a smart account needs some), and for a whole ERC-20 payment with its two checks.
_COIN_GAS: constant(uint256) = 50_000
_TOKEN_GAS: constant(uint256) = 300_000

# @dev What has to be left before each call: its gas · 64/63 (EIP-150), and what the call itself costs at most (9,000 for
#      the value, 25,000 for a new account, 2,600 for a cold one). With less, whoever calls could make a payment fail.
_COIN_GAS_LEFT: constant(uint256) = 90_000
_TOKEN_GAS_LEFT: constant(uint256) = 310_000


@internal
def _pull(asset: address, amount: uint256):
    """
    @notice Takes tokens of the caller, and reverts unless exactly the amount arrives: terms say what is paid out.
    @param asset The token.
    @param amount How much.
    """
    assert asset.is_contract, "Escrow: not a token"
    before: uint256 = staticcall IERC20(asset).balanceOf(self)
    answer: Bytes[32] = raw_call(
        asset,
        abi_encode(msg.sender, self, amount, method_id=method_id("transferFrom(address,address,uint256)")),
        max_outsize=32,
    )
    assert self._is_consent(answer), "Escrow: token refused"
    after: uint256 = staticcall IERC20(asset).balanceOf(self)
    assert after >= before and after - before == amount, "Escrow: another amount arrived"


@internal
def _send(asset: address, to: address, amount: uint256) -> bool:
    """
    @notice Pays within bounded gas. Nothing that comes back is looked at, however long it is. Reverts only if whoever calls
            sent too little gas to grant the bound.
    @param asset The token, or zero.
    @param to Receives it.
    @param amount How much.
    @return Whether it was paid.
    """
    if asset == empty(address):
        assert msg.gas >= _COIN_GAS_LEFT, "Escrow: more gas"
        return raw_call(to, b"", value=amount, gas=_COIN_GAS, revert_on_failure=False)
    assert msg.gas >= _TOKEN_GAS_LEFT, "Escrow: more gas"
    return raw_call(
        self,
        abi_encode(asset, to, amount, method_id=method_id("transfer_token(address,address,uint256)")),
        gas=_TOKEN_GAS,
        revert_on_failure=False,
    )


@internal
def _transfer(asset: address, to: address, amount: uint256):
    """
    @notice Pays with all the gas there is, or reverts.
    @param asset The token, or zero.
    @param to Receives it.
    @param amount How much.
    """
    if asset != empty(address):
        self._transfer_token(asset, to, amount)
        return
    assert raw_call(to, b"", value=amount, revert_on_failure=False), "Escrow: payee refused"


@internal
def _transfer_token(asset: address, to: address, amount: uint256):
    """
    @notice Transfers a token, and reverts unless exactly the amount has left. The balance is asked because a token may
            claim success and move nothing, or take more.
    @param asset The token.
    @param to Receives it; the Escrow itself cannot, for then nothing leaves.
    @param amount How much.
    """
    assert asset.is_contract, "Escrow: not a token"
    before: uint256 = staticcall IERC20(asset).balanceOf(self)
    answer: Bytes[32] = raw_call(
        asset, abi_encode(to, amount, method_id=method_id("transfer(address,uint256)")), max_outsize=32
    )
    assert self._is_consent(answer), "Escrow: token refused"
    after: uint256 = staticcall IERC20(asset).balanceOf(self)
    assert after <= before and before - after == amount, "Escrow: another amount left"


@internal
@pure
def _is_consent(answer: Bytes[32]) -> bool:
    """
    @notice Whether a token's answer means success: true, or nothing at all, as tokens older than the standard answer.
    @param answer The first 32 bytes of it.
    @return Whether it does.
    """
    return len(answer) == 0 or (len(answer) == 32 and convert(answer, uint256) == 1)
