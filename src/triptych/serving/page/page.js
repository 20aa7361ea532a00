// The page's actions. There is one state, stored in the address; each action makes a new state and goes there.

import * as basket from "./basket.js";
import { compareBeside } from "./beside.js";
import { exampleWords, filterFields, inWords, orders } from "./conditions.js";
import * as crop from "./crop.js";
import * as fold from "./fold.js";
import { keyDialog } from "./key.js";
import * as service from "./service.js";
import { EMPTY, NOTHING, asks, lastStep, readState, writeState } from "./state.js";
import { $, blanks, boxed, card, differences, fill, make, nothing, preview, small, setCaptionColumns, trail } from "./view.js";
import { count, speak, t } from "./words.js";

let state = EMPTY;
let catalog = null;
let hits = [];
let filters = { fields: [], set() {} };
let asking = new AbortController();
let sending = null; // the picture that is being uploaded: { file, words }
let refused = null; // the action that failed

const askForKey = keyDialog(begin);

const touched = matchMedia("(pointer: coarse)").matches; // focus on a field would then open a keyboard over the results

// --- navigation ------------------------------------------------------------------------------------------------------

function go(next, { replace = false, search = true } = {}) {
  state = { ...state, ...next };
  history[replace ? "replaceState" : "pushState"](null, "", writeState(state));
  draw();
  if (search) find();
}

/** A new step: the last one with these changes. */
const step = (changes, settings) => go({ steps: [...state.steps, { ...lastStep(state), ...changes }], shown: "" }, settings);

function draw() {
  const held = document.activeElement, place = held?.closest("#chips, #trail, #others");
  const here = lastStep(state);
  const { like, text, not, box } = here;
  if (sending) preview($("reference-picture"), $("invitation"), sending.file);
  else fill($("reference-picture"), $("invitation"), like, t("start-picture"));
  const frame = $("reference-box");
  frame.hidden = sending !== null || !like || !box;
  if (!frame.hidden) Object.assign(frame, { className: "boxed" }).style.cssText = boxed(box).style.cssText;
  $("part").hidden = !like || here.also.length > 0 || sending !== null;
  $("part").textContent = t(box ? "crop-again" : "crop");
  $("forget").hidden = !like && sending === null;
  $("forget").textContent = t(sending ? "stop-sending" : "forget");
  drawOthers(here);
  write($("words"), text);
  write($("avoid"), not.join(", "));
  $("weight").value = state.weight ?? catalog?.weight ?? 0.5;
  $("weighing").hidden = Boolean(catalog?.composer) || !like;
  $("share").hidden = state.steps.length === 0;
  fold.set(asks(here) && sending === null, state.steps);
  $("trail").hidden = state.steps.length < 2;
  $("trail").firstElementChild.replaceChildren(...trail(state.steps, (index) => { sending = null; go({ steps: state.steps.slice(0, index + 1), shown: "" }); }));
  $("trail").scrollLeft = $("trail").scrollWidth;
  $("chips").replaceChildren(...state.where.map((condition) => {
    const chip = make("button", { className: "chip", type: "button" }, inWords(condition));
    chip.setAttribute("aria-label", t("remove-filter", { filter: condition }));
    chip.addEventListener("click", () => go({ where: state.where.filter((one) => one !== condition), shown: "" }));
    return chip;
  }));
  filters.set(state.where);
  $("sort").value = state.sort;
  $("unique").checked = state.unique;
  $("ordering").hidden = !asks(here);
  document.title = text ? `${text} · triptych` : "triptych";
  drawFound();
  recover(held, place);
}

/** What a field says. What was typed there and not yet searched for stays. */
function write(field, said) {
  if (field.dataset.said !== said) field.value = said;
  field.dataset.said = said;
}

