// The app: a video is sent, a question asked, and what the agents do is drawn whenever there is more of it. All
// addresses are relative, for the page may lie below a secret one.

const data = JSON.parse(byId("facts").textContent);
const two = data.names.length === 2;
let shelves = []; // pictures of the clips, as the viewer keeps them in data blocks
const read = (id) => shelves[Number(id.split("-")[1])];
let video = null; // number of the one that was sent last
let run = null; // number of the question that is under way
let events = null;

function complain(words) { byId("problem").textContent = words; }
function refresh() {
  byId("ask").disabled = video === null || run !== null || !byId("question").value.trim();
  byId("stop").hidden = run === null;
}

/** An answer of ours as an object, or its one line of refusal as an error. */
async function call(address, words) {
  let answer;
  try {
    const body = JSON.stringify(words);
    answer = await fetch(address, { method: "POST", body, headers: { "Content-Type": "application/json" } });
  } catch {
    throw new Error("eva app does not answer; is it still running?");
  }
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.problem);
  return told;
}

function send(file) {
  complain("");
  if (file.size > data.most) {
    const limit = `${short(data.most / 1e6)} MB`;
    complain(`${file.name}: ${short(file.size / 1e6)} MB are more than the ${limit} that are taken`);
    return;
  }
  video = null;
  refresh();
  byId("dropped").textContent = `sending ${file.name} …`;
  byId("preview").hidden = true;
  const request = new XMLHttpRequest(); // unlike fetch it tells how far it is
  request.upload.addEventListener("progress", (event) => {
    byId("sent").hidden = false;
    byId("sent").value = event.loaded / Math.max(event.total, 1);
  });
  request.addEventListener("load", () => received(file, request));
  request.addEventListener("error", () => refused("it could not be sent; is eva app still running?"));
  request.open("PUT", `videos?name=${encodeURIComponent(file.name)}`);
  request.send(file);
}

function refused(words) {
  byId("sent").hidden = true;
  byId("dropped").textContent = "Drop a video here, or click to choose one";
  complain(words);
}

function received(file, request) {
  const told = JSON.parse(request.responseText);
  if (request.status !== 200) { refused(told.problem); return; }
  video = told.video;
  byId("sent").hidden = true;
  const size = told.size[0] === null ? "" : `, ${told.size.join(" × ")}`;
  byId("dropped").textContent = `${told.name} (${time(told.seconds)}${size})`;
  const preview = byId("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  refresh();
}

async function ask() {
  complain("");
  try {
    follow((await call("ask", { video, question: byId("question").value })).run);
  } catch (problem) {
    complain(problem.message);
  }
}

function follow(number) {
  run = number;
  refresh();
  byId("state").textContent = "";
  events?.close();
  events = new EventSource(`events?run=${run}`);
  events.addEventListener("message", (event) => draw(JSON.parse(event.data)));
  events.addEventListener("error", () => {
    if (run === null) return;
    byId("state").textContent = "eva app does not answer; trying again …";
    if (events.readyState === EventSource.CLOSED) { run = null; refresh(); }
  });
}

function draw(shown) {
  const answer = byId("answer");
  const opened = [...answer.querySelectorAll("details")].map((one) => one.open);
  shelves = shown.shelves;
  shown.task.clips.forEach((clip, place) => { clip.axis = clip.length ?? lastSecond(shown, place); });
  const pictures = new Map(shown.task.clips.map((clip) => [clip, read(`clip-${clip.shelf}`)]));
  const sides = shown.sides.map((side, place) => {
    const node = drawSide(side, shown.task, pictures, place);
    const problem = shown.problems[place];
    if (problem) node.append(make("p", "working-ended wrong", problem));
    else if (side.stop === "running") node.append(make("p", "working", waiting(side)));
    return node;
  });
  answer.replaceChildren(make("div", two ? "inside two" : "inside",
    make("section", "task", make("h2", "", shown.task.question)), make("div", "sides", ...sides)));
  answer.querySelectorAll("details").forEach((one, place) => { one.open = opened[place] ?? one.open; });
  byId("state").textContent = shown.done ? "" : "answering …";
  if (shown.done) { events.close(); run = null; }
  refresh();
}

/** What an agent that is not done is at. */
function waiting(side) {
  const last = side.turns.at(-1);
  if (!side.opening.length) return "opening the video …";
  return last && !last.world && last.calls ? "looking …" : `writing turn ${side.turns.length + 1} …`;
}

byId("names").textContent = data.names.join("  |  ");
byId("file").addEventListener("change", () => { if (byId("file").files[0]) send(byId("file").files[0]); });
byId("question").addEventListener("input", refresh);
byId("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit(byId("ask"));
});
byId("preview").addEventListener("error", () => { byId("preview").hidden = true; }); // no browser plays all
byId("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
byId("stop").addEventListener("click", () => { call("stop", { run }).catch((problem) => complain(problem.message)); });
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // else the browser would leave the page for the file
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
  });
}
if (data.run) follow(data.run); // the page was loaded again
