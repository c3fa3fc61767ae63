const AROUND = 20; // events listed before the chosen one, and after it
const MOST_ROWS = 200; // stories listed at once: the filter finds the others

const timeline = new Timeline(element("timeline"), element("canvas"), choose);
let rows, breachAt = -1;

function choose(event) {
  timeline.chosen = event;
  timeline.reveal(event);
  listAround(rows.times[event], event);
  element("said").textContent = rows.tell(event);
}

// The events before and after a time, of the nodes and the kind that are shown.
function listAround(t, chosen) {
  const near = [];
  for (const row of rows.visible) {
    for (const lane of row.lanes) {
      const place = firstAt(lane.events, rows.times, t);
      near.push(...lane.events.slice(Math.max(0, place - AROUND), place + AROUND));
    }
  }
  near.sort((a, b) => rows.times[a] - rows.times[b] || a - b);
  let place = near.indexOf(chosen);
  if (place < 0) place = firstAt(near, rows.times, t);
  element("around").textContent = `${t.toFixed(3)} s`;
  element("events").replaceChildren(...near.slice(Math.max(0, place - AROUND), place + AROUND).map((event) => {
    const line = document.createElement("tr");
    if (event === chosen) { line.className = "chosen"; line.setAttribute("aria-current", "true"); }
    if (data.tones[rows.story.events[EVENT.tone][event]] === "bad") line.classList.add("bad");
    line.append(
      make("td", rows.times[event].toFixed(3), "number"),
      make("td", rows.story.groups[rows.story.events[EVENT.group][event]]),
      ...[EVENT.source, EVENT.name, EVENT.by].map((column) => make("td", rows.field(event, column))),
      make("td", rows.field(event, EVENT.detail), "wide"),
    );
    line.addEventListener("click", () => choose(event));
    return line;
  }));
}

function toBreach(number) {
  const [, , t, event] = rows.story.breaches[number];
  breachAt = number;
  if (timeline.to - timeline.from > rows.end / 4) timeline.zoom((rows.end / 5) / (timeline.to - timeline.from), timeline.x(t));
  const filtered = element("node-filter").value || element("text-filter").value;
  if (filtered && event !== null && !rows.visible.some((row) => row.lanes.some((lane) => lane.events.includes(event)))) {
    element("node-filter").value = element("text-filter").value = "";
    applyFilter();
  }
  if (event !== null && event < rows.times.length) { choose(event); return; }
  timeline.move(t - (timeline.to - timeline.from) / 2);
  listAround(t, null);
}

function nextBreach() {
  if (rows.story.breaches.length) toBreach((breachAt + 1) % rows.story.breaches.length);
}

function applyFilter() {
  rows.filter(element("node-filter").value, element("text-filter").value);
  const nodes = rows.visible.length;
  element("shown").textContent = `${nodes} of ${rows.groups.length} rows, ${rows.shownEvents} of ${rows.times.length} events`;
  timeline.resize();
  listAround(timeline.chosen === null ? rows.end : rows.times[timeline.chosen], timeline.chosen);
}

function openStory(story) {
  rows = new Rows(story);
  breachAt = -1;
  element("story-verdict").textContent = story.verdict;
  element("story-verdict").className = `badge ${story.verdict}`;
  element("story-name").textContent = story.name;
  const facts = [story.file, story.fidelity, `seed ${story.seed}`, `${seconds(story.story_s)} of story in ${seconds(story.took_s)}`,
    `${story.count} events`, story.sha256 && `trace ${story.sha256.slice(0, 12)}`];
  element("story-facts").textContent = facts.filter(Boolean).join(" · ");
  element("story-facts").title = story.sha256;
  element("story-trouble").hidden = !story.trouble;
  const broke = story.verdict === "fail" ? "The lab broke too, which doesn't explain it"
    : "The lab broke, nothing is said about the provisioner";
  element("story-trouble").textContent = `${broke}: ${story.trouble}`;
  element("replay").textContent = story.replay;
  element("breaches").replaceChildren(...story.breaches.map(([promise, what, t], number) => {
    const button = make("button", "");
    button.type = "button";
    button.append(make("b", promise), make("span", `${t.toFixed(1)} s`, "quiet"), make("span", what));
    button.addEventListener("click", () => { toBreach(number); element("timeline").scrollIntoView({ block: "nearest" }); });
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  const drawn = rows.times.length > 0;
  element("left-out").hidden = drawn || !story.count;
  element("timeline").hidden = element("tools").hidden = !drawn;
  timeline.show(rows);
  applyFilter();
  listStories();
}

function listStories() {
  const wanted = terms(element("story-filter").value);
  const found = data.stories.filter((story) => {
    const text = `${story.verdict} ${story.name} ${story.fidelity} ${story.seed} ${story.file}`.toLowerCase();
    return wanted.every((term) => text.includes(term));
  });
  element("story-rows").replaceChildren(...found.slice(0, MOST_ROWS).map((story) => {
    const line = document.createElement("tr"), verdict = document.createElement("td"), name = document.createElement("td");
    const button = make("button", story.name);
    button.type = "button";
    button.addEventListener("click", () => openStory(story));
    if (story === rows.story) { line.className = "chosen"; button.setAttribute("aria-current", "true"); }
    verdict.append(make("span", story.verdict, `badge ${story.verdict}`));
    name.append(button);
    line.append(verdict, name, make("td", story.fidelity), make("td", story.seed, "number"), make("td", seconds(story.story_s), "number"),
      make("td", seconds(story.took_s), "number"), make("td", [...new Set(story.breaches.map(([promise]) => promise))].join(", ")));
    return line;
  }));
  const rest = found.length - MOST_ROWS;
  element("story-rest").textContent = rest > 0 ? `and ${rest} more: narrow the filter` : "";
}

element("node-filter").addEventListener("input", applyFilter);
element("text-filter").addEventListener("input", applyFilter);
element("story-filter").addEventListener("input", listStories);
element("tools").addEventListener("submit", (submit) => submit.preventDefault());
element("zoom-in").addEventListener("click", () => timeline.zoom(0.6));
element("zoom-out").addEventListener("click", () => timeline.zoom(1 / 0.6));
element("fit").addEventListener("click", () => timeline.fit());
element("copy").addEventListener("click", () => {
  // A page of a file may not write to the clipboard everywhere: selected text can be copied by hand.
  getSelection().selectAllChildren(element("replay"));
  document.execCommand("copy");
});
for (const verdict of ["pass", "fail", "infra"]) {
  const number = data.stories.filter((story) => story.verdict === verdict).length;
  if (number) element("counts").append(make("span", `${number} ${verdict}`, `badge ${verdict}`));
}
element("stories").hidden = data.stories.length < 2;
if (data.stories.length) openStory(data.stories[0]); else element("story").hidden = true;
