// The page's lines to the local Slack's control API: what there is to see, that something changed, what a person does.

/** The control API's state as `me` sees it. Raises with a sentence for a person. */
export async function look(me) {
  const answer = await fetch(`control/state?user=${encodeURIComponent(me)}`);
  return read(answer);
}

/** Do what a person does, such as `click`. Returns what the API answers; raises with its words when it refuses. */
export async function perform(what, deed) {
  const body = JSON.stringify(deed);
  return read(await fetch(`control/${what}`, { method: "POST", headers: { "Content-Type": "application/json" }, body }));
}

async function read(answer) {
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error || `The local Slack answered ${answer.status}.`);
  return said;
}

/** Call `changed()` after every change, one at a time, `told(change)` for each, `lost(yes)` as the line goes and comes. */
export function follow(changed, told, lost) {
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
  const events = new EventSource("control/events");
  events.onmessage = (event) => (told(JSON.parse(event.data)), look());
  events.onopen = () => (lost(false), look());
  events.onerror = () => lost(true);
  // A browser keeps the line of a page that was left, and has only six for one server.
  addEventListener("pagehide", () => events.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}
