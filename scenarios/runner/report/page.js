"use strict";

// Columns of a story's events, and fields of its spans, as page.py writes them.
const EVENT = { t: 0, group: 1, lane: 2, tone: 3, source: 4, name: 5, by: 6, detail: 7 };
const SPAN = { group: 0, lane: 1, tone: 2, label: 3, from: 4, to: 5, event: 6 };

const AXIS = 26, LANE = 15, GAP = 9, NEAR = 6; // pixels
const AROUND = 20; // events listed before the chosen one, and after it
const MOST_ROWS = 200; // stories listed at once: the filter finds the others

const data = JSON.parse(document.getElementById("data").textContent);
const words = data.words;
const lowered = words.map((word) => word.toLowerCase());
const element = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const terms = (text) => text.toLowerCase().split(/[\s,]+/).filter(Boolean);

function make(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function seconds(value) {
  return value >= 100 ? `${Math.round(value)} s` : `${value.toFixed(1)} s`;
}

// First place in a sorted list of event numbers whose time isn't before t.
function firstAt(list, times, t) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[list[middle]] < t) low = middle + 1; else high = middle;
  }
  return low;
}

// --- one story, sorted for drawing ---------------------------------------------------------------

class Rows {
  constructor(story) {
    this.story = story;
    this.times = story.events[EVENT.t] ?? [];
    this.end = Math.max(1e-3, story.story_s, this.times.reduce((last, t) => Math.max(last, t), 0));
    this.groups = story.groups.map((name) => ({ name, lanes: new Map() }));
    const count = this.times.length;
    for (let event = 0; event < count; event++) {
      this.lane(story.events[EVENT.group][event], story.events[EVENT.lane][event]).events.push(event);
    }
    for (const span of story.spans) this.lane(span[SPAN.group], span[SPAN.lane]).spans.push(span);
    for (const group of this.groups) {
      group.lanes = [...group.lanes.values()].sort((a, b) => a.id - b.id);
      for (const lane of group.lanes) {
        // Machines are asked now and then: what they tell comes later than it happened.
        lane.events.sort((a, b) => this.times[a] - this.times[b] || a - b);
        stack(lane);
      }
    }
    this.filter("", "");
  }

  lane(group, id) {
    const lanes = this.groups[group].lanes;
    if (!lanes.has(id)) lanes.set(id, { id, events: [], spans: [], depth: 1 });
    return lanes.get(id);
  }

  filter(nodeText, eventText) {
    const nodes = terms(nodeText), wanted = terms(eventText);
    const exact = new Set(nodes.filter((term) => this.groups.some((group) => group.name.toLowerCase() === term)));
    const hits = wanted.map((term) => lowered.map((word) => word.includes(term)));
    const columns = [EVENT.source, EVENT.name, EVENT.by, EVENT.detail].map((column) => this.story.events[column]);
    const event = (number) => hits.every((hit) => columns.some((column) => hit[column[number]]));
    const span = (one) => hits.every((hit) => hit[one[SPAN.label]] || columns.some((column) => hit[column[one[SPAN.event]]]));
    const named = (name) => !nodes.length || nodes.some((term) => exact.has(term) ? name === term : name.includes(term));
    this.visible = [];
    this.shownEvents = 0;
    let y = AXIS;
    for (const group of this.groups) {
      if (!named(group.name.toLowerCase())) continue;
      const lanes = [];
      for (const lane of group.lanes) {
        const events = wanted.length ? lane.events.filter(event) : lane.events;
        const spans = wanted.length ? lane.spans.filter(span) : lane.spans;
        if (events.length || spans.length) lanes.push({ ...lane, events, spans });
      }
      if (!lanes.length) continue;
      const row = { group, lanes, top: y };
      y += GAP / 2;
      for (const lane of lanes) {
        lane.top = y;
        y += LANE * lane.depth;
        this.shownEvents += lane.events.length;
      }
      y += GAP / 2;
      row.bottom = y;
      this.visible.push(row);
    }
    this.height = y;
  }

