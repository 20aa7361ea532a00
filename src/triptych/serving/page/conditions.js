// Conditions over the metadata: as the service reads them, as they are shown, and the fields in which they are chosen.

import { make } from "./view.js";

/** A value or column between quotes, where something would be lost or mistaken without. */
const quoted = (text, mistaken) => (mistaken.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const columnOf = (name) => quoted(name, /^[\s"'(]|\s$|[=!<>≠≤≥]|\s(?:not|in)\s/i);
const valueOf = (value) => quoted(String(value), /^$|^[\s"']|\s$|[(),]|(?:^|\s)(?:and|or)(?=\s|$)/i);
const compared = (name, sign, value) => columnOf(name) + sign + valueOf(value);

/** One value is `colour=red`, several are `colour in (red, pink)`. */
const among = (name, values) => (
  values.length < 2 ? values.map((value) => compared(name, "=", value)) : [`${columnOf(name)} in (${values.map(valueOf).join(", ")})`]
);

/** The condition as a person reads it, where it is a simple one. */
export function inWords(condition) {
  const list = /^([^"()=<>!]+) in \(([^"()]+)\)$/.exec(condition);
  if (list) return `${list[1]}: ${list[2]}`;
  if (/^[("']|\s(?:and|or)\s/i.test(condition)) return condition;
  return condition.replace(/=/, ": ").replace(/([<>!]): /, " $1= ");
}

/** Fields for the columns that people can choose by; `changed` gets the conditions, those of no field among them. */
export function filterFields(columns, changed) {
  const fields = [];
  let written = []; // conditions of no field
  const report = () => changed([...fields.flatMap(({ conditions }) => conditions()), ...written]);
  for (const [index, column] of columns.entries()) {
    const id = `field-${index}`;
    const field = column.values.length > 1 && ["text", "boolean"].includes(column.kind) ? choice(column, id)
      : ["number", "date"].includes(column.kind) && column.least !== column.most ? range(column, id) : null;
    if (!field) continue;
    field.element.addEventListener("change", report);
    fields.push(field);
  }
  const set = (where) => {
    written = fields.reduce((left, { take }) => take(left), where);
  };
  return { fields: fields.map(({ element }) => element), set };
}

/** One or more of a column's values. */
function choice({ name, values }, id) {
  const any = make("option", { value: "" }, "any");
  const options = values.map((value) => make("option", { value: compared(name, "=", value) }, value));
  const select = make("select", { id, multiple: true, size: Math.min(5, values.length + 1), title: "Ctrl or ⌘ chooses several" }, any, ...options);
  const chosen = () => values.filter((_, place) => options[place].selected);
  // `any` is chosen alone.
  select.addEventListener("change", () => { if (any.selected) for (const option of options) option.selected = false; });
  return {
    element: make("div", {}, make("label", { htmlFor: id }, name), select),
    conditions: () => among(name, chosen()),
    take(where) {
      const start = `${columnOf(name)} in (`;
      const held = where.find((one) => options.some(({ value }) => value === one) || (one.startsWith(start) && listed(one, start, values)));
      const taken = held === undefined ? [] : listed(held, start, values) ?? [held];
      for (const [place, option] of options.entries()) option.selected = taken.includes(option.value) || taken.includes(values[place]);
      any.selected = false;
      return where.filter((one) => one !== held);
    },
  };
}

/** The values of `colour in (red, pink)`; null where it is none that this page made. */
function listed(condition, start, values) {
  if (!condition.startsWith(start)) return null;
  const items = condition.slice(start.length, -1).match(/\s*(?:"(?:[^"]|"")*"|[^",()]+)/g) ?? [];
  const found = items.map((item) => item.trim()).map((item) => values.find((value) => valueOf(value) === item));
  const whole = `${start}${found.map((value) => valueOf(value ?? "")).join(", ")})`;
  return found.every((value) => value !== undefined) && whole === condition ? found : null;
}

/** From one number or date to another. */
function range({ name, kind, least, most, values }, id) {
  const ends = [[">=", least, "from"], ["<=", most, "to"]].map(([sign, end, word], place) => {
    const type = kind === "date" ? "date" : "number";
    const input = make("input", { type, step: type === "number" ? "any" : "", placeholder: String(end), id: place ? `${id}-to` : id });
    if (type === "date") Object.assign(input, { min: least, max: most });
    else if (values.length) input.setAttribute("list", `${id}-values`);
    input.setAttribute("aria-label", `${name} ${word}`);
    return { input, prefix: columnOf(name) + sign };
  });
  const known = make("datalist", { id: `${id}-values` }, ...(kind === "number" ? values.map((value) => make("option", { value })) : []));
  return {
    element: make("div", {}, make("label", { htmlFor: id }, name), make("div", { className: "range" }, ...ends.map(({ input }) => input)), known),
    conditions: () => ends.filter(({ input }) => input.value).map(({ input, prefix }) => prefix + input.value),
    take: (where) => ends.reduce((left, { input, prefix }) => {
      const held = left.find((one) => one.startsWith(prefix));
      input.value = held ? held.slice(prefix.length) : "";
      return input.value === "" ? left : left.filter((one) => one !== held);
    }, where),
  };
}
