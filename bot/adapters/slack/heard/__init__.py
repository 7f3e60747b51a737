"""What people do in Slack: `listeners` hear it, `members` know who it was; `commands`, `clicks` and `submissions` take
it to the desk."""
