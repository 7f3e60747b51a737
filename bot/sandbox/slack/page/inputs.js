// Input blocks of modals: the fields, and the reading back of what was entered as Slack's `state.values`.
// https://docs.slack.dev/reference/block-kit/block-elements

import { el } from "./dom.js";
import { textOf } from "./text.js";

/** One input block: its label, the field, the hint, and room for the words of a refusal. */
export function input(block, host) {
  const field = fieldOf(block.element, host);
  return el(
    "div",
    { class: "input", data: { field: block.block_id, action: block.element.action_id ?? "", kind: block.element.type } },
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
  box.options_ = options;
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
  box.options_ = options;
  return box;
}

/** What was entered in every input block under `place`: `{block_id: {action_id: {type, …}}}`. */
export function valuesIn(place) {
  const values = {};
  for (const holder of place.querySelectorAll("[data-field]")) {
    const { field, action, kind } = holder.dataset;
    values[field] = { [action]: { type: kind, ...read(kind, holder) } };
  }
  return values;
}

function read(kind, holder) {
  const box = holder.querySelector("input, textarea, select");
  const entered = box?.value || null;
  const picked = () => {
    const group = holder.querySelector(".ticks");
    const on = new Set([...group.querySelectorAll("input:checked")].map((tick) => tick.value));
    return group.options_.filter((option) => on.has(option.value));
  };
  switch (kind) {
    case "static_select":
      return { selected_option: box.options_.find((option) => option.value === box.value) ?? null };
    case "users_select":
      return { selected_user: entered };
    case "radio_buttons":
      return { selected_option: picked()[0] ?? null };
    case "checkboxes":
    case "multi_static_select":
      return { selected_options: picked() };
    case "datepicker":
      return { selected_date: entered };
    case "timepicker":
      return { selected_time: entered };
    default:
      return { value: entered };
  }
}
