# pragma version ~=0.4.3
# pragma nonreentrancy on
# pragma evm-version cancun
"""
@title Bonds
@license MIT
@notice Who may attest, with what weight, and what they earn and risk: operators (vouchers and storemen) bond the native
        coin, holders delegate to them, fees are shared by bond, and who attests two things of one event loses bond and role.
@dev Invariants:
     1. The balance is the sum of all active bonds, all unbonding bonds and the insurance. Coin that is forced in on top
        belongs to nobody and changes no share: what bonds are worth is counted here, never read from the balance.
     2. An active voucher's weight is the bond of its pool, own and delegated; everybody else weighs nothing.
        `total_weight` is the sum of all weights. At most 64 vouchers are active, so that all fit into one tally.
     3. One share is one wei until its operator is slashed, and (10,000 − slash_bps) / 10,000 wei, rounded down, for ever
        after: an operator is slashed at most once, and a slashed one takes no new bonds. What rounding leaves when a
        pool's last share goes is insurance. Nobody takes out more than it put in.
     4. What is unbonding bears a slash like what is bonded, until it is withdrawn.
     5. Who is not admitted cannot join as a voucher; who was a voucher cannot become one again. A voucher's index is
        never given to another, nor is its host key: peers find each other by it, and a voucher that joined with
        another's key and an endpoint of its own would draw the other's messages to itself.
     6. An active voucher's own bond is at least `minimum_stake`.
     7. For each token, what was credited is what was claimed, what can be claimed, and less than one unit for each
        position and each operator; that rest stays here. No fee is paid twice, and none to a position that was not open
        when it was credited.
     8. An operator's commission on what is credited to its delegators rises only `unbonding_seconds` after it said so.
     The owner admits vouchers, binds the companions once and pays the insurance out. It cannot touch a bond or a fee.
"""


from ethereum.ercs import IERC20

import eip712
import fee_shares
import statements
from snekmate.auth import ownable

initializes: fee_shares
initializes: ownable

exports: (
    ownable.owner,
    ownable.transfer_ownership,
)


interface Registry:
    def is_storeman(group: bytes32, account: address) -> bool: view


MAX_VOUCHERS: constant(uint256) = 64
MAX_OPERATORS: constant(uint256) = 100

# @dev A tally is a bitmap of 256 bits.
MAX_INDICES: constant(uint256) = 256

BPS: constant(uint256) = 10_000

# @dev An offender that reports itself, through whomever, shall still lose most of the cut.
MAX_REWARD_BPS: constant(uint256) = 5_000

# @dev Native coin is counted below this, so that a share times a fraction of 128 bits fits into one word.
BOND_LIMIT: constant(uint256) = 2**128


flag Role:
    VOUCHER
    # Was a voucher and is none now.
    FORMER_VOUCHER
    STOREMAN
    SLASHED


struct Voucher:
    # Compressed secp256k1 point: signs peer messages.
    host_key: Bytes[33]
    # Curve25519 key of the ZeroMQ transport.
    transport_key: bytes32
    # tcp://host:port
    endpoint: String[128]
    # Its weight now, in wei.
    stake: uint256
    admitted: bool
    # Whether it is a voucher now.
    joined: bool


# What `operator` answers. Bonds in wei.
struct Operator:
    bond: uint256
    shares: uint256
    unbonding_bond: uint256
    unbonding_shares: uint256
    # The position of its own bond; 0 for none.
    own_position: uint256
    commission_bps: uint256
    # The commission that holds from `commission_rises_at` (Unix seconds) on; 0 and 0 where none is announced.
    next_commission_bps: uint256
    commission_rises_at: uint256
    # Bit in a tally's bitmap; it means something only of who is or was a voucher.
    index: uint256
    is_voucher: bool
    was_voucher: bool
    is_storeman: bool
    is_slashed: bool


struct Pool:
    bond: uint256
    shares: uint256
    unbonding_bond: uint256
    unbonding_shares: uint256
    own_position: uint256
    roles: Role


struct Position:
    operator: address
    owner: address
    shares: uint256
    # Values of `sequence`; `closed` is 0 while it is open.
    opened: uint256
    closed: uint256


struct Exit:
    operator: address
    owner: address
    shares: uint256
    # Unix seconds.
    ready_at: uint256


