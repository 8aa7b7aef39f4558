// One trajectory, opened: the task, what became of it, and turn by turn what was written and watched. With two
// runs there are two of them beside each other. The values are what `detail.py` made.

function drawDetail(shown, row) {
  const pictures = new Map(shown.task.clips.map((clip) => [clip, read(`clip-${clip.shelf}`)]));
  shown.task.clips.forEach((clip, place) => { clip.axis = clip.length ?? lastSecond(shown, place); });
  const sides = shown.sides.map((side, place) => drawSide(side, shown.task, pictures, place));
  if (two && sides.length < 2) {
    const alone = make("div", "card quiet", "no such attempt in this run");
    sides.push(make("div", "side", make("h3", "", data.names[1]), alone));
  }
  const width = two ? "inside two" : "inside";
  return make("div", width, drawTask(shown.task, row), make("div", "sides", ...sides));
}

function drawTask(task, row) {
  const options = task.options.map(([letter, text]) =>
    make("li", letter === task.right ? "gold" : "", make("b", "", `${letter}. `), text));
  const about = make("p", "about");
  const add = (name, value) => about.append(make("span", "", `${name} `, make("b", "", value)));
  add("gold", task.gold ?? "not known");
  if (task.kind) add("kind", task.kind);
  if (task.source) add("source", task.source);
  const ranges = task.evidence.map((one) => `${short(one.start)} to ${time(one.end)}`);
  if (ranges.length) add("evidence", ranges.join(", "));
  add("task", task.id);
  add("row", String(row.number));
  const choice = options.length ? make("ul", "options", ...options) : null;
  return make("section", "task", make("h2", "", task.question), choice, about);
}

function drawSide(side, task, pictures, place) {
  const seen = watched(side); // every frame in order, each with the nodes that stand for it
  const button = make("button", "heat-button", "log-probs");
  button.type = "button";
  const turns = side.turns.map((turn, number) => drawTurn(turn, number, side, task, pictures));
  const heats = side.turns.filter((turn) => turn.surprise.length).length;
  button.addEventListener("click", () => toggleHeat(side, turns, button));
  const head = make("section", "card",
    make("div", "verdict",
      make("span", `pill ${side.grade}`, `${MARK[side.grade]} ${side.grade}`),
      make("span", side.answer === null ? "quiet" : "answer", side.answer ?? (side.stop === "running" ? "no answer yet" : "no answer")),
      side.why ? make("span", "quiet", side.why) : null,
      heats ? button : null),
    facts(side, seen.length),
    ...side.faults.map((fault) => make("p", "fault", `Fault: ${fault}`)),
    side.scores.length ? scoreTable(side) : null,
    ...ledger(side));
  const opening = make("details", "card", make("summary", "", "The opening, as the model read it"),
    ...side.opening.map((message) =>
      make("div", "words", make("b", "", `${message.role}\n`), ...spelledOut(message.parts))));
  return make("div", "side", two ? make("h3", "", data.names[place]) : null, head,
    drawTimeline(side, task, pictures, seen), opening, ...turns);
}

const framesOf = (parts) => parts.filter((part) => typeof part === "object");

/** The frames of a side in order, remembered by the frame itself: ticks and pictures light each other up. */
function watched(side) {
  const looks = [["opening", side.opening.flatMap((message) => message.parts)],
    ...side.turns.map((turn, number) => [`turn ${number + 1}`, turn.world ?? []])];
  return looks.flatMap(([look, parts]) =>
    framesOf(parts).map((frame) => Object.assign(frame, { look, nodes: [] })));
}

function link(frame, node) {
  frame.nodes.push(node);
  node.addEventListener("mouseenter", () => frame.nodes.forEach((one) => one.classList.add("lit")));
  node.addEventListener("mouseleave", () => frame.nodes.forEach((one) => one.classList.remove("lit")));
  return node;
}

function facts(side, frames) {
  const list = make("dl", "facts");
  const add = (name, value) => list.append(make("div", "", make("dt", "", name), make("dd", "", value)));
  if (side.reward !== null) add("reward", fixed(side.reward));
  if (side.advantage !== null) add("advantage", fixed(side.advantage));
  if (side.desirable !== null) add("mark", side.desirable ? "good" : "bad");
  add("stop", side.stop);
  add("rounds", String(side.turns.length));
  add("frames", String(frames));
  add("visual tokens", String(side.ledger.visual));
  if (side.elsewhere) add("read elsewhere", String(side.elsewhere));
  add("attempt", String(side.replica));
  add("weights", side.versions.length ? side.versions.map((one) => `v${one}`).join(", ") : "–");
  add("seed", side.seed);
  return list;
}

function scoreTable(side) {
  const cells = (tag, texts) => make("tr", "", ...texts.map((text) => make(tag, "", text)));
  return make("table", "", cells("th", ["reward", "value", "weight", "adds", "why"]),
    ...side.scores.map((one) => {
      const numbers = [one.value, one.weight, one.value * one.weight];
      return cells("td", [one.name, ...numbers.map((number) => short(number, 3)), one.reason]);
    }));
}

