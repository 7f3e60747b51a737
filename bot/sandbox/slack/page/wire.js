// The page's two lines to the local Slack: what there is to see (told by server-sent events), and what a person does.

const STATE = "state";
const DO = "do";
const EVENTS = "events";

/** Everything that `me` can see. Raises with a sentence for a person. */
export async function look(me) {
  const answer = await fetch(`${STATE}?me=${encodeURIComponent(me)}`);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

/** Do what a person does; `deed` is `{me, what, …}`. Returns `{}`, or `{errors}` where a modal's fields were refused. */
export async function perform(deed) {
  const answer = await fetch(DO, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(deed) });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? `the local Slack answered ${answer.status}`);
  return said;
}

/** Call `changed()` whenever something changed, one look at a time, and `lost(true | false)` as the line goes and comes. */
export function follow(changed, lost) {
  let looking = false;
  let again = false;
  const look = async () => {
    if (looking) return void (again = true);
    looking = true;
    do {
      again = false;
      await changed();
    } while (again);
    looking = false;
  };
  const events = new EventSource(EVENTS);
  events.onmessage = look;
  events.onopen = () => (lost(false), look());
  events.onerror = () => lost(true);
  return look;
}
