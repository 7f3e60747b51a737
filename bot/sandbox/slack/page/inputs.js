// Input blocks of modals: the fields, and the reading back of what was entered.
// https://docs.slack.dev/reference/block-kit/block-elements

import { el } from "./dom.js";
import { textOf } from "./text.js";

/** One input block: its label, the field, the hint, and room for the words of a refusal. */
export function input(block, host) {
  const field = fieldOf(block.element, host);
  return el(
    "div",
    { class: "input", data: { field: block.block_id, kind: block.element.type } },
    el("label", {}, textOf(block.label, host), block.optional ? el("span", { class: "optional" }, " (optional)") : null),
    field,
    block.hint && el("div", { class: "hint" }, textOf(block.hint, host)),
    el("div", { class: "field-error", role: "alert" }),
  );
}

function fieldOf(element, host) {
  const hint = element.placeholder?.text ?? "";
  switch (element.type) {
    case "plain_text_input": {
      const box = element.multiline ? el("textarea", { rows: 4, placeholder: hint }) : el("input", { type: "text", placeholder: hint });
      if (element.max_length) box.maxLength = element.max_length;
      box.value = element.initial_value ?? "";
      return box;
    }
    case "number_input":
      return filled(el("input", { type: "text", inputmode: element.is_decimal_allowed ? "decimal" : "numeric", placeholder: hint }), element.initial_value);
    case "email_text_input":
    case "url_text_input":
      return filled(el("input", { type: "text", placeholder: hint }), element.initial_value);
    case "datepicker":
      return filled(el("input", { type: "date" }), element.initial_date);
    case "timepicker":
      return filled(el("input", { type: "time" }), element.initial_time);
    case "static_select":
      return select(optionsOf(element), element.initial_option, hint || "choose");
    case "users_select":
      return select(people(host), element.initial_user && { value: element.initial_user }, hint || "choose somebody");
    case "multi_static_select":
    case "checkboxes":
      return ticks("checkbox", optionsOf(element), element.initial_options ?? [], host);
    case "radio_buttons":
      return ticks("radio", optionsOf(element), element.initial_option ? [element.initial_option] : [], host);
    default:
      return el("em", { class: "unknown" }, `(a field of type ${element.type}, which this page cannot show)`);
  }
}

const filled = (box, value) => Object.assign(box, { value: value ?? "" });
const optionsOf = (element) => element.options ?? (element.option_groups ?? []).flatMap((group) => group.options);
const people = (host) => host.people().map((person) => ({ text: { type: "plain_text", text: person.name }, value: person.id }));

function select(options, initial, hint) {
  const box = el("select", {}, el("option", { value: "" }, hint), options.map((option) => el("option", { value: option.value }, option.text.text)));
  box.value = initial?.value ?? "";
  return box;
}

let groups = 0; // names radio buttons of one block alike, and those of different blocks differently

function ticks(type, options, initial, host) {
  const name = `group-${(groups += 1)}`;
  const ticked = new Set(initial.map((option) => option.value));
  const box = el(
    "div",
    { class: "ticks" },
    options.map((option) =>
      el(
        "label",
        { class: "tick" },
        el("input", { type, name, value: option.value, checked: ticked.has(option.value) }),
        el("span", {}, textOf(option.text, host)),
        option.description && el("span", { class: "hint" }, textOf(option.description, host)),
      ),
    ),
  );
  return box;
}

/** What was entered in every input block under `place`: `{block_id: value}`, a list where several can be ticked. */
export function valuesIn(place) {
  const holders = [...place.querySelectorAll("[data-field]")];
  return Object.fromEntries(holders.map((holder) => [holder.dataset.field, read(holder.dataset.kind, holder)]));
}

function read(kind, holder) {
  if (kind === "checkboxes" || kind === "multi_static_select") {
    return [...holder.querySelectorAll("input:checked")].map((tick) => tick.value);
  }
  if (kind === "radio_buttons") return holder.querySelector("input:checked")?.value ?? null;
  return holder.querySelector("input, textarea, select")?.value || null;
}
