// One message as Slack lays it out: who, when, what, files, and the door to its thread.

import { blocksOf } from "./blocks.js";
import { timeOf } from "./dates.js";
import { el } from "./dom.js";
import { textOf } from "./text.js";

/** Show `messages` under `place`, touching only those that changed. `hostOf(message)` hears what is pressed in it. */
export function showMessages(place, messages, hostOf, options = {}) {
  const wanted = new Map(messages.map((message) => [keyOf(message), message]));
  const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 80;
  for (const child of [...place.children]) if (!wanted.has(child.dataset.key)) child.remove();
  const there = new Map([...place.children].map((child) => [child.dataset.key, child]));
  let before = null;
  for (const [key, message] of wanted) {
    const facts = JSON.stringify([message, options.inThread === true, options.names]);
    let shown = there.get(key);
    if (!shown || shown.facts !== facts) {
      const made = messageOf(message, hostOf(message), options);
      made.facts = facts;
      if (shown) shown.replaceWith(made);
      shown = made;
    }
    const next = before ? before.nextSibling : place.firstChild;
    if (shown !== next) place.insertBefore(shown, next);
    before = shown;
  }
  if (atEnd) place.scrollTop = place.scrollHeight;
}

const keyOf = (message) => `${message.ts}/${message.ephemeral ? "only-you" : ""}`;

function messageOf(message, host, { inThread = false, openThread, shortcuts = [] }) {
  const classes = ["message", message.ephemeral && "ephemeral", message.bot && "from-app"].filter(Boolean).join(" ");
  const reply = message.broadcast && !inThread ? el("div", { class: "note" }, "↳ from a thread, sent to the channel too") : null;
  return el(
    "article",
    { class: classes, data: { key: keyOf(message), ts: message.ts } },
    el("div", { class: "avatar", "aria-hidden": "true" }, message.author.slice(0, 1).toUpperCase()),
    el(
      "div",
      { class: "body" },
      el(
        "div",
        { class: "by" },
        el("b", {}, message.author),
        message.bot ? el("span", { class: "app-tag" }, "APP") : null,
        el("span", { class: "at" }, timeOf(message.ts)),
        message.edited ? el("span", { class: "at edited" }, "(edited)") : null,
      ),
      message.ephemeral ? el("div", { class: "note only-you" }, "Only visible to you") : null,
      reply,
      message.blocks?.length ? blocksOf(message.blocks, host) : el("div", { class: "text" }, textOf(message.text, host)),
      (message.files ?? []).map(fileOf),
      el(
        "div",
        { class: "doors" },
        inThread || message.ephemeral ? null : threadDoor(message, openThread),
        message.ephemeral ? null : shortcuts.map(([id, name]) => shortcut(id, name, host)),
      ),
    ),
  );
}

const fileOf = (file) =>
  el(
    "figure",
    { class: "file" },
    el("figcaption", {}, file.title || file.name),
    file.picture ? el("img", { class: "image", src: `files/${encodeURIComponent(file.id)}`, alt: file.alt || file.title || file.name }) : el("a", { href: `files/${encodeURIComponent(file.id)}`, download: file.name }, file.name),
  );

const shortcut = (id, name, host) =>
  el("button", { type: "button", class: "thread-door quiet", data: { shortcut: id }, onclick: () => host.shortcut(id) }, name);

function threadDoor(message, openThread) {
  const count = message.replies ?? 0;
  const words = message.thread_ts && message.thread_ts !== message.ts ? "view thread" : count === 1 ? "1 reply" : count ? `${count} replies` : "reply";
  const root = message.thread_ts || message.ts;
  return el("button", { type: "button", class: count || words === "view thread" ? "thread-door" : "thread-door quiet", onclick: () => openThread(root) }, words);
}
