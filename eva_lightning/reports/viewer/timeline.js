// The time line of each clip: a lane for each turn, with the window it looked at and a tick for each frame.

const STEPS = [0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];

function drawTimeline(side, task, pictures, seen) {
  const clips = task.clips.map((clip, place) => drawClip(clip, place, side, task, pictures.get(clip), seen));
  const sign = (name, words) => make("span", "", make("i", name), words);
  const legend = make("div", "legend", sign("box", "window looked at"), sign("line", "frame shown"));
  if (task.evidence.length) legend.append(sign("proof", "evidence"));
  if (task.wanted.length) legend.append(sign("wanted", "gold answer"), sign("named", "its answer"));
  const notes = [];
  if (side.missing.includes("limit")) {
    notes.push(`${side.shown} of ${seen.length} frames have pictures: the page's share of one trajectory.`);
  }
  if (side.missing.includes("page")) notes.push("The page's room for pictures ran out here.");
  return make("section", "card", ...clips, legend, ...notes.map((note) => make("p", "quiet", note)));
}

/** Where the axis of a clip ends if its length is not known: the same for both runs, so that they compare. */
function lastSecond(shown, place) {
  const turns = shown.sides.flatMap((side) => side.turns);
  const opening = shown.sides.flatMap((side) => side.opening.flatMap((one) => one.parts));
  const frames = framesOf([...opening, ...turns.flatMap((turn) => turn.world ?? [])]);
  const named = [...shown.task.wanted, ...shown.sides.flatMap((side) => side.named)];
  const windows = [...shown.task.evidence, ...named, ...turns.flatMap((turn) => turn.windows)];
  return Math.max(1, ...windows.filter((one) => one.clip === place).map((one) => one.end),
    ...frames.filter((frame) => frame.clip === place).map((frame) => frame.time));
}

function drawClip(clip, place, side, task, shelf, seen) {
  const mine = seen.filter((frame) => frame.clip === place);
  const length = clip.axis;
  const at = (second) => `${Math.min(Math.max(second / length, 0), 1) * 100}%`;
  const lanes = make("div", "lanes");
  const proof = task.evidence.filter((one) => one.clip === place);
  if (proof.length) lanes.append(bands(proof, at));
  const first = mine.filter((frame) => frame.look === "opening");
  if (first.length) lanes.append(lane("opening", [], first, at));
  side.turns.forEach((turn, number) => {
    const windows = turn.windows.filter((one) => one.clip === place);
    const frames = mine.filter((frame) => frame.look === `turn ${number + 1}`);
    const lost = turn.error && !turn.windows.length && place === 0;
    if (!windows.length && !frames.length && !lost) return;
    const row = lane(`turn ${number + 1}`, windows, frames, at, turn.error, length);
    lanes.append(about(turn).length ? titled(row, about(turn).join("; ")) : row);
  });
  if (!lanes.querySelector(".lane")) lanes.append(lane("", [], [], at));
  const wanted = task.wanted.filter((one) => one.clip === place);
  if (wanted.length) {
    lanes.append(said("gold", "wanted", wanted, at), said("answer", "named", side.named, at));
  }
  lanes.append(axis(length, at));
  const name = make("div", "name", make("b", "", clip.id),
    clip.file && clip.file !== clip.id ? make("span", "quiet", clip.file) : null,
    make("span", "quiet", clip.length === null ? "length not known" : time(clip.length)),
    shelf.problem ? make("span", "wrong", shelf.problem) : null);
  return make("div", "clip", name, lanes);
}

/** What a turn's calls came to, where that says more than its frames do. */
function about(turn) {
  const told = [];
  if (turn.worked !== null && (turn.calls > 1 || turn.worked < turn.calls)) {
    told.push(`${turn.worked} of ${many(turn.calls, "call")} worked`);
  }
  if (turn.elsewhere) told.push(`${many(turn.elsewhere, "visual token")} read by another model`);
  return told;
}

/** A lane of seconds that an answer names, the gold one or the agent's. */
function said(label, kind, ranges, at) {
  const track = make("div", "track");
  for (const one of ranges) {
    const bar = titled(make("div", kind), `${short(one.start)} to ${time(one.end)}`);
    bar.style.left = at(one.start);
    bar.style.width = `calc(${at(one.end)} - ${at(one.start)})`;
    track.append(bar);
  }
  if (!ranges.length) track.append(make("span", "note quiet", "no time was named"));
  return make("div", "lane", make("span", "", label), track);
}

function lane(label, windows, frames, at, error, length) {
  const track = make("div", "track");
  for (const one of windows) {
    const said = `${short(one.start)} to ${time(one.end)}`;
    const bar = titled(make("div", error ? "window error" : "window"), said);
    bar.style.left = at(one.start);
    bar.style.width = `calc(${at(one.end)} - ${at(one.start)})`;
    if (one.start >= length) bar.style.left = "calc(100% - 4px)";
    track.append(bar);
  }
  for (const frame of frames) {
    const tick = titled(link(frame, make("div", "tick")), `${time(frame.time)}, ${frame.size.join(" × ")}`);
    tick.style.left = at(frame.time);
    tick.addEventListener("click", () => {
      const picture = frame.nodes.find((node) => node.matches("figure"));
      picture?.scrollIntoView({ block: "center", behavior: "smooth" });
    });
    track.append(tick);
  }
  if (error && !frames.length) {
    track.append(titled(make("span", "note", "error"), error));
  }
  if (!label) track.append(make("span", "note quiet", "nothing was watched"));
  return make("div", "lane", make("span", "", label), track);
}

function bands(evidence, at) {
  return make("div", "bands", ...evidence.map(({ start, end }) => {
    const band = make("div", "band");
    band.style.left = at(start);
    band.style.width = `calc(${at(end)} - ${at(start)})`;
    return band;
  }));
}

function axis(length, at) {
  const gap = STEPS.find((one) => length / one <= 9) ?? length / 8;
  const said = (second) => length < 600 ? `${short(second)} s`
    : `${Math.floor(second / 60)}:${String(Math.floor(second % 60)).padStart(2, "0")}`;
  const marks = make("div", "axis");
  for (let second = 0; second <= length; second += gap) {
    const mark = make("span", second > length * 0.96 ? "last" : "", said(second));
    mark.style.left = at(second);
    marks.append(mark);
  }
  return marks;
}