  at(y) {
    let low = 0, high = this.visible.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.visible[middle].bottom <= y) low = middle + 1; else high = middle;
    }
    return low;
  }

  field(event, column) { return words[this.story.events[column][event]]; }

  tell(event) {
    const by = this.field(event, EVENT.by), detail = this.field(event, EVENT.detail);
    const group = this.story.groups[this.story.events[EVENT.group][event]] || "the rack";
    const what = `${this.field(event, EVENT.source)} ${this.field(event, EVENT.name)}${by ? ` by ${by}` : ""}`;
    return `${this.times[event].toFixed(3)} s  ${group}\n${what}${detail ? `\n${detail}` : ""}`;
  }
}

// Faults may overlap: each span goes into the first line of its lane that is free.
function stack(lane) {
  lane.spans.sort((a, b) => a[SPAN.from] - b[SPAN.from]);
  const ends = [];
  for (const span of lane.spans) {
    let line = ends.findIndex((end) => end <= span[SPAN.from]);
    if (line < 0) line = ends.length < 4 ? ends.length : 3;
    ends[line] = span[SPAN.to];
    span.line = line;
  }
  lane.depth = Math.max(1, ends.length);
}

// --- the timeline --------------------------------------------------------------------------------

class Timeline {
  constructor(frame, canvas, choose) {
    this.frame = frame;
    this.canvas = canvas;
    this.choose = choose;
    this.pen = canvas.getContext("2d");
    this.pointers = new Map();
    this.listen();
  }

  show(rows) {
    this.rows = rows;
    this.chosen = null;
    this.frame.scrollTop = 0;
    this.fit();
  }

  fit() {
    const margin = this.rows.end * 0.01;
    this.from = -margin;
    this.to = this.rows.end + margin;
    this.resize();
  }

