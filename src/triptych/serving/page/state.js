// The page's state: the steps so far, and how results are selected. It is stored in the fragment of the address, which a
// browser does not send to the server.

// weight: of the words; null for the catalog's default.
export const EMPTY = Object.freeze({ steps: [], weight: null, where: [], sort: "", unique: false, shown: "" });

// like: the id of a picture, "" for none. also: further pictures as [{id, weight}]. unlike: ids. not: words. box: "x,y,w,h" of `like`.
export const NOTHING = Object.freeze({ like: "", text: "", also: [], unlike: [], not: [], box: "" });

const MOST = 20;
const plain = (text) => encodeURIComponent(text).replaceAll("~", "%7E");
function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}
const list = (text) => (text ? text.split(",").slice(0, MOST) : []);

/** A step as the address has it: `id;also=id:0.5,id;unlike=id;not=stripes;box=0.1,0.2,0.5,0.5~words`. */
function readStep(step) {
  const cut = step.indexOf("~");
  const [like, ...parts] = (cut < 0 ? step : step.slice(0, cut)).split(";");
  const given = Object.fromEntries(parts.map((part) => [part.split("=", 1)[0], part.slice(part.indexOf("=") + 1)]));
  const also = list(given.also).map((one) => {
    const [id, weight] = one.split(":");
    return { id, weight: Number(weight) > 0 && Number(weight) <= 100 ? Number(weight) : 1 };
  });
  const box = /^[\d.]+(,[\d.]+){3}$/.test(given.box ?? "") ? given.box : "";
  return { like, text: cut < 0 ? "" : step.slice(cut + 1), also, unlike: list(given.unlike), not: list(given.not).map(decoded), box };
}

function writeStep({ like, text, also, unlike, not, box }) {
  const parts = [like];
  if (also.length) parts.push(`also=${also.map(({ id, weight }) => (weight === 1 ? id : `${id}:${weight}`)).join(",")}`);
  if (unlike.length) parts.push(`unlike=${unlike.join(",")}`);
  if (not.length) parts.push(`not=${not.map(plain).join(",")}`);
  if (box) parts.push(`box=${box}`);
  return `${parts.join(";")}~${text}`;
}

export function readState(fragment) {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  const weight = Number(fields.get("weight"));
  return {
    steps: fields.getAll("step").slice(-50).map(readStep),
    weight: fields.has("weight") && weight >= 0 && weight <= 1 ? weight : null,
    where: fields.getAll("where").slice(0, MOST),
    sort: fields.get("sort") ?? "",
    unique: fields.get("unique") === "true",
    shown: fields.get("shown") ?? "",
  };
}

export function writeState(state) {
  const fields = new URLSearchParams();
  for (const step of state.steps) fields.append("step", writeStep(step));
  if (state.steps.length && state.weight !== null) fields.set("weight", state.weight);
  for (const condition of state.where) fields.append("where", condition);
  if (state.sort) fields.set("sort", state.sort);
  if (state.unique) fields.set("unique", "true");
  if (state.shown) fields.set("shown", state.shown);
  return `#${fields}`;
}

export const lastStep = (state) => state.steps.at(-1) ?? NOTHING;

/** Whether a step says anything to search for. */
export const asks = ({ like, text, also, unlike, not }) => Boolean(like || text || also.length || unlike.length || not.length);