event CompanionsBound:
    registry: indexed(address)
    hub: indexed(address)


event VoucherAdmitted:
    account: indexed(address)


event VoucherJoined:
    account: indexed(address)
    host_key: Bytes[33]
    transport_key: bytes32
    endpoint: String[128]
    stake: uint256


event VoucherRemoved:
    account: indexed(address)


event StoremanJoined:
    account: indexed(address)
    group: indexed(bytes32)


event WeightChanged:
    account: indexed(address)
    weight: uint256
    total: uint256


event CommissionChanged:
    operator: indexed(address)
    commission_bps: uint256
    # Unix seconds from which it holds.
    since: uint256


# A position opened; `amount` is all that it holds, in wei.
event Bonded:
    position: indexed(uint256)
    operator: indexed(address)
    owner: indexed(address)
    amount: uint256


# A position closed; `into` is the one that carries on with what it held, 0 for none.
event PositionClosed:
    position: indexed(uint256)
    into: uint256


event Unbonding:
    id: indexed(uint256)
    operator: indexed(address)
    owner: indexed(address)
    amount: uint256
    ready_at: uint256


event Withdrawn:
    id: indexed(uint256)
    owner: indexed(address)
    amount: uint256


event FeesCredited:
    operator: indexed(address)
    token: indexed(address)
    amount: uint256


event FeesClaimed:
    owner: indexed(address)
    token: indexed(address)
    amount: uint256


event Slashed:
    voucher: indexed(address)
    reporter: indexed(address)
    cut: uint256
    reward: uint256


event InsurancePaid:
    to: indexed(address)
    amount: uint256


# @dev The least own bond of a voucher, in wei.
minimum_stake: public(immutable(uint256))

# @dev How long after `unbond` the coin can be withdrawn.
unbonding_seconds: public(immutable(uint256))

# @dev What a slash takes of each bond, and what of that goes to the reporter, in basis points.
slash_bps: public(immutable(uint256))
reward_bps: public(immutable(uint256))

# @dev The contracts that `bind` named; zero before.
registry: public(address)
hub: public(address)

# @dev Sum of all weights, in wei.
total_weight: public(uint256)

# @dev Index → the voucher that got it, whether or not it is one still; zero for an index not given yet.
voucher_at: public(HashMap[uint256, address])

# @dev How many indices were given.
index_count: public(uint256)

# @dev Position id, from 1 → position.
position: public(HashMap[uint256, Position])
position_count: public(uint256)

# @dev Unbonding id, from 1 → what is unbonding; all zero once it is withdrawn.
unbonding: public(HashMap[uint256, Exit])
unbonding_count: public(uint256)

# @dev Counts the moments at which positions open and close.
sequence: public(uint256)

# @dev What slashes took and no reporter got, in wei.
insurance: public(uint256)

# @dev Operator → token → commission that it can claim.
commission_owed: public(HashMap[address, HashMap[address, uint256]])

# @dev Account → weight << 8 | index. One slot: the Hub reads it for each signature.
_seat: HashMap[address, uint256]

# @dev Account → what it joined with; `stake` and `joined` are not kept here.
_voucher: HashMap[address, Voucher]

# @dev keccak256 of a host key → whether a voucher joined with it.
_host_key_taken: HashMap[bytes32, bool]

# @dev All active vouchers, in no particular order.
_vouchers: DynArray[address, MAX_VOUCHERS]

# @dev Operator → its bonds and roles.
_pool: HashMap[address, Pool]

# @dev Operator → commission in 16 bits, the announced one in 16 bits, when that begins (0: none is announced).
_commission: HashMap[address, uint256]

# @dev Position → token → what it claimed so far.
_claimed: HashMap[uint256, HashMap[address, uint256]]


@deploy
def __init__(minimum_stake_: uint256, unbonding_seconds_: uint256, slash_bps_: uint256, reward_bps_: uint256):
    """
    @notice The deployer becomes the owner.
    @param minimum_stake_ The least own bond of a voucher, in wei; more than zero.
    @param unbonding_seconds_ How long bonds stay within reach of a slash after they were unbonded; more than zero.
    @param slash_bps_ What a slash takes, 1 to 10,000 basis points of the bond.
    @param reward_bps_ What the reporter gets, 0 to 5,000 basis points of what the slash takes.
    """
    assert minimum_stake_ > 0, "Bonds: no minimum stake"
    assert unbonding_seconds_ > 0 and unbonding_seconds_ < 2**32, "Bonds: bad unbonding time"
    assert slash_bps_ > 0 and slash_bps_ <= BPS, "Bonds: bad slash"
    assert reward_bps_ <= MAX_REWARD_BPS, "Bonds: bad reward"
    minimum_stake = minimum_stake_
    unbonding_seconds = unbonding_seconds_
    slash_bps = slash_bps_
    reward_bps = reward_bps_
    ownable.__init__()


