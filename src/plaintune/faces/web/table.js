// Tables as text, read and written in the browser: quoted cells, commas, semicolons, tabs or bars.

const DELIMITERS = [",", ";", "\t", "|"];
const DELIMITER_LINE = /^sep=(.)\r?\n/; // spreadsheets write it above the header

/** The text in a file's bytes: UTF-8, UTF-16 with its mark, or what older spreadsheets write. */
export function decode(bytes) {
  const [first, second] = new Uint8Array(bytes.slice(0, 2));
  if (first === 0xff && second === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** A whole file: the mark between its cells, and its rows, the header among them. */
export function tableIn(text) {
  const told = DELIMITER_LINE.exec(text);
  const delimiter = told ? told[1] : delimiterOf(text);
  return { delimiter, rows: parse(told ? text.slice(told[0].length) : text, delimiter) };
}

/** The mark between cells that the first line holds most often, outside of quotes; none in a lone column. */
function delimiterOf(text) {
  const counts = new Map(DELIMITERS.map((mark) => [mark, 0]));
  let quoted = false;
  for (const character of text) {
    if (character === '"') quoted = !quoted;
    else if (!quoted && character === "\n") break;
    else if (!quoted && counts.has(character)) counts.set(character, counts.get(character) + 1);
  }
  const most = DELIMITERS.reduce((best, mark) => (counts.get(mark) > counts.get(best) ? mark : best));
  return counts.get(most) ? most : "";
}

/** A row in exactly so many cells: what is beyond the last column belongs to it, but for empty cells. */
export function fitted(row, width, delimiter) {
  let found = row.length;
  while (found > width && row[found - 1] === "") found -= 1;
  const last = row.slice(width - 1, found).join(delimiter);
  return Array.from({ length: width }, (_, column) => (column === width - 1 ? last : row[column] ?? ""));
}

/**
 * Rows of cells. A quote opens a cell only at its start, and only where another closes it at its end, so that
 * an inch mark inside, or a quote that nobody closed, is just a mark.
 */
function parse(text, delimiter) {
  const rows = [];
  let row = [], at = 0;
  const end = text.length;
  while (at < end) {
    let cell = "";
    if (text[at] === '"') {
      let close = at + 1;
      for (;;) {
        close = text.indexOf('"', close);
        if (close < 0) close = end;
        if (text[close + 1] !== '"') break;
        close += 2;
      }
      const next = text[close + 1];
      if (close < end && (next === undefined || next === delimiter || next === "\n" || next === "\r")) {
        cell = text.slice(at + 1, close).replaceAll('""', '"');
        at = close + 1;
      }
    }
    const from = at;
    while (at < end && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") at += 1;
    row.push(cell + text.slice(from, at));
    if (text[at] === delimiter) {
      at += 1;
      if (at < end) continue;
      row.push("");
    } else if (text[at] === "\r" && text[at + 1] === "\n") at += 2;
    else at += 1;
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  }
  return rows;
}

/** One row as a line. */
export function line(cells, delimiter) {
  const written = cells.map((cell) => {
    const text = cell === null || cell === undefined ? "" : String(cell);
    return text.includes(delimiter) || /["\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${written.join(delimiter)}\r\n`;
}

/** `wanted`, with a number behind where columns of that name are there already. */
export function freeName(wanted, columns) {
  let name = wanted;
  for (let number = 2; columns.includes(name); number += 1) name = `${wanted}_${number}`;
  return name;
}
