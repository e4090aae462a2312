// What the pages share: asking the service, with the token where there is one, and building elements.

const TOKEN = "plaintune-token";
const BUSY = [429, 503];
const MOST_RETRIES = 3; // in a row, where no answer comes: a restart or a moment without network passes

export const byId = (id) => document.getElementById(id);

export class Problem extends Error {
  constructor(problem, status) {
    super(problem.detail);
    this.fix = problem.fix ?? "";
    this.status = status;
  }
}

/** The JSON at a path. Tries again where the service is busy or away, if `patient`; asks for a token where one is needed. */
export async function ask(path, body, { patient = false, signal } = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const options = { headers, signal };
  if (body !== undefined) {
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
    headers["Content-Type"] = "application/json";
  }
  for (let failed = 0; ;) {
    let response;
    try {
      response = await fetch(path, options);
      if (response.ok) return await response.json();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      failed += 1;
      if (patient && failed <= MOST_RETRIES) {
        await pause(failed, signal);
        continue;
      }
      throw new Problem({ detail: "The service does not answer.", fix: "Is it still running? Try again." }, 0);
    }
    if (patient && BUSY.includes(response.status)) {
      failed = 0;
      await pause(Number(response.headers.get("Retry-After")) || 1, signal);
      continue;
    }
    const problem = await response.json().catch(() => ({ detail: `It answered ${response.status}.` }));
    if (response.status === 401) showTokenForm(Boolean(token));
    throw new Problem(problem, response.status);
  }
}

async function pause(seconds, signal) {
  await new Promise((go) => setTimeout(go, 1000 * seconds));
  signal?.throwIfAborted();
}

/** The models here, and in `?model=` or first the one at work. Fills the choice where there are several. */
export async function chosenModel() {
  const { models } = await ask("models");
  const wanted = new URLSearchParams(location.search).get("model");
  const model = models.find((each) => each.name === wanted) ?? models[0];
  const select = byId("model");
  select.replaceChildren(...models.map((each) => element("option", { value: each.name, selected: each === model }, each.name)));
  byId("choice").hidden = models.length < 2;
  select.addEventListener("change", () => location.assign(`?model=${encodeURIComponent(select.value)}`));
  return model;
}

/** An element with properties and children; text stays text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A bar filled to a share. */
export function track(share, kind = "") {
  const filled = element("span");
  filled.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return element("span", { className: `track ${kind}`, "aria-hidden": "true" }, filled);
}

export const percent = (share) =>
  share > 0.99 && share < 1 ? ">99%" : share > 0 && share < 0.01 ? "<1%" : `${Math.round(100 * share)}%`;

/** Show what went wrong and what to do, or clear it. */
export function showFault(place, error) {
  place.replaceChildren();
  if (!error) return;
  if (!(error instanceof Problem)) throw error;
  if (error.status === 401) return;
  place.append(element("p", { className: "fault" }, element("strong", {}, error.message), ` ${error.fix}`));
}

/** The header a snippet needs where the service asks for a token. */
export const needsToken = () => sessionStorage.getItem(TOKEN) !== null;

/** `text` as one word of a shell. */
export const shellWord = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function showTokenForm(wrong) {
  const form = byId("token-form");
  if (wrong) form.querySelector("label").textContent = "That token is not the right one. Try another";
  form.hidden = false;
  byId("token").focus();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, byId("token").value.trim());
    location.reload();
  });
}
