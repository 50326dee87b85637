
"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const SHOWN = DATA.shown;
const byId = (id) => document.getElementById(id);
const spelled = (layer, neuron) => (layer < 0 ? "none" : `L${layer}.${neuron}`);
const shown = (value) => (value === null ? "undefined" : value.toFixed(DATA.places));
const COLUMNS = [
  ["neuron", (d, i) => i, (d, i) => spelled(d.layer[i], d.neuron[i])],
  ["best partner", (d, i) => d.partner_layer[0][i] * 1e7 + d.partner_neuron[0][i], (d, i) => spelled(d.partner_layer[0][i], d.partner_neuron[0][i])],
  ["correlation", (d, i) => d.correlation[0][i], (d, i) => shown(d.correlation[0][i])],
  ["rotated baseline", (d, i) => d.baseline[i], (d, i) => shown(d.baseline[i])],
  ["excess", (d, i) => d.excess[i], (d, i) => shown(d.excess[i])],
  ["interval", (d, i) => d.low[i], (d, i) => (d.low[i] === null ? "" : `${shown(d.low[i])} to ${shown(d.high[i])}`)],
  ["further partners", null, (d, i) => d.partner_layer.slice(1).map((layers, rank) =>
    `${spelled(layers[i], d.partner_neuron[rank + 1][i])} ${shown(d.correlation[rank + 1][i])}`).join(", ")],
];
let sorted = { column: 4, descending: true };

function matching(d, wanted) {
  const parts = /^l?(\d+)(?:\.(\d+)?)?$/i.exec(wanted.trim());
  if (!wanted.trim()) return d.layer.map((_, i) => i);
  if (!parts) return [];
  return d.layer.map((_, i) => i).filter((i) => d.layer[i] === +parts[1]
    && (parts[2] === undefined || String(d.neuron[i]).startsWith(parts[2])));
}

function cell(kind, text, className) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function head() {
  const row = byId("table").tHead.rows[0];
  row.replaceChildren(...COLUMNS.map(([name, key], column) => {
    const th = cell("th", "", column === COLUMNS.length - 1 ? "name" : "");
    th.scope = "col";
    if (key === null) { th.textContent = name; return th; }
    if (column === sorted.column) th.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
    const button = cell("button", name);
    button.type = "button";
    button.addEventListener("click", () => {
      sorted = { column, descending: column === sorted.column ? !sorted.descending : column > 1 };
      draw();
      byId("table").tHead.rows[0].cells[column].firstChild.focus();
    });
    th.append(button);
    return th;
  }));
}

function draw() {
  const d = DATA.directions[+byId("direction").value];
  const key = COLUMNS[sorted.column][1];
  const rows = matching(d, byId("search").value);
  const sign = sorted.descending ? -1 : 1;
  rows.sort((a, b) => {
    const [x, y] = [key(d, a), key(d, b)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    return sign * (x - y) || a - b;
  });
  head();
  byId("table").tBodies[0].replaceChildren(...rows.slice(0, SHOWN).map((i) => {
    const tr = document.createElement("tr");
    tr.append(...COLUMNS.map(([, , text], column) => cell("td", text(d, i), column === COLUMNS.length - 1 ? "name" : "")));
    return tr;
  }));
  byId("count").textContent = rows.length > SHOWN ? `${rows.length} neurons, the first ${SHOWN} shown` : `${rows.length} neurons`;
}

function tell() {
  if (window.parent === window) return;
  const search = byId("search").value;
  window.parent.postMessage({ search, found: matching(DATA.directions[+byId("direction").value], search).length }, "*");
}

byId("choice").addEventListener("submit", (event) => event.preventDefault());
byId("direction").addEventListener("change", () => { draw(); tell(); });
byId("search").addEventListener("input", () => { draw(); tell(); });
// In a notebook's frame the search is the widget's too.
window.addEventListener("message", (event) => {
  if (event.source !== window.parent || window.parent === window || typeof event.data?.search !== "string") return;
  if (byId("search").value !== event.data.search) byId("search").value = event.data.search;
  draw();
  tell();
});
draw();
