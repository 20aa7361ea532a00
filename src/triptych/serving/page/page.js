// What happens when. One state, in the address; every act makes a new one and goes there.

import * as service from "./service.js";
import { EMPTY, lastStep, readState, writeState } from "./state.js";
import { filterFields, inWords } from "./conditions.js";
import { $, blanks, card, differences, fill, make, nothing, tellBy, trail } from "./view.js";

let state = EMPTY;
let catalog = null;
let hits = [];
let filters = { fields: [], set() {} };
let asking = new AbortController();
let refused = null; // what was tried when it failed

// --- going somewhere -------------------------------------------------------------------------------------------------

function go(next, { replace = false, search = true } = {}) {
  state = { ...state, ...next };
  history[replace ? "replaceState" : "pushState"](null, "", writeState(state));
  draw();
  if (search) find();
}

function draw() {
  const { like, text } = lastStep(state);
  fill($("reference-picture"), $("invitation"), like, "The picture you start from");
  $("forget").hidden = !like;
  if ($("words").value !== text) $("words").value = text;
  $("weight").value = state.weight ?? catalog?.weight ?? 0.5;
  $("weighing").hidden = Boolean(catalog?.composer) || !like;
  $("share").hidden = state.steps.length === 0;
  $("trail").hidden = state.steps.length < 2;
  $("trail").firstElementChild.replaceChildren(...trail(state.steps, (index) => go({ steps: state.steps.slice(0, index + 1), shown: "" })));
  $("trail").scrollLeft = $("trail").scrollWidth;
  $("chips").replaceChildren(...state.where.map((condition) => {
    const chip = make("button", { className: "chip", type: "button" }, inWords(condition));
    chip.setAttribute("aria-label", `Remove the filter ${condition}`);
    chip.addEventListener("click", () => go({ where: state.where.filter((one) => one !== condition), shown: "" }));
    return chip;
  }));
  filters.set(state.where);
  document.title = text ? `${text} · triptych` : "triptych";
  drawFound();
}

function drawFound() {
  const { like } = lastStep(state);
  const id = state.steps.length ? state.shown || hits[0]?.id || "" : "";
  fill($("found-picture"), $("promise"), id, "The chosen result", "full");
  $("go-on").hidden = !id;
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

// --- finding ---------------------------------------------------------------------------------------------------------

/** The weight of the words; none where there is nothing to weigh, which the service would refuse. */
const weighing = (reference, text) => (reference && text && !catalog?.composer ? state.weight : null);

async function find(picture = null) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const { like, text } = lastStep(state);
  refused = null;
  $("trouble").hidden = true;
  $("more").hidden = true;
  hits = [];
  if (!picture && !like && !text) return welcome();
  $("grid").replaceChildren(...blanks(12));
  $("results").setAttribute("aria-busy", "true");
  $("status").textContent = "Looking …";
  drawFound();
  try {
    const answer = await service.search({ picture, like, text, weight: weighing(picture || like, text), where: state.where }, signal);
    if (picture) {
      const steps = [...state.steps, { like: answer.reference, text }];
      state = { ...state, steps, shown: "" };
      history.pushState(null, "", writeState(state));
    }
    take(answer, false);
    draw();
  } catch (error) {
    if (error.name !== "AbortError") trouble(error, () => find(picture));
  } finally {
    if (signal === asking.signal) $("results").removeAttribute("aria-busy");
  }
}

/** That of the words in the sum; a composer does without. */
const weight = () => (catalog?.composer ? null : state.weight);

function take(answer, further) {
  hits = further ? [...hits, ...answer.hits] : answer.hits;
  const cards = answer.hits.map((hit) => card(hit, { look, goOn }));
  if (further) $("grid").append(...cards);
  else $("grid").replaceChildren(...(cards.length ? cards : [
    nothing("Nothing fits", state.where.length ? "No picture fulfils all filters. Take one away." : "The catalog holds no other picture."),
  ]));
  $("more").hidden = !answer.more;
  const of = catalog ? ` of ${catalog.pictures.toLocaleString("en")}` : "";
  $("status").textContent = hits.length ? `The nearest ${hits.length}${of}. Choose one to compare, or to start from.` : "No results.";
  for (const note of answer.notes) $("status").textContent += ` ${note[0].toUpperCase()}${note.slice(1)}.`;
  if (answer.degraded) $("status").textContent += ` The model that looks at results was not heard: ${answer.degraded}.`;
}

async function further() {
  const { like, text } = lastStep(state);
  $("more").disabled = true;
  $("trouble").hidden = true;
  const { signal } = asking;
  try {
    const answer = await service.search({ like, text, weight: weighing(like, text), where: state.where, offset: hits.length }, signal);
    const first = hits.length;
    take(answer, true);
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
    $("grid").replaceChildren(nothing("The catalog is empty", "Add pictures with `triptych index`, or through the service."));
    return;
  }
  $("status").textContent = "Or start from one of these.";
  try {
    const some = await service.some(12, Math.max(1, Math.floor(catalog.pictures / 12)));
    const { like, text } = lastStep(state);
    if (!like && !text) $("grid").replaceChildren(...some.map((picture) => card(picture, { look, goOn })));
  } catch (error) { trouble(error, welcome); }
}

