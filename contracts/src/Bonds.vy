# pragma version ~=0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
"""
@title Bonds
@license MIT
@notice Who may attest, and with what weight: vouchers bond the native coin, and the Hub acts on attestations of more than
        two thirds of all bonded stake.
@dev Invariants:
     1. A voucher's weight is the sum of what it has paid in, and `total_weight` is the sum of all weights.
     2. The balance is at least `total_weight`. Nothing pays out yet: stake stays here, counted to its voucher, until the
        functions to unbond and to slash are added.
     3. Who is not admitted cannot join; who has joined once cannot join again.
     4. There are at most 64 vouchers, so that all of them fit into one tally.
     5. No two vouchers have the same host key: peers find each other by it, and a voucher that joined with another's key
        and an endpoint of its own would draw the other's messages to itself.
"""


from snekmate.auth import ownable

initializes: ownable

exports: (
    ownable.owner,
    ownable.transfer_ownership,
)


MAX_VOUCHERS: constant(uint256) = 64


struct Voucher:
    # Compressed secp256k1 point: signs peer messages.
    host_key: Bytes[33]
    # Curve25519 key of the ZeroMQ transport.
    transport_key: bytes32
    # tcp://host:port
    endpoint: String[128]
    # In wei.
    stake: uint256
    admitted: bool
    joined: bool


event VoucherAdmitted:
    account: indexed(address)


event VoucherJoined:
    account: indexed(address)
    host_key: Bytes[33]
    transport_key: bytes32
    endpoint: String[128]
    stake: uint256


event WeightChanged:
    account: indexed(address)
    weight: uint256
    total: uint256


# @dev The least that a voucher bonds when it joins, in wei.
minimum_stake: public(immutable(uint256))

# @dev Account → weight in wei.
weight_of: public(HashMap[address, uint256])

# @dev Sum of all weights, in wei.
total_weight: public(uint256)

# @dev Account → what it joined with; `stake` is its weight now.
_voucher: HashMap[address, Voucher]

# @dev keccak256 of a host key → whether a voucher joined with it.
_host_key_taken: HashMap[bytes32, bool]

# @dev All who joined, in the order of joining.
_vouchers: DynArray[address, MAX_VOUCHERS]


@deploy
def __init__(minimum_stake_: uint256):
    """
    @notice The deployer becomes the owner.
    @param minimum_stake_ The least that a voucher bonds when it joins, in wei; more than zero.
    """
    assert minimum_stake_ > 0, "Bonds: no minimum stake"
    minimum_stake = minimum_stake_
    ownable.__init__()


@external
def admit(account: address):
    """
    @notice Allows an account to join. Owner only.
    @param account The voucher to be.
    """
    ownable._check_owner()
    assert account != empty(address), "Bonds: zero account"
    assert not self._voucher[account].admitted, "Bonds: already admitted"
    self._voucher[account].admitted = True
    log VoucherAdmitted(account=account)


@external
@payable
def join(host_key: Bytes[33], transport_key: bytes32, endpoint: String[128]):
    """
    @notice Makes the caller, who was admitted, a voucher with the stake that it sends along.
    @param host_key Compressed point that signs its peer messages.
    @param transport_key Curve25519 key of its transport.
    @param endpoint Where its peers reach it, like `tcp://host:port`.
    """
    assert self._voucher[msg.sender].admitted, "Bonds: not admitted"
    assert not self._voucher[msg.sender].joined, "Bonds: already joined"
    assert msg.value >= minimum_stake, "Bonds: stake too small"
    assert len(self._vouchers) < MAX_VOUCHERS, "Bonds: too many vouchers"
    assert len(host_key) == 33, "Bonds: host key length"
    prefix: bytes1 = convert(slice(host_key, 0, 1), bytes1)
    assert prefix == 0x02 or prefix == 0x03, "Bonds: host key form"
    assert transport_key != empty(bytes32), "Bonds: no transport key"
    assert len(endpoint) > 0, "Bonds: no endpoint"
    key_id: bytes32 = keccak256(host_key)
    assert not self._host_key_taken[key_id], "Bonds: host key twice"
    self._host_key_taken[key_id] = True

    self._voucher[msg.sender] = Voucher(
        host_key=host_key,
        transport_key=transport_key,
        endpoint=endpoint,
        stake=msg.value,
        admitted=True,
        joined=True,
    )
    self._vouchers.append(msg.sender)
    log VoucherJoined(
        account=msg.sender, host_key=host_key, transport_key=transport_key, endpoint=endpoint, stake=msg.value
    )
    self._add_weight(msg.sender, msg.value)


@external
@payable
def top_up():
    """
    @notice Adds what the caller, a voucher, sends along to its stake.
    """
    assert self._voucher[msg.sender].joined, "Bonds: not a voucher"
    assert msg.value > 0, "Bonds: nothing sent"
    self._voucher[msg.sender].stake += msg.value
    self._add_weight(msg.sender, msg.value)


@external
@view
def voucher(account: address) -> Voucher:
    """
    @notice What is known of a voucher.
    @param account Its account.
    @return All zero for an account that was never admitted.
    """
    return self._voucher[account]


@external
@view
def vouchers() -> DynArray[address, MAX_VOUCHERS]:
    """
    @notice The accounts of all vouchers, in the order of joining.
    @return At most 64.
    """
    return self._vouchers


@external
@view
def weigh(accounts: DynArray[address, MAX_VOUCHERS]) -> (uint256, uint256):
    """
    @notice The weight of several accounts together, and that of all vouchers: what the Hub asks at each tally.
    @param accounts Distinct accounts: the caller sees to that.
    @return Their weight (strangers weigh nothing) and the total, in wei.
    """
    weight: uint256 = 0
    for account: address in accounts:
        weight += self.weight_of[account]
    return weight, self.total_weight


@internal
def _add_weight(account: address, amount: uint256):
    """
    @notice Counts paid-in stake.
    @param account The voucher.
    @param amount In wei.
    """
    self.weight_of[account] += amount
    self.total_weight += amount
    log WeightChanged(account=account, weight=self.weight_of[account], total=self.total_weight)
