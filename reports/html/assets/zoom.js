// A chart with numbers on both axes shows a part of itself larger: what is drawn keeps its size, and the axes follow.
// Lines and words among the marks are those of a value of x.
const NUMBERS = {circle: ["cx", "cy"], line: ["x1", "x2"], text: ["x"]};

class Zoom {
  constructor(chart) {
    this.chart = chart;
    this.ticks = chart.querySelector(".ticks");
    this.before = this.ticks.innerHTML;
    this.axes = ["x", "y"].map(name => JSON.parse(chart.dataset[name]));
    this.marks = [...chart.querySelectorAll(".marks > *")].map(mark => ({
      mark,
      numbers: (NUMBERS[mark.localName] ?? []).map(name => [name, +mark.getAttribute(name)]),
      points: mark.localName === "polyline" ? [...mark.points].map(({x, y}) => [x, y]) : null,
    }));
    this.whole = this.view = this.axes.map(({start, end}) => [Math.min(start, end), Math.max(start, end)]);
    this.listen();
  }

  // Where a number of the drawing lies in the view; 0 is across, 1 down.
  at(number, side) {
    const [from, to] = this.view[side], [least, most] = this.whole[side];
    return least + (number - from) / (to - from) * (most - least);
  }

  look(view) {
    // As far as numbers can be told apart.
    if (view.some(([from, to], side) => to - from < 1e-4 * (this.whole[side][1] - this.whole[side][0]))) return;
    this.view = view;
    for (const {mark, numbers, points} of this.marks) {
      for (const [name, number] of numbers) mark.setAttribute(name, this.at(number, name.includes("x") ? 0 : 1));
      if (points) mark.setAttribute("points", points.map(([x, y]) => `${this.at(x, 0)},${this.at(y, 1)}`).join(" "));
      if (mark.localName === "circle") mark.style.display = this.holds(mark) ? "" : "none";
    }
    if (view === this.whole) this.ticks.innerHTML = this.before;
    else this.ticks.replaceChildren(...[0, 1].flatMap(side => this.drawn(side)));
  }

  holds(circle) {
    return ["cx", "cy"].every((name, side) => {
      const number = +circle.getAttribute(name), [least, most] = this.whole[side];
      return number > least - 6 && number < most + 6;
    });
  }

  // Grid and numbers of an axis.
  drawn(side) {
    const {low, high, start, end, count, ...unit} = this.axes[side];
    const value = pixel => low + (pixel - start) / (end - start) * (high - low);
    const [one, other] = this.view[side].map(value);
    const [least, most] = [Math.min(one, other), Math.max(one, other)];
    const rough = (most - least) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].find(factor => factor * power >= rough * (1 - 1e-9)) * power;
    const found = [];
    for (let index = Math.ceil(least / step - 1e-9); index * step <= most + 1e-9 * step; index++) {
      const place = this.at(start + (index * step - low) / (high - low) * (end - start), side);
      const words = written(index * step, unit);
      const [x, y] = this.axes.map(axis => axis.start);
      if (side) found.push(
        drawing("line", {class: "grid", x1: x, x2: this.axes[0].end, y1: place, y2: place}),
        drawing("text", {x: x - 8, y: place, dy: ".35em", "text-anchor": "end"}, words));
      else found.push(drawing("text", {x: place, y: y + 7, dy: ".9em", "text-anchor": "middle"}, words));
    }
    return found;
  }

  nearer(factor) {
    const chosen = this.chart.querySelector("circle.chosen");
    const view = this.view.map(([from, to], side) => {
      const kept = chosen && this.marks.find(one => one.mark === chosen).numbers[side][1];
      const middle = chosen && kept >= from && kept <= to ? kept : (from + to) / 2;
      const half = (to - from) / 2 / factor, [least, most] = this.whole[side];
      const start = Math.min(Math.max(least, middle - half), Math.max(least, most - 2 * half));
      return [start, Math.min(most, start + 2 * half)];
    });
    const all = view.every(([from, to], side) => from <= this.whole[side][0] && to >= this.whole[side][1]);
    this.look(all ? this.whole : view);
  }

  // A rectangle that is drawn with the mouse is what is shown; a finger scrolls the page instead.
  listen() {
    let from = null, frame = null;
    const place = event => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.chart.getScreenCTM().inverse());
      return [at.x, at.y].map((number, side) => Math.min(Math.max(number, this.whole[side][0]), this.whole[side][1]));
    };
    const box = to => [0, 1].map(side => [Math.min(from[side], to[side]), Math.max(from[side], to[side])]);
    this.chart.addEventListener("pointerdown", event => {
      if (event.pointerType !== "touch" && event.button === 0) from = place(event);
    });
    addEventListener("pointermove", event => {
      if (!from) return;
      const [[x, right], [y, bottom]] = box(place(event));
      if (!frame && right - x < 6 && bottom - y < 6) return;
      event.preventDefault();
      frame ??= this.chart.appendChild(drawing("rect", {class: "drawn"}));
      for (const [name, number] of Object.entries({x, y, width: right - x, height: bottom - y})) frame.setAttribute(name, number);
    });
    addEventListener("pointerup", event => {
      const drawn = from && frame && box(place(event));
      frame?.remove();
      from = frame = null;
      if (!drawn) return;
      addEventListener("click", click => click.stopPropagation(), {capture: true, once: true}); // it chooses nothing
      setTimeout(() => getSelection()?.removeAllRanges());
      if (drawn.some(([least, most]) => most - least < 6)) return;
      this.look(drawn.map((side, which) => side.map(pixel => {
        const [least, most] = this.whole[which], [low, high] = this.view[which];
        return low + (pixel - least) / (most - least) * (high - low);
      })));
    });
    this.chart.addEventListener("dblclick", () => this.look(this.whole));
  }
}

function drawing(name, attributes, words = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = words;
  return made;
}

// A number beside an axis.
function written(value, {scale, unit, short}) {
  const number = value * scale;
  const [factor, letter] = (short && [[1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([least]) => Math.abs(number) >= least)) || [1, ""];
  return `${+(number / factor).toPrecision(6)}${letter} ${unit}`.trim();
}

const zooms = new Map([...document.querySelectorAll("svg.chart[data-x]")].map(chart => [chart, new Zoom(chart)]));