@external
def bind(registry: address, hub: address):
    """
    @notice Names the companions, for ever. Owner only, once.
    @param registry Says who is a storeman.
    @param hub Credits fees; the domain of what vouchers sign.
    """
    ownable._check_owner()
    assert self.hub == empty(address), "Bonds: already bound"
    assert registry != empty(address) and hub != empty(address), "Bonds: zero account"
    self.registry = registry
    self.hub = hub
    log CompanionsBound(registry=registry, hub=hub)


# --- Roles ------------------------------------------------------------------------------------------------------------


@external
def admit(account: address):
    """
    @notice Allows an account to join as a voucher. Owner only.
    @param account The voucher to be.
    """
    ownable._check_owner()
    assert account != empty(address), "Bonds: zero account"
    assert not self._voucher[account].admitted, "Bonds: already admitted"
    self._voucher[account].admitted = True
    log VoucherAdmitted(account=account)


@external
@payable
def join(host_key: Bytes[33], transport_key: bytes32, endpoint: String[128], commission_bps: uint256):
    """
    @notice Makes the caller, who was admitted, a voucher. What it sends along is added to its own bond.
    @param host_key Compressed point that signs its peer messages.
    @param transport_key Curve25519 key of its transport.
    @param endpoint Where its peers reach it, like `tcp://host:port`.
    @param commission_bps What it keeps of the fees credited to it before they are shared by bond.
    """
    assert self._voucher[msg.sender].admitted, "Bonds: not admitted"
    roles: Role = self._pool[msg.sender].roles
    assert not self._was_ever_voucher(roles), "Bonds: already joined"
    index: uint256 = self.index_count
    assert len(self._vouchers) < MAX_VOUCHERS, "Bonds: too many vouchers"
    assert index < MAX_INDICES, "Bonds: no index left"
    self._check_entry(host_key, transport_key, endpoint)

    self._voucher[msg.sender].host_key = host_key
    self._voucher[msg.sender].transport_key = transport_key
    self._voucher[msg.sender].endpoint = endpoint
    self._vouchers.append(msg.sender)
    self.voucher_at[index] = msg.sender
    self.index_count = index + 1
    self._seat[msg.sender] = index
    self._pool[msg.sender].roles = roles | Role.VOUCHER
    self._set_commission(msg.sender, commission_bps)
    if msg.value > 0:
        self._bond(msg.sender, msg.sender, msg.value)
    else:
        self._update_weight(msg.sender)
    assert self._own_bond(msg.sender) >= minimum_stake, "Bonds: stake too small"
    log VoucherJoined(
        account=msg.sender,
        host_key=host_key,
        transport_key=transport_key,
        endpoint=endpoint,
        stake=self._pool[msg.sender].bond,
    )


@external
@payable
def join_as_storeman(group: bytes32, commission_bps: uint256):
    """
    @notice Makes the caller, a member of a group, an operator that holds bonds. What it sends along is its own bond.
    @param group A group that it is a member of.
    @param commission_bps What it keeps of the fees credited to it before they are shared by bond.
    """
    assert self.registry != empty(address), "Bonds: not bound"
    assert staticcall Registry(self.registry).is_storeman(group, msg.sender), "Bonds: not a storeman"
    roles: Role = self._pool[msg.sender].roles
    assert Role.STOREMAN not in roles, "Bonds: already joined"
    assert Role.SLASHED not in roles, "Bonds: slashed"
    self._pool[msg.sender].roles = roles | Role.STOREMAN
    self._set_commission(msg.sender, commission_bps)
    log StoremanJoined(account=msg.sender, group=group)
    if msg.value > 0:
        self._bond(msg.sender, msg.sender, msg.value)