/** Say what went wrong, and offer to try `again`: instead of what there was, or `beneath` it. */
function trouble(error, again, { beneath = false } = {}) {
  if (error.status === 401) { refused = again; $("door").showModal(); return; }
  const lost = error.status === 404 && /^u/.test(lastStep(state).like);
  const titles = { 0: "No answer", 404: "That picture is not there", 413: "That file is too large", 429: "A little slower, please" };
  const [title, advice] = $("trouble").children;
  title.textContent = titles[error.status] ?? (error.status >= 500 ? "The service could not answer" : "That did not work");
  const said = `${error.message[0].toUpperCase()}${error.message.slice(1)}`;
  advice.textContent = lost
    ? "This search began with somebody's own picture, which is kept for an hour only. Drop the same picture again, or another."
    : /[.!?]$/.test(said) ? said : `${said}.`;
  // Trying a bad file again helps nobody; what was there before it can be had again.
  const hopeless = !beneath && [404, 413, 422].includes(error.status);
  // A condition that cannot be read is the last thing that was done.
  refused = error.status === 422 && /^where /.test(error.message) ? () => history.back() : hopeless ? () => find() : again;
  $("trouble").lastElementChild.textContent = hopeless ? "Back to where you were" : "Try again";
  $("trouble").lastElementChild.hidden = lost;
  $("grid")[beneath ? "after" : "before"]($("trouble"));
  $("trouble").hidden = false;
  if (beneath) return;
  $("status").textContent = "";
  $("grid").replaceChildren();
}

// --- what a person does ----------------------------------------------------------------------------------------------

const look = (hit) => { go({ shown: hit.id }, { replace: true, search: false }); reveal($("found")); };

function goOn(hit) {
  go({ steps: [...state.steps, { like: hit.id, text: "" }], shown: "" });
  $("words").focus({ preventScroll: true });
  reveal($("triptych"));
}

function reveal(element) {
  if (element.getBoundingClientRect().top >= 0) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

function start(file) {
  if (!file) return;
  if (catalog && file.size > catalog.max_bytes) {
    trouble(new service.Refusal(413, `It has ${(file.size / 1e6).toFixed(1)} MB; at most ${(catalog.max_bytes / 1e6).toFixed(0)} MB are taken.`), null);
    return;
  }
  find(file);
}

function say(text) {
  const { like, text: before } = lastStep(state);
  if (text === before && state.steps.length) return find();
  // The first words belong to the step that they are said to; later ones are a new step from the same picture.
  const steps = before || !state.steps.length ? [...state.steps, { like, text }] : [...state.steps.slice(0, -1), { like, text }];
  return go({ steps, shown: "" });
}

const imageOf = (transfer) => [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/")) ?? transfer?.files?.[0];

$("triptych").addEventListener("submit", (event) => { event.preventDefault(); say($("words").value.trim()); });
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
$("forget").addEventListener("click", () => go({ steps: [...state.steps, { like: "", text: lastStep(state).text }], shown: "" }));
$("go-on").addEventListener("click", () => goOn({ id: state.shown || hits[0].id }));
$("more").addEventListener("click", further);
$("home").addEventListener("click", () => go(EMPTY));
$("clear").addEventListener("click", () => go({ where: [], shown: "" }));
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
  try { await navigator.clipboard.writeText(location.href); $("share").textContent = "Copied"; } catch { $("share").textContent = "Copy it from the address bar"; }
  setTimeout(() => { $("share").textContent = "Copy link"; }, 2000);
});
$("trouble").lastElementChild.addEventListener("click", () => refused?.());
$("door").addEventListener("close", () => { service.useKey($("key").value); $("key").value = ""; begin(); });
$("door").addEventListener("cancel", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) { event.preventDefault(); $("words").focus(); }
});
// Arrows walk over the results.
$("grid").addEventListener("keydown", (event) => {
  const buttons = [...$("grid").querySelectorAll(".look")];
  const place = buttons.indexOf(event.target);
  const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  if (place < 0 || !move) return;
  event.preventDefault();
  buttons[place + move]?.focus();
});
addEventListener("popstate", () => { state = readState(location.hash); draw(); find(); });

async function begin() {
  state = readState(location.hash);
  try {
    catalog = await service.facts();
  } catch (error) { draw(); return trouble(error, begin); }
  const by = catalog.composer ? " · with a trained composer" : " · by a weighted sum";
  $("facts").replaceChildren(`${catalog.pictures.toLocaleString("en")} pictures`, make("span", { className: "by" }, by));
  $("warning").textContent = catalog.warning;
  $("warning").hidden = !catalog.warning;
  tellBy(catalog.columns);
  filters = filterFields(catalog.columns, (where) => go({ where, shown: "" }));
  $("fields").replaceChildren(...filters.fields);
  $("filter").hidden = catalog.columns.length === 0;
  draw();
  return find();
}

begin();
