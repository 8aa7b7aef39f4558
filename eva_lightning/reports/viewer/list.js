// The list of trajectories: filters, order, the line of means, keys. A row is what `rows.py` made.

const PAGE = 200; // rows that are put into the list at once; more follow as it is scrolled
const DIFFERENCES = {
  "": "both runs",
  differ: "right in one only",
  first: "right in the first only",
  second: "right in the second only",
  right: "right in both",
  wrong: "wrong in both",
  alone: "in the first run only",
};
const ORDERS = {
  file: ["in the order of the file", null],
  low: ["reward, low first", (row) => row.sides[0].reward ?? Infinity],
  high: ["reward, high first", (row) => -(row.sides[0].reward ?? -Infinity)],
  rounds: ["rounds, many first", (row) => -row.sides[0].rounds],
  frames: ["frames, many first", (row) => -row.sides[0].frames],
  tokens: ["visual tokens, many first", (row) => -row.sides[0].tokens],
  gap: ["reward, largest difference first", (row) => -Math.abs(paid(row.sides[0]) - paid(row.sides[1]))],
};
const paid = (side) => side?.reward ?? 0;
const FILTERS = { // each says of a row what its <select> chooses by
  grade: (row) => row.sides[0].grade,
  source: (row) => row.source,
  stop: (row) => row.sides[0].stop,
  rounds: (row) => String(row.sides[0].rounds),
};
let visible = [];
let drawn = 0;
let open = null;

function difference(row) {
  const [first, second] = row.sides.map((side) => side.grade === "right");
  if (second === undefined) return "alone";
  if (row.sides.some((side) => side.grade === "ungraded")) return "ungraded";
  if (first === second) return first ? "right" : "wrong";
  return first ? "first" : "second";
}

function fillSelect(id, all, entries) {
  const select = byId(id);
  select.append(new Option(all, ""));
  for (const [value, label] of entries) select.append(new Option(label, value));
  select.addEventListener("change", refresh);
}

function fillFilters() {
  const all = { grade: "all grades", source: "all sources", stop: "all stops", rounds: "any rounds" };
  for (const [id, value] of Object.entries(FILTERS)) {
    const counts = new Map();
    for (const row of rows) counts.set(value(row), (counts.get(value(row)) ?? 0) + 1);
    const order = [...counts.keys()].sort((a, b) => (id === "rounds" ? a - b : a < b ? -1 : 1));
    const words = (key) => (id === "rounds" ? many(Number(key), "round") : key || "(no source)");
    // The value is a place, not the text: an empty source could not be told from "all".
    fillSelect(id, all[id], order.map((key) => [`=${key}`, `${words(key)} (${counts.get(key)})`]));
  }
  for (const [value, label] of Object.entries(DIFFERENCES)) {
    byId("difference").append(new Option(label, value));
  }
  byId("difference").hidden = !two;
  byId("difference").addEventListener("change", refresh);
  for (const [value, [label]] of Object.entries(ORDERS)) {
    if (two || value !== "gap") byId("sort").append(new Option(label, value));
  }
  byId("sort").addEventListener("change", refresh);
  byId("search").addEventListener("input", refresh);
}

function searchable(row) {
  const texts = [row.task, row.question, row.gold, ...row.sides.map((side) => side.answer)];
  row.text ??= texts.join("\n").toLowerCase();
  return row.text;
}

function chosen() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = Object.keys(FILTERS).map((id) => [FILTERS[id], byId(id).value]).filter(([, value]) => value);
  const gap = byId("difference").value;
  const fits = (row) => wanted.every(([value, want]) => `=${value(row)}` === want)
    && (!gap || difference(row) === gap || (gap === "differ" && /first|second/.test(difference(row))))
    && words.every((word) => searchable(row).includes(word));
  const found = rows.filter(fits);
  const key = ORDERS[byId("sort").value][1];
  return key ? found.sort((a, b) => key(a) - key(b) || a.number - b.number) : found;
}

function refresh() {
  for (const select of document.querySelectorAll("#filters select")) {
    select.classList.toggle("set", select.selectedIndex > 0);
  }
  visible = chosen();
  drawn = 0;
  byId("rows").replaceChildren();
  byId("rows").scrollTop = 0;
  if (visible.length) drawMore(); else byId("rows").append(make("p", "empty", "Nothing fits these filters."));
  byId("summary").replaceChildren(...data.names.map(summaryLine));
}