  resize() {
    this.width = this.frame.clientWidth;
    element("height").style.height = `${this.rows.height}px`;
    this.tall = Math.min(this.frame.clientHeight, this.rows.height);
    this.gutter = this.width < 600 ? 78 : 140;
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(this.tall * scale);
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.tall}px`;
    this.pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.ask();
  }

  // At most one drawing for each frame of the screen, however many wheel events come.
  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.draw(); });
  }

  x(t) { return this.gutter + ((t - this.from) / (this.to - this.from)) * (this.width - this.gutter); }
  t(x) { return this.from + ((x - this.gutter) / (this.width - this.gutter)) * (this.to - this.from); }

  zoom(factor, x = (this.width + this.gutter) / 2) {
    const whole = this.rows.end * 1.02;
    const span = clamp((this.to - this.from) * factor, Math.min(0.01, whole), whole);
    const at = this.t(x);
    this.move(at - ((at - this.from) / (this.to - this.from)) * span, span);
  }

  move(from, span = this.to - this.from) {
    const margin = this.rows.end * 0.01;
    this.from = clamp(from, -margin, Math.max(-margin, this.rows.end + margin - span));
    this.to = this.from + span;
    this.ask();
  }

  draw() {
    const { pen, rows, width, tall } = this;
    const style = getComputedStyle(document.documentElement);
    const colour = this.colour = (name) => style.getPropertyValue(`--${name}`);
    const drawn = { groups: [], lanes: 0, spans: 0, marks: 0, from: this.from, to: this.to };
    const scroll = this.frame.scrollTop;
    pen.clearRect(0, 0, width, tall);
    pen.textBaseline = "middle";
    for (let place = rows.at(scroll + AXIS); place < rows.visible.length; place++) {
      const row = rows.visible[place];
      if (row.top - scroll > tall) break;
      this.drawRow(row, place, scroll, drawn);
    }
    this.drawAxis();
    for (const breach of rows.story.breaches) this.drawBreach(breach[2]);
    if (this.chosen !== null) {
      const x = this.x(rows.times[this.chosen]);
      if (x >= this.gutter) { pen.fillStyle = colour("accent"); pen.fillRect(x - 0.5, AXIS, 1, tall); }
    }
    this.canvas.dataset.drawn = JSON.stringify(drawn);
  }

  drawRow(row, place, scroll, drawn) {
    const { pen, colour, width, gutter } = this;
    const top = row.top - scroll;
    if (place % 2) { pen.fillStyle = colour("stripe"); pen.fillRect(0, top, width, row.bottom - row.top); }
    pen.save();
    pen.beginPath();
    pen.rect(gutter, top, width - gutter, row.bottom - row.top);
    pen.clip();
    for (const lane of row.lanes) {
      for (const span of lane.spans) drawn.spans += this.drawSpan(span, lane.top - scroll);
      drawn.marks += this.drawMarks(lane, lane.top - scroll);
    }
    pen.restore();
    pen.fillStyle = colour("ink");
    pen.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
    const narrow = gutter < 100;
    const first = row.lanes[0].top - scroll + LANE / 2;
    pen.fillText(row.group.name || "the rack", 10, first, narrow ? 30 : 76);
    pen.font = "10.5px system-ui, 'DejaVu Sans', sans-serif";
    pen.fillStyle = colour("quiet");
    pen.textAlign = "right";
    for (const lane of row.lanes) pen.fillText(data.lanes[lane.id], gutter - 8, lane.top - scroll + LANE / 2);
    pen.textAlign = "left";
    drawn.groups.push(row.group.name);
    drawn.lanes += row.lanes.length;
  }

  drawSpan(span, top) {
    const { pen, colour } = this;
    const left = Math.max(this.x(span[SPAN.from]), this.gutter - 2), right = Math.min(this.x(span[SPAN.to]), this.width + 2);
    if (right < this.gutter || left > this.width || right < left) return 0;
    const tone = data.tones[span[SPAN.tone]], y = top + span.line * LANE;
    pen.fillStyle = colour(tone);
    pen.beginPath();
    pen.roundRect(left, y + 1.5, Math.max(1.5, right - left - 1), LANE - 3, 2);
    pen.fill();
    const label = words[span[SPAN.label]];
    const room = right - left - 12;
    if (room > 14) {
      pen.font = "10.5px system-ui, 'DejaVu Sans', sans-serif";
      pen.fillStyle = colour(`${tone}-ink`);
      pen.fillText(cut(pen, label, room), left + 6, y + LANE / 2 + 0.5);
    }
    return 1;
  }

  drawMarks(lane, top) {
    const { pen, colour, rows } = this;
    const { times, story } = rows, name = data.lanes[lane.id];
    let drawn = 0, last = -9;
    for (let place = firstAt(lane.events, times, this.from); place < lane.events.length; place++) {
      const event = lane.events[place], x = this.x(times[event]);
      if (x > this.width + NEAR) break;
      const tone = data.tones[story.events[EVENT.tone][event]];
      const loud = tone === "bad" || tone === "warn", chosen = event === this.chosen;
      // One mark for each pixel is all that can be seen; what went wrong is never hidden by what went well.
      if (x - last < 1 && !loud && !chosen) continue;
      last = x;
      drawn++;
      if (name === "wire") {
        pen.fillStyle = colour(loud ? tone : rows.field(event, EVENT.source)) || colour("other");
        pen.beginPath();
        pen.arc(x, top + LANE / 2, chosen ? 5 : loud ? 4 : 3, 0, 7);
        pen.fill();
      } else {
        const wide = loud ? 2.5 : 1.5, high = lane.spans.length && !loud ? 4 : LANE - 3;
        pen.fillStyle = colour(loud ? tone : "ink");
        pen.fillRect(x - wide / 2, top + LANE - 1.5 - high, chosen ? wide + 2 : wide, high);
      }
    }
    return drawn;
  }

  drawAxis() {
    const { pen, colour, width, gutter } = this;
    pen.fillStyle = colour("sheet");
    pen.fillRect(0, 0, width, AXIS);
    const rough = ((this.to - this.from) / (width - gutter)) * 90;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
    const digits = clamp(Math.ceil(-Math.log10(step) - 1e-9), 0, 3);
    pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    for (let number = Math.ceil(this.from / step); number * step <= this.to; number++) {
      const x = this.x(number * step);
      pen.fillStyle = colour("line");
      pen.globalAlpha = 0.7;
      pen.fillRect(x, AXIS - 6, 1, this.tall);
      pen.globalAlpha = 1;
      pen.fillStyle = colour("quiet");
      const text = `${(number * step).toFixed(digits)} s`;
      pen.fillText(text, clamp(x - pen.measureText(text).width / 2, gutter, width - pen.measureText(text).width - 4), AXIS / 2 - 2);
    }
    pen.fillStyle = colour("line");
    pen.fillRect(0, AXIS - 1, width, 1);
    pen.fillRect(gutter, AXIS, 1, this.tall);
  }

  drawBreach(t) {
    const { pen, colour } = this, x = this.x(t);
    if (x < this.gutter || x > this.width) return;
    pen.strokeStyle = pen.fillStyle = colour("bad");
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(x, AXIS);
    pen.lineTo(x, this.tall);
    pen.stroke();
    pen.setLineDash([]);
    pen.beginPath();
    pen.moveTo(x - 5, AXIS - 9);
    pen.lineTo(x + 5, AXIS - 9);
    pen.lineTo(x, AXIS - 1);
    pen.fill();
  }

  // The event under a point; a span stands for the event that began it.
  hit(x, y) {
    const down = y + this.frame.scrollTop, row = this.rows.visible[this.rows.at(down)];
    if (!row || y < AXIS || x < this.gutter) return null;
    const lane = row.lanes.find((one) => down >= one.top && down < one.top + LANE * one.depth);
    if (!lane) return null;
    const times = this.rows.times, t = this.t(x);
    const place = firstAt(lane.events, times, t);
    const near = [lane.events[place - 1], lane.events[place]].filter((one) => one !== undefined);
    near.sort((a, b) => Math.abs(times[a] - t) - Math.abs(times[b] - t));
    if (near.length && Math.abs(this.x(times[near[0]]) - x) <= NEAR) return { event: near[0] };
    const line = Math.floor((down - lane.top) / LANE);
    const span = lane.spans.find((one) => one.line === line && one[SPAN.from] <= t && t <= one[SPAN.to]);
    return span ? { event: span[SPAN.event], span } : null;
  }

  tell({ event, span }) {
    const lasts = span ? `${words[span[SPAN.label]]}: ${span[SPAN.from].toFixed(3)} s to ${span[SPAN.to].toFixed(3)} s\n` : "";
    return lasts + this.rows.tell(event);
  }

  reveal(event) {
    const group = this.rows.groups[this.rows.story.events[EVENT.group][event]], t = this.rows.times[event];
    const row = this.rows.visible.find((one) => one.group === group), span = this.to - this.from;
    if (row && (row.top < this.frame.scrollTop + AXIS || row.bottom > this.frame.scrollTop + this.tall)) {
      this.frame.scrollTop = row.top - this.tall / 3;
    }
    if (t < this.from || t > this.to) this.move(t - span / 2); else this.ask();
  }

  // From event to event within a lane (along), or to the nearest in time of another lane (across).
  step(along, across) {
    const lanes = this.rows.visible.flatMap((row) => row.lanes).filter((lane) => lane.events.length);
    if (!lanes.length) return;
    let at = lanes.findIndex((lane) => lane.events.includes(this.chosen));
    if (at < 0) { this.choose(lanes[0].events[0]); return; }
    const time = this.rows.times[this.chosen], place = lanes[at].events.indexOf(this.chosen);
    if (along) { this.choose(lanes[at].events[clamp(place + along, 0, lanes[at].events.length - 1)]); return; }
    at = clamp(at + across, 0, lanes.length - 1);
    const events = lanes[at].events;
    this.choose(events[clamp(firstAt(events, this.rows.times, time), 0, events.length - 1)]);
  }

  listen() {
    const { canvas, frame, pointers } = this, tip = element("tip");
    const hide = () => { tip.hidden = true; };
    frame.addEventListener("scroll", () => { hide(); this.ask(); });
    new ResizeObserver(() => this.rows && this.resize()).observe(frame);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.ask());
    canvas.addEventListener("wheel", (wheel) => {
      if (wheel.ctrlKey || wheel.metaKey) this.zoom(Math.exp(clamp(wheel.deltaY, -100, 100) / 200), wheel.offsetX);
      else if (wheel.shiftKey || wheel.deltaX) this.move(this.from + ((wheel.deltaX || wheel.deltaY) / this.width) * (this.to - this.from));
      else return; // down the nodes, as every page does
      wheel.preventDefault();
    }, { passive: false });
    canvas.addEventListener("pointerdown", (pointer) => {
      pointers.set(pointer.pointerId, pointer.offsetX);
      this.travelled = pointers.size > 1 ? Infinity : 0;
    });
    canvas.addEventListener("pointermove", (pointer) => {
      if (pointers.has(pointer.pointerId)) this.drag(pointer); else this.hover(pointer, tip);
    });
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
      canvas.addEventListener(end, (pointer) => {
        if (pointers.delete(pointer.pointerId) && end === "pointerup" && this.travelled < 4) {
          const found = this.hit(pointer.offsetX, pointer.offsetY);
          if (found) this.choose(found.event);
        }
        if (end !== "pointerup") hide();
      });
    }
    canvas.addEventListener("dblclick", (click) => this.zoom(0.4, click.offsetX));
    frame.addEventListener("keydown", (key) => this.key(key));
  }

  drag(pointer) {
    const before = this.pointers.get(pointer.pointerId), other = [...this.pointers].find(([id]) => id !== pointer.pointerId);
    this.pointers.set(pointer.pointerId, pointer.offsetX);
    this.travelled += Math.abs(pointer.offsetX - before);
    if (this.travelled > 4 && !this.canvas.hasPointerCapture(pointer.pointerId)) this.canvas.setPointerCapture(pointer.pointerId);
    if (other) {
      const was = Math.abs(before - other[1]), is = Math.abs(pointer.offsetX - other[1]);
      if (was > 10 && is > 10) this.zoom(was / is, other[1]);
    } else {
      this.move(this.from - ((pointer.offsetX - before) / (this.width - this.gutter)) * (this.to - this.from));
    }
  }

  hover(pointer, tip) {
    const found = this.hit(pointer.offsetX, pointer.offsetY);
    tip.hidden = !found;
    if (!found) return;
    tip.textContent = this.tell(found);
    tip.style.left = `${clamp(pointer.clientX + 14, 4, Math.max(4, innerWidth - tip.offsetWidth - 4))}px`;
    const below = pointer.clientY + 18;
    tip.style.top = `${below + tip.offsetHeight > innerHeight ? pointer.clientY - tip.offsetHeight - 10 : below}px`;
  }

  key(key) {
    if (key.ctrlKey || key.metaKey || key.altKey) return;
    const act = {
      ArrowLeft: () => this.step(-1, 0), ArrowRight: () => this.step(1, 0),
      ArrowUp: () => this.step(0, -1), ArrowDown: () => this.step(0, 1),
      "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), "-": () => this.zoom(1 / 0.6), 0: () => this.fit(),
      b: () => nextBreach(), B: () => nextBreach(),
    }[key.key];
    if (!act) return;
    key.preventDefault();
    act();
  }
}

function cut(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  let end = Math.max(1, Math.floor((text.length * room) / pen.measureText(text).width));
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > room) end--;
  return end > 1 ? `${text.slice(0, end)}…` : "";
}

// --- the page around it --------------------------------------------------------------------------

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
  element("story-trouble").textContent = `The lab broke, nothing is said about the provisioner: ${story.trouble}`;
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
