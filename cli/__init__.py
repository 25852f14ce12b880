"""The `causeway` command. `main` assembles it; each module of commands is imported only when it is used."""
