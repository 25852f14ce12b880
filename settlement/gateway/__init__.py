"""A party at work: its payments, ledgers, peers, rules, exchange of data and books, put together."""
