// Block Kit as elements. `host` is told what was done: `host.act(action)` for buttons and menus, and it names people.
// https://docs.slack.dev/reference/block-kit

import { el, link } from "./dom.js";
import { input } from "./inputs.js";
import { textOf } from "./text.js";

/** All blocks of a message or a view, in order. */
export const blocksOf = (blocks, host) => (blocks ?? []).map((block) => blockOf(block, host));

function blockOf(block, host) {
  const render = BLOCKS[block.type] ?? unknown;
  return el("div", { class: `block block-${block.type}`, data: { block: block.block_id ?? "" } }, render(block, host));
}

const unknown = (block) => el("em", { class: "unknown" }, `(a block of type ${block.type}, which this page cannot show)`);

const BLOCKS = {
  header: (block, host) => el("h3", { class: "header" }, textOf(block.text, host)),
  divider: () => el("hr"),
  section: (block, host) => [
    el(
      "div",
      { class: "section-body" },
      block.text && el("div", { class: "text" }, textOf(block.text, host)),
      block.fields && el("div", { class: "fields" }, block.fields.map((field) => el("div", { class: "field" }, textOf(field, host)))),
    ),
    block.accessory && el("div", { class: "accessory" }, elementOf(block.accessory, block, host)),
  ],
  context: (block, host) =>
    block.elements.map((element) =>
      element.type === "image" ? picture(element, "context-image") : el("span", { class: "context-text" }, textOf(element, host)),
    ),
  actions: (block, host) => block.elements.map((element) => elementOf(element, block, host)),
  image: (block, host) => [block.title && el("div", { class: "image-title" }, textOf(block.title, host)), picture(block, "image")],
  input: (block, host) => input(block, host),
  rich_text: (block, host) => block.elements.map((element) => rich(element, host)),
  markdown: (block) => el("div", { class: "text" }, block.text),
};

/** An image block's or element's picture: by address, or by the id of a file of this workspace. */
function picture(image, kind) {
  const file = image.slack_file;
  const address = image.image_url ?? file?.url ?? (file?.id && `files/${encodeURIComponent(file.id)}`);
  return el("img", { class: kind, src: address, alt: image.alt_text ?? "", title: image.alt_text ?? "" });
}

/** What stands in an actions block or beside a section. */
function elementOf(element, block, host) {
  if (element.type === "button") return button(element, block, host);
  if (element.type === "image") return picture(element, "accessory-image");
  if (element.type === "overflow") return menu(element, block, host, "⋯");
  if (element.type === "static_select") return menu(element, block, host, element.placeholder?.text ?? "choose");
  return unknown(element);
}

function button(element, block, host) {
  const kind = ["button", element.style && `button-${element.style}`].filter(Boolean).join(" ");
  const pressed = async (event) => {
    if (element.confirm && !(await host.confirm(element.confirm))) return;
    const target = event.target.closest("button");
    target?.classList.add("pressed");
    await host.act({ block_id: block.block_id ?? "", action_id: element.action_id ?? "" });
    target?.classList.remove("pressed");
  };
  const data = { action: element.action_id ?? "" };
  if (!element.url) return el("button", { type: "button", class: kind, data, onclick: pressed }, textOf(element.text, host));
  const leads = link(element.url, textOf(element.text, host));
  leads.className = kind;
  leads.addEventListener("click", pressed);
  return leads;
}

function menu(element, block, host, label) {
  const options = element.options ?? (element.option_groups ?? []).flatMap((group) => group.options);
  const chosen = (event) => {
    const option = options[Number(event.target.value)];
    event.target.selectedIndex = 0;
    if (option?.url) window.open(option.url, "_blank", "noopener,noreferrer");
    if (option) host.act({ block_id: block.block_id ?? "", action_id: element.action_id ?? "", chosen: option.value });
  };
  return el(
    "select",
    { class: "menu", "aria-label": label, data: { action: element.action_id ?? "" }, onchange: chosen },
    el("option", { value: "" }, label),
    options.map((option, index) => el("option", { value: index }, option.text.text)),
  );
}

/** A part of a rich text block. */
function rich(part, host) {
  const inner = () => (part.elements ?? []).map((element) => richText(element, host));
  if (part.type === "rich_text_preformatted") return el("pre", {}, inner());
  if (part.type === "rich_text_quote") return el("blockquote", {}, inner());
  if (part.type === "rich_text_list") {
    const items = part.elements.map((element) => el("li", {}, rich(element, host)));
    return el(part.style === "ordered" ? "ol" : "ul", {}, items);
  }
  return el("span", {}, inner());
}

function richText(element, host) {
  const style = element.style ?? {};
  let made;
  if (element.type === "link") made = link(element.url, element.text ?? element.url);
  else if (element.type === "user") made = textOf(`<@${element.user_id}>`, host);
  else if (element.type === "usergroup") made = textOf(`<!subteam^${element.usergroup_id}>`, host);
  else if (element.type === "channel") made = textOf(`<#${element.channel_id}>`, host);
  else if (element.type === "broadcast") made = textOf(`<!${element.range}>`, host);
  else if (element.type === "date") made = textOf(`<!date^${element.timestamp}^${element.format}|${element.fallback ?? ""}>`, host);
  else if (element.type === "emoji") made = textOf(`:${element.name}:`, host);
  else made = document.createTextNode(element.text ?? "");
  for (const [name, tag] of [["bold", "strong"], ["italic", "em"], ["strike", "s"], ["code", "code"]]) {
    if (style[name]) made = el(tag, {}, made);
  }
  return made;
}
