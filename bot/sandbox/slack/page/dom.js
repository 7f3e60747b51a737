// Elements without markup: what comes from messages enters the page as text only, never as HTML.

/** An element. `attributes` with `on…` are listeners, `data` a mapping; children are elements, texts or nothing. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(made.dataset, value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.flat(9).filter((child) => child !== undefined && child !== null && child !== false));
  return made;
}

/** A link that leaves the page, or its label alone when the address is not one of the web's. */
export function link(address, ...label) {
  if (!/^(https?:\/\/|mailto:)/i.test(address)) return el("span", { class: "dead-link" }, label);
  return el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, label);
}

/** Replace what is in `place`, but only when `facts` differ from those shown there: nobody's focus is stolen. */
export function show(place, facts, render) {
  const key = JSON.stringify(facts);
  if (place.shownFacts === key) return false;
  place.shownFacts = key;
  place.replaceChildren(...[render()].flat(9).filter((child) => child !== undefined && child !== null && child !== false));
  return true;
}
