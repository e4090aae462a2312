// The OpenAPI description as a page to read.

import { ask, byId, element, shellWord, showFault } from "./service.js";

const EXAMPLES = { One: { text: "Loved it" }, Many: { texts: ["Loved it", "Too slow"] } };

function bodies(operation) {
  const schema = operation.requestBody?.content["application/json"].schema;
  const names = (schema?.anyOf ?? (schema ? [schema] : [])).map((part) => part.$ref.split("/").pop());
  return names.map((name) => EXAMPLES[name]).filter(Boolean);
}

function command(path, method, body, guarded) {
  const address = new URL(path.slice(1).replace("{name}", "NAME"), location.href).href;
  const words = [shellWord(address)];
  if (method === "post") words.push("-H 'Content-Type: application/json'");
  if (guarded) words.push('-H "Authorization: Bearer $PLAINTUNE_TOKEN"');
  if (method === "post") words.push(`-d ${shellWord(JSON.stringify(body))}`);
  return `curl ${words.join(" \\\n  ")}`;
}

function answers(operation) {
  return Object.entries(operation.responses).map(([status, response]) =>
    element("tr", {}, element("th", { scope: "row" }, status), element("td", {}, response.description)));
}

function route(path, method, operation) {
  const title = element("h2", { id: operation.operationId }, element("span", { className: "method" }, method.toUpperCase()), " ", element("code", {}, path));
  const guarded = Boolean(operation.security?.length); // it says so only where the service asks for a token
  const examples = method === "post" ? bodies(operation) : [undefined];
  const shown = examples.map((body) => element("pre", { tabIndex: 0, role: "group", "aria-label": "Example" }, element("code", {}, command(path, method, body, guarded))));
  const table = element("table", {},
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Status"), element("th", { scope: "col" }, "Meaning"))),
    element("tbody", {}, ...answers(operation)));
  return element("section", { className: "route", "aria-labelledby": operation.operationId }, title,
    element("p", {}, operation.description ?? operation.summary), ...shown.flatMap((each) => [each, element("p")]),
    element("div", { className: "scroll" }, table));
}

try {
  const { info, paths } = await ask("openapi.json");
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => route(path, method, operation)));
  byId("routes").replaceChildren(...routes);
  byId("about").textContent = `plaintune ${info.version}`;
} catch (error) {
  showFault(byId("fault"), error);
}