@external
def leave():
    """
    @notice Ends the caller's role as a voucher for ever, and unbonds its own bond. What others delegated to it stays
            until they unbond it.
    """
    assert Role.VOUCHER in self._pool[msg.sender].roles, "Bonds: not a voucher"
    self._remove_voucher(msg.sender)
    own: uint256 = self._pool[msg.sender].own_position
    self._unbond(own, self.position[own].shares)


@external
def set_commission(commission_bps: uint256):
    """
    @notice Sets what the caller, an operator, keeps of the fees credited to it. A lower commission holds at once, a higher
            one after `unbonding_seconds`, unless nobody has bonds with it.
    @param commission_bps In basis points, at most 10,000.
    """
    self._check_operator(msg.sender)
    self._set_commission(msg.sender, commission_bps)


# --- Bonds ------------------------------------------------------------------------------------------------------------


@external
@payable
def deposit() -> uint256:
    """
    @notice Adds what the caller, an operator, sends along to its own bond.
    @return The position that now holds all of its own bond.
    """
    return self._bond(msg.sender, msg.sender, msg.value)


@external
@payable
def delegate(operator: address) -> uint256:
    """
    @notice Bonds what the caller sends along with an operator. It earns a share of the operator's fees and bears its part
            of a slash.
    @param operator A voucher or a storeman that has joined and was not slashed.
    @return The new position; for an operator itself as with `deposit`.
    """
    return self._bond(operator, msg.sender, msg.value)


@external
def unbond(position: uint256, amount: uint256) -> uint256:
    """
    @notice Closes a position of the caller and begins to unbond `amount` of it. The rest goes on in a new position.
    @param position An open position.
    @param amount In wei, at most `worth(position)`.
    @return The id for `withdraw`.
    """
    held: Position = self.position[position]
    assert held.owner == msg.sender, "Bonds: not the owner"
    assert held.closed == 0, "Bonds: position closed"
    assert amount > 0, "Bonds: nothing to unbond"
    worth: uint256 = self._worth(held.operator, held.shares)
    assert amount <= worth, "Bonds: more than the position"
    shares: uint256 = held.shares
    if amount < worth:
        shares = self._shares_for(held.operator, amount)
    return self._unbond(position, shares)


@external
def withdraw(unbonding: uint256) -> uint256:
    """
    @notice Pays what was unbonded to its owner, once its time has come. Anyone may call it.
    @param unbonding The id that `unbond` or `leave` gave it.
    @return How much was paid, in wei: less than was unbonded if there was a slash meanwhile.
    """
    leaving: Exit = self.unbonding[unbonding]
    assert leaving.owner != empty(address), "Bonds: no such unbonding"
    assert block.timestamp >= leaving.ready_at, "Bonds: not ready"
    amount: uint256 = self._worth(leaving.operator, leaving.shares)
    pool: Pool = self._pool[leaving.operator]
    rest: uint256 = pool.unbonding_bond - amount
    if leaving.shares == pool.unbonding_shares:
        self.insurance += rest
        rest = 0
    self._pool[leaving.operator].unbonding_bond = rest
    self._pool[leaving.operator].unbonding_shares = pool.unbonding_shares - leaving.shares
    self.unbonding[unbonding] = empty(Exit)
    log Withdrawn(id=unbonding, owner=leaving.owner, amount=amount)
    self._pay(leaving.owner, amount)
    return amount


# --- Fees -------------------------------------------------------------------------------------------------------------


@external
def credit(token: address, operators: DynArray[address, MAX_OPERATORS], amount: uint256):
    """
    @notice Shares out fees that were minted to this contract. Hub only.
    @param token A mapping token.
    @param operators Who took part. Each gets the same; where that leaves a remainder, the first ones get one unit more.
    @param amount In base units.
    """
    assert msg.sender == self.hub, "Bonds: not the Hub"
    count: uint256 = len(operators)
    assert count > 0, "Bonds: no operators"
    part: uint256 = amount // count
    remainder: uint256 = amount % count
    for operator: address in operators:
        due: uint256 = part
        if remainder > 0:
            due += 1
            remainder -= 1
        self._credit(operator, token, due)


@external
def claim(position: uint256, token: address) -> uint256:
    """
    @notice Pays what a position earned and nobody claimed yet to its owner. Anyone may call it, however long it is closed.
    @param position A position, open or closed.
    @param token The token of the fees.
    @return How much was paid, in base units.
    """
    amount: uint256 = self._claimable(position, token)
    self._claimed[position][token] += amount
    self._pay_fees(self.position[position].owner, token, amount)
    return amount


