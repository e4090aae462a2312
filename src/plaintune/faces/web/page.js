// The page to try a model: one text, a whole file, and how to ask from a program.

import { ask, byId, chosenModel, element, needsToken, percent, Problem, shellWord, showFault, track } from "./service.js";
import { decode, fitted, freeName, line, tableIn } from "./table.js";

const MOST_BARS = 6;
const ROWS_AT_ONCE = 100;
const CHARACTERS_AT_ONCE = 500_000;
const STOPPED = new DOMException("Stopped by hand.", "AbortError"); // and not given up for another file
const EXAMPLE = "Where is my parcel?";

let model, table, running, asked = 0;

const route = (what) => `models/${encodeURIComponent(model.name)}/${what}`;
const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

// ---- one text

async function answerText() {
  const text = byId("text").value, turn = (asked += 1);
  if (!text.trim()) return byId("text").focus();
  byId("go").disabled = true;
  try {
    const { predictions } = await ask(route("predict"), { text });
    showFault(byId("fault"));
    showAnswer(predictions[0]);
    explain(text, turn);
  } catch (error) {
    byId("result").hidden = true;
    showFault(byId("fault"), error);
  } finally {
    byId("go").disabled = false;
  }
  writeSnippets();
}

function inWords(answer) {
  if (Array.isArray(answer)) return answer.join(", ") || "None of the answers";
  return typeof answer === "number" ? answer.toLocaleString("en", { maximumSignificantDigits: 4 }) : answer;
}

function showAnswer(found) {
  byId("answer").textContent = inWords(found.answer);
  const sure = byId("sure");
  if (found.interval) {
    const [low, high] = found.interval.map(inWords);
    sure.replaceChildren(`Nine times out of ten between ${low} and ${high}.`);
  } else sure.replaceChildren(`${percent(found.confidence).replace(">", "Over ")} sure. `);
  if (found.unsure) sure.append(element("span", { className: "doubt" }, "Better have a person look at it."));
  const likely = Object.entries(found.probabilities).sort((one, other) => other[1] - one[1]);
  byId("bars").replaceChildren(
    ...likely.slice(0, MOST_BARS).map(([name, share]) =>
      element("li", {}, element("span", {}, name), track(share), element("span", { className: "share" }, percent(share)))),
  );
  byId("bars").hidden = likely.length === 0;
  byId("why").hidden = true;
  byId("result").hidden = false;
}

async function explain(text, turn) {
  if (text.length > model.limits.most_explained_characters) return;
  try {
    const { explanation } = await ask(route("explain"), { text });
    if (turn === asked) showWords(text, explanation.pieces);
  } catch (error) {
    if (!(error instanceof Problem)) throw error; // without reasons the answer still stands
  }
}

/** The text with its deciding pieces marked; places are counted in characters, as Python counts them. */
function showWords(text, pieces) {
  const characters = Array.from(text);
  const greatest = Math.max(...pieces.map((piece) => Math.abs(piece.weight)), 1e-9);
  const marked = pieces.filter((piece) => Math.abs(piece.weight) > 0.1 * greatest).sort((one, other) => one.start - other.start);
  const parts = [];
  let at = 0;
  for (const { start, end, weight } of marked) {
    if (start < at) continue;
    const strong = Math.abs(weight) > 0.5 * greatest ? "strong" : "";
    parts.push(characters.slice(at, start).join(""));
    parts.push(element("mark", { className: `${weight < 0 ? "against" : ""} ${strong}`.trim() }, characters.slice(start, end).join("")));
    at = end;
  }
  byId("words").replaceChildren(...parts, characters.slice(at).join(""));
  const named = (sign) =>
    marked.filter((piece) => sign * piece.weight > 0)
      .sort((one, other) => sign * (other.weight - one.weight)).slice(0, 5).map((piece) => `“${piece.text.trim()}”`).join(", ");
  const told = [];
  const [towards, against] = model.classes.length ? ["For this answer", "Against it"] : ["Words that raised the number", "Words that lowered it"];
  if (named(1)) told.push(`${towards}, strongest first: ${named(1)}.`);
  if (named(-1)) told.push(`${against}: ${named(-1)}.`);
  byId("why-told").textContent = told.join(" ") || "No single word decided.";
  byId("why").hidden = false;
}

// ---- a whole file

async function takeFile(file) {
  running?.abort();
  byId("done").hidden = byId("column-choice").hidden = true;
  showFault(byId("file-fault"));
  try {
    const { delimiter, rows } = tableIn(decode(await file.arrayBuffer()));
    if (rows.length < 2) throw new Problem({ detail: `${file.name} holds no rows.`, fix: "Its first line names the columns." });
    const width = rows[0].length;
    const cut = rows.slice(1).map((row) => fitted(row, width, delimiter));
    table = { name: file.name, delimiter: delimiter || ",", columns: rows[0], rows: cut };
    const lower = table.columns.map((name) => name.trim().toLowerCase());
    const known = model.text_columns.map((name) => lower.indexOf(name.toLowerCase()));
    if (!known.includes(-1)) return await answerTable(known);
    if (table.columns.length === 1) return await answerTable([0]);
    byId("column").replaceChildren(...table.columns.map((name, number) => element("option", { value: number }, name || `column ${number + 1}`)));
    byId("column-choice").hidden = false;
    byId("column").focus();
  } catch (error) {
    showFault(byId("file-fault"), error);
  }
}

