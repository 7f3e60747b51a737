"""Keeps what Slack shows equal to what the store says. `board` finds what looks wrong, `jobs` puts it in order,
`showing` and `placing` set it right once, `shelf` remembers what stands where."""
