// Slack's date tokens: <!date^unix^{format}|fallback>, shown in the reader's own time zone.
// https://docs.slack.dev/messaging/formatting-message-text#date-formatting

const DAY = { weekday: "long", month: "long", day: "numeric", year: "numeric" };
const SHORT = { month: "short", day: "numeric", year: "numeric" };
const LONG = { month: "long", day: "numeric", year: "numeric" };

const words = (when, form) => new Intl.DateTimeFormat("en-GB", form).format(when);
const clock = (when, seconds) =>
  words(when, { hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined, hour12: false });

// The demo's clock runs faster than the world's: "15@1767225600000" is fifteen times as fast since that millisecond.
const pace = { scale: 1, since: 0 };
const paced = (ms) => new Date(pace.since + (ms - pace.since) * pace.scale);

/** Have times of messages, and "now", follow the clock of whoever posts them. */
export function setClock(text) {
  const [scale, since] = text.split("@").map(Number);
  if (scale > 0 && Number.isFinite(since)) Object.assign(pace, { scale, since });
}

/** "today", "yesterday" or "tomorrow" when it is one of these, else the date in `form`. */
function pretty(when, form, now) {
  const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const days = Math.round((midnight(when) - midnight(now)) / 86_400_000);
  return { 0: "today", "-1": "yesterday", 1: "tomorrow" }[days] ?? words(when, form);
}

function ago(when, now) {
  const seconds = Math.round((now - when) / 1_000);
  const size = Math.abs(seconds);
  const [count, unit] =
    size < 60 ? [size, "second"] : size < 3_600 ? [size / 60, "minute"] : size < 86_400 ? [size / 3_600, "hour"] : [size / 86_400, "day"];
  const said = `${Math.round(count)} ${unit}${Math.round(count) === 1 ? "" : "s"}`;
  return seconds < 0 ? `in ${said}` : `${said} ago`;
}

function part(name, when, now) {
  switch (name) {
    case "date_num":
      return `${when.getFullYear()}-${String(when.getMonth() + 1).padStart(2, "0")}-${String(when.getDate()).padStart(2, "0")}`;
    case "date_slash":
      return words(when, { day: "2-digit", month: "2-digit", year: "numeric" });
    case "date_short":
      return words(when, SHORT);
    case "date_short_pretty":
      return pretty(when, SHORT, now);
    case "date":
    case "date_long_full":
      return words(when, LONG);
    case "date_pretty":
      return pretty(when, LONG, now);
    case "date_long":
      return words(when, DAY);
    case "date_long_pretty":
      return pretty(when, DAY, now);
    case "time":
      return clock(when, false);
    case "time_secs":
      return clock(when, true);
    case "ago":
      return ago(when, now);
    default:
      return undefined;
  }
}

/** The words of a token, or undefined when Slack would fall back on those behind the bar. */
export function dateWords(unix, format, now = paced(Date.now())) {
  if (!/^\d{1,12}$/.test(unix)) return undefined;
  const when = new Date(Number(unix) * 1_000);
  let known = true;
  const said = format.replace(/\{(\w+)\}/g, (_, name) => part(name, when, now) ?? ((known = false), ""));
  return known ? said : undefined;
}

/** The time beside a message, from its `ts`. */
export const timeOf = (ts) => clock(paced(Number(ts) * 1_000), true);
