// The page that shows how far the latest texts are from those the model was scored on.

import { ask, byId, chosenModel, element, percent, showFault, track } from "./service.js";

const SECONDS = 5;
const MOST_ANSWERS = 30;

function inWords(name, value) {
  if (value === null) return "–";
  return name === "words" || name === "answers" ? value.toLocaleString("en", { maximumSignificantDigits: 3 }) : percent(value);
}

function row({ name, label, usual, now, level }) {
  const byAnswer = [usual, now].some((value) => typeof value === "object" && value !== null);
  const told = (value) => (byAnswer ? "below" : inWords(name, value));
  const kind = level.endsWith("different") ? "doubt" : "";
  return element("tr", {},
    element("th", { scope: "row" }, label),
    element("td", { className: kind }, level[0].toUpperCase() + level.slice(1)),
    element("td", { className: "number" }, told(usual)),
    element("td", { className: "number" }, told(now)));
}

function showAnswers(figure) {
  const now = figure.now;
  const shown = typeof now === "object" && now !== null;
  byId("answers").hidden = !shown;
  if (!shown) return;
  const usual = figure.usual ?? {};
  const names = Object.keys(now).sort((one, other) => Math.max(now[other], usual[other] ?? 0) - Math.max(now[one], usual[one] ?? 0));
  byId("bars").replaceChildren(...names.slice(0, MOST_ANSWERS).map((name) => {
    const before = usual[name] === undefined ? "" : `, as usual ${percent(usual[name])}`;
    const bars = element("span", {}, track(now[name]), ...(name in usual ? [track(usual[name], "usual")] : []));
    return element("li", {}, element("span", {}, name), bars,
      element("span", { className: "share" }, percent(now[name]), element("span", { className: "visually-hidden" }, before)));
  }));
}

function note(seen) {
  if (seen.reference_texts === null) {
    return "This model's folder does not tell what is usual: it was trained by an older plaintune. Train it anew to compare.";
  }
  const enough = seen.texts < seen.enough_texts ? ` Whether they differ is said from ${seen.enough_texts} texts on.` : "";
  return `As usual: ${seen.reference_texts.toLocaleString("en")} texts that the model was scored on.${enough}`;
}

async function refresh(model) {
  try {
    const seen = await ask(`models/${encodeURIComponent(model.name)}/watch`);
    byId("figures-title").textContent = `The latest ${seen.texts.toLocaleString("en")} texts of ${model.name}`;
    byId("rows").replaceChildren(...seen.figures.map(row));
    showAnswers(seen.figures.find((figure) => figure.name === "answers"));
    byId("note").textContent = note(seen);
    byId("figures").hidden = false;
    showFault(byId("fault"));
  } catch (error) {
    showFault(byId("fault"), error);
  }
}

try {
  const model = await chosenModel();
  await refresh(model);
  setInterval(() => document.hidden || refresh(model), 1000 * SECONDS);
} catch (error) {
  showFault(byId("fault"), error);
}
