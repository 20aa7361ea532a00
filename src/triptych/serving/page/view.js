// What is drawn. Everything that comes from the catalog is set as text, never as markup.

import { show } from "./service.js";

export const $ = (id) => document.getElementById(id);

export function make(tag, settings = {}, ...children) {
  const { dataset, ...others } = settings;
  const element = Object.assign(document.createElement(tag), others);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

let telling = []; // columns of few words: what they say of a picture fits under it

export function tellBy(columns) {
  telling = columns.filter(({ kind, values }) => kind === "text" && values.length > 1).map(({ name }) => name);
}

const words = (hit) => telling.map((column) => hit.metadata[column]).filter((value) => value && value !== "none");
const summary = (hit) => words(hit).join(", ") || hit.name;

function frame(id, alt) {
  const img = make("img", { alt, loading: "lazy", decoding: "async", width: 256, height: 256 });
  const holder = make("span", { className: "frame" }, img);
  img.addEventListener("error", () => holder.replaceChildren(make("span", { className: "gone" }, "no longer there")));
  show(img, id);
  return holder;
}

/** A card for a result, or, without a score, for a picture to start from. */
export function card(hit, { look, goOn }) {
  const scored = hit.score !== undefined;
  const alt = scored ? `Result ${hit.rank}: ${summary(hit)}` : `Start from: ${summary(hit)}`;
  const title = hit.metadata.title ?? hit.metadata.productDisplayName ?? (words(hit).slice(0, 4).join(" · ") || hit.name.split("/").at(-1));
  const what = make("span", { className: "what", title: `${title} (${hit.name})` }, String(title));
  const button = make("button", { className: "look", type: "button" }, frame(hit.id, alt), what);
  button.addEventListener("click", () => (scored ? look(hit) : goOn(hit)));
  const next = make("button", { className: "next", type: "button" }, "Start here");
  next.setAttribute("aria-label", `Start from ${scored ? `result ${hit.rank}` : "this picture"}`);
  next.addEventListener("click", () => goOn(hit));
  const under = make("div", { className: "under" }, next);
  if (scored) under.append(make("span", { className: "score", title: "score" }, hit.score.toFixed(3)));
  return make("li", { className: "card", dataset: { id: hit.id } }, button, under);
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

export function differences({ changed, kept }) {
  const tags = changed.slice(0, 6).map(({ group, before, after, sure }) => make(
    "span", { title: `${Math.round(sure * 100)} % sure` },
    make("span", { className: "label" }, group), make("s", {}, before), make("b", {}, after),
  ));
  const same = kept.map(({ group }) => group).join(", ");
  if (same) tags.push(make("span", { className: "same", title: kept.map(({ after }) => after).join(", ") }, `same ${same}`));
  return tags;
}

export function trail(steps, back) {
  return steps.map(({ like, text }, index) => {
    const here = index === steps.length - 1;
    const picture = like ? make("img", { alt: "" }) : make("i", { className: "none" });
    if (like) { picture.addEventListener("error", () => picture.replaceWith(make("i", { className: "none" }))); show(picture, like); }
    const words = text || (like ? "more like this" : "everything");
    const button = make("button", { type: "button" }, picture, make("span", {}, words));
    if (here) button.setAttribute("aria-current", "step");
    button.addEventListener("click", () => back(index));
    return make("li", {}, button);
  });
}