/** Accuracy over what is graded, means over what no fault ended: as everywhere else in the project. */
function summaryLine(name, place) {
  const sides = visible.map((row) => row.sides[place]).filter(Boolean);
  const sound = sides.filter((side) => !side.fault);
  const graded = sides.filter((side) => side.grade !== "ungraded");
  const right = graded.filter((side) => side.grade === "right").length;
  const sum = (key) => sound.reduce((total, side) => total + side[key], 0);
  const mean = (key, digits) => (sound.length ? short(sum(key) / sound.length, digits) : "–");
  const accuracy = graded.length ? `${((100 * right) / graded.length).toFixed(1)} %` : "–";
  const count = place ? many(sides.length, "partner")
    : `${visible.length} of ${rows.length} ${rows.length === 1 ? "trajectory" : "trajectories"}`;
  const line = make("p", "", make("span", "", ...(two ? [`${name}: `] : []), make("b", "", count)),
    make("span", "", "accuracy ", make("b", "", accuracy), ` (${right} of ${graded.length} graded)`),
    make("span", "", "rounds ", make("b", "", mean("rounds", 2))),
    make("span", "", "frames ", make("b", "", mean("frames", 1))),
    make("span", "", "visual tokens ", make("b", "", mean("tokens", 0))));
  const faults = sides.length - sound.length;
  if (faults) line.append(make("span", "wrong", many(faults, "fault")));
  return line;
}

function drawMore() {
  const more = visible.slice(drawn, drawn + PAGE);
  drawn += more.length;
  byId("rows").append(...more.map(drawRow));
}

function drawRow(row) {
  const [side, other] = row.sides;
  const node = make("a", "row",
    make("span", "marks", ...row.sides.map((one) => make("span", `mark ${one.grade}`, MARK[one.grade]))),
    make("span", "asked", row.question),
    make("span", "said", make("b", "", side.answer ?? "(no answer)"),
      ...(other ? [" | ", make("b", "", other.answer ?? "(no answer)")] : []),
      row.gold === null ? " · gold not known" : ` · gold ${row.gold}`),
    make("span", "source", row.source),
    make("span", "counts",
      ...(side.reward === null ? [] : [make("span", "", `reward ${fixed(side.reward)}`)]),
      make("span", "", many(side.rounds, "round")), make("span", "", many(side.frames, "frame")),
      make("span", "", many(side.tokens, "visual token")),
      ...(side.stop === "answered" ? [] : [make("span", "wrong", side.stop)])));
  node.href = `#${row.number}`;
  if (row.number === open) node.setAttribute("aria-current", "true");
  return node;
}

function step(by) {
  if (!visible.length) return;
  const place = visible.findIndex((row) => row.number === open);
  const next = place < 0 ? 0 : Math.min(Math.max(place + by, 0), visible.length - 1);
  location.replace(`#${visible[next].number}`); // no entry in the history for every step
  follow(); // at once: the event comes too late for a key that is held down
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const act = { j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
    "/": () => byId("search").focus(), l: () => document.querySelector(".heat-button")?.click() }[event.key];
  if (act) { event.preventDefault(); act(); }
}

/** Open the trajectory that the address names: #12 is the twelfth row of the file. */
function follow() {
  const number = Number(location.hash.slice(1));
  const row = rows[number - 1] ?? visible[0];
  if (!row) return;
  open = row.number;
  byId("rows").querySelector("[aria-current]")?.removeAttribute("aria-current");
  while (drawn < visible.length && visible.indexOf(row) >= drawn) drawMore();
  const node = byId("rows").querySelector(`[href="#${open}"]`);
  node?.setAttribute("aria-current", "true");
  node?.scrollIntoView({ block: "nearest" });
  const shown = document.readyState === "loading" ? null : read(`trajectory-${open}`);
  byId("detail").replaceChildren(shown ? drawDetail(shown, row) : make("p", "empty", "reading …"));
  byId("detail").scrollTop = 0;
  if (document.activeElement === document.body || byId("rows").contains(document.activeElement)) {
    byId("detail").focus({ preventScroll: true }); // so that space and Page Down scroll it
  }
}