/** Where what had the keyboard's focus is gone, what lies nearest gets it, so that nobody begins at the top again. */
function recover(held, place) {
  const inSight = (one) => Boolean(one?.getClientRects().length);
  if (!held || inSight(held) || ![held, document.body].includes(document.activeElement)) return;
  const next = [place?.querySelector("[aria-current]"), place?.querySelector("button"), $("find")];
  next.find(inSight)?.focus({ preventScroll: true });
}

/** The pictures beside the first one, and those that results should be unlike. */
function drawOthers({ also, unlike }) {
  $("others").hidden = !also.length && !unlike.length;
  $("others").replaceChildren(
    ...also.map(({ id, weight }) => small(id, {
      sign: "+", weight,
      changed: (value) => step({ also: also.map((one) => (one.id === id ? { id, weight: value } : one)) }),
      remove: () => step({ also: also.filter((one) => one.id !== id) }),
    })),
    ...unlike.map((id) => small(id, { sign: "−", remove: () => step({ unlike: unlike.filter((one) => one !== id) }) })),
  );
}

const shownHit = () => hits.find(({ id }) => id === state.shown) ?? (state.shown ? null : hits[0] ?? null);

function drawFound() {
  const { like } = lastStep(state);
  const id = state.steps.length ? state.shown || hits[0]?.id || "" : "";
  fill($("found-picture"), $("promise"), id, t("chosen-result"), "full");
  $("go-on").hidden = !id;
  $("compare").hidden = !id || !like || !shownHit();
  for (const item of $("grid").children) {
    item.classList.toggle("chosen", Boolean(id) && item.dataset.id === id);
    item.querySelector(".look")?.setAttribute("aria-pressed", String(item.dataset.id === id));
  }
  tell(like, id);
}

async function tell(reference, result) {
  const place = $("differences");
  const asked = `${reference} ${result}`;
  if (place.dataset.asked === asked) return;
  place.dataset.asked = asked;
  place.hidden = true;
  if (!reference || !result) return;
  try {
    const tags = differences(await service.compare(reference, result));
    if (place.dataset.asked !== asked) return;
    place.replaceChildren(...tags);
    place.hidden = tags.length === 0;
  } catch { /* the pictures say it themselves */ }
}

// --- searching -------------------------------------------------------------------------------------------------------

/** How many results fill whole rows, so that the last one is not left with a picture or two. */
function wholeRows(about) {
  const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").filter((one) => one !== "none").length || 1;
  return Math.max(1, Math.round(about / columns)) * columns;
}

/** What the service is asked; a weight only where there is something to weigh, which it would refuse otherwise. */
function question(more = {}) {
  const here = lastStep(state);
  const pictures = here.like || here.also.length || here.unlike.length;
  const weight = pictures && (here.text || here.not.length) && !catalog?.composer ? state.weight : null;
  return { step: here, weight, where: state.where, sort: state.sort, unique: state.unique, k: wholeRows(24), ...more };
}

async function find() {
  if (sending) return; // the search follows the upload
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  refused = null;
  $("trouble").hidden = true;
  $("more").hidden = true;
  hits = [];
  if (!asks(lastStep(state))) return welcome();
  $("examples").hidden = true;
  const within = $("grid").contains(document.activeElement);
  lookFor();
  try {
    take(await service.search(question(), signal), false);
    draw();
    if (within && document.activeElement === document.body) $("grid").querySelector("button")?.focus({ preventScroll: true });
  } catch (error) {
    if (error.name !== "AbortError") trouble(error, find);
  } finally {
    if (signal === asking.signal) $("results").removeAttribute("aria-busy");
  }
}

function lookFor(said = t("looking")) {
  $("grid").replaceChildren(...blanks(12));
  $("results").setAttribute("aria-busy", "true");
  $("status").textContent = said;
  drawFound();
}

