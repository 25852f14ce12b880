"""The order board: offers that anybody may read, and mailboxes for the sealed letters of those who trade."""