@external
def claim_commission(token: address) -> uint256:
    """
    @notice Pays the caller what it kept of fees as an operator.
    @param token The token of the fees.
    @return How much was paid, in base units.
    """
    amount: uint256 = self.commission_owed[msg.sender][token]
    self.commission_owed[msg.sender][token] = 0
    self._pay_fees(msg.sender, token, amount)
    return amount


# --- Slashing ---------------------------------------------------------------------------------------------------------


@external
def report(first: statements.Statement, second: statements.Statement):
    """
    @notice Proves that a voucher, present or former, signed two statements that cannot both be true. It loses its role and
            `slash_bps` of all that is bonded with it or unbonding from it; the caller gets `reward_bps` of that. Anyone.
    @param first What it signed.
    @param second What it signed besides.
    """
    assert self.hub != empty(address), "Bonds: not bound"
    first_digest: bytes32 = statements._digest(first, self.hub)
    second_digest: bytes32 = statements._digest(second, self.hub)
    assert first_digest != second_digest, "Bonds: same statement"
    assert statements._in_conflict(first, second, self.registry), "Bonds: no conflict"
    signer: address = eip712._recover(first_digest, first.signature)
    assert signer == eip712._recover(second_digest, second.signature), "Bonds: two signers"
    self._slash(signer)


@external
def pay_insurance(to: address, amount: uint256):
    """
    @notice Pays what slashes took to whoever was harmed. Owner only.
    @param to Who gets it.
    @param amount In wei, at most `insurance`.
    """
    ownable._check_owner()
    assert to != empty(address), "Bonds: zero account"
    assert amount <= self.insurance, "Bonds: more than the insurance"
    self.insurance -= amount
    log InsurancePaid(to=to, amount=amount)
    self._pay(to, amount)


# --- Views ------------------------------------------------------------------------------------------------------------


@external
@view
def voucher(account: address) -> Voucher:
    """
    @notice What is known of a voucher.
    @param account Its account.
    @return All zero for an account that was never admitted; no stake for one that is no voucher, or none any more.
    """
    found: Voucher = self._voucher[account]
    found.stake = self._seat[account] >> 8
    found.joined = Role.VOUCHER in self._pool[account].roles
    return found


@external
@view
def vouchers() -> DynArray[address, MAX_VOUCHERS]:
    """
    @notice The accounts of all active vouchers, in no particular order.
    @return At most 64.
    """
    return self._vouchers


@external
@view
def operator(account: address) -> Operator:
    """
    @notice What is known of an operator.
    @param account Its account.
    @return All zero for an account that has no role.
    """
    pool: Pool = self._pool[account]
    packed: uint256 = self._commission[account]
    found: Operator = Operator(
        bond=pool.bond,
        shares=pool.shares,
        unbonding_bond=pool.unbonding_bond,
        unbonding_shares=pool.unbonding_shares,
        own_position=pool.own_position,
        commission_bps=self._commission_bps(account),
        next_commission_bps=0,
        commission_rises_at=0,
        index=self._seat[account] & 255,
        is_voucher=Role.VOUCHER in pool.roles,
        was_voucher=Role.FORMER_VOUCHER in pool.roles,
        is_storeman=Role.STOREMAN in pool.roles,
        is_slashed=Role.SLASHED in pool.roles,
    )
    if packed >> 32 > block.timestamp:
        found.next_commission_bps = packed >> 16 & 65535
        found.commission_rises_at = packed >> 32
    return found


@external
@view
def weight_of(account: address) -> uint256:
    """
    @notice The weight of one account.
    @param account A voucher.
    @return In wei; zero for strangers.
    """
    return self._seat[account] >> 8


@external
@view
def weigh(accounts: DynArray[address, MAX_VOUCHERS]) -> (uint256, uint256, uint256):
    """
    @notice The weight of several accounts together, and that of all vouchers: what the Hub asks at each tally.
    @param accounts Distinct accounts: the caller sees to that.
    @return Their weight (strangers weigh nothing) and the total, in wei, and the bitmap of the vouchers' indices.
    """
    weight: uint256 = 0
    bitmap: uint256 = 0
    for account: address in accounts:
        seat: uint256 = self._seat[account]
        if seat >> 8 > 0:
            weight += seat >> 8
            bitmap |= 1 << (seat & 255)
    return weight, self.total_weight, bitmap


