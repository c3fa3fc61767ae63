const AXIS = 26, LANE = 15, GAP = 9, NEAR = 6; // pixels
const OWNERS = 6; // tints of compute hosts, in page.css

// What part of a story is on the canvas, and its drawing.
class View {
  constructor(frame, canvas) {
    this.frame = frame;
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
  }

  show(rows) {
    this.rows = rows;
    this.chosen = null;
    this.frame.scrollTop = 0;
    this.owners = new Map();
    for (const span of rows.story.spans) {
      const owner = span[SPAN.label];
      if (data.lanes[span[SPAN.lane]] === "owner" && !this.owners.has(owner)) this.owners.set(owner, this.owners.size % OWNERS);
    }
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
    this.drawGrid();
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
    if (place % 2) { pen.fillStyle = colour("band"); pen.fillRect(0, top, width, row.bottom - row.top); }
    pen.save();
    pen.beginPath();
    pen.rect(gutter, top, width - gutter, row.bottom - row.top);
    pen.clip();
    for (const lane of row.lanes) {
      for (const span of lane.spans) drawn.spans += this.drawSpan(span, lane, lane.top - scroll);
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

  drawSpan(span, lane, top) {
    const { pen, colour } = this;
    const left = Math.max(this.x(span[SPAN.from]), this.gutter - 2), right = Math.min(this.x(span[SPAN.to]), this.width + 2);
    if (right < this.gutter || left > this.width || right < left) return 0;
    const tone = data.tones[span[SPAN.tone]], y = top + span.line * LANE;
    const owner = data.lanes[lane.id] === "owner" ? this.owners.get(span[SPAN.label]) : undefined;
    pen.fillStyle = colour(owner === undefined ? tone : `owner-${owner}`);
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

  // Times that deserve a line, about 90 pixels apart.
  ticks() {
    const rough = ((this.to - this.from) / (this.width - this.gutter)) * 90;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * (1 - 1e-9));
    const digits = clamp(Math.ceil(-Math.log10(step) - 1e-9), 0, 3);
    const found = [];
    for (let number = Math.ceil(this.from / step); number * step <= this.to; number++) {
      found.push([number * step, `${(number * step).toFixed(digits)} s`]);
    }
    return found;
  }

  drawGrid() {
    this.pen.fillStyle = this.colour("line");
    for (const [t] of this.ticks()) this.pen.fillRect(Math.round(this.x(t)), AXIS - 6, 1, this.tall);
  }

  drawAxis() {
    const { pen, colour, width, gutter } = this;
    pen.fillStyle = colour("sheet");
    pen.fillRect(0, 0, width, AXIS);
    pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    pen.fillStyle = colour("quiet");
    for (const [t, text] of this.ticks()) {
      const wide = pen.measureText(text).width;
      pen.fillText(text, clamp(this.x(t) - wide / 2, gutter, width - wide - 4), AXIS / 2 - 2);
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
}

function cut(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  let end = Math.max(1, Math.floor((text.length * room) / pen.measureText(text).width));
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > room) end--;
  return end > 1 ? `${text.slice(0, end)}…` : "";
}