function take(answer, further) {
  hits = further ? [...hits, ...answer.hits] : answer.hits;
  const scores = hits.map(({ score }) => score);
  const range = [Math.min(...scores), Math.max(...scores)];
  const cards = answer.hits.map((hit) => card(hit, acts, range));
  if (further) $("grid").append(...cards);
  else $("grid").replaceChildren(...(cards.length ? cards : [nothing(t("none-fit"), t(state.where.length ? "none-fit-filters" : "none-other"))]));
  $("more").hidden = !answer.more;
  const counts = { count: count(hits.length), all: count(catalog?.pictures ?? 0) };
  $("status").textContent = hits.length ? t(state.sort ? "status-sorted" : catalog ? "status" : "status-bare", counts) : t("no-results");
  for (const note of answer.notes) $("status").textContent += ` ${note[0].toUpperCase()}${note.slice(1)}.`;
  if (answer.degraded) $("status").textContent += ` ${t("degraded", { why: answer.degraded })}`;
}

async function further() {
  $("more").disabled = true;
  $("trouble").hidden = true;
  const { signal } = asking;
  const first = $("grid").children.length;
  try {
    if (asks(lastStep(state))) take(await service.search(question({ offset: hits.length, after: hits.at(-1)?.id ?? "" }), signal), true);
    else browse(await service.some(wholeRows(24), 1, state.where, first), wholeRows(24));
    $("grid").children[first]?.querySelector("button").focus({ preventScroll: true });
  } catch (error) {
    if (error.name !== "AbortError" && !signal.aborted) trouble(error, further, { beneath: true });
  } finally { $("more").disabled = false; }
}

async function welcome() {
  draw();
  $("status").textContent = "";
  if (!catalog) return;
  if (!catalog.pictures) {
    $("grid").replaceChildren(nothing(t("empty"), t("empty-why")));
    return;
  }
  const { where } = state;
  $("status").textContent = t(where.length ? "with-filters" : "or-start");
  try {
    const many = wholeRows(where.length ? 24 : 14);
    const some = await service.some(many, where.length ? 1 : Math.max(1, Math.floor(catalog.pictures / many)), where);
    if (asks(lastStep(state)) || sending || where !== state.where) return;
    $("grid").replaceChildren();
    if (!some.length) $("grid").append(nothing(t("none-fit"), t("none-fit-filters")));
    browse(some, where.length ? many : Infinity);
    if (where.length) $("examples").hidden = true;
    else drawExamples(some);
  } catch (error) { trouble(error, welcome); }
}

/** Pictures to start from; there may be more where there are as `many` as were asked for. */
function browse(some, many) {
  $("grid").append(...some.map((picture) => card(picture, acts)));
  $("more").hidden = some.length < many;
}

/** A picture of the catalog and words, to be clicked. */
function drawExamples(some) {
  const examples = exampleWords(catalog.columns).slice(0, some.length).map((text, place) => {
    const like = some[Math.floor((place * some.length) / 3)].id;
    const picture = make("img", { alt: "" });
    service.show(picture, like);
    const button = make("button", { type: "button" }, picture, make("i", {}, text));
    button.addEventListener("click", () => go({ steps: [{ ...NOTHING, like, text }], shown: "" }));
    return button;
  });
  $("examples").replaceChildren(make("span", {}, t("examples")), ...examples);
  $("examples").hidden = examples.length === 0;
}

/** Say what went wrong, and offer to try `again`: instead of what there was, or `beneath` it. */
function trouble(error, again, { beneath = false } = {}) {
  if (error.status === 401) { refused = again; askForKey(); return; }
  const lost = error.status === 404 && /^u/.test(lastStep(state).like);
  const [title, advice] = $("trouble").children;
  title.textContent = [0, 404, 413, 429].includes(error.status) ? t(`trouble-${error.status}`) : t(error.status >= 500 ? "trouble-500" : "trouble");
  const said = `${error.message[0].toUpperCase()}${error.message.slice(1)}`;
  advice.textContent = lost ? t("lost-upload") : /[.!?]$/.test(said) ? said : `${said}.`;
  // A bad file would fail again, so the button goes back to the state before it.
  const hopeless = !beneath && [404, 413, 422].includes(error.status);
  // A condition that cannot be parsed is the last one that was added.
  refused = error.status === 422 && /^(where|sort|box) /.test(error.message) ? () => history.back() : hopeless ? () => find() : again;
  $("trouble").lastElementChild.textContent = t(hopeless ? "back" : "try-again");
  $("trouble").lastElementChild.hidden = lost;
  $("grid")[beneath ? "after" : "before"]($("trouble"));
  $("trouble").hidden = false;
  if (beneath) return;
  $("status").textContent = "";
  $("results").removeAttribute("aria-busy");
  $("grid").replaceChildren();
}

