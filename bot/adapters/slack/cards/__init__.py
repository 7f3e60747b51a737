"""What Slack shows: cards, lists and answers, rendered from data within Block Kit's limits. Nothing talks to Slack.

`text` makes foreign words harmless, `blocks` keep the limits, `shapes` are the words all rooms of Slack share.
"""
