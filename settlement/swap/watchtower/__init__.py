"""A watchtower: it acts for a trader who sleeps, with what was signed in advance, and holds no key of the trader's."""
