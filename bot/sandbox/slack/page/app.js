// The page: who you are, where you look, and what you do. All that is shown comes from the local Slack's state.

import { blocksOf } from "./blocks.js";
import { setClock } from "./dates.js";
import { el, show } from "./dom.js";
import { showMessages } from "./message.js";
import { confirmed, showModal } from "./modal.js";
import { understood } from "./state.js";
import { follow, look, perform } from "./wire.js";

const HOME = "home";
const TROUBLE_MS = 8_000; // long enough to read two lines
const POINT_OUT_MS = 2_000; // how long a message that a link led to stands out

const at = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const seen = { me: asked.get("me") ?? "", place: asked.get("place") ?? "", thread: asked.get("thread") ?? "", state: null };

// --- what a person does --------------------------------------------------------------------------------------------

function complain(words) {
  at("trouble").textContent = words;
  at("trouble").hidden = false;
  clearTimeout(complain.timer);
  complain.timer = setTimeout(() => (at("trouble").hidden = true), TROUBLE_MS);
}

async function act(what, details) {
  try {
    return await perform(what, { user: seen.me, ...details });
  } catch (problem) {
    complain(problem.message);
    return {};
  }
}

const host = {
  nameOf: (kind, id) => seen.state?.names[kind]?.[id],
  people: () => seen.state?.people.filter((person) => !person.bot) ?? [],
  confirm: (question) => confirmed(at("confirm"), question, host),
  close: (view) => act("close", { view_id: view.id }),
  submit: (view, values) => act("submit", { view_id: view.id, values }),
  act: (action) => act("click", action),
};

const hostOf = (message) => ({
  ...host,
  act: (action) => act("click", { ...action, ...seenIn(message) }),
  shortcut: (callback_id) => act("shortcut", { callback_id, ...seenIn(message) }),
});
const seenIn = (message) => ({ channel: message.channel, ts: message.ts, version: message.versions - 1 });

function send(box, thread) {
  return async (event) => {
    event.preventDefault();
    const words = box.value.trim();
    if (!words) return;
    box.value = "";
    const where = { channel: seen.place, text: words, ...(thread() ? { thread_ts: thread() } : {}) };
    await act(words.startsWith("/") ? "command" : "say", where);
  };
}

// --- where a person looks -------------------------------------------------------------------------------------------

function remember() {
  asked.set("me", seen.me);
  asked.set("place", seen.place);
  if (seen.thread) asked.set("thread", seen.thread);
  else asked.delete("thread");
  history.replaceState(null, "", `?${asked}`);
}

function go(place) {
  seen.place = place;
  seen.thread = "";
  remember();
  render();
  at("messages").scrollTop = at("messages").scrollHeight;
  if (place === HOME) act("home", {});
}

function openThread(root) {
  seen.thread = root;
  remember();
  render();
}

const PERMALINK = /^\/archives\/(\w+)\/p(\d+)(\d{6})$/;

/** A link to a message of this workspace is followed here, as whoever looks. */
function followed(event) {
  const address = event.target.closest?.("a[href]")?.href;
  const there = address && new URL(address);
  const found = there && there.origin === location.origin && PERMALINK.exec(there.pathname);
  if (!found) return;
  event.preventDefault();
  const ts = `${found[2]}.${found[3]}`;
  go(found[1]);
  openThread(there.searchParams.get("thread_ts") ?? ts);
  for (const message of document.querySelectorAll(`[data-ts="${ts}"]`)) {
    message.scrollIntoView({ block: "center" });
    message.animate([{ background: "#f2c74466" }, { background: "transparent" }], POINT_OUT_MS);
  }
}

async function become(me) {
  seen.me = me;
  await refresh();
  remember();
  if (seen.place === HOME) act("home", {});
}

// --- what is shown --------------------------------------------------------------------------------------------------

const channel = () => seen.state.channels.find((each) => each.id === seen.place);

function render() {
  if (!seen.state) return;
  const { state } = seen;
  at("team").textContent = state.team;
  show(at("me"), [state.people, seen.me], () =>
    state.people.filter((each) => !each.bot).map((each) => el("option", { value: each.id, selected: each.id === seen.me }, each.name)),
  );
  at("me-note").textContent = state.people.find((each) => each.id === seen.me)?.note ?? "";
  show(at("places"), [state.channels.map((each) => [each.id, each.name, each.count]), seen.place], places);
  if (seen.place === HOME) renderHome();
  else renderChannel();
  renderThread();
  showModal(at("modal"), state.modals, host);
}

function places() {
  const door = (id, words, count) =>
    el(
      "button",
      { type: "button", class: id === seen.place ? "place here" : "place", data: { place: id }, onclick: () => go(id) },
      el("span", {}, words),
      count ? el("span", { class: "count" }, count) : null,
    );
  return [door(HOME, "⌂ Andon's Home"), el("div", { class: "places-head" }, "Channels"), seen.state.channels.map((each) => door(each.id, each.direct ? `@ ${each.name}` : `# ${each.name}`, each.count))];
}

function renderHome() {
  at("composer").hidden = true;
  show(at("place-head"), HOME, () => el("h2", {}, "Andon"));
  const view = seen.state.home;
  const nothing = () => el("p", { class: "empty" }, "Andon has not published a Home tab for you.");
  show(at("messages"), [view, HOME], () => (view ? el("div", { class: "home" }, blocksOf(view.blocks, homeHost(view))) : nothing()));
}

const homeHost = (view) => ({ ...host, act: (action) => act("click", { ...action, view_id: view.id }) });

function renderChannel() {
  const here = channel();
  at("composer").hidden = !here;
  if (!here) return;
  show(at("place-head"), [here.id, here.name, here.topic], () => [el("h2", {}, `# ${here.name}`), el("span", { class: "topic" }, here.topic ?? "")]);
  at("messages").shownFacts = null;
  showMessages(at("messages"), here.messages.filter(inChannel), hostOf, { openThread, ...known() });
}

const known = () => ({ names: seen.state.names, shortcuts: seen.state.shortcuts });
const inChannel = (message) => !message.thread_ts || message.thread_ts === message.ts || message.broadcast;

function renderThread() {
  const here = seen.thread && channel();
  at("thread").hidden = !here;
  if (!here) return;
  show(at("thread-head"), seen.thread, () => [el("h2", {}, "Thread"), el("button", { type: "button", class: "close", "aria-label": "close thread", onclick: () => openThread("") }, "×")]);
  const replies = here.messages.filter((message) => message.ts === seen.thread || message.thread_ts === seen.thread);
  showMessages(at("replies"), replies, hostOf, { inThread: true, openThread, ...known() });
}

// --- living along ---------------------------------------------------------------------------------------------------

async function refresh() {
  try {
    const state = understood(await look(seen.me));
    seen.state = state;
    seen.me = state.me;
    if (seen.place !== HOME && !state.channels.some((each) => each.id === seen.place)) seen.place = state.channels[0]?.id ?? HOME;
    render();
    document.body.dataset.seq = state.seq;
  } catch (problem) {
    complain(problem.message);
  }
}

/** What Slack itself says to a person, such as that the app did not answer. */
function told(change) {
  if (change.kind === "notice" && change.user === seen.me) complain(change.words);
}

setClock(asked.get("clock") ?? "");
document.addEventListener("click", followed);
at("me").addEventListener("change", (event) => become(event.target.value));
at("composer").addEventListener("submit", send(at("words"), () => ""));
at("thread-composer").addEventListener("submit", send(at("thread-words"), () => seen.thread));
follow(refresh, told, (lost) => document.body.classList.toggle("lost", lost));