// --- input of the person ---------------------------------------------------------------------------------------------

const look = (hit) => { fold.open(); go({ shown: hit.id }, { replace: true, search: false }); reveal($("found")); };

function goOn(hit) {
  go({ steps: [...state.steps, { ...NOTHING, like: hit.id }], shown: "" });
  if (!touched) $("words").focus({ preventScroll: true });
  reveal($("triptych"));
}

const acts = {
  look,
  goOn,
  likeThis: ({ id }) => {
    const { like, also, unlike } = lastStep(state);
    const others = unlike.filter((one) => one !== id);
    if (!like) step({ like: id, unlike: others });
    else if (like !== id && !also.some((one) => one.id === id)) step({ also: [...also, { id, weight: 1 }].slice(-10), unlike: others });
  },
  unlikeThis: ({ id }) => {
    const { also, unlike } = lastStep(state);
    if (!unlike.includes(id)) step({ unlike: [...unlike, id].slice(-9), also: also.filter((one) => one.id !== id) });
  },
  isKept: basket.isKept,
  keep: basket.keep,
};

function reveal(element) {
  if (element.getBoundingClientRect().top >= 0) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

/** Send a picture, which shows at once; words that are said meanwhile wait for it. */
async function start(file) {
  if (!file) return;
  if (catalog && file.size > catalog.max_bytes) {
    trouble(new service.Refusal(413, t("too-large", { size: (file.size / 1e6).toFixed(1), most: (catalog.max_bytes / 1e6).toFixed(0) })), null);
    return;
  }
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const mine = sending = { file, words: null };
  $("trouble").hidden = true;
  $("examples").hidden = true;
  $("more").hidden = true;
  hits = [];
  draw();
  lookFor(t("sending"));
  try {
    const like = await service.upload(file, signal);
    if (sending !== mine) return;
    sending = null;
    const { text, not } = mine.words ?? lastStep(state);
    go({ steps: [...state.steps, { ...NOTHING, like, text, not }], shown: "" });
  } catch (error) {
    if (sending !== mine || error.name === "AbortError") return;
    const words = mine.words;
    sending = null;
    draw();
    trouble(error, () => start(file).then(() => {}, () => {}));
    if (words && refused) { // a second attempt uses the same words
      const again = refused;
      refused = () => { again(); if (sending) sending.words = words; };
    }
  }
}

const avoided = () => $("avoid").value.split(",").map((one) => one.trim()).filter(Boolean).slice(0, 10);

function say(text) {
  const not = avoided();
  if (sending) {
    sending.words = { text, not };
    $("status").textContent = t("sending-then");
    return undefined;
  }
  const here = lastStep(state);
  if (text === here.text && not.join() === here.not.join() && state.steps.length) return find();
  // The first words belong to the present step; later ones make a new step from the same picture.
  const steps = here.text || here.not.length || !state.steps.length ? state.steps : state.steps.slice(0, -1);
  return go({ steps: [...steps, { ...here, text, not }], shown: "" });
}

const imageOf = (transfer) => [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/")) ?? transfer?.files?.[0];

$("triptych").addEventListener("submit", (event) => { event.preventDefault(); if (touched) $("words").blur(); say($("words").value.trim()); });
$("words").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("triptych").requestSubmit(); }
});
document.querySelector(".heart").addEventListener("click", (event) => { if (event.target === event.currentTarget) $("words").focus(); });
$("file").addEventListener("change", () => { start($("file").files[0]); $("file").value = ""; });
document.addEventListener("paste", (event) => {
  const file = imageOf(event.clipboardData);
  if (file) { event.preventDefault(); start(file); }
});
document.addEventListener("dragover", (event) => {
  if (event.dataTransfer.types.includes("Files")) { event.preventDefault(); $("drop").hidden = false; }
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
document.addEventListener("drop", (event) => { event.preventDefault(); $("drop").hidden = true; start(imageOf(event.dataTransfer)); });
$("weight").addEventListener("change", () => go({ weight: Number($("weight").value), shown: "" }, { replace: true }));
$("forget").addEventListener("click", () => {
  if (!sending) return go({ steps: [...state.steps, { ...NOTHING, text: lastStep(state).text, not: lastStep(state).not }], shown: "" });
  sending = null;
  draw();
  return find();
});
$("part").addEventListener("click", () => crop.choosePart(lastStep(state).like, lastStep(state).box, (box) => { if (box !== lastStep(state).box) step({ box }); }));
$("go-on").addEventListener("click", () => goOn({ id: state.shown || hits[0].id }));
$("compare").addEventListener("click", () => compareBeside(lastStep(state).like, shownHit(), catalog?.columns ?? []));
$("more").addEventListener("click", further);
$("edit").addEventListener("click", fold.toggle);
$("home").addEventListener("click", () => {
  sending = null;
  $("words").value = $("avoid").value = "";
  go(EMPTY);
});
$("clear").addEventListener("click", () => go({ where: [], shown: "" }));
$("sort").addEventListener("change", () => go({ sort: $("sort").value, shown: "" }));
$("unique").addEventListener("change", () => go({ unique: $("unique").checked, shown: "" }));
$("numbers").addEventListener("change", () => document.body.classList.toggle("numbers", $("numbers").checked));
$("condition").addEventListener("keydown", (event) => {
  const written = $("condition").value.trim();
  if (event.key !== "Enter" || !written) return;
  event.preventDefault();
  $("condition").value = "";
  go({ where: [...state.where, written], shown: "" });
});
$("filter").addEventListener("click", () => {
  $("filters").hidden = !$("filters").hidden;
  $("filter").setAttribute("aria-expanded", String(!$("filters").hidden));
});
$("share").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText(location.href); $("share").textContent = t("copied"); } catch { $("share").textContent = t("copy-failed"); }
  setTimeout(() => { $("share").textContent = t("copy"); }, 2000);
});
$("trouble").lastElementChild.addEventListener("click", () => refused?.());
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) { event.preventDefault(); $("words").focus(); }
});
// Arrow keys move over the results.
$("grid").addEventListener("keydown", (event) => {
  const buttons = [...$("grid").querySelectorAll(".look")];
  const place = buttons.indexOf(event.target);
  const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  if (place < 0 || !move) return;
  event.preventDefault();
  buttons[place + move]?.focus();
});
addEventListener("popstate", () => { sending = null; state = readState(location.hash); draw(); find(); });

async function begin() {
  state = readState(location.hash);
  try {
    catalog = await service.facts();
  } catch (error) { draw(); return trouble(error, begin); }
  const by = t(catalog.composer ? "by-composer" : "by-sum");
  $("facts").replaceChildren(t("pictures", { count: count(catalog.pictures) }), make("span", { className: "by" }, by));
  $("warning").textContent = catalog.warning;
  $("warning").hidden = !catalog.warning;
  setCaptionColumns(catalog.columns);
  filters = filterFields(catalog.columns, (where) => go({ where, shown: "" }));
  $("fields").replaceChildren(...filters.fields);
  $("sort").replaceChildren(...orders(catalog.columns));
  $("filter").hidden = catalog.columns.length === 0;
  draw();
  return find();
}

await speak();
basket.furnish();
crop.furnish();
begin();
