// What the other scripts stand on. They make text nodes of what they are given, never HTML. `page.py` puts the
// scripts of a page into one function.

const byId = (id) => document.getElementById(id);

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
const MARK = { right: "✓", wrong: "✗", ungraded: "–" };