@external
@view
def worth(position: uint256) -> uint256:
    """
    @notice How much could be unbonded of a position.
    @param position Its id.
    @return In wei; zero for a closed one.
    """
    held: Position = self.position[position]
    if held.closed != 0:
        return 0
    return self._worth(held.operator, held.shares)


@external
@view
def unbonding_worth(unbonding: uint256) -> uint256:
    """
    @notice What `withdraw` would pay as things are.
    @param unbonding Its id.
    @return In wei; zero for one that was withdrawn.
    """
    leaving: Exit = self.unbonding[unbonding]
    return self._worth(leaving.operator, leaving.shares)


@external
@view
def claimable(position: uint256, token: address) -> uint256:
    """
    @notice What `claim` would pay.
    @param position Its id.
    @param token The token of the fees.
    @return In base units.
    """
    return self._claimable(position, token)


# --- Inside: roles ----------------------------------------------------------------------------------------------------


@internal
@view
def _was_ever_voucher(roles: Role) -> bool:
    """
    @notice Whether an operator is or was a voucher.
    @param roles Its roles.
    @return False for one that is a storeman alone.
    """
    return Role.VOUCHER in roles or Role.FORMER_VOUCHER in roles


@internal
@view
def _check_operator(account: address):
    """
    @notice Reverts unless bonds may be added to an operator.
    @param account The operator.
    """
    roles: Role = self._pool[account].roles
    assert Role.SLASHED not in roles, "Bonds: slashed"
    assert Role.VOUCHER in roles or Role.STOREMAN in roles, "Bonds: not an operator"


@internal
def _check_entry(host_key: Bytes[33], transport_key: bytes32, endpoint: String[128]):
    """
    @notice Checks what a voucher joins with, and takes its host key.
    @param host_key As in `join`.
    @param transport_key As in `join`.
    @param endpoint As in `join`.
    """
    assert len(host_key) == 33, "Bonds: host key length"
    prefix: bytes1 = convert(slice(host_key, 0, 1), bytes1)
    assert prefix == 0x02 or prefix == 0x03, "Bonds: host key form"
    assert transport_key != empty(bytes32), "Bonds: no transport key"
    assert len(endpoint) > 0, "Bonds: no endpoint"
    key_id: bytes32 = keccak256(host_key)
    assert not self._host_key_taken[key_id], "Bonds: host key twice"
    self._host_key_taken[key_id] = True


@internal
def _remove_voucher(account: address):
    """
    @notice Takes an active voucher's role and weight away, for ever.
    @param account The voucher.
    """
    count: uint256 = len(self._vouchers)
    for place: uint256 in range(count, bound=MAX_VOUCHERS):
        if self._vouchers[place] == account:
            self._vouchers[place] = self._vouchers[count - 1]
            break
    self._vouchers.pop()
    roles: Role = self._pool[account].roles
    self._pool[account].roles = (roles ^ Role.VOUCHER) | Role.FORMER_VOUCHER
    log VoucherRemoved(account=account)
    self._update_weight(account)


@internal
def _update_weight(account: address):
    """
    @notice Makes the weight what role and pool say; says so if it changed.
    @param account Any account.
    """
    seat: uint256 = self._seat[account]
    weight: uint256 = 0
    if Role.VOUCHER in self._pool[account].roles:
        weight = self._pool[account].bond
    if weight != seat >> 8:
        total: uint256 = self.total_weight - (seat >> 8) + weight
        self.total_weight = total
        self._seat[account] = weight << 8 | seat & 255
        log WeightChanged(account=account, weight=weight, total=total)


@internal
def _set_commission(account: address, commission_bps: uint256):
    """
    @notice Sets or announces an operator's commission.
    @param account The operator.
    @param commission_bps The new commission.
    """
    assert commission_bps <= BPS, "Bonds: bad commission"
    present: uint256 = self._commission_bps(account)
    since: uint256 = block.timestamp
    packed: uint256 = commission_bps
    if commission_bps > present and self._pool[account].shares > 0:
        since += unbonding_seconds
        packed = since << 32 | commission_bps << 16 | present
    self._commission[account] = packed
    log CommissionChanged(operator=account, commission_bps=commission_bps, since=since)


