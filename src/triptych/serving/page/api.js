// The OpenAPI of the service for people: each route with its fields, an example and its answers.

import { $, make } from "./view.js";

const BASE = new URL("../", import.meta.url);
const table = (head, rows) => make(
  "table", {}, make("thead", {}, make("tr", {}, ...head.map((one) => Object.assign(make("th", {}, one), { scope: "col" })))),
  make("tbody", {}, ...rows.map(([first, ...others]) => make("tr", {}, Object.assign(make("th", {}, make("code", {}, first)), { scope: "row" }), ...others.map((one) => make("td", {}, one))))),
);

let api = {};
const resolved = (schema) => (schema?.$ref ? resolved(schema.$ref.split("/").slice(1).reduce((part, name) => part?.[name], api)) : schema ?? {});

function typeOf(schema) {
  const own = resolved(schema);
  if (own.enum) return own.enum.join(" | ");
  if (own.const !== undefined) return String(own.const);
  const any = own.anyOf ?? own.oneOf;
  if (any) return any.map(typeOf).join(" or ");
  if (own.type === "array") return `list of ${typeOf(own.items)}`;
  if (own.contentMediaType) return "file";
  return own.type ?? "any";
}

const exampleOf = (schema) => { const own = resolved(schema); return own.examples?.[0] ?? own.example ?? own.default; };
const shown = (value) => (value === undefined || value === "" ? "" : typeof value === "string" ? value : JSON.stringify(value));

function curl(method, path, parameters, kind, schema) {
  const address = new URL(`.${path.replace(/\{(\w+)\}/g, (_, name) => exampleOf(parameters.find((one) => one.name === name)?.schema) ?? parameters.find((one) => one.name === name)?.example ?? name.toUpperCase())}`, BASE);
  const given = Object.entries(resolved(schema).properties ?? {}).map(([name, field]) => [name, field.contentMediaType ? "@picture.jpg" : exampleOf(field)]);
  const example = given.filter(([name, value]) => shown(value) !== "" && !/^(k|offset|among|unique|rerank)$/.test(name) && shown(value) !== "[]" && shown(value) !== "{}").slice(0, 3);
  if (kind === "application/json") return `curl -X ${method} ${address} -H 'Content-Type: application/json' -d '${JSON.stringify(Object.fromEntries(example))}'`;
  const fields = example.map(([name, value]) => ` -F ${name}=${Array.isArray(value) ? JSON.stringify(value[0]) : /\s/.test(shown(value)) ? JSON.stringify(value) : shown(value)}`);
  return `curl${method === "GET" ? "" : ` -X ${method}`}${fields.join("")} ${address}`;
}

function route(path, method, operation) {
  const parameters = operation.parameters ?? [];
  const [kind, body] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [null, {}];
  const fields = Object.entries(resolved(body.schema).properties ?? {});
  const rows = [
    ...parameters.map((one) => [one.name, `${typeOf(one.schema)} in the ${one.in === "path" ? "path" : "address"}`, one.description ?? "", shown(exampleOf(one.schema) ?? one.example)]),
    ...fields.map(([name, field]) => [name, typeOf(field), field.description ?? resolved(field).description ?? "", shown(exampleOf(field))]),
  ];
  const [first] = (operation.description ?? operation.summary ?? "").split("\n\n");
  const answers = Object.entries(operation.responses ?? {}).map(([status, { description }]) => [status, description]);
  return make(
    "details", {},
    make("summary", {}, make("b", {}, method.toUpperCase()), " ", make("code", {}, path), make("span", { className: "muted" }, first)),
    ...(kind ? [make("p", { className: "muted" }, `Body: ${Object.keys(operation.requestBody.content).join(", or ")}`)] : []),
    ...(rows.length ? [table(["field", "type", "what it is", "example"], rows)] : []),
    make("pre", {}, curl(method.toUpperCase(), path, parameters, kind, body.schema)),
    table(["status", "when"], answers),
  );
}

try {
  const answer = await fetch(new URL("openapi.json", BASE));
  if (!answer.ok) throw new Error(`The service answered ${answer.status}.`);
  api = await answer.json();
  $("routes").replaceChildren(...Object.entries(api.paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, operation]) => route(path, method, operation))));
} catch (error) {
  $("problem").textContent = error.message;
  $("problem").hidden = false;
}
