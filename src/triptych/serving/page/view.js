// Rendering. Everything from the catalog is set as text, never as markup.

import { show } from "./service.js";
import { t } from "./words.js";

export const $ = (id) => document.getElementById(id);

export function make(tag, settings = {}, ...children) {
  const { dataset, ...others } = settings;
  const element = Object.assign(document.createElement(tag), others);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

let captionColumns = []; // columns with short values, which are shown below a picture

export function setCaptionColumns(columns) {
  captionColumns = columns.filter(({ kind, values, distinct }) => kind === "text" && values.length > 1 && values.length === distinct).map(({ name }) => name);
}

const words = (hit) => captionColumns.map((column) => hit.metadata[column]).filter((value) => value && value !== "none");
const summary = (hit) => words(hit).join(", ") || hit.name;

export const titleOf = (hit) => String(
  hit.metadata.title ?? hit.metadata.productDisplayName ?? (words(hit).slice(0, 4).join(" · ") || hit.name.split("/").at(-1)),
);

function frame(id, alt) {
  const img = make("img", { alt, loading: "lazy", decoding: "async", width: 256, height: 256 });
  const holder = make("span", { className: "frame" }, img);
  img.addEventListener("error", () => holder.replaceChildren(make("span", { className: "gone" }, t("gone"))));
  show(img, id);
  return holder;
}

function sign(className, text, label, act, pressed = null) {
  const button = make("button", { className, type: "button", title: label }, text);
  button.setAttribute("aria-label", label);
  if (pressed !== null) button.setAttribute("aria-pressed", String(pressed));
  button.addEventListener("click", () => act(button));
  return button;
}

/** How near a result is, as a bar between the last result (an eighth) and the best (whole); the number on demand. */
function score(hit, [least, best]) {
  const share = best > least ? (hit.score - least) / (best - least) : 1;
  const bar = make("i", { className: "bar" });
  bar.style.setProperty("--share", `${Math.round(12.5 + 87.5 * Math.max(0, Math.min(1, share)))}%`);
  const said = t("score", { score: hit.score.toFixed(3) });
  return make("span", { className: "score", title: said }, bar, make("b", {}, hit.score.toFixed(3)));
}

/** A card for a result, or, without a score, for a picture to start from. `acts` says what its buttons do. */
export function card(hit, acts, range = [0, 0]) {
  const scored = hit.score !== undefined;
  const alt = scored ? t("result", { rank: hit.rank, what: summary(hit) }) : t("start-from", { what: summary(hit) });
  const title = titleOf(hit);
  const what = make("span", { className: "what", title: `${title} (${hit.name})` }, title);
  const button = make("button", { className: "look", type: "button" }, frame(hit.id, alt), what);
  button.addEventListener("click", () => (scored ? acts.look(hit) : acts.goOn(hit)));
  const next = make("button", { className: "next", type: "button" }, t("start-here"));
  next.setAttribute("aria-label", scored ? t("start-from-result", { rank: hit.rank }) : t("start-from-this"));
  next.addEventListener("click", () => acts.goOn(hit));
  const under = make("div", { className: "under" }, next);
  if (scored) {
    under.append(
      sign("sign", "+", t("like-this"), () => acts.likeThis(hit)),
      sign("sign", "−", t("unlike-this"), () => acts.unlikeThis(hit)),
    );
  }
  under.append(sign("sign heart-sign", "", acts.isKept(hit) ? t("kept") : t("keep"), (own) => {
    const kept = acts.keep(hit);
    own.setAttribute("aria-pressed", String(kept));
    own.title = t(kept ? "kept" : "keep");
    own.setAttribute("aria-label", own.title);
  }, acts.isKept(hit)));
  return make("li", { className: "card", dataset: { id: hit.id } }, button, ...(scored ? [score(hit, range)] : []), under);
}

export const blanks = (count) => Array.from({ length: count }, () => {
  const blank = make("li", { className: "card blank" });
  blank.setAttribute("aria-hidden", "true");
  return blank;
});

export const nothing = (title, advice) => make("li", { className: "nothing" }, make("b", {}, title), advice);

export function fill(img, placeholder, id, alt, kind) {
  img.hidden = !id;
  placeholder.hidden = Boolean(id);
  img.alt = alt;
  if (id && img.dataset.id !== id) show(img, id, kind);
  if (!id) { img.removeAttribute("src"); img.dataset.id = ""; }
}

/** The picture that is being sent, as it lies on this machine. */
export function preview(img, placeholder, file) {
  const address = URL.createObjectURL(file);
  img.dataset.id = "";
  img.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
  img.src = address;
  img.hidden = false;
  img.alt = t("start-picture");
  placeholder.hidden = true;
}

export function differences({ changed, kept }) {
  const tags = changed.slice(0, 6).map(({ attribute, before, after, confidence }) => make(
    "span", { title: t("confident", { percent: Math.round(confidence * 100) }) },
    make("span", { className: "label" }, attribute), make("s", {}, before), make("b", {}, after),
  ));
  const same = kept.map(({ attribute }) => attribute).join(", ");
  if (same) tags.push(make("span", { className: "same", title: kept.map(({ after }) => after).join(", ") }, t("same", { groups: same })));
  return tags;
}

/** A small picture with what can be done to it: its weight, and taking it away. */
export function small(id, { sign: before, weight = null, changed, remove }) {
  const picture = make("img", { alt: "" });
  show(picture, id);
  const parts = [make("i", {}, before), picture];
  if (weight !== null) {
    const input = make("input", { type: "number", min: 0.1, max: 5, step: 0.1, value: weight });
    input.setAttribute("aria-label", t("weight-of"));
    input.addEventListener("change", () => { if (Number(input.value) > 0) changed(Number(input.value)); });
    parts.push(input);
  }
  return make("li", {}, ...parts, sign("sign", "×", t("remove"), remove));
}

export function trail(steps, back) {
  return steps.map(({ like, text, also, unlike, not, box }, index) => {
    const here = index === steps.length - 1;
    const picture = like ? make("img", { alt: "" }) : make("i", { className: "none" });
    if (like) { picture.addEventListener("error", () => picture.replaceWith(make("i", { className: "none" }))); show(picture, like); }
    const shown = make("span", { className: "held" }, picture);
    if (like && box) shown.append(boxed(box));
    const signs = `${also.length ? ` +${also.length}` : ""}${unlike.length ? ` −${unlike.length}` : ""}`;
    const said = [text, ...not.map((one) => `− ${one}`)].filter(Boolean).join(", ") || t(like || also.length ? "more-like-this" : "everything");
    const button = make("button", { type: "button" }, shown, make("span", {}, said + signs));
    if (here) button.setAttribute("aria-current", "step");
    button.addEventListener("click", () => back(index));
    return make("li", {}, button);
  });
}

/** The frame of a box over a picture that fills its place. */
export function boxed(box) {
  const [x, y, width, height] = box.split(",").map(Number);
  const frame = make("i", { className: "boxed" });
  const place = { left: x, top: y, width, height };
  for (const [side, share] of Object.entries(place)) frame.style.setProperty(side, `${100 * share}%`);
  return frame;
}
