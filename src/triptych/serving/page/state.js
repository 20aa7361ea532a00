// Where the person is: the steps that led here, and how results are chosen. It lives in the address's fragment, which a
// browser sends to nobody.

// Of the words; null for the catalog's own.
export const EMPTY = Object.freeze({ steps: [], weight: null, where: [], shown: "" });

/** A step is a reference's id ("" for none) and the words that were said to it. */
export function readState(fragment) {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  const steps = fields.getAll("step").slice(-50).map((step) => {
    const cut = step.indexOf("~");
    return cut < 0 ? { like: step, text: "" } : { like: step.slice(0, cut), text: step.slice(cut + 1) };
  });
  const weight = Number(fields.get("weight"));
  return {
    steps,
    weight: fields.has("weight") && weight >= 0 && weight <= 1 ? weight : null,
    where: fields.getAll("where").slice(0, 20),
    shown: fields.get("shown") ?? "",
  };
}

export function writeState(state) {
  const fields = new URLSearchParams();
  for (const { like, text } of state.steps) fields.append("step", `${like}~${text}`);
  if (state.steps.length && state.weight !== null) fields.set("weight", state.weight);
  for (const condition of state.where) fields.append("where", condition);
  if (state.shown) fields.set("shown", state.shown);
  return `#${fields}`;
}

export const lastStep = (state) => state.steps.at(-1) ?? { like: "", text: "" };
