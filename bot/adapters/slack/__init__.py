"""Slack: listeners in, cards out; what is rendered is pure and apart from what talks.

`shapes` and `text` know only words and blocks; `*_card`, `digest`, `home`, `modals` and `answers` render from data;
`api` is the only one that calls Slack, `board` keeps what Slack shows equal to what the store says, `listeners` turn
what people do into orders at the desk (`bot.adapters.desk`).
"""
