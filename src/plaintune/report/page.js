"use strict";
document.documentElement.classList.add("script");
const form = document.getElementById("corrections");
const rows = Array.from(form.querySelectorAll("tr[data-line]"));
const saved = document.getElementById("saved");
const known = new Set(Array.from(form.querySelectorAll("#answers option"), (option) => option.value));
const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
const typed = (row) => row.querySelector("input")?.value.trim() ?? "";
const chosen = (row) => {
  const select = row.querySelector("select");
  return typed(row) || (select.selectedIndex > 0 ? select.value : null);  // "" is none of them
};
const unknown = (row) =>
  known.size === 0 ? [] : typed(row).split(form.dataset.joinedBy).map((part) => part.trim()).filter((part) => part && !known.has(part));

form.addEventListener("submit", (event) => event.preventDefault());  // Enter in a field is no reload
document.getElementById("take-all").addEventListener("click", () => {
  for (const row of rows) row.querySelector("select").selectedIndex = 1;
  saved.textContent = `${rows.length} changed, not saved yet.`;
});
document.getElementById("save").addEventListener("click", () => {
  const changed = rows.filter((row) => chosen(row) !== null);
  if (changed.length === 0) {
    saved.textContent = "Nothing is changed yet: choose in the last column.";
    return;
  }
  const slip = changed.find((row) => unknown(row).length > 0);
  if (slip) {
    saved.textContent = `Nothing is saved: there is no answer “${unknown(slip)[0]}”.`;
    slip.querySelector("input").focus();
    return;
  }
  const lines = changed.map((row) =>
    [row.dataset.line, row.dataset.key, row.dataset.was, chosen(row)].map(quoted).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([["line,key,was,answer", ...lines, ""].join("\n")], { type: "text/csv" }));
  link.download = document.getElementById("all-proposals").download;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  saved.textContent = `${changed.length} saved in ${link.download}.`;
});
