// In parallel coordinates, a stretch drawn along an axis leaves the lines that pass there; a press beside it, all.
for (const chart of document.querySelectorAll("svg.parallel")) {
  const ways = [...chart.querySelectorAll(".way")].map(way => [way, [...way.points].map(point => point.y)]);
  const bands = new Map(); // of an axis, from where to where
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
    const reach = group.querySelector(".reach"), {x, width} = reach;
    let from = null, band = null;
    const place = event => new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse()).y;
    reach.addEventListener("pointerdown", event => {
      if (event.pointerType === "touch") return; // it scrolls
      reach.setPointerCapture(event.pointerId);
      from = place(event);
      band?.remove();
      band = null;
      bands.delete(axis);
    });
    reach.addEventListener("pointermove", event => {
      const to = place(event);
      if (from === null || (!band && Math.abs(to - from) < 3)) return;
      if (!band) group.insertBefore(band = drawing("rect", {class: "band", x: x.baseVal.value + 6, width: width.baseVal.value - 12}), reach);
      const [top, bottom] = [Math.min(from, to), Math.max(from, to)];
      band.setAttribute("y", top);
      band.setAttribute("height", bottom - top);
      bands.set(axis, [top, bottom]);
      filter();
    });
    reach.addEventListener("pointerup", () => {
      from = null;
      filter();
    });
  });
}