@internal
@view
def _commission_bps(account: address) -> uint256:
    """
    @notice An operator's commission now.
    @param account The operator.
    @return In basis points.
    """
    packed: uint256 = self._commission[account]
    since: uint256 = packed >> 32
    if since != 0 and block.timestamp >= since:
        return packed >> 16 & 65535
    return packed & 65535


# --- Inside: bonds ----------------------------------------------------------------------------------------------------


@internal
@view
def _worth(operator: address, shares: uint256) -> uint256:
    """
    @notice What shares of an operator's pools are worth.
    @param operator The operator.
    @param shares How many.
    @return In wei, rounded down.
    """
    if Role.SLASHED in self._pool[operator].roles:
        return shares * (BPS - slash_bps) // BPS
    return shares


@internal
@view
def _shares_for(operator: address, amount: uint256) -> uint256:
    """
    @notice The fewest shares that are worth an amount, which they then are exactly.
    @param operator The operator.
    @param amount In wei, less than the worth of shares that exist.
    @return How many.
    """
    if Role.SLASHED in self._pool[operator].roles:
        kept: uint256 = BPS - slash_bps
        return (amount * BPS + kept - 1) // kept
    return amount


@internal
@view
def _own_bond(account: address) -> uint256:
    """
    @notice An unslashed operator's own bond.
    @param account The operator.
    @return In wei.
    """
    return self.position[self._pool[account].own_position].shares


@internal
def _open(operator: address, owner: address, shares: uint256) -> uint256:
    """
    @notice Opens a position, at the moment that `sequence` stands for.
    @param operator Whose pool it is in.
    @param owner Whose it is.
    @param shares What it holds.
    @return Its id.
    """
    id: uint256 = self.position_count + 1
    self.position_count = id
    self.position[id] = Position(operator=operator, owner=owner, shares=shares, opened=self.sequence, closed=0)
    if owner == operator:
        self._pool[operator].own_position = id
    log Bonded(position=id, operator=operator, owner=owner, amount=self._worth(operator, shares))
    return id


@internal
def _bond(operator: address, owner: address, amount: uint256) -> uint256:
    """
    @notice Counts coin that came with the call. An operator has one open position of its own, so what it had goes into
            the new one.
    @param operator Whose pool it goes to.
    @param owner Whose it is.
    @param amount In wei.
    @return The new position.
    """
    self._check_operator(operator)
    assert amount > 0, "Bonds: nothing sent"
    pool: Pool = self._pool[operator]
    assert pool.shares + amount < BOND_LIMIT, "Bonds: too much bonded"
    self.sequence += 1
    shares: uint256 = amount
    old: uint256 = 0
    if owner == operator and pool.own_position != 0:
        old = pool.own_position
        shares += self.position[old].shares
        self.position[old].closed = self.sequence
    self._pool[operator].shares = pool.shares + amount
    self._pool[operator].bond = pool.bond + amount
    id: uint256 = self._open(operator, owner, shares)
    if old != 0:
        log PositionClosed(position=old, into=id)
    self._update_weight(operator)
    return id


@internal
def _unbond(position: uint256, shares: uint256) -> uint256:
    """
    @notice Closes a position, opens another with what stays of it, and moves the rest to what is unbonding.
    @param position An open position.
    @param shares How many of its shares leave; at most all.
    @return The id for `withdraw`.
    """
    held: Position = self.position[position]
    pool: Pool = self._pool[held.operator]
    rest: uint256 = held.shares - shares
    if position == pool.own_position:
        assert Role.VOUCHER not in pool.roles or rest >= minimum_stake, "Bonds: below minimum stake"
        self._pool[held.operator].own_position = 0
    self.sequence += 1
    self.position[position].closed = self.sequence
    into: uint256 = 0
    if rest > 0:
        into = self._open(held.operator, held.owner, rest)
    log PositionClosed(position=position, into=into)

    amount: uint256 = self._worth(held.operator, shares)
    bond: uint256 = pool.bond - amount
    if shares == pool.shares:
        self.insurance += bond
        bond = 0
    self._pool[held.operator].bond = bond
    self._pool[held.operator].shares = pool.shares - shares
    self._pool[held.operator].unbonding_bond = pool.unbonding_bond + amount
    self._pool[held.operator].unbonding_shares = pool.unbonding_shares + shares
    id: uint256 = self.unbonding_count + 1
    self.unbonding_count = id
    ready_at: uint256 = block.timestamp + unbonding_seconds
    self.unbonding[id] = Exit(operator=held.operator, owner=held.owner, shares=shares, ready_at=ready_at)
    log Unbonding(id=id, operator=held.operator, owner=held.owner, amount=amount, ready_at=ready_at)
    self._update_weight(held.operator)
    return id


