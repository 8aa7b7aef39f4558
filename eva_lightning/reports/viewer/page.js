// The beginning of the page: its data blocks are read, and drawn by the other scripts.

const read = (id) => { const block = byId(id); return block && JSON.parse(block.textContent); };
const data = read("list");
const rows = data.rows;
const two = data.names.length === 2;

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
