// What the other scripts stand on, and the beginning. It reads the page's data blocks and makes text nodes of
// them, never HTML. `page.py` puts the four scripts into one function, this one last.

const byId = (id) => document.getElementById(id);
const read = (id) => { const block = byId(id); return block && JSON.parse(block.textContent); };
const data = read("list");
const rows = data.rows;
const two = data.names.length === 2;

/** An element with a class and children; a string child becomes a text node. */
function make(tag, name, ...children) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
function titled(node, title) { node.title = title; return node; }
const short = (value, digits = 2) => String(Number(value.toFixed(digits)));
const fixed = (value) => (value === null ? "–" : value.toFixed(2));
const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const time = (value) => `${short(value)} s`;

rows.forEach((row, place) => { row.number = place + 1; });
document.title = `${data.names.join(" | ")}: trajectories`;
byId("title").textContent = data.names.join("  |  ");
byId("notes").append(...data.notes.map((note) => make("p", "", note)));
fillFilters();
byId("rows").addEventListener("scroll", () => {
  const list = byId("rows");
  if (drawn < visible.length && list.scrollTop + list.clientHeight > list.scrollHeight - 1500) drawMore();
});
document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", () => { if (location.hash !== `#${open}`) follow(); });
document.addEventListener("DOMContentLoaded", follow); // what is behind this script has been read by then
refresh();
