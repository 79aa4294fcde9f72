"""The commands around runs: one file each, imported when it is called; ``cli.py`` has the table of all commands."""
