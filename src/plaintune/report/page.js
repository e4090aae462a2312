"use strict";
document.documentElement.classList.add("script");
const form = document.getElementById("corrections");
const rows = Array.from(form.querySelectorAll("tr[data-line]"));
const saved = document.getElementById("saved");
const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
const changed = () => rows.filter((row) => row.querySelector("select").selectedIndex > 0);  // "" is none of them

document.getElementById("take-all").addEventListener("click", () => {
  for (const row of rows) row.querySelector("select").selectedIndex = 1;
  saved.textContent = `${rows.length} changed, not saved yet.`;
});
document.getElementById("save").addEventListener("click", () => {
  const chosen = changed();
  if (chosen.length === 0) {
    saved.textContent = "Nothing is changed yet: choose in the last column.";
    return;
  }
  const lines = chosen.map((row) =>
    [row.dataset.line, row.dataset.key, row.dataset.was, row.querySelector("select").value].map(quoted).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([["line,key,was,answer", ...lines, ""].join("\n")], { type: "text/csv" }));
  link.download = document.getElementById("all-proposals").download;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  saved.textContent = `${chosen.length} saved in ${link.download}.`;
});
