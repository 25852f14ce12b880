"""What two traders write to each other: sealed letters, mailboxes, and the handshake before any money moves."""
