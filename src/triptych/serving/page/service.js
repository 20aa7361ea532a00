// The service, as the page asks it. Nothing else is ever asked.

let key = "";
try { key = sessionStorage.getItem("triptych-key") ?? ""; } catch { /* a browser may forbid it */ }

// Below whatever path the service is shown: this module lies in its folder page/.
const BASE = new URL("../", import.meta.url);

export class Refusal extends Error {
  constructor(status, detail) { super(detail); this.status = status; }
}

export const hasKey = () => key !== "";

export function useKey(given) {
  key = given.trim();
  try { sessionStorage.setItem("triptych-key", key); } catch { /* then for this page only */ }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  let answer;
  try {
    answer = await fetch(new URL(path, BASE), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The service cannot be reached. It may have been stopped.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, problem.detail ?? `The service answered ${answer.status}.`);
}

export const facts = async () => (await ask("api/catalog")).json();

export const some = async (k, step) => (await ask(`api/pictures?k=${k}&step=${step}`)).json();

export async function search({ picture, like, text, weight, where, offset = 0 }, signal) {
  const form = new FormData();
  if (picture) form.append("picture", picture, "picture");
  else if (like) form.append("like", like);
  form.append("text", text);
  if (weight !== null && (picture || like) && text) form.append("weight", weight); // else the catalog's own
  form.append("offset", offset);
  for (const condition of where) form.append("where", condition);
  return (await ask("api/search", { method: "POST", body: form, signal })).json();
}

export async function compare(reference, result) {
  const body = JSON.stringify({ reference, result });
  return (await ask("api/compare", { method: "POST", body, headers: { "Content-Type": "application/json" } })).json();
}

/** Show a picture by its id. With a key it must be fetched, since an image cannot show one. */
export async function show(img, id, kind = "thumbnail") {
  const path = `api/pictures/${encodeURIComponent(id)}/${kind}`;
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
