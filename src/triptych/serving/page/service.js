// Requests to the service. The page sends no other requests.

import { t } from "./words.js";

// Works below any path of the service, because this module is in its folder page/.
const BASE = new URL("../", import.meta.url);

// Each catalog of a service has its own path.
const KEY = `triptych-key ${BASE.pathname}`;
let key = "";
try { key = sessionStorage.getItem(KEY) ?? ""; } catch { /* a browser may forbid it */ }

export class Refusal extends Error {
  constructor(status, detail) { super(detail); this.status = status; }
}

export const hasKey = () => key !== "";

export function useKey(given) {
  key = given.trim();
  try { sessionStorage.setItem(KEY, key); } catch { /* then for this page only */ }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  let answer;
  try {
    answer = await fetch(new URL(path, BASE), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, t("unreachable"));
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, problem.detail ?? t("answered", { status: answer.status }));
}

const got = async (path) => (await ask(path)).json();

export const facts = () => got("v1/catalog");

/** Pictures to start from: of those that fulfil the conditions every `step`-th. */
export const some = (k, step, where = [], offset = 0) => got(
  `v1/pictures?${new URLSearchParams([["k", k], ["step", step], ["offset", offset], ...where.map((one) => ["where", one])])}`,
);

export const picture = (id) => got(`v1/pictures/${encodeURIComponent(id)}`);

export const values = (column, contains) => got(`v1/values?${new URLSearchParams({ column, contains })}`);

/** Send a picture to start from; its id, which lasts for an hour. */
export async function upload(file, signal) {
  const form = new FormData();
  form.append("picture", file, "picture");
  return (await (await ask("v1/uploads", { method: "POST", body: form, signal })).json()).id;
}

/** Search: `step` says for what, the rest how results are chosen; one that is null or empty is left out. */
export async function search({ step, ...others }, signal) {
  const form = new FormData();
  const give = (name, value) => { if (value !== null && value !== "" && value !== false) form.append(name, value); };
  give("like", step.like);
  for (const { id, weight } of step.also) give("like", weight === 1 ? id : `${id}:${weight}`);
  for (const id of step.unlike) give("unlike", id);
  for (const words of step.not) give("not", words);
  give("text", step.text);
  // A box applies only to a single picture; among several, the whole picture is used.
  if (step.like && !step.also.length) give("box", step.box);
  for (const [name, value] of Object.entries(others)) for (const one of [value].flat()) give(name, one);
  return (await ask("v1/search", { method: "POST", body: form, signal })).json();
}

const postJson = async (path, content) => (
  await ask(path, { method: "POST", body: JSON.stringify(content), headers: { "Content-Type": "application/json" } })
).json();

export const compare = (reference, result) => postJson("v1/compare", { reference, result });

// For the owner's blind comparison.
export const blindTally = () => got("v1/blind");
export const blindQuestion = (like, text) => postJson("v1/blind", { like, text });
export const blindChoice = (question, choice) => postJson("v1/blind/choices", { question, choice });

/** Show a picture by its id. With a key it must be fetched, since an image cannot show one. */
export async function show(img, id, kind = "thumbnail") {
  const path = `v1/pictures/${encodeURIComponent(id)}/${kind}`;
  img.dataset.id = id;
  if (!key) { img.src = new URL(path, BASE); return; }
  try {
    const blob = await (await ask(path)).blob();
    if (img.dataset.id !== id) return;
    const address = URL.createObjectURL(blob);
    img.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
    img.src = address;
  } catch { img.dispatchEvent(new Event("error")); }
}
