"""Slack: what people do in it, heard; what the store says, shown. Five rooms, each standing on those below it:

`heard`   what people type, click and fill in: who did it, an order at the desk (`bot.adapters.desk`), and the answer
`board`   keeps what Slack shows equal to what the store says, whatever fails in between
`line`    the way to Slack and from it: the Web API, Socket Mode, the door for HTTP mode
`pages`   forms: rendered, and read when they come back. Pure
`cards`   messages and lists: rendered from data, within Slack's limits. Pure

`check` and `manifest`, for whoever sets Slack up, stand above them.
"""
