// In parallel coordinates, a stretch drawn along an axis leaves the lines that pass there; a press beside it, all.
// On the keyboard the arrows move the stretch from mark to mark, with the shift key they widen it, and Escape takes it away.
for (const chart of document.querySelectorAll("svg.parallel")) {
  const ways = [...chart.querySelectorAll(".way")].map(way => [way, [...way.points].map(point => point.y)]);
  const bands = new Map(); // of an axis, from where to where
  chart.setAttribute("role", "group"); // its axes are reached
  const told = Object.assign(document.createElement("span"), {className: "quiet", role: "status"});
  const filter = () => {
    let left = 0;
    for (const [way, heights] of ways) {
      const passes = [...bands].every(([axis, [from, to]]) => heights[axis] >= from && heights[axis] <= to);
      way.classList.toggle("out", !passes);
      left += passes;
    }
    told.textContent = bands.size ? `${left} of ${ways.length} candidates` : "";
    toolsOf(chart).append(told);
  };
  chart.querySelectorAll(".axis").forEach((group, axis) => {
    const reach = group.querySelector(".reach"), {x, y, width, height} = reach;
    const ends = [y.baseVal.value, y.baseVal.value + height.baseVal.value];
    const marks = [...group.querySelectorAll("text.on")].map(mark => [+mark.getAttribute("y"), mark.textContent]);
    let from = null, band = null, least = -1, most = -1;
    const clear = () => {
      band?.remove();
      band = null;
      least = most = -1;
      bands.delete(axis);
      say();
    };
    const stretch = (...wanted) => {
      const [top, bottom] = wanted.map(place => Math.min(Math.max(place, ends[0]), ends[1]));
      if (!band) group.insertBefore(band = drawing("rect", {class: "band", x: x.baseVal.value + 6, width: width.baseVal.value - 12}), reach);
      band.setAttribute("y", top);
      band.setAttribute("height", bottom - top);
      bands.set(axis, [top, bottom]);
    };
    const say = () => {
      const words = least < 0 ? (band ? "a stretch" : "all") : [...new Set([marks[least][1], marks[most][1]])].join(" to ");
      const said = {valuemin: 0, valuemax: marks.length, valuenow: least + 1, valuetext: words, orientation: "vertical"};
      for (const [name, value] of Object.entries(said)) reach.setAttribute(`aria-${name}`, value);
    };
    reach.setAttribute("role", "slider");
    reach.setAttribute("tabindex", 0);
    reach.setAttribute("aria-label", [...group.querySelectorAll("text:not(.on)")].map(one => one.textContent).join(" ").trim());
    say();
    reach.addEventListener("keydown", event => {
      const step = {ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1}[event.key];
      if ((!step && event.key !== "Escape") || !marks.length) return;
      event.preventDefault();
      const last = marks.length - 1;
      if (!step) clear();
      else if (least < 0) least = most = step > 0 ? 0 : last;
      else if (event.shiftKey) step > 0 ? most = Math.min(last, most + 1) : least = Math.max(0, least - 1);
      else if (least + step >= 0 && most + step <= last) [least, most] = [least + step, most + step];
      if (least >= 0) {
        const half = last ? Math.abs(marks[1][0] - marks[0][0]) / 2 : 12;
        stretch(marks[most][0] - half, marks[least][0] + half);
        say();
      }
      filter();
    });
    const place = event => new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse()).y;
    reach.addEventListener("pointerdown", event => {
      if (event.pointerType === "touch") return; // it scrolls
      reach.setPointerCapture(event.pointerId);
      from = place(event);
      clear();
    });
    reach.addEventListener("pointermove", event => {
      const to = place(event);
      if (from === null || (!band && Math.abs(to - from) < 3)) return;
      stretch(Math.min(from, to), Math.max(from, to));
      say();
      filter();
    });
    reach.addEventListener("pointerup", () => {
      from = null;
      filter();
    });
  });
}
