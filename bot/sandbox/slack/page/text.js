// Slack's mrkdwn as elements: *bold* _italic_ ~struck~ `code` ```block``` > quote, <tokens> and :names: of emoji.
// https://docs.slack.dev/messaging/formatting-message-text

import { dateWords } from "./dates.js";
import { el, link } from "./dom.js";

const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">" };
const EMOJI = {
  white_check_mark: "✅", heavy_check_mark: "✔️", x: "❌", warning: "⚠️", rotating_light: "🚨", no_entry: "⛔", lock: "🔒", unlock: "🔓",
  hourglass_flowing_sand: "⏳", hourglass: "⌛", snowflake: "❄️", red_circle: "🔴", large_yellow_circle: "🟡", large_green_circle: "🟢",
  large_blue_circle: "🔵", white_circle: "⚪", fire: "🔥", bell: "🔔", no_bell: "🔕", eyes: "👀", pager: "📟", hand: "✋", raised_hand: "✋",
  octagonal_sign: "🛑", arrow_right: "➡️", memo: "📝", book: "📖", bar_chart: "📊", chart_with_upwards_trend: "📈", bust_in_silhouette: "👤",
  busts_in_silhouette: "👥", robot_face: "🤖", question: "❓", information_source: "ℹ️", link: "🔗", rocket: "🚀", stop_sign: "🛑", zap: "⚡",
};

/** `&amp;` and its two sisters undone, once; nothing else is an entity. */
export const plain = (text) => text.replace(/&(?:amp|lt|gt);/g, (entity) => ENTITIES[entity]);

const emoji = (text) => text.replace(/:([a-z0-9_+-]{1,40}):/g, (whole, name) => EMOJI[name] ?? whole);

/** A text object: `{type: "mrkdwn" | "plain_text", text, verbatim}`. */
export function textOf(object, world) {
  if (!object) return [];
  if (typeof object === "string") return lines(object, world, false);
  if (object.type === "plain_text") return breaks(object.emoji === false ? object.text : emoji(object.text));
  return lines(object.text, world, object.verbatim === true);
}

const breaks = (text) => text.split("\n").flatMap((line, index) => (index ? [el("br"), line] : [line]));

/** A whole text: code blocks first, then quotes, then what is within a line. */
export function lines(text, world, verbatim = false) {
  return text.split(/```/).flatMap((piece, index, all) => {
    if (index % 2 && index < all.length - 1) return [el("pre", {}, plain(piece.replace(/^\n|\n$/g, "")))];
    return quoted(index % 2 ? "```" + piece : piece, world, verbatim);
  });
}

function quoted(text, world, verbatim) {
  const made = [];
  let quote = null;
  text.split("\n").forEach((line, index) => {
    const inside = /^&gt; ?/.test(line) || /^> ?/.test(line);
    if (inside) {
      if (!quote) made.push((quote = el("blockquote")));
      else quote.append(el("br"));
      quote.append(...inline(line.replace(/^(&gt;|>) ?/, ""), world, verbatim));
      return;
    }
    if (index && !quote) made.push(el("br"));
    quote = null;
    made.push(...inline(line, world, verbatim));
  });
  return made;
}

const MARKS = { "*": "strong", _: "em", "~": "s" };
// What Slack takes as one thing: code, a token, a bare address, or a marked run that touches no word on either side.
const PARTS = /`([^`\n]+)`|<([^<>\n]+)>|(https?:\/\/[^\s<>|]+)|(?<![\w*_~])([*_~])(?=\S)([^\n]*?\S)\4(?![\w*_~])/g;

/** One line, as elements and texts. */
export function inline(line, world, verbatim = false) {
  const made = [];
  let end = 0;
  for (const match of line.matchAll(PARTS)) {
    if (match.index > end) made.push(emoji(plain(line.slice(end, match.index))));
    end = match.index + match[0].length;
    const [whole, code, token, address, mark, marked] = match;
    if (code) made.push(el("code", {}, plain(code)));
    else if (token) made.push(tokenOf(token, world, verbatim));
    else if (address) made.push(verbatim ? plain(whole) : el("span", { class: "auto-link" }, link(plain(address), plain(address))));
    else made.push(el(MARKS[mark], {}, inline(marked, world, verbatim)));
  }
  if (end < line.length) made.push(emoji(plain(line.slice(end))));
  return made;
}

const mention = (kind, words) => el("span", { class: "mention", data: { mention: kind } }, words);

/** What stands in angle brackets: only the sender writes these, so each is alive. */
function tokenOf(token, world) {
  const bar = token.indexOf("|");
  const what = bar < 0 ? token : token.slice(0, bar);
  const label = bar < 0 ? "" : plain(token.slice(bar + 1));
  const name = (kind, id) => world.nameOf?.(kind, id);
  if (what.startsWith("@")) return mention("user", "@" + (name("user", what.slice(1)) || label || what.slice(1)));
  if (what.startsWith("#")) return mention("channel", "#" + (name("channel", what.slice(1)) || label || what.slice(1)));
  if (what.startsWith("!subteam^")) return mention("group", "@" + (name("group", what.slice(9)) || label || what.slice(9)));
  if (what.startsWith("!date^")) {
    const [, unix, format, address] = what.split("^");
    const said = dateWords(unix, format ?? "") ?? label;
    return el("time", { class: "date", title: label, data: { unix } }, address ? link(plain(address), said) : said);
  }
  if (what.startsWith("!")) return mention(what.slice(1), "@" + (label || what.slice(1)));
  return link(plain(what), label || plain(what));
}
