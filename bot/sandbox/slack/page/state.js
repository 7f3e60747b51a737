// The control API's state as the page wants it: people with a note, names by id, messages under their channels.

const NOTES = [
  ["deleted", "deactivated: Andon refuses this account"],
  ["stranger", "from another workspace: Andon refuses this account"],
  ["restricted", "a guest: Andon refuses this account"],
  ["ultra_restricted", "a guest: Andon refuses this account"],
];

const list = (things) => (Array.isArray(things) ? things : Object.values(things ?? {}));
const byId = (things, name) => Object.fromEntries(list(things).map((thing) => [thing.id, thing[name]]));

/** `{team, me, seq, people, names, channels: [{id, name, messages}], home, modals}` from the API's answer. */
export function understood(said) {
  const names = { user: byId(said.users, "name"), channel: byId(said.channels, "name"), group: byId(said.groups, "handle") };
  const people = list(said.users).map((user) => ({ id: user.id, name: user.name, bot: user.bot, note: noteOf(user) }));
  const bots = new Set(people.filter((person) => person.bot).map((person) => person.id));
  const messages = list(said.messages).map((message) => messageOf(message, names, bots));
  const replies = new Map();
  for (const { thread_ts: root, ts } of messages) if (root && root !== ts) replies.set(root, (replies.get(root) ?? 0) + 1);
  for (const message of messages) message.replies = replies.get(message.ts) ?? 0;
  const channels = list(said.channels).map((channel) => {
    const here = messages.filter((message) => message.channel === channel.id);
    const name = channel.dm_with ? names.user[said.app?.user] ?? "andon" : channel.name;
    return { ...channel, name, direct: Boolean(channel.dm_with), messages: here, count: here.length };
  });
  const { me, seq, home } = said;
  const shortcuts = Object.entries(said.app?.shortcuts ?? {});
  return { team: said.team ?? "Slack", me, seq, people, names, channels, shortcuts, home, modals: said.modals ?? [] };
}

const noteOf = (user) => NOTES.find(([mark]) => user[mark])?.[1] ?? "";

const messageOf = (message, names, bots) => ({
  ...message,
  author: names.user[message.user] ?? message.user,
  bot: bots.has(message.user),
  ephemeral: Boolean(message.only_for),
});
