"use strict"; // of the whole program: page.py joins its files into one script

// Columns of a story's events, and fields of its spans, as page.py writes them.
const EVENT = { t: 0, group: 1, lane: 2, tone: 3, source: 4, name: 5, by: 6, detail: 7 };
const SPAN = { group: 0, lane: 1, tone: 2, label: 3, from: 4, to: 5, event: 6 };

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
