// Modals and Slack's small "are you sure" dialogs, over the page.

import { blocksOf } from "./blocks.js";
import { el } from "./dom.js";
import { valuesIn } from "./inputs.js";
import { textOf } from "./text.js";

/** Show the topmost of `views`, or nothing. A view that did not change is left alone: somebody is typing in it. */
export function showModal(veil, views, host) {
  const view = views.at(-1);
  veil.hidden = !view;
  const facts = view ? JSON.stringify([view.id, view.title, view.blocks, view.submit]) : "";
  if (veil.facts === facts) return;
  const typed = veil.viewId === view?.id ? textIn(veil) : new Map();
  veil.facts = facts;
  veil.viewId = view?.id;
  veil.replaceChildren(...(view ? [modalOf(view, host)] : []));
  for (const [field, text] of typed) for (const box of boxes(veil)) if (nameOf(box) === field) box.value = text;
  if (view) veil.querySelector(".modal-blocks :is(input, textarea, select), footer button")?.focus();
}

// What was typed stays when the app changes other parts of the same view.
const boxes = (place) => [...place.querySelectorAll("[data-field] :is(input[type=text], textarea)")];
const nameOf = (box) => box.closest("[data-field]").dataset.field;
const textIn = (place) => new Map(boxes(place).map((box) => [nameOf(box), box.value]));

function modalOf(view, host) {
  const form = el(
    "form",
    { class: "modal", role: "dialog", "aria-modal": "true", data: { callback: view.callback_id ?? "" }, novalidate: true, autocomplete: "off" },
    el("header", {}, el("h2", {}, textOf(view.title, host)), el("button", { type: "button", class: "close", "aria-label": "close", onclick: () => host.close(view) }, "×")),
    el("div", { class: "modal-blocks" }, blocksOf(view.blocks, { ...host, act: (action) => host.act({ ...action, view_id: view.id, values: valuesIn(form) }) })),
    el(
      "footer",
      {},
      el("button", { type: "button", class: "button", onclick: () => host.close(view) }, view.close ? textOf(view.close, host) : "Cancel"),
      view.submit && el("button", { type: "submit", class: "button button-primary" }, textOf(view.submit, host)),
    ),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    for (const said of form.querySelectorAll(".field-error")) said.textContent = "";
    const answer = await host.submit(view, valuesIn(form));
    for (const [field, words] of Object.entries(answer?.errors ?? {})) {
      const holder = [...form.querySelectorAll("[data-field]")].find((each) => each.dataset.field === field);
      if (holder) holder.querySelector(".field-error").textContent = words;
    }
  });
  return form;
}

/** Ask what a button's `confirm` object asks. Resolves to whether the person said yes. */
export function confirmed(veil, question, host) {
  return new Promise((resolve) => {
    const answer = (yes) => () => ((veil.hidden = true), veil.replaceChildren(), resolve(yes));
    const kind = question.style === "danger" ? "button button-danger" : "button button-primary";
    veil.replaceChildren(
      el(
        "div",
        { class: "modal small", role: "alertdialog", "aria-modal": "true" },
        el("header", {}, el("h2", {}, textOf(question.title, host))),
        el("div", { class: "modal-blocks" }, textOf(question.text, host)),
        el(
          "footer",
          {},
          el("button", { type: "button", class: "button", onclick: answer(false) }, textOf(question.deny, host)),
          el("button", { type: "button", class: kind, onclick: answer(true) }, textOf(question.confirm, host)),
        ),
      ),
    );
    veil.hidden = false;
  });
}
