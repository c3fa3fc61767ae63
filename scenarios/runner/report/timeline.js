// A view that answers to mouse, touch and keys.
class Timeline extends View {
  constructor(frame, canvas, choose) {
    super(frame, canvas);
    this.choose = choose;
    this.pointers = new Map();
    this.listen();
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
