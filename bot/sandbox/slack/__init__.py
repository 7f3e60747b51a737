"""A local Slack: what `slack.com` does for an app, on loopback, with the limits that Slack documents.

Used by the demo (a browser page shows it), by tests and by the bench; an app reaches it with the real slack-sdk by
`base_url`. It never talks to slack.com. `python -m bot.sandbox.slack` runs it as a process of its own; tests use
`server.LocalSlack`. What is in it: `world` (what exists and was ever shown), `limits` (Block Kit), `web_api` and the
`api_…` methods, `rates` (429), `acts` (what people do), `courier` with `sockets` (Socket Mode) and `pushes` (HTTP
mode), `responding` (response_url), `faults`, `mentions` (whom something shown would have disturbed), `control`.

Control API (JSON, for the page and for tests of a process of its own). An act answers `{}`, `{"said": error}` where
Slack would tell the person that something failed, or `{"errors": {block_id: words}}`; 400 with `{"error": words}` is
what cannot be done at all, such as a click on a button that is not there.

| request | what it does |
|---|---|
| `GET /control/state?user=U…` | everything that user sees: `me, app, users, channels, messages, home, modals, …` |
| `GET /control/events?after=SEQ` | server-sent events: `{seq, kind, channel, ts, user}`, then ask for the state again |
| `POST /control/click` | `{user, channel, ts, action_id, block_id?, chosen?}`; a view's: `view_id` for channel, ts |
| `POST /control/submit` | `{user, view_id, values: {block_id: value}}`; a value is text, an option's, or a list |
| `POST /control/close` | `{user, view_id}` |
| `POST /control/command` | `{user, channel, text: "/andon status"}` |
| `POST /control/say` | `{user, channel, text, thread_ts?}`; `<@BOT>` in it is a mention |
| `POST /control/edit` | `{user, channel, ts, text}` of a message of one's own; a mention in it is told anew |
| `POST /control/shortcut` | `{user, channel, ts, callback_id}` |
| `POST /control/home` | `{user}` opens the app's Home tab |
| `GET /control/shown` | every version of every message, deleted ones too |
| `GET /control/calls` | every call of the Web API: method, when, outcome |
| `POST /control/faults` | `faults.Faults`' fields; what is not named stays |

`GET /` and `GET /page/…` serve the files of `page/`; `GET /files/…` the files that were uploaded.
"""
