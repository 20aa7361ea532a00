// The pictures that a person keeps. They stay in this browser and can be saved as a file.

import { show } from "./service.js";
import { $, make, titleOf } from "./view.js";
import { t } from "./words.js";

const PLACE = `triptych-basket ${new URL("../", import.meta.url).pathname}`;
const MOST = 500;
let held = [];
try { held = JSON.parse(localStorage.getItem(PLACE) ?? "[]"); } catch { held = []; }
if (!Array.isArray(held)) held = [];

export const isKept = ({ id }) => held.some((one) => one.id === id);

function store(next) {
  held = next.slice(-MOST);
  try { localStorage.setItem(PLACE, JSON.stringify(held)); } catch { /* then until the page is left */ }
  draw();
}

/** Keep a picture, or take it out again; whether it is kept now. */
export function keep(hit) {
  const had = isKept(hit);
  store(had ? held.filter((one) => one.id !== hit.id) : [...held, { id: hit.id, name: hit.name, metadata: hit.metadata }]);
  return !had;
}

/** A cell that no spreadsheet takes for a formula. */
const cell = (value) => {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export function asTable(pictures) {
  const columns = [...new Set(pictures.flatMap(({ metadata }) => Object.keys(metadata)))];
  const rows = pictures.map(({ id, name, metadata }) => [id, name, ...columns.map((column) => metadata[column])]);
  return [["id", "name", ...columns], ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
}

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function draw() {
  $("basket-open").textContent = held.length ? t("basket-count", { count: held.length }) : t("basket");
  $("basket-none").hidden = held.length > 0;
  $("basket-acts").hidden = held.length === 0;
  $("basket-list").replaceChildren(...held.map((picture) => {
    const img = make("img", { alt: "" });
    show(img, picture.id);
    const remove = make("button", { className: "sign", type: "button", title: t("remove") }, "×");
    remove.setAttribute("aria-label", `${t("remove")}: ${titleOf(picture)}`);
    remove.addEventListener("click", () => { keep(picture); forgotten(picture.id); });
    return make("li", {}, img, make("span", {}, titleOf(picture)), remove);
  }));
}

/** A card in sight says so, too. */
function forgotten(id) {
  for (const one of document.querySelectorAll(".card")) {
    if (one.dataset.id === id) one.querySelector(".heart-sign")?.setAttribute("aria-pressed", "false");
  }
}

export function furnish() {
  $("basket-open").addEventListener("click", () => $("basket").showModal());
  $("basket-csv").addEventListener("click", () => save("basket.csv", "text/csv", asTable(held)));
  $("basket-json").addEventListener("click", () => save("basket.json", "application/json", JSON.stringify(held, null, 2)));
  $("basket-clear").addEventListener("click", () => { const all = held; store([]); for (const { id } of all) forgotten(id); });
  draw();
}
