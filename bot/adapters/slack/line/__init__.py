"""The way to Slack and from it. `api` is the only one that calls Slack; by `socket_line` or `door` it calls us."""