@internal
def _pay(to: address, amount: uint256):
    """
    @notice Sends native coin, after all that is to be counted was counted.
    @param to Who gets it.
    @param amount In wei; nothing is called for none.
    """
    if amount > 0:
        assert raw_call(to, b"", value=amount, revert_on_failure=False), "Bonds: payment refused"


# --- Inside: fees -----------------------------------------------------------------------------------------------------


@internal
def _credit(operator: address, token: address, amount: uint256):
    """
    @notice Splits one operator's part into its commission and what its positions share.
    @param operator The operator; it need not have joined, and it may have left.
    @param token The token of the fees.
    @param amount In base units.
    """
    assert operator != empty(address), "Bonds: zero account"
    if amount == 0:
        return
    shares: uint256 = self._pool[operator].shares
    commission: uint256 = amount
    if shares > 0:
        bps: uint256 = self._commission_bps(operator)
        # amount * bps // BPS, without overflow for amounts near 2**256.
        commission = amount // BPS * bps + amount % BPS * bps // BPS
    if commission > 0:
        self.commission_owed[operator][token] += commission
    if commission < amount:
        fee_shares._share_out(operator, token, amount - commission, shares, self.sequence)
    log FeesCredited(operator=operator, token=token, amount=amount)


@internal
@view
def _claimable(position: uint256, token: address) -> uint256:
    """
    @notice What a position earned between its opening and its closing, or now, less what it claimed.
    @param position Its id.
    @param token The token of the fees.
    @return In base units, rounded down.
    """
    held: Position = self.position[position]
    if held.shares == 0:
        return 0
    first: uint256 = 0
    first_fraction: uint256 = 0
    first, first_fraction = fee_shares._earned(held.operator, token, held.opened)
    last: uint256 = 0
    last_fraction: uint256 = 0
    last, last_fraction = fee_shares._earned(held.operator, token, held.closed)
    if last_fraction < first_fraction:
        last -= 1
        last_fraction += 2**128
    # Shares are below 2**128.
    earned: uint256 = held.shares * (last - first) + (held.shares * (last_fraction - first_fraction) >> 128)
    return earned - self._claimed[position][token]


@internal
def _pay_fees(owner: address, token: address, amount: uint256):
    """
    @notice Sends claimed fees, after they were counted as claimed.
    @param owner Who gets them.
    @param token The token.
    @param amount In base units.
    """
    assert amount > 0, "Bonds: nothing to claim"
    log FeesClaimed(owner=owner, token=token, amount=amount)
    assert extcall IERC20(token).transfer(owner, amount, default_return_value=True), "Bonds: transfer failed"


# --- Inside: slashing -------------------------------------------------------------------------------------------------


@internal
def _slash(account: address):
    """
    @notice Cuts all bonds with a voucher, takes its role, and rewards the caller.
    @param account Who is guilty.
    """
    roles: Role = self._pool[account].roles
    assert Role.SLASHED not in roles, "Bonds: already slashed"
    assert self._was_ever_voucher(roles), "Bonds: not a voucher"
    if Role.VOUCHER in roles:
        self._remove_voucher(account)
    pool: Pool = self._pool[account]
    self._pool[account].roles = pool.roles | Role.SLASHED
    bond: uint256 = self._worth(account, pool.shares)
    unbonding_bond: uint256 = self._worth(account, pool.unbonding_shares)
    self._pool[account].bond = bond
    self._pool[account].unbonding_bond = unbonding_bond
    cut: uint256 = pool.bond - bond + pool.unbonding_bond - unbonding_bond
    reward: uint256 = cut * reward_bps // BPS
    self.insurance += cut - reward
    log Slashed(voucher=account, reporter=msg.sender, cut=cut, reward=reward)
    self._pay(msg.sender, reward)