async function answerTable(columns) {
  const { name, columns: own, rows, delimiter } = table;
  running?.abort(); // a file before is given up
  const mine = (running = new AbortController());
  const textOf = (row) => (columns.length === 1 ? row[columns[0]] ?? "" : columns.map((c) => row[c] ?? "").filter((part) => part.trim()).join("\n"));
  const added = ["answer", "confidence", ...(model.task === "regression" ? ["low", "high"] : ["unsure"])];
  const names = [...own];
  for (const wanted of added) names.push(freeName(wanted, names));
  const written = [line(names, delimiter)];
  byId("column-choice").hidden = true;
  byId("progress").hidden = false;
  let without = 0;
  try {
    for (let first = 0; first < rows.length;) {
      showProgress(first, rows.length);
      const block = nextBlock(rows, first, textOf);
      const texts = block.map(textOf).map((text) => (text.trim() && Array.from(text).length <= model.limits.most_characters ? text : null));
      const asking = texts.filter((text) => text !== null);
      const options = { patient: true, signal: mine.signal };
      const answers = asking.length ? (await ask(route("predict"), { texts: asking }, options)).predictions : [];
      mine.signal.throwIfAborted();
      block.forEach((row, number) => {
        const found = texts[number] === null ? null : answers.shift();
        without += found === null;
        written.push(line([...row, ...cells(found, added)], delimiter));
      });
      first += block.length;
    }
    offer(name, written, without);
  } catch (error) {
    const done = written.length - 1;
    const wanted = !mine.signal.aborted || mine.signal.reason === STOPPED;
    if (done && wanted) offer(name, written, without, rows.length - done);
    if (!mine.signal.aborted) showFault(byId("file-fault"), error);
  } finally {
    if (mine === running) {
      byId("progress").hidden = true;
      byId("file").value = "";
    }
  }
}

/** Rows to send together: not too many, and not too long. */
function nextBlock(rows, first, textOf) {
  let last = first, characters = 0;
  const most = Math.min(ROWS_AT_ONCE, model.limits.most_texts);
  while (last < rows.length && last - first < most && characters < CHARACTERS_AT_ONCE) {
    characters += textOf(rows[last]).length;
    last += 1;
  }
  return rows.slice(first, last);
}

function cells(found, added) {
  if (found === null) return added.map(() => "");
  const answer = Array.isArray(found.answer) ? found.answer.join(model.joined_by) : found.answer;
  const rest = found.interval ? found.interval : [found.unsure ? "yes" : "no"];
  return [answer, found.confidence.toFixed(4), ...rest];
}

function showProgress(done, rows) {
  byId("bar").max = rows;
  byId("bar").value = done;
  byId("progress-told").textContent = `${done.toLocaleString("en")} of ${count(rows, "row")} answered`;
}

function offer(name, written, without, missing = 0) {
  const save = byId("save");
  if (save.href.startsWith("blob:")) URL.revokeObjectURL(save.href);
  save.href = URL.createObjectURL(new Blob(["\ufeff", ...written], { type: "text/csv" }));
  save.download = name.replace(/(\.\w+)?$/, `${missing ? "-partly" : ""}-answered$1`);
  save.textContent = `Save ${save.download}`;
  const left = without ? ` ${count(without, "row")} without a usable text got no answer.` : "";
  const rest = missing ? ` Not reached: ${count(missing, "row")}.` : "";
  byId("done-told").textContent = `${count(written.length - 1 - without, "row")} answered.${left}${rest}`;
  byId("done").hidden = false;
  save.focus();
}

// ---- from a program

function writeSnippets() {
  const typed = byId("text").value.trim();
  const text = typed && typed.length <= 200 ? typed : EXAMPLE;
  const address = new URL(route("predict"), location.href).href;
  const quoted = JSON.stringify(text);
  byId("curl").textContent = [
    `curl ${shellWord(address)} \\`,
    `  -H 'Content-Type: application/json' \\`,
    ...(needsToken() ? ['  -H "Authorization: Bearer $PLAINTUNE_TOKEN" \\'] : []),
    `  -d ${shellWord(JSON.stringify({ text }))}`,
  ].join("\n");
  byId("python").textContent = [
    "import json",
    ...(needsToken() ? ["import os"] : []),
    "import urllib.request",
    "",
    `address = ${JSON.stringify(address)}`,
    `body = json.dumps({"texts": [${quoted}]}).encode()`,
    'headers = {"Content-Type": "application/json"}',
    ...(needsToken() ? ['headers["Authorization"] = "Bearer " + os.environ["PLAINTUNE_TOKEN"]'] : []),
    "request = urllib.request.Request(address, body, headers)",
    "with urllib.request.urlopen(request) as response:",
    '    for found in json.load(response)["predictions"]:',
    '        print(found["answer"], found["confidence"])',
  ].join("\n");
}

async function copy(button) {
  const source = byId(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
    byId("copied").textContent = "Copied.";
    button.firstChild.textContent = "Copied";
    setTimeout(() => (button.firstChild.textContent = "Copy"), 2000);
  } catch {
    getSelection().selectAllChildren(source); // not allowed to: then at least selected
    byId("copied").textContent = "Selected; press Ctrl and C.";
  }
}

function listen() {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    answerText();
  });
  byId("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
  });
  byId("file").addEventListener("change", (event) => event.target.files[0] && takeFile(event.target.files[0]));
  byId("start").addEventListener("click", () => answerTable([Number(byId("column").value)]));
  byId("stop").addEventListener("click", () => running.abort(STOPPED));
  const drop = byId("drop");
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files[0]) takeFile(event.dataTransfer.files[0]);
    });
  }
  document.querySelectorAll("[data-copies]").forEach((button) => button.addEventListener("click", () => copy(button)));
}

try {
  model = await chosenModel();
  document.title = `${model.name} · plaintune`;
  byId("title").textContent = model.name;
  byId("how-good").textContent = model.how_good;
  writeSnippets();
  listen();
} catch (error) {
  showFault(byId("fault"), error);
}
