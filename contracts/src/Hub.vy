# pragma version ~=0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Hub
@license MIT
@notice Where bridged value enters and leaves the native chain. Deposits that vouchers attested become mapping tokens;
        tokens locked for a withdrawal are burnt when vouchers attested its payout.
@dev Put together from modules, whose invariants hold here: `hub_deposits`, `hub_withdrawals` and `hub_payouts` are what
     people and nodes do; `hub_votes` counts signatures, `hub_halts` and `hub_limits` hold back, `hub_tokens` mints and
     burns, `hub_fees` keeps what was earned. Together:
     1. What exists of an asset's token and what is pending of its fees is at most what its attested deposits brought
        less what its settled payouts took: supply + pending fees ≤ reserves.
     2. No deposit is minted twice, and none is both minted and returned. No withdrawal is settled, cancelled or
        restored twice; what is restored was settled, and comes back at most once.
     3. Acts of vouchers need more than two thirds of the weight that `Bonds` counts at that moment, a halt more than
        one third; acts of storemen need the threshold of their group.
     Whoever sends a transaction has no say in it: signatures or ownership of a withdrawal count. The only contracts
     called are Registry, Bonds and the mapping tokens, which call nobody; the lock against re-entrance is a second wall.
"""


import eip712
import hub_deposits
import hub_fees
import hub_halts
import hub_limits
import hub_payouts
import hub_tokens
import hub_votes
import hub_withdrawals

initializes: eip712
initializes: hub_votes[eip712 := eip712]
initializes: hub_halts[hub_votes := hub_votes]
initializes: hub_limits
initializes: hub_tokens[hub_votes := hub_votes]
initializes: hub_fees[hub_tokens := hub_tokens, hub_votes := hub_votes]
initializes: hub_deposits[
    eip712 := eip712,
    hub_fees := hub_fees,
    hub_halts := hub_halts,
    hub_limits := hub_limits,
    hub_tokens := hub_tokens,
    hub_votes := hub_votes,
]
initializes: hub_withdrawals[
    hub_halts := hub_halts, hub_limits := hub_limits, hub_tokens := hub_tokens, hub_votes := hub_votes
]
initializes: hub_payouts[
    eip712 := eip712,
    hub_fees := hub_fees,
    hub_halts := hub_halts,
    hub_tokens := hub_tokens,
    hub_votes := hub_votes,
    hub_withdrawals := hub_withdrawals,
]

exports: (
    eip712.eip712Domain,
    hub_deposits.__interface__,
    hub_fees.__interface__,
    hub_halts.__interface__,
    hub_payouts.__interface__,
    hub_tokens.__interface__,
    hub_votes.__interface__,
    hub_withdrawals.__interface__,
)


@deploy
def __init__(registry_: address, bonds_: address, token_blueprint_: address):
    """
    @notice Binds the Hub to its companions for ever.
    @param registry_ Knows assets and groups.
    @param bonds_ Knows the vouchers' weights.
    @param token_blueprint_ ERC-5202 blueprint of MappingToken.
    """
    eip712.__init__()
    hub_votes.__init__(registry_, bonds_)
    hub_tokens.__init__(token_blueprint_)