function ledger(side) {
  const names = { prompt: "prompt", written: "written", tool: "tool text", visual: "visual" };
  const total = Object.values(side.ledger).reduce((sum, value) => sum + value, 0);
  const bar = make("div", "ledger");
  const legend = make("div", "legend", make("span", "", side.counted ? `${total} tokens:` : "tokens:"));
  for (const [name, label] of Object.entries(names)) {
    if (!side.counted && name !== "visual") continue;
    const part = titled(make("div", name), `${label}: ${side.ledger[name]} tokens`);
    part.style.flexGrow = side.ledger[name];
    bar.append(part);
    legend.append(make("span", "", make("i", name), `${label} ${side.ledger[name]}`));
  }
  if (!side.counted) legend.append(make("span", "", "the engine kept no ids of its text"));
  return side.counted ? [bar, legend] : [legend];
}

function drawTurn(turn, number, side, task, pictures) {
  const head = make("div", "head", make("b", "", `Turn ${number + 1}`));
  if (turn.surprise.length) head.append(make("span", "", many(turn.surprise.length, "token")));
  if (side.versions.length > 1) head.append(make("span", "", `weights v${turn.version}`));
  for (const note of about(turn)) head.append(make("span", "", note));
  if (turn.cut) head.append(make("span", "wrong", "cut off by the token limit"));
  const words = make("div", "words", ...turn.text.map(([kind, text]) =>
    kind === "plain" ? text : make("span", `${kind} ${kind === "answer" ? side.grade : ""}`, text)));
  if (!turn.text.length) words.append(make("span", "quiet", "(nothing)"));
  return make("section", "card turn", head, words, turn.world ? drawWorld(turn, task, pictures) : null);
}

function drawWorld(turn, task, pictures) {
  const frames = framesOf(turn.world);
  const raw = make("details", "", make("summary", "", "the tool's answer, as the model read it"),
    make("div", "words", ...spelledOut(turn.world)));
  raw.open = !frames.length && !turn.error;
  return make("div", turn.error ? "world error" : "world",
    turn.error ? make("p", "said-error", `Error: ${turn.error}`) : null,
    frames.length ? make("p", "quiet", lookLine(frames, turn.visual)) : null,
    turn.frames_cut
      ? make("p", "wrong", `${many(turn.frames_cut, "frame")} left out: the token budget was full`) : null,
    frames.length
      ? make("div", "frames", ...frames.map((frame) => drawFrame(frame, task, pictures))) : null,
    raw);
}

function lookLine(frames, tokens) {
  const sizes = [...new Set(frames.map((frame) => frame.size.join(" × ")))];
  return `${many(frames.length, "frame")} of ${sizes.join(", ")}: ${many(tokens, "visual token")}`;
}

const MISSING = { limit: "left out", page: "left out", broken: "unreadable" };
function drawFrame(frame, task, pictures) {
  const clip = task.clips[frame.clip];
  const address = frame.picture && pictures.get(clip).pictures[frame.picture];
  const named = task.clips.length > 1 && clip ? `, ${clip.id}` : "";
  const about = `${time(frame.time)}, ${frame.size.join(" × ")}${named}`;
  const picture = address ? make("img", frame.size[1] < 84 ? "coarse" : "")
    : make("div", "gone", MISSING[frame.missing]);
  if (address) { picture.src = address; picture.alt = about; picture.loading = "lazy"; }
  return link(frame, titled(make("figure", "", picture, make("figcaption", "", time(frame.time))), about));
}

const spelledOut = (parts) => parts.map((part) => typeof part === "string" ? part
  : make("span", "ref", `[frame ${time(part.time)}, ${part.size.join("×")}]`));

function toggleHeat(side, turns, button) {
  const on = button.classList.toggle("on");
  side.turns.forEach((turn, number) => {
    const text = turns[number].querySelector(".words");
    turns[number].querySelector(".heat")?.remove();
    if (on && turn.surprise.length) text.after(heat(turn));
    text.hidden = on && turn.words !== null; // the same words, coloured, stand in its place
  });
  button.textContent = on ? "hide log-probs" : "log-probs";
}

/** Each token by how unlikely it was: words where a tokenizer spelled them, else bars, as high as the root of
 * its nats. */
function heat(turn) {
  const level = (value) => [0.1, 0.5, 1.5, 3].filter((border) => value >= border).length;
  const tokens = turn.surprise.map((value, place) => {
    const node = make(turn.words ? "span" : "i", `s${level(value)}`, turn.words ? turn.words[place] : "");
    const height = Math.max(12, 100 * Math.sqrt(Math.min(value / 5, 1)));
    if (!turn.words) node.style.setProperty("--s", `${height}%`);
    const chance = `probability ${short(100 * Math.exp(-value), 1)} %`;
    return titled(node, `token ${place + 1}: ${chance}, log-prob ${short(-value, 3)}`);
  });
  const mean = turn.surprise.reduce((sum, value) => sum + value, 0) / turn.surprise.length;
  const worst = Math.max(...turn.surprise);
  return make("div", "heat", make("div", turn.words ? "spelled" : "bars", ...tokens),
    make("p", "legend", `log-probs of the tokens: mean ${short(-mean, 3)}, lowest ${short(-worst, 3)}; `
      + `the ${turn.words ? "redder" : "higher and redder"}, the less likely`));
}
