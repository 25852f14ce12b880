# pragma version ~=0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
"""
@title DevToken
@license MIT
@notice A plain ERC-20 with permit (EIP-2612) for development networks: all units are made at once. The bridge has never
        seen it before its first deposit.
"""


from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed
from snekmate.auth import ownable
from snekmate.tokens import erc20

initializes: ownable
initializes: erc20[ownable := ownable]

implements: IERC20
implements: IERC20Detailed

exports: (
    erc20.IERC20,
    erc20.decimals,
    erc20.permit,
    erc20.nonces,
    erc20.DOMAIN_SEPARATOR,
    erc20.eip712Domain,
)


name: public(immutable(String[50]))
symbol: public(immutable(String[20]))


@deploy
def __init__(name_: String[50], symbol_: String[20], decimals_: uint8, holder: address, amount: uint256):
    """
    @notice Creates the token with all its units.
    @param name_ For people; also the name of the EIP-712 domain of `permit`, whose version is "1".
    @param symbol_ Ticker.
    @param decimals_ How many decimal places a wallet shows.
    @param holder Gets all units.
    @param amount In base units.
    """
    name = name_
    symbol = symbol_
    ownable.__init__()
    erc20.__init__("", "", decimals_, name_, "1")
    erc20._mint(holder, amount)
